//! The `dynamar` program.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    keep_onnx_runtime_from_reporting();
    dynamar::cli::main()
}

/// Official builds of ONNX Runtime keep a database in the home directory and look up a host to report
/// to, from the moment that the library is loaded: too early to tell it otherwise by its interface.
fn keep_onnx_runtime_from_reporting() {
    #[expect(unsafe_code, reason = "the environment may be changed as long as there is one thread")]
    // SAFETY: this is the first thing that the program does, before it starts any thread.
    unsafe {
        env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}
