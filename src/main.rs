//! The `dynamar` program.

use std::{env, process::ExitCode};

/// How many threads candle gives its elementwise loops. Its waiting threads spin, and would take
/// the cores from the products; our own kernels do not go through them.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> ExitCode {
    if env::var_os(CANDLE_THREADS).is_none() {
        // candle takes this setting from the environment alone.
        #[allow(unsafe_code)]
        // SAFETY: this is the first thing the process does; there is no other thread yet that
        // could read the environment.
        unsafe {
            env::set_var(CANDLE_THREADS, "1");
        }
    }
    dynamar::cli::main()
}
