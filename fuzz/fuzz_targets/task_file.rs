//! Any bytes as a task file.

#![no_main]

use dynamar::{prompt::TaskFile, tokenization::PromptSet};
use dynamar_fuzz::tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = TaskFile::from_bytes(bytes, "task.toml") else { return };
    let prompts = &file.prompts;
    assert!(prompts.pool.contains(&prompts.canonical));
    assert!(prompts.pool.iter().all(|at| !prompts.templates[*at].held_out));
    assert_eq!(file.field_columns.len(), file.task.fields.len());
    // What was read is kept as it was, and reads as the same.
    let again = TaskFile::parse(&file.source, "task.toml").expect("as before");
    assert_eq!(again, file);
    let _ = PromptSet::new(&file, tokenizer(), 512, "task.toml");
});
