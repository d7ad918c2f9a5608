//! The Open Inference Protocol (KServe V2): models, tensors and parameters in front of tasks, examples
//! and options.
//!
//! `request` and `response` are pure: between them a call goes the way of all calls, through
//! [`Answerer`](super::answerer::Answerer).

mod metadata;
mod outputs;
mod parameters;
mod request;
mod response;
mod service;
mod texts;

/// The types and the client of `proto/open_inference/open_inference.proto`.
pub mod proto {
    tonic::include_proto!("inference");

    pub use grpc_inference_service_client::GrpcInferenceServiceClient;
    pub(in crate::server) use grpc_inference_service_server::{
        GrpcInferenceService, GrpcInferenceServiceServer,
    };
}

pub(super) use proto::grpc_inference_service_server::SERVICE_NAME;
#[cfg(fuzzing)]
pub(super) use request::{Inquiry, read};
pub(super) use service::OpenInferenceService;
#[cfg(fuzzing)]
pub(super) use texts::{from_raw, to_raw};
