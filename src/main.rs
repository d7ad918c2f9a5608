//! The `dynamar` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    dynamar::cli::main()
}
