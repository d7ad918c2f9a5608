//! Starts a server for one test and speaks to it.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use dynamar::{
    config::Config,
    registry::{Loaded, NewEncoder, Registry, RegistryError},
    server::{
        self, Listeners, Load, Operator, Reloads, ServeError,
        access::Access,
        proto::{self, inference_client::InferenceClient, options::TemplateMode},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{checkpoints, encoder::Control};
use crate::fixtures;

/// How long anything may take before a test is given up. Nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test.
const AN_HOUR_MS: u64 = 3_600_000;

/// Waits for what must come.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

pub fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not 0")
}

/// The defaults, for a small machine, however busy, and for operators who wait for nothing:
/// checkpoints are looked at and encoders are tried when a test says so, and a stop begins at once.
pub fn config() -> Config {
    let nowhere = tempfile::tempdir().expect("a directory");
    let loaded = Config::load_from(nowhere.path(), None, [], &[]).expect("good defaults");
    let mut config = loaded.config;
    config.batching.workers = Some(count(2));
    config.batching.max_queue_delay_ms = AN_HOUR_MS;
    config.health.probe_interval_ms = AN_HOUR_MS;
    config.health.stall_timeout_ms = AN_HOUR_MS;
    config.models.poll_interval_ms = 0;
    config.server.stop_delay_ms = 0;
    config
}

/// What there is to load in a directory, first or beside a registry, with encoders under control.
pub fn load(
    directory: &Path,
    config: &Config,
    previous: Option<&Registry>,
    control: &Arc<Control>,
) -> Result<Loaded, RegistryError> {
    let (runtime, control) = (fixtures::runtime(), Arc::clone(control));
    let new_encoder: NewEncoder = Arc::new(move |model, threads| {
        Ok(Box::new(control.over(Box::new(model.encoder(&runtime, threads)?))))
    });
    Registry::load(directory, config, previous, &new_encoder)
}

/// A server that runs, and the end of the test's line to it.
pub struct Stage {
    pub address: SocketAddr,
    /// Where it tells its metrics.
    metrics: SocketAddr,
    /// For probes alone.
    pub probes: SocketAddr,
    /// Of the first encoders.
    pub control: Arc<Control>,
    /// Of encoders that are made from now on.
    making: Arc<Mutex<Arc<Control>>>,
    pub models: TempDir,
    pub operator: Operator,
    /// For clients, where connections are encrypted.
    pub tls: Option<ClientTlsConfig>,
    running: JoinHandle<Result<(), ServeError>>,
}

impl Stage {
    /// A server over the usual checkpoints, ready.
    pub async fn ready() -> Self {
        Self::ready_with(config()).await
    }

    /// As `ready`, configured.
    pub async fn ready_with(config: Config) -> Self {
        Self::ready_over(checkpoints::models(), config, None).await
    }

    /// As `ready_with`, for clients with this TLS.
    pub async fn ready_for(config: Config, tls: Option<ClientTlsConfig>) -> Self {
        Self::ready_over(checkpoints::models(), config, tls).await
    }

    /// A server over these checkpoints, ready, for clients with this TLS.
    pub async fn ready_over(
        models: TempDir,
        mut config: Config,
        tls: Option<ClientTlsConfig>,
    ) -> Self {
        config.models.directory = models.path().to_owned();
        let control = Control::new();
        let making = Arc::new(Mutex::new(Arc::clone(&control)));
        let loads = {
            let (config, making) = (config.clone(), Arc::clone(&making));
            move |previous: Option<&Registry>| {
                let control = Arc::clone(&making.lock().expect("no panic"));
                load(&config.models.directory, &config, previous, &control)
            }
        };
        let stage = Self { making, tls, ..Self::start(&config, loads, models, control).await };
        stage.until(ServingStatus::Serving).await;
        stage
    }

    /// A server with what `load` loads, not ready yet.
    pub async fn start(
        config: &Config,
        load: impl Load,
        models: TempDir,
        control: Arc<Control>,
    ) -> Self {
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.expect("a port") };
        let (calls, for_metrics, for_probes) = (bind().await, bind().await, bind().await);
        let [address, metrics, probes] = [&calls, &for_metrics, &for_probes]
            .map(|listener| listener.local_addr().expect("an address"));
        let listeners = Listeners { calls, metrics: Some(for_metrics), health: Some(for_probes) };
        let (operator, server_end) = server::control();
        let config = config.clone();
        let access = Access::open(&config).expect("access");
        let running = tokio::spawn(async move {
            let outcome = server::run(&config, access, load, listeners, server_end).await;
            // Shown where a test fails because its server has ended.
            outcome.inspect_err(|error| eprintln!("the server has ended: {error}"))
        });
        let making = Arc::new(Mutex::new(Arc::clone(&control)));
        Self { address, metrics, probes, control, making, models, operator, tls: None, running }
    }

    /// Another control for the encoders that are made from now on.
    pub fn next_control(&self) -> Arc<Control> {
        let next = Control::new();
        *self.making.lock().expect("no panic") = Arc::clone(&next);
        next
    }

    /// Has the checkpoints looked at, and says what became of it.
    pub async fn reload(&self) -> Reloads {
        let mut reloads = self.operator.reloads();
        let before = reloads.borrow_and_update().count();
        self.operator.reload();
        let reloaded = soon(reloads.wait_for(|reloads| reloads.count() > before)).await;
        reloaded.expect("the server lives").clone()
    }

    pub async fn channel(&self) -> Channel {
        soon(self.endpoint(self.tls.clone()).connect()).await.expect("connected")
    }

    /// Where to connect, with this TLS if any.
    pub fn endpoint(&self, tls: Option<ClientTlsConfig>) -> Endpoint {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Channel::from_shared(format!("{scheme}://{}", self.address));
        let endpoint = endpoint.expect("an address");
        match tls {
            Some(tls) => endpoint.tls_config(tls).expect("a good TLS configuration"),
            None => endpoint,
        }
    }

    pub async fn client(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel().await)
    }

    /// What an HTTP request line, such as `GET /metrics`, is answered there: all of it.
    pub async fn ask_for_metrics(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.metrics).await.expect("connected");
        let request = format!("{request} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.expect("read");
        answer
    }

    /// The value of a line of the metrics, such as `name{label="value"}`; `None` if there is none.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let page = self.ask_for_metrics("GET /metrics").await;
        let line = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    /// The server's health when asked once.
    pub async fn health(&self, service: &str) -> Result<ServingStatus, tonic::Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut client = HealthClient::new(self.channel().await);
        let answer = soon(client.check(request)).await?;
        Ok(answer.into_inner().status())
    }

    /// Watches until the health is this.
    pub async fn until(&self, expected: ServingStatus) {
        let mut client = HealthClient::new(self.channel().await);
        let watched = soon(client.watch(HealthCheckRequest::default())).await;
        let mut changes = watched.expect("watched").into_inner();
        loop {
            let change = soon(changes.message()).await.expect("told").expect("told");
            if change.status() == expected {
                return;
            }
        }
    }

    /// Tells the server to stop; does not wait for it.
    pub fn begin_stop(&self) {
        self.operator.stop();
    }

    /// Waits until the server has ended.
    pub async fn ended(self) -> Result<(), ServeError> {
        soon(self.running).await.expect("no panic")
    }

    pub fn is_running(&self) -> bool {
        !self.running.is_finished()
    }

    pub async fn stop(self) {
        self.begin_stop();
        self.ended().await.expect("a clean end");
    }
}

/// An example with these fields.
pub fn example(fields: &[(&str, &str)]) -> proto::Example {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    proto::Example { fields: fields.collect() }
}

/// Examples with one field, `text`.
pub fn texts(texts: &[&str]) -> Vec<proto::Example> {
    texts.iter().map(|text| example(&[("text", text)])).collect()
}

pub fn classify(task: &str, examples: Vec<proto::Example>) -> proto::ClassifyRequest {
    proto::ClassifyRequest { task: task.to_owned(), examples, options: None }
}

pub fn regress(task: &str, examples: Vec<proto::Example>) -> proto::RegressRequest {
    proto::RegressRequest { task: task.to_owned(), examples, options: None }
}

pub fn predict(tasks: &[&str], examples: Vec<proto::Example>) -> proto::PredictRequest {
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    proto::PredictRequest { tasks, examples, options: None }
}

pub fn options(mode: TemplateMode, ids: &[&str]) -> Option<proto::Options> {
    Some(proto::Options {
        top_k: 0,
        template_mode: mode.into(),
        template_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        threshold: None,
    })
}
