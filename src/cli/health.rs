//! `dynamar health`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Builder;

use super::{Global, output};
use crate::{config::Config, server::health};

/// Asks a running server whether it answers calls; the exit code is for probes
///
/// Example: dynamar health --addr 127.0.0.1:50051
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The server [default: server.address of the configuration]
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// How long to wait for an answer
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    timeout_ms: u64,
}

/// Asks.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let address = match &args.addr {
        Some(address) => address.clone(),
        None => Config::load(global.config.as_deref(), &[])?.config.server.address.to_string(),
    };
    let patience = Duration::from_millis(args.timeout_ms);
    let runtime = Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    if !runtime.block_on(health::probe(&address, patience))? {
        bail!("{address} is NOT_SERVING");
    }
    output::text(&format!("{address} is SERVING\n"))
}
