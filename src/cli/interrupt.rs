//! Ctrl-C and SIGTERM for verbs that run on their own thread.

use std::sync::Arc;

use anyhow::Result;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::training::Interrupt;

/// A flag that the first signal sets; a second one ends the process at once.
pub fn on_signal() -> Result<Arc<Interrupt>> {
    let interrupt = Arc::new(Interrupt::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: at the second signal the flag is found set.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupt))?;
        flag::register(signal, Arc::clone(&interrupt))?;
    }
    Ok(interrupt)
}
