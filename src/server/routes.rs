//! What can be called.

use tokio::sync::watch;
use tonic::{codec::CompressionEncoding, service::Routes};

use super::{
    CurrentRegistry, health,
    proto::{self, inference_server::InferenceServer},
    service::InferenceService,
};
use crate::config::ServerConfig;

/// Bytes of the largest answer. What bounds an answer is examples x labels; this is far above
/// anything sensible, and above the 4 MiB that clients take by default.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Everything that can be called.
pub(super) fn all(
    config: &ServerConfig,
    current: CurrentRegistry,
    stopping: watch::Receiver<bool>,
    health: health::HealthService,
) -> Result<Routes, tonic_reflection::server::Error> {
    let mut inference = InferenceServer::new(InferenceService::new(config, current, stopping))
        // Of a compressed message this holds before and after it is decompressed.
        .max_decoding_message_size(config.max_message_bytes.get())
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    for encoding in [CompressionEncoding::Zstd, CompressionEncoding::Gzip] {
        inference = inference.accept_compressed(encoding).send_compressed(encoding);
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
        .add_service(health.into_server())
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.routes())
}
