//! The gRPC server: how it starts, what it serves, how it goes on with other checkpoints, and how it
//! stops.
//!
//! The only module that names tonic, but for the client in `telemetry`. Wire types are converted in
//! `convert`, those of the Open Inference Protocol in `open_inference`; errors are mapped to gRPC codes in
//! `status`; all of it nowhere else.

pub mod access;
mod access_log;
mod answerer;
mod call;
mod connections;
mod content_type;
mod control;
mod convert;
mod cpus;
mod deadline;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod health;
mod incoming;
mod layers;
mod lifecycle;
mod monitoring;
pub mod open_inference;
mod probes;
mod record;
mod reload;
mod request_id;
mod room;
mod routes;
mod service;
mod stages;
mod status;
mod stream;
mod traced;
mod transport;
mod vitals;

/// The types and the client of `proto/dynamar/v1/inference.proto`.
pub mod proto {
    tonic::include_proto!("dynamar.v1");

    /// The definitions of this and of the Open Inference Protocol in binary, with comments, for
    /// reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("services");
}

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    prediction_log::PredictionLogError,
    registry::{Registry, RegistryError},
    telemetry::TracesError,
};

pub use control::{Control, Operator, Reloads, control};
pub use lifecycle::{Listeners, run};
pub use reload::Load;

/// The registry that serves now, for everybody who answers calls. `None` while it is loaded.
type CurrentRegistry = watch::Receiver<Option<Arc<Registry>>>;

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nothing to serve.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Predictions are to be logged and cannot be.
    #[error(transparent)]
    PredictionLog(#[from] PredictionLogError),
    /// Traces are configured wrongly.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// A defect of this program.
    #[error("loading the checkpoints ended with a panic: {0}")]
    Loading(String),
    /// A defect of this program.
    #[error("the service definition cannot be read: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A defect of this program.
    #[error("the service definition cannot be read: {0}")]
    Definition(#[from] prost::DecodeError),
}
