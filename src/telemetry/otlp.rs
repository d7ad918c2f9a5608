//! A collector of traces, as OTLP has it over gRPC.

use std::time::Duration;

use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use tonic::transport::{Channel, Endpoint};

use super::{TracesError, outbox::Sink};

/// For the connection; how long an export may take, `outbox` decides.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a collector that is sent spans is asked whether it is still there: one whose machine is gone
/// never says so, and the system would try for a quarter of an hour.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Otlp {
    client: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
}

impl Otlp {
    /// Connects when there is something to send, and again whenever the connection is lost.
    pub(super) fn new(endpoint: &str, resource: &Resource) -> Result<Self, TracesError> {
        let address = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| {
            TracesError::Endpoint { endpoint: endpoint.to_owned(), reason: error.to_string() }
        })?;
        let channel = address
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .connect_lazy();
        Ok(Self { client: TraceServiceClient::new(channel), resource: resource.into() })
    }
}

impl Sink for Otlp {
    async fn send(&mut self, batch: Vec<SpanData>) -> Result<(), String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let answer = self.client.export(ExportTraceServiceRequest { resource_spans }).await;
        let answer =
            answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
        match answer.into_inner().partial_success {
            Some(partly) if partly.rejected_spans > 0 => {
                Err(format!("{} spans rejected: {}", partly.rejected_spans, partly.error_message))
            }
            _ => Ok(()),
        }
    }
}
