//! More than can be done: who is told so, and what it costs.

use std::{sync::Arc, time::Duration};

use dynamar::{registry::Registry, server::proto};
use prost::Message;
use tokio::{net::TcpStream, sync::oneshot, task::JoinSet};
use tonic::{Code, Request, Status, codegen::http};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use super::{
    checkpoints,
    encoder::{Control, Mode},
    refusals::reason,
    stage::{Stage, classify, config, count, load, soon, texts},
};

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_would_wait_too_long_are_refused_while_others_still_wait() {
    let mut config = config();
    config.batching.workers = Some(count(1));
    config.batching.max_batch_tokens = count(40);
    config.batching.max_queue_delay_ms = 20;
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    // As many as make batches of the usual size, from which it learns how fast it is.
    let different: Vec<String> = (0..40).map(|at| format!("fine camera number {at}")).collect();
    let different: Vec<&str> = different.iter().map(String::as_str).collect();
    let mut learnt = 0;
    while learnt < 5 {
        // On a busy machine even a call that comes alone may wait for so long.
        let learns = soon(client.classify(classify("polarity", texts(&different)))).await;
        learnt += usize::from(learns.is_ok());
    }
    stage.control.set(Mode::Hold);
    let mut calls = JoinSet::new();
    for at in 0..400 {
        let mut client = client.clone();
        let text = format!("fine camera number {at}");
        calls.spawn(async move { client.classify(classify("polarity", texts(&[&text]))).await });
    }
    let first = soon(calls.join_next()).await.expect("a call").expect("no panic");
    let status = first.expect_err("the encoder is held up");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| delay >= Duration::from_millis(50)), "{status:?}");
    stage.control.set(Mode::Work);
    let (mut answered, mut refused) = (0, 1);
    while let Some(call) = soon(calls.join_next()).await {
        match call.expect("no panic") {
            Ok(_) => answered += 1,
            Err(status) => {
                assert_eq!(reason(&status), "OVERLOADED", "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(answered >= 1, "what was begun is answered");
    assert_eq!(answered + refused, 400, "nobody is forgotten");
    let fine = || classify("polarity", texts(&["fine"]));
    while soon(client.classify(fine())).await.is_err() {}
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_and_abandoned_calls_cost_no_encoder_row() {
    let mut config = config();
    config.batching.workers = Some(count(1));
    let (models, control) = (checkpoints::models(), Control::new());
    let (hand_out, handed_out) = oneshot::channel();
    let mut hand_out = Some(hand_out);
    let loads = {
        let (config, directory) = (config.clone(), models.path().to_owned());
        let control = Arc::clone(&control);
        move |previous: Option<&Registry>| {
            let loaded = load(&directory, &config, previous, &control)?;
            let route = loaded.registry.route("polarity").expect("a task");
            assert!(hand_out.take().is_some_and(|to| to.send(route).is_ok()), "loaded once");
            Ok(loaded)
        }
    };
    let stage = Stage::start(&config, loads, models, control).await;
    stage.until(ServingStatus::Serving).await;
    let route = soon(handed_out).await.expect("handed out");
    let mut client = stage.client().await;
    stage.control.set(Mode::Hold);
    let (before, mut begun) = (stage.control.prompts(), stage.control.watch());
    let mut running = client.clone();
    let running =
        tokio::spawn(async move { running.classify(classify("polarity", texts(&["fine"]))).await });
    soon(begun.batches(1)).await;
    let alone = Arc::strong_count(&route);
    let mut calls = JoinSet::new();
    for at in 0..300 {
        let mut client = client.clone();
        let (first, second) = (format!("good {at}"), format!("bad {at}"));
        calls.spawn(async move {
            let mut request = Request::new(classify("polarity", texts(&[&first, &second])));
            request.set_timeout(Duration::from_millis(100));
            client.classify(request).await
        });
    }
    while let Some(call) = soon(calls.join_next()).await {
        // The client's own clock or the server's.
        let code = call.expect("no panic").expect_err("too late").code();
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
    }
    // Every call that the server has not yet dropped holds its route.
    while Arc::strong_count(&route) > alone {
        let request = proto::GetTaskRequest { task: "match".to_owned() };
        soon(client.get_task(request)).await.expect("answered");
    }
    let mut last = client.clone();
    let last =
        tokio::spawn(async move { last.classify(classify("polarity", texts(&["poor"]))).await });
    stage.control.set(Mode::Work);
    soon(running).await.expect("no panic").expect("answered");
    soon(last).await.expect("no panic").expect("answered");
    assert_eq!(stage.control.prompts() - before, 2, "of 602 prompts two were still waited for");
    stage.stop().await;
}

/// The status with which the server itself ends a call that its encoder does not answer. Clients of
/// gRPC libraries give up by their own clock, so this one has none.
async fn status_in_the_end(stage: &Stage, method: &str) -> Status {
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let (mut requests, connection) = soon(h2::client::handshake(tcp)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::builder()
        .method("POST")
        .uri(format!("http://x/dynamar.v1.Inference/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "50m")
        .body(())
        .expect("a request");
    let message = classify("polarity", texts(&["fine"])).encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let (answer, mut body) = requests.send_request(request, false).expect("sent");
    body.send_data([&[0][..], &length, &message].concat().into(), true).expect("sent");
    let (head, mut body) = soon(answer).await.expect("answered").into_parts();
    let status = match Status::from_header_map(&head.headers) {
        Some(status) => status,
        None => {
            while soon(body.data()).await.is_some() {}
            let trailers = soon(body.trailers()).await.expect("whole").expect("trailers");
            Status::from_header_map(&trailers).expect("a status")
        }
    };
    connection.abort();
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_itself_ends_calls_and_streams_at_their_deadline() {
    let stage = Stage::ready().await;
    stage.control.set(Mode::Hold);
    for method in ["Classify", "ClassifyStream"] {
        let status = status_in_the_end(&stage, method).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{method}: {status:?}");
        assert!(status.message().ends_with("the deadline is over"), "{status:?}");
    }
    stage.control.set(Mode::Work);
    stage.stop().await;
}
