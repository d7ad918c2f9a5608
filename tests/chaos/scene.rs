//! The server on its stage, and what everybody who acts there shares.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dynamar::{
    config::Config,
    server::proto::{self, inference_client::InferenceClient},
};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    encoder::Control,
    spell::Spells,
    stage::{self, Stage, count},
    tally::Tally,
    versions::{NAMES, Versions, copy},
};

/// How long a call may take, whatever goes on: more than any fault lasts.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// How long the server may take to be right again when a fault is over.
pub const RECOVERY: Duration = Duration::from_secs(30);

/// Milliseconds after which a worker that does not come back is given up.
pub const STALL_TIMEOUT_MS: u64 = 2000;

/// Bytes of the largest message.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Most tokens that wait.
pub const MAX_QUEUED_TOKENS: usize = 4096;

/// What all share.
pub struct Scene {
    pub versions: Versions,
    pub spells: Spells,
    pub tally: Arc<Tally>,
    /// The server's.
    pub address: SocketAddr,
    /// Of its encoders.
    pub control: Arc<Control>,
    /// Whether the phase is over.
    pub over: watch::Sender<bool>,
}

/// Limits that are reached, and a server that soon notices what happens to it.
fn config() -> Config {
    let mut config = stage::config();
    config.batching.workers = Some(count(2));
    config.batching.max_queue_delay_ms = 60;
    config.batching.max_queued_tokens = count(MAX_QUEUED_TOKENS);
    config.server.max_message_bytes = count(MAX_MESSAGE_BYTES);
    config.server.max_stream_in_flight = count(4);
    config.models.poll_interval_ms = 200;
    config.health.probe_interval_ms = 500;
    config.server.handshake_timeout_ms = 2000;
    config.server.first_call_timeout_ms = 3000;
    config.health.stall_timeout_ms = STALL_TIMEOUT_MS;
    config
}

/// A server over the first version, ready.
pub async fn set(versions: Versions) -> (Arc<Scene>, Stage) {
    let models = tempfile::tempdir().expect("a directory");
    for name in NAMES {
        copy(&versions.checkpoint(0, name), &models.path().join(name));
    }
    let stage = Stage::ready_over(models, config(), None).await;
    let scene = Scene {
        versions,
        spells: Spells::new(),
        tally: Arc::default(),
        address: stage.address,
        control: Arc::clone(&stage.control),
        over: watch::Sender::new(false),
    };
    (Arc::new(scene), stage)
}

/// A client that connects when it has something to ask, and again when it lost its connection.
pub fn client(address: SocketAddr) -> InferenceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    InferenceClient::new(endpoint.tcp_nodelay(true).connect_lazy())
}

impl Scene {
    /// Whether to go on.
    pub fn goes_on(&self) -> bool {
        !*self.over.borrow()
    }

    /// Lets time pass, but not beyond the end of the phase.
    pub async fn pass(&self, time: Duration) {
        let mut over = self.over.subscribe();
        // Either is a reason to go on.
        let _ = tokio::time::timeout(time, over.wait_for(|over| *over)).await;
    }

    /// Which checkpoint answers for a task; `None` if none does.
    pub async fn answers(&self, task: &str) -> Option<String> {
        let request = proto::GetTaskRequest { task: task.to_owned() };
        let mut client = client(self.address);
        let told = tokio::time::timeout(PATIENCE, client.get_task(request)).await;
        match told {
            Ok(Ok(told)) => Some(told.into_inner().model),
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => None,
            other => {
                self.tally.failed(format!("GetTask of {task}: {other:?}"));
                None
            }
        }
    }

    /// Waits until the checkpoint with this id answers for a task, but not for ever. Nobody tells
    /// the server to look: it has to find out by itself.
    pub async fn until_answers(&self, task: &str, id: &str) -> bool {
        let begun = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while begun.elapsed() < RECOVERY {
            looks.tick().await;
            if self.answers(task).await.as_deref() == Some(id) {
                return true;
            }
        }
        false
    }

    /// Waits until the server says that it serves, but not for ever.
    pub async fn until_serving(&self) -> bool {
        let begun = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let mut client = HealthClient::new(endpoint.expect("an address").connect_lazy());
        while begun.elapsed() < RECOVERY {
            looks.tick().await;
            let told = tokio::time::timeout(PATIENCE, client.check(HealthCheckRequest::default()));
            if let Ok(Ok(told)) = told.await
                && told.get_ref().status() == ServingStatus::Serving
            {
                return true;
            }
        }
        false
    }
}
