//! Any bytes as a call of the Open Inference Protocol, up to the examples in it, and as a tensor.

#![no_main]

use std::sync::LazyLock;

use dynamar::{prompt::TaskFile, server::fuzzing};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<TaskFile> = LazyLock::new(dynamar_fuzz::task);

fuzz_target!(|bytes: &[u8]| fuzzing::infer(&FILE.task, bytes));
