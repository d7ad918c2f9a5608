//! Ctrl-C, SIGTERM and SIGHUP for verbs that run on their own thread.

use std::{fs, sync::Arc};

use anyhow::Result;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::training::Interrupt;

/// A flag that the first signal sets; a second Ctrl-C or SIGTERM ends the process at once.
///
/// A terminal that is closed is as good as a SIGTERM, unless the process was started to outlive it
/// (`nohup`).
pub fn on_signal() -> Result<Arc<Interrupt>> {
    let interrupt = Arc::new(Interrupt::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: at the second signal the flag is found set.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupt))?;
        flag::register(signal, Arc::clone(&interrupt))?;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !ignores(&status, SIGHUP) {
        // A shell and the system may each send one for the same terminal, so a second one ends nothing.
        flag::register(SIGHUP, Arc::clone(&interrupt))?;
    }
    Ok(interrupt)
}

/// Whether a process with this `/proc/PID/status` ignores the signal. Read off there because the call
/// for it is unsafe.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_bits_of_a_mask() {
        let status =
            |mask: &str| format!("Name:\tdynamar\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(ignores(&status("0000000000001001"), SIGHUP));
        assert!(!ignores(&status("0000000000001000"), SIGHUP));
        assert!(ignores(&status("0000000000004000"), SIGTERM));
        assert!(!ignores("", SIGHUP) && !ignores(&status("x"), SIGHUP));
    }
}
