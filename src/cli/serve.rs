//! `dynamar serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::{Global, logging, output};
use crate::{
    config::{self, Config, MetricsConfig, Origin, Override},
    registry::Loader,
    server::{self, Listeners, Operator, access::Access},
};

/// Files that are open beside the connections of callers: checkpoints while they are loaded, logs, what
/// threads wait on, and connections of probes and for metrics.
const OTHER_FILES: u64 = 160;

/// How long a checkpoint that is still being loaded may hold up the end.
const LOADING_PATIENCE: Duration = Duration::from_secs(1);

/// Serves checkpoints over gRPC until SIGTERM or Ctrl-C
///
/// Looks now and then whether they have changed (models.poll_interval_ms), and at once on SIGHUP.
///
/// Example: dynamar serve --models models/serving --address 0.0.0.0:50051
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Directory of the checkpoints, each a subdirectory (models.directory)
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// IP address and port to listen on (server.address)
    #[arg(long, visible_alias = "addr", value_name = "IP:PORT")]
    address: Option<String>,
    /// Worker threads, each with its own encoder session; 0 is one for each CPU (batching.workers)
    #[arg(long)]
    workers: Option<usize>,
    /// What is logged, such as info or dynamar=debug (log.level)
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// Print the configuration, each value with its origin, and exit
    #[arg(long)]
    print_config: bool,
}

/// Serves.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let loaded = Config::load(global.config.as_deref(), &overrides(args))?;
    if args.print_config {
        return output::text(&(config::render(&loaded) + "\n"));
    }
    // Others may have the usual port; whoever names one wants that one.
    let needs_metrics = loaded.origin("metrics.address") != Some(&Origin::Default);
    let config = loaded.config;
    logging::start(&config.log)?;
    raise_file_limit(config.server.max_connections.get());
    let runtime = Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    let served = runtime.block_on(serve(config, needs_metrics));
    runtime.shutdown_timeout(LOADING_PATIENCE);
    served
}

/// Lets the process have as many files open as it may. The usual limit is far lower, for the sake of old
/// programs, and lower than the connections that are let in.
fn raise_file_limit(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < max_connections as u64 + OTHER_FILES {
        tracing::warn!(
            files,
            max_connections,
            "fewer files may be open than server.max_connections needs: raise the limit (ulimit -n)"
        );
    }
}

fn overrides(args: &Args) -> Vec<Override> {
    let mut overrides = Vec::new();
    if let Some(directory) = &args.models {
        overrides.push(Override::new("models.directory", "--models", directory.display()));
    }
    if let Some(address) = &args.address {
        overrides.push(Override::new("server.address", "--address", address));
    }
    if let Some(workers) = args.workers {
        overrides.push(Override::new("batching.workers", "--workers", workers));
    }
    if let Some(level) = &args.log_level {
        overrides.push(Override::new("log.level", "--log-level", level));
    }
    overrides
}

async fn serve(config: Config, needs_metrics: bool) -> Result<()> {
    // Before anything slow, so that no signal is missed.
    let (operator, control) = server::control();
    let signals = follow_signals(operator)?;
    // What is wrong with certificates and tokens is told before anybody can connect.
    let access = Access::open(&config)?;
    let address = config.server.address;
    let calls = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow!("cannot listen on {address}: {error}"))?;
    let health = listen_for_probes(config.health.address).await?;
    let metrics = listen_for_metrics(&config.metrics, needs_metrics).await?;
    tracing::info!(address = %calls.local_addr()?, "listening");
    let listeners = Listeners { calls, metrics, health };
    tokio::spawn(signals);
    let loader = Loader::new(config.clone());
    Ok(server::run(&config, access, move |previous| loader.load(previous), listeners, control)
        .await?)
}

async fn listen_for_probes(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|error| {
        anyhow!("cannot listen on {address} for probes (health.address): {error}")
    })?;
    tracing::info!(address = %listener.local_addr()?, "health for probes");
    Ok(Some(listener))
}

async fn listen_for_metrics(
    config: &MetricsConfig,
    is_needed: bool,
) -> Result<Option<TcpListener>> {
    let Some(address) = config.address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!(address = %listener.local_addr()?, "metrics at /metrics");
            Ok(Some(listener))
        }
        Err(error) if is_needed => {
            Err(anyhow!("cannot listen on {address} for metrics (metrics.address): {error}"))
        }
        Err(error) => {
            tracing::warn!(%address, %error, "no metrics: set metrics.address to a free port");
            Ok(None)
        }
    }
}

/// Passes on, from now on, what the operator wants.
fn follow_signals(operator: Operator) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => operator.stop(),
                // Who sits before it does not want to wait.
                _ = interrupt.recv() => operator.stop_now(),
                _ = hang_up.recv() => operator.reload(),
            }
        }
    })
}
