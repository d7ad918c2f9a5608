//! Faults of every kind, at random, against a real server with real callers: `make chaos`.
//!
//! Checkpoints change, spoil and vanish; encoders fail, panic and hang; connections are cut,
//! stalled and hostile; callers ask too much, too long and wrongly, and go away. Meanwhile every call
//! must end, in the answer that the checkpoint which it names must give, or in an error for which
//! there was a reason. Afterwards everything must be as it was.
//!
//! What is done follows from the seed, which is printed; when it meets what does not.

// What cannot go on fails, as in a test; clippy does not know that this is one.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

// Shared with tests/it, which uses the rest of them.
#[allow(dead_code)]
#[path = "../it/server/checkpoints.rs"]
mod checkpoints;
#[allow(dead_code)]
#[path = "../it/server/encoder.rs"]
mod encoder;
#[allow(dead_code)]
#[path = "../it/fixtures.rs"]
mod fixtures;
#[path = "../it/server/questions.rs"]
mod questions;
#[allow(dead_code)]
#[path = "../it/server/reference.rs"]
mod reference;
#[allow(dead_code)]
#[path = "../it/server/stage.rs"]
mod stage;
#[path = "../it/server/tables.rs"]
mod tables;

mod callers;
mod disk;
mod hostile;
mod invalid;
mod judge;
mod monkey;
mod panics;
mod phase;
mod probe;
mod proxy;
mod scene;
mod spell;
mod spoil;
mod tally;
mod verdict;
mod versions;
mod vitals;

use std::{process::ExitCode, time::Duration};

use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

/// Threads for blocking work that have none end after this, so that they can be counted.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Of faults, all phases together.
    pub seconds: u64,
    pub seed: u64,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("chaos: {wrong}; usage: chaos [--seconds N] [--seed N]");
            return ExitCode::from(2);
        }
    };
    // The server's log, if it is asked for: CHAOS_LOG=warn.
    let filter = EnvFilter::try_from_env("CHAOS_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    println!("chaos: {} seconds, --seed {}", options.seconds, options.seed);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name(vitals::RUNTIME_THREAD)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .build()
        .expect("a runtime");
    match runtime.block_on(phase::all(options)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut options = Options { seconds: 600, seed: now.as_secs() };
    while let Some(name) = arguments.next() {
        let place = match name.as_str() {
            "--seconds" => &mut options.seconds,
            "--seed" => &mut options.seed,
            _ => return Err(format!("{name} is not known")),
        };
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        *place = value.parse().map_err(|_| format!("{name}: {value:?} is no number"))?;
    }
    Ok(options)
}
