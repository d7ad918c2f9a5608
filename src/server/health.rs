//! `grpc.health.v1.Health`: whether calls are answered now.
//!
//! Written here rather than taken from tonic-health because its watches never end: one watcher
//! would keep every shutdown waiting.

use std::{error::Error, io, pin::Pin, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch};
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::{Request, Response, Status, codegen::http::Uri, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient, health_server,
};
use tower::{Service, service_fn};

use super::{
    access::{ClientTls, ClientTlsStream},
    open_inference,
    proto::inference_server::SERVICE_NAME,
    status,
};

/// The server as a whole, as the health protocol names it.
const WHOLE_SERVER: &str = "";

/// Bytes of a question, which is the name of a service.
const MAX_QUESTION_BYTES: usize = 4 << 10;

/// Where the server says how it is. In the beginning it does not serve.
pub(super) struct Health {
    serving: watch::Sender<bool>,
}

/// Where callers learn it.
#[derive(Clone)]
pub(super) struct HealthService {
    serving: watch::Receiver<bool>,
}

/// The two ends.
pub(super) fn new() -> (Health, HealthService) {
    let (sender, receiver) = watch::channel(false);
    (Health { serving: sender }, HealthService { serving: receiver })
}

impl Health {
    /// Whether calls are answered, now and whenever that changes.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Whether calls are answered from now on.
    pub(super) fn set_serving(&self, serving: bool) {
        // Watchers are told of changes alone.
        let was = |now: &mut bool| std::mem::replace(now, serving) != serving;
        self.serving.send_if_modified(was);
    }

    /// From now on they are not. Watches end.
    pub(super) fn stop(self) {
        self.serving.send_replace(false);
    }
}

impl HealthService {
    /// Whether calls are answered now, and when that changes.
    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.clone()
    }

    pub(super) fn into_server(self) -> health_server::HealthServer<Self> {
        health_server::HealthServer::new(self).max_decoding_message_size(MAX_QUESTION_BYTES)
    }
}

fn is_known(service: &str) -> bool {
    [WHOLE_SERVER, SERVICE_NAME, open_inference::SERVICE_NAME].contains(&service)
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn status_of(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl health_server::Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !is_known(service) {
            let shown = status::shown(service);
            return Err(Status::not_found(format!("no service {shown}")));
        }
        let serving = *self.serving.borrow();
        Ok(Response::new(response(status_of(serving))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = is_known(&request.get_ref().service);
        let changes = WatchStream::new(self.serving.clone()).map(move |serving| {
            // The protocol wants an unknown service watched: it may become known.
            let status = match known {
                true => status_of(serving),
                false => ServingStatus::ServiceUnknown,
            };
            Ok(response(status))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// Why a server's health is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The address is none.
    #[error("{address:?} is no address; expected HOST:PORT, such as 127.0.0.1:50051")]
    Address {
        /// The address.
        address: String,
    },
    /// Nobody answers there.
    #[error("no server answers at {address}: {reason}")]
    Connect {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The server answers with an error.
    #[error("{address} does not tell its health: {message}")]
    Call {
        /// The address.
        address: String,
        /// The server's words.
        message: String,
    },
}

/// Asks the server at `address` (HOST:PORT) whether it answers calls now.
///
/// # Errors
///
/// If it does not say so within `patience`.
pub async fn probe(address: &str, patience: Duration) -> Result<bool, ProbeError> {
    probe_over(address, None, patience).await
}

/// As [`probe`], over TLS if there is any.
///
/// # Errors
///
/// If it does not say so within `patience`.
pub async fn probe_over(
    address: &str,
    tls: Option<ClientTls>,
    patience: Duration,
) -> Result<bool, ProbeError> {
    let address = || address.to_owned();
    let endpoint = Endpoint::from_shared(format!("http://{}", address()))
        .map_err(|_| ProbeError::Address { address: address() })?
        .connect_timeout(patience)
        .timeout(patience);
    let connected = match tls {
        None => endpoint.connect().await,
        Some(tls) => endpoint.connect_with_connector(over(tls)).await,
    };
    let channel = connected
        .map_err(|error| ProbeError::Connect { address: address(), reason: root(&error) })?;
    let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| ProbeError::Call {
        address: address(),
        message: match status.source() {
            Some(source) => root(source),
            None => status.message().to_owned(),
        },
    })?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

/// Connects and shakes hands.
fn over(
    tls: ClientTls,
) -> impl Service<Uri, Response = TokioIo<ClientTlsStream>, Error = io::Error, Future: Send>
+ Send
+ 'static {
    let tls = Arc::new(tls);
    service_fn(move |uri: Uri| {
        let tls = Arc::clone(&tls);
        async move {
            let host = uri.host().unwrap_or_default();
            let address = uri.authority().map_or("", |authority| authority.as_str());
            let stream = TcpStream::connect(address).await?;
            Ok(TokioIo::new(tls.connect(host, stream).await?))
        }
    })
}

/// What is at the bottom of an error.
fn root(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => root(source),
        None => error.to_string(),
    }
}
