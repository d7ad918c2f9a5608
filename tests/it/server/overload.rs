//! More than can be done: who is told so, and what it costs.

use std::{sync::Arc, time::Duration};

use dynamar::{registry::Registry, server::proto};
use tokio::{sync::oneshot, task::JoinSet};
use tonic::{Code, Request};
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
    config.batching.max_queue_delay_ms = 1;
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    // Short, so that workers run them and learn how fast they are.
    for _ in 0..5 {
        soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
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
    soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("it has passed");
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
