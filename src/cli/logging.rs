//! Log lines on stderr, for people or for machines.

use std::io::{self, IsTerminal, Stderr, Write};

use anyhow::{Result, anyhow};
use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    config::{LogConfig, LogFormat},
    metrics::count_lost_log_line,
};

/// Starts logging. Once for a process.
pub fn start(config: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| anyhow!("log.level = {:?} is no filter: {error}", config.level))?;
    let terminal = io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !terminal,
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(|| Lossy(io::stderr()))
        // It would report a failed write on stderr, and panic if that fails too.
        .log_internal_errors(false);
    let started = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.with_ansi(terminal).with_target(false).try_init()
    };
    started.map_err(|error| anyhow!("logging cannot start: {error}"))
}

/// A writer that loses and counts what its target does not take: a full disk, a reader that has
/// gone or a terminal that was closed is no reason to end. Each write is one line.
struct Lossy<W = Stderr>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.write_all(line).is_err() {
            count_lost_log_line();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What was not taken has been counted.
        let _ = self.0.flush();
        Ok(())
    }
}
