//! Any bytes as labelled data, and back.

#![no_main]

use dynamar::dataset::{read_file, write_csv};
use dynamar_fuzz::{directory, task, written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let home = directory();
    let path = written(&home, "data.csv", bytes);
    let task = task();
    let Ok(data) = read_file(&path, &task) else { return };
    assert!(!data.examples.is_empty());
    for labelled in &data.examples {
        assert_eq!(labelled.example.values.len(), task.task.fields.len());
    }
    let again = home.path().join("again.csv");
    write_csv(&again, &task, &data).expect("written");
    let again = read_file(&again, &task).expect("our own");
    assert_eq!(again.examples, data.examples);
});
