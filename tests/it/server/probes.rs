//! Probes on a port of their own, whatever becomes of callers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use dynamar::server::{health, proto::inference_client::InferenceClient};
use tokio::net::TcpStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    certificates::Authority,
    checkpoints,
    encoder::Control,
    stage::{Stage, classify, config, count, load, soon, texts},
};

const PATIENCE: Duration = Duration::from_secs(9);

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    soon(endpoint.connect()).await.expect("connected")
}

async fn is_serving(probes: SocketAddr) -> bool {
    soon(health::probe(&probes.to_string(), PATIENCE)).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_when_callers_have_all_connections() {
    let mut config = config();
    config.server.max_connections = count(1);
    let stage = Stage::ready_with(config).await;
    // Whoever is in, one of these or that of the stage, nobody else is.
    let mut callers = Vec::new();
    while stage.metric("dynamar_connections_refused_total").await == Some(0.0) {
        callers.push(soon(TcpStream::connect(stage.address)).await.expect("taken by the system"));
    }
    for _ in 0..3 {
        assert!(is_serving(stage.probes).await);
    }
    stage.stop().await;
}

/// More than are let in at a time, each with a call that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_when_others_have_all_connections_of_probes() {
    let stage = Stage::ready().await;
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let mut client = HealthClient::new(channel(stage.probes).await);
        let watched = soon(client.watch(HealthCheckRequest::default())).await.expect("watched");
        watchers.push(watched.into_inner());
    }
    assert!(is_serving(stage.probes).await);
    // The first one has made room.
    let oldest = &mut watchers[0];
    soon(async { while let Ok(Some(_)) = oldest.message().await {} }).await;
    let large = HealthCheckRequest { service: "x".repeat(5000) };
    let refused = soon(HealthClient::new(channel(stage.probes).await).check(large)).await;
    assert_eq!(refused.expect_err("too large").code(), Code::OutOfRange);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_certificate_and_nothing_else_is_to_be_had_there() {
    let home = tempfile::tempdir().expect("a directory");
    let ours = Authority::new(home.path(), "ours");
    let (server, client) = (ours.sign("server", &[]), ours.sign("client", &["client.example"]));
    let mut config = config();
    config.tls.certificate = Some(server.certificate.clone());
    config.tls.private_key = Some(server.key.clone());
    config.tls.client_ca = Some(ours.path());
    let tls = ours.client().identity(client.identity());
    let stage = Stage::ready_for(config, Some(tls)).await;
    assert!(is_serving(stage.probes).await);
    let mut stranger = InferenceClient::new(channel(stage.probes).await);
    let request = classify("polarity", texts(&["fine"]));
    let refused = soon(stranger.classify(request)).await.expect_err("health alone");
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_learn_of_the_beginning_and_of_the_end() {
    let mut config = config();
    // Not over before the second stop.
    config.server.stop_delay_ms = 3_600_000;
    let (models, control) = (checkpoints::models(), Control::new());
    config.models.directory = models.path().to_owned();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let loads = {
        let (config, control) = (config.clone(), Arc::clone(&control));
        move |previous: Option<&dynamar::registry::Registry>| {
            wait.lock().expect("no panic").recv().expect("the test goes on");
            load(&config.models.directory, &config, previous, &control)
        }
    };
    let stage = Stage::start(&config, loads, models, control).await;
    let mut client = HealthClient::new(channel(stage.probes).await);
    let watched = soon(client.watch(HealthCheckRequest::default())).await.expect("watched");
    let mut changes = watched.into_inner();
    let mut next = async || {
        let change = soon(changes.message()).await.expect("told");
        change.map(|change| change.status())
    };
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    go.send(()).expect("the server loads");
    assert_eq!(next().await, Some(ServingStatus::Serving));
    stage.begin_stop();
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert!(!is_serving(stage.probes).await, "while calls are still answered");
    stage.begin_stop();
    stage.ended().await.expect("it ends, whoever watches");
}
