//! Any bytes as the pickle of a file of torch.save, and as the whole file.

#![no_main]

use dynamar::import::fuzzing;
use dynamar_fuzz::{directory, written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzzing::read_pickle(bytes);
    let home = directory();
    written(&home, "config.json", b"{}");
    written(&home, "pytorch_model.bin", bytes);
    fuzzing::read_tensors(home.path());
});
