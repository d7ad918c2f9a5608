//! What can be called.

use std::{collections::BTreeMap, sync::Arc};

use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;
use tokio::sync::watch;
use tonic::{codec::CompressionEncoding, service::Routes};

use super::{
    answerer::Answerer,
    health,
    open_inference::{self, OpenInferenceService, proto::GrpcInferenceServiceServer},
    proto::{
        self,
        inference_server::{InferenceServer, SERVICE_NAME},
    },
    service::InferenceService,
};
use crate::config::ServerConfig;

/// Bytes of the largest answer that tells of tasks, such as that of ListTasks. Those that tell
/// predictions are limited with a better error (`Answerer::fitting`).
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Calls whose request is a stream, and may take as long as it likes.
const STREAMS: [&str; 4] = [
    "/dynamar.v1.Inference/ClassifyStream",
    "/dynamar.v1.Inference/RegressStream",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The definitions of everything that can be called.
const DEFINITIONS: &[&[u8]] = &[
    proto::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Calls that probes make, who have no credentials.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Whether the request of the call at this path is a stream.
pub(super) fn takes_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}

/// Whether the call at this path, without its first slash, is one of our own and no question of a probe or
/// a tool.
pub(super) fn is_inference(path: &str) -> bool {
    match path.split_once('/') {
        Some((service, "ModelInfer")) if service == open_inference::SERVICE_NAME => true,
        Some((service, _)) => service == SERVICE_NAME,
        None => false,
    }
}

/// Whether anybody may make the call at this path.
pub(super) fn is_open(path: &str) -> bool {
    path.starts_with(HEALTH)
}

/// The names of all methods, by their paths.
///
/// # Errors
///
/// If a definition cannot be read, a defect of this program.
pub(super) fn methods() -> Result<BTreeMap<String, Arc<str>>, DecodeError> {
    let mut found = BTreeMap::new();
    for set in DEFINITIONS {
        for file in FileDescriptorSet::decode(*set)?.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                let path = |method: &str| format!("/{service_name}/{method}");
                let methods = service.method.iter().map(|method| method.name());
                found.extend(methods.map(|method| (path(method), method.into())));
            }
        }
    }
    Ok(found)
}

/// Everything that can be called.
pub(super) fn all(
    config: &ServerConfig,
    answerer: Answerer,
    stopping: watch::Receiver<bool>,
    health: health::HealthService,
) -> Result<Routes, tonic_reflection::server::Error> {
    let answerer = Arc::new(answerer);
    let open_inference = OpenInferenceService::new(Arc::clone(&answerer), health.serving());
    // Of a compressed message the limit holds before and after it is decompressed.
    let max_message_bytes = config.max_message_bytes.get();
    let max_answer_bytes = MAX_ANSWER_BYTES.max(max_message_bytes);
    let mut inference = InferenceServer::new(InferenceService::new(config, answerer, stopping))
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_answer_bytes);
    let mut open_inference = GrpcInferenceServiceServer::new(open_inference)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(max_answer_bytes);
    for encoding in [CompressionEncoding::Zstd, CompressionEncoding::Gzip] {
        inference = inference.accept_compressed(encoding).send_compressed(encoding);
        open_inference = open_inference.accept_compressed(encoding).send_compressed(encoding);
    }
    // Older tools ask for v1alpha, newer ones for v1.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of errors, so that tools can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(inference)
        .add_service(open_inference)
        .add_service(health.into_server())
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.routes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_streams_is_that_of_the_definitions() {
        let mut found = Vec::new();
        for set in DEFINITIONS {
            for file in FileDescriptorSet::decode(*set).expect("a definition").file {
                for service in &file.service {
                    let streams = service.method.iter().filter(|method| method.client_streaming());
                    found.extend(streams.map(|method| {
                        format!("/{}.{}/{}", file.package(), service.name(), method.name())
                    }));
                }
            }
        }
        assert_eq!(found, STREAMS);
        assert!(is_open("/grpc.health.v1.Health/Check") && !is_open("/grpc.health.v1.Healthy/x"));
    }

    #[test]
    fn predictions_are_our_own_calls_and_questions_of_probes_are_not() {
        for (path, expected) in [
            ("dynamar.v1.Inference/Classify", true),
            ("dynamar.v1.Inference/ListTasks", true),
            ("dynamar.v1.Inferences/Classify", false),
            ("inference.GRPCInferenceService/ModelInfer", true),
            ("inference.GRPCInferenceService/ServerReady", false),
            ("grpc.health.v1.Health/Check", false),
            ("", false),
        ] {
            assert_eq!(is_inference(path), expected, "{path}");
        }
    }
}
