//! Traces: what each call took and where, told to a collector that speaks OTLP over gRPC.
//!
//! A call has a span, and spans beneath it for what was done for it. They are made with times that
//! are known afterwards, for what a worker does is done for many calls at once. None of this can hold
//! a call up: an ended span goes into a bounded queue, or is lost if that is full.

mod otlp;
mod outbox;
mod trace;

use std::{sync::Arc, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::{sync::Notify, task::JoinHandle, time};

use crate::config::TracesConfig;
use otlp::Otlp;
use outbox::Delivery;

pub use trace::{Stage, Trace};

/// Attributes of one span; ours have fewer.
const MAX_ATTRIBUTES: u32 = 32;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The collector's address is none.
    #[error("traces.endpoint: {endpoint:?} is no address of a collector: {reason}")]
    Endpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where the spans of calls come from. Cheap to clone; nothing happens if traces are off.
#[derive(Clone, Default)]
pub struct Traces(Option<SdkTracer>);

/// What sends spans, until it is stopped.
#[derive(Default)]
pub struct Sending(Option<(Arc<Notify>, JoinHandle<()>)>);

/// Begins to trace, if that is configured. Needs tokio. Whether the collector is there is not asked:
/// it may come later.
///
/// # Errors
///
/// If its address is none.
pub fn start(config: &TracesConfig) -> Result<(Traces, Sending), TracesError> {
    let Some(endpoint) = &config.endpoint else { return Ok(Default::default()) };
    let resource = resource(config);
    let sink = Otlp::new(endpoint, &resource)?;
    let (outbox, delivery) = outbox::new(sink);
    // What is set here is all that counts: variables of the environment are not asked.
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler(config.sample_ratio.get()))
        .with_resource(resource)
        .with_max_attributes_per_span(MAX_ATTRIBUTES)
        .with_max_events_per_span(0)
        .with_max_links_per_span(0)
        .with_span_processor(outbox)
        .build();
    let stop = Arc::new(Notify::new());
    let running = tokio::spawn(Delivery::run(delivery, Arc::clone(&stop)));
    tracing::info!(endpoint, "calls are traced");
    Ok((Traces(Some(provider.tracer("dynamar"))), Sending(Some((stop, running)))))
}

fn resource(config: &TracesConfig) -> Resource {
    Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attributes([KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
        .build()
}

/// Who called decides if they said so; else so many calls of all are traced.
fn sampler(ratio: f64) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)))
}

impl Sending {
    /// Sends what is left, but takes no longer than this.
    pub async fn stop(self, patience: Duration) {
        let Some((stop, mut running)) = self.0 else { return };
        stop.notify_one();
        if time::timeout(patience, &mut running).await.is_err() {
            tracing::warn!(?patience, "the collector of traces takes too long: the last are lost");
            running.abort();
        }
    }
}
