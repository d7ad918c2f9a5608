//! The release server as a process of its own.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use dynamar::server::proto::inference_client::InferenceClient;
use serde_json::Value;
use tokio::time;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Callers that share a connection, as those of one client process would.
pub const CALLERS_PER_CONNECTION: usize = 32;

/// Connections: enough for the most callers there are.
const CONNECTIONS: usize = 4;

/// Setting of the time that a call may wait: so long that a slow encoder answers each of the most callers.
const MAX_QUEUE_DELAY: (&str, &str) = ("DYNAMAR_BATCHING__MAX_QUEUE_DELAY_MS", "600000");

/// A server that does not serve by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of the log that are shown when the server fails.
const LOG_LINES: usize = 10;

/// A running server with connections to it. Dropped, it is killed.
pub struct Server {
    child: Child,
    log: Log,
    /// From just before the process was started until it reported SERVING.
    pub started_in: Duration,
    clients: Vec<InferenceClient<Channel>>,
}

impl Server {
    /// Starts `dynamar serve` on a port that the system chooses and waits until it serves.
    pub async fn start(dynamar: &Path, models: &Path) -> Result<Self> {
        Self::start_with(dynamar, models, &[]).await
    }

    /// The same with settings, as environment variables have them.
    pub async fn start_with(
        dynamar: &Path,
        models: &Path,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let begin = Instant::now();
        let mut command = Command::new(dynamar);
        command.env(MAX_QUEUE_DELAY.0, MAX_QUEUE_DELAY.1);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.args(["serve", "--address", "127.0.0.1:0", "--models"]).arg(models);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let (log, address) = Log::follow(stderr);
        // From here on the process ends with this.
        let mut server = Self { child, log, started_in: Duration::ZERO, clients: vec![] };
        let until_serving = time::timeout(PATIENCE, server.until_serving(&address));
        let until_serving = until_serving.await.context("the server does not begin to serve");
        let address = until_serving.and_then(|outcome| outcome).map_err(|e| server.explain(e))?;
        server.started_in = begin.elapsed();
        for _ in 0..CONNECTIONS {
            let channel = endpoint(&address)?.connect().await?;
            server.clients.push(InferenceClient::new(channel));
        }
        Ok(server)
    }

    async fn until_serving(&self, address: &mpsc::Receiver<String>) -> Result<String> {
        // Nothing else runs on this thread's runtime while a server starts.
        let address = address.recv_timeout(PATIENCE).context("it does not say where it listens")?;
        let channel = endpoint(&address)?.connect().await?;
        let mut health = HealthClient::new(channel);
        let mut changes = health.watch(HealthCheckRequest::default()).await?.into_inner();
        while let Some(change) = changes.message().await? {
            if change.status() == ServingStatus::Serving {
                return Ok(address);
            }
        }
        bail!("the server stopped before it served");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The connection of the caller with this number.
    pub fn client(&self, caller: usize) -> InferenceClient<Channel> {
        self.clients[caller / CALLERS_PER_CONNECTION % CONNECTIONS].clone()
    }

    /// The error with the last lines of the log.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow!("{error:#}; the server's log ends with:\n{}", self.log.end())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn endpoint(address: &str) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true))
}

/// The last lines of a log that is read as it comes, so that the server never waits for a reader.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Reads until the server ends; the address comes when the server says where it listens.
    fn follow(stderr: ChildStderr) -> (Self, mpsc::Receiver<String>) {
        let log = Self::default();
        let (tell, address) = mpsc::channel();
        let kept = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    // An error means that nobody waits for it any more.
                    let _ = tell.send(address);
                }
                kept.keep(line);
            }
        });
        (log, address)
    }

    fn keep(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn end(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// The address in a line of the log, if it is the line that has it.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_listening = line["message"] == "listening";
    line["address"].as_str().filter(|_| is_listening).map(str::to_owned)
}
