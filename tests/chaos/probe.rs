//! Watches the server's health all the time, as a load balancer does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::scene::{RECOVERY, STALL_TIMEOUT_MS, Scene};

/// How long a fault of the encoders may be seen in the health: a probe may be at its limit when
/// the fault ends, and workers are replaced after it.
const ECHO: Duration = Duration::from_millis(4 * STALL_TIMEOUT_MS);

/// Watches to the end of the phase. NOT_SERVING needs a reason, and has to pass.
pub async fn watch(scene: Arc<Scene>) {
    let endpoint = Endpoint::from_shared(format!("http://{}", scene.address)).expect("an address");
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let watched = client.watch(HealthCheckRequest::default()).await;
    let mut changes = match watched {
        Ok(changes) => changes.into_inner(),
        Err(status) => return scene.tally.failed(format!("health is not told: {status:?}")),
    };
    let mut over = scene.over.subscribe();
    let mut down_since: Option<Instant> = None;
    loop {
        let change = tokio::select! {
            change = changes.message() => change,
            _ = over.wait_for(|over| *over) => break,
        };
        let status = match change {
            Ok(Some(change)) => change.status(),
            other => return scene.tally.failed(format!("a watch of the health ended: {other:?}")),
        };
        if status == ServingStatus::Serving {
            if let Some(since) = down_since.take() {
                let took = since.elapsed();
                scene.tally.expect(took < RECOVERY, || format!("NOT_SERVING for {took:?}"));
            }
            continue;
        }
        scene.tally.outcome("changes to NOT_SERVING watched");
        down_since = Some(Instant::now());
        let since = Instant::now().checked_sub(ECHO).unwrap_or_else(Instant::now);
        let has_reason = scene.spells.encoders.was_on_since(since);
        scene.tally.expect(has_reason, || "NOT_SERVING though no encoder fails".to_owned());
    }
}
