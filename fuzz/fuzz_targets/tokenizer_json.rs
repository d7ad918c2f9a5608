//! Any bytes as a tokenizer, and a few texts through it.

#![no_main]

use std::path::Path;

use dynamar::{
    task::Example,
    tokenization::{PromptSet, PromptTokenizer},
};
use dynamar_fuzz::task;
use libfuzzer_sys::fuzz_target;

// The hook that libFuzzer sets ends the process at any panic, also at those of the library that are
// caught. One that is not caught still ends it.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let Ok(tokenizer) = PromptTokenizer::from_bytes(bytes, Path::new("tokenizer.json")) else {
        return;
    };
    // Larger ones are refused with the checkpoint (`load_tokenizer`).
    if tokenizer.vocabulary_size() > 30_000 {
        return;
    }
    let mask = tokenizer.pieces().mask;
    let Ok(set) = PromptSet::new(&task(), &tokenizer, 512, "task.toml") else { return };
    for text in ["[MASK] it was", "", "ﷺ e\u{301} \u{0}\u{1f600} <mask>", &"great ".repeat(50)] {
        let values = vec![text.to_owned(), text.to_owned()];
        let Ok(prompt) = set.encode(&tokenizer, &Example { values }, 0) else { continue };
        assert!(prompt.input_ids.len() <= task().max_length);
        assert_eq!(prompt.input_ids[prompt.mask_position], mask);
    }
});
