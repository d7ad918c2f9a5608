//! Any text as a template, and any texts in it.

#![no_main]

use dynamar::{prompt::template, task::Example, tokenization::PromptSet};
use dynamar_fuzz::{task, tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (text, values) = (part(), vec![part(), part()]);
    let mut file = task();
    let Ok(segments) = template::parse(&text, &file.task.fields) else { return };
    let first = &mut file.prompts.templates[0];
    first.segments = segments;
    first.text = text;
    let Ok(set) = PromptSet::new(&file, tokenizer(), 64, "task.toml") else { return };
    let encode = |values: Vec<String>| {
        set.encode(tokenizer(), &Example { values }, 0).expect("every text has tokens")
    };
    let frame = encode(vec![String::new(); 2]);
    let prompt = encode(values);
    let mask = tokenizer().pieces().mask;
    for prompt in [&frame, &prompt] {
        assert!(prompt.input_ids.len() <= file.max_length, "too long");
        assert_eq!(prompt.segment_ids.len(), prompt.input_ids.len());
        let masks = prompt.input_ids.iter().filter(|id| **id == mask).count();
        assert_eq!(masks, 1, "masks");
        assert_eq!(prompt.input_ids[prompt.mask_position], mask);
    }
    assert!(!frame.truncated);
    // Of what the template itself says, nothing is cut, and nothing changes places.
    let mut ids = prompt.input_ids.iter();
    assert!(frame.input_ids.iter().all(|id| ids.any(|other| other == id)), "a literal was cut");
});
