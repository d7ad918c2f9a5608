//! What goes wrong on the server's side: too much to do, encoders that fail.

use dynamar::server::proto::ClassifyResponse;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status, metadata::MetadataMap};
use tonic_types::StatusExt;

use super::{
    encoder::Mode,
    stage::{Stage, classify, config, count, soon, texts},
};

#[tokio::test(flavor = "multi_thread")]
async fn over_its_limit_the_queue_refuses_at_once_and_says_when_to_come_back() {
    let mut config = config();
    config.batching.workers = Some(count(1));
    config.batching.max_batch_tokens = count(40);
    config.batching.max_queued_tokens = count(40);
    let stage = Stage::ready_with(config).await;
    stage.control.set(Mode::Hold);
    // About 9 tokens each: one batch is held, a few calls wait, the rest must be refused. Each has a
    // connection of its own: one alone may not fill the queue.
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let mut client = stage.client().await;
        calls.spawn(async move {
            let request = classify("polarity", texts(&["fine camera"]));
            client.classify(request).await
        });
    }
    let refused = soon(calls.join_next()).await.expect("a call").expect("no panic");
    let status = refused.expect_err("no other call can be answered before");
    assert_full(&status);
    stage.control.set(Mode::Work);
    let mut answered = 0;
    while let Some(call) = soon(calls.join_next()).await {
        match call.expect("no panic") {
            Ok(_) => answered += 1,
            Err(status) => assert_full(&status),
        }
    }
    assert!(answered >= 4, "what was taken in is answered: {answered}");
    let mut client = stage.client().await;
    let again = classify("polarity", texts(&["fine camera"]));
    soon(client.classify(again)).await.expect("there is room again");
    stage.stop().await;
}

fn assert_full(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero()), "{details:?}");
}

async fn ask(
    stage: &Stage,
    id: Option<&'static str>,
) -> Result<(ClassifyResponse, MetadataMap), Status> {
    let mut request = Request::new(classify("polarity", texts(&["fine"])));
    if let Some(id) = id {
        let id = id.parse().expect("a header");
        request.metadata_mut().insert("x-request-id", id);
    }
    let mut client = stage.client().await;
    let response = soon(client.classify(request)).await?;
    let metadata = response.metadata().clone();
    Ok((response.into_inner(), metadata))
}

fn id_of(metadata: &MetadataMap) -> String {
    let id = metadata.get("x-request-id").expect("every answer has one");
    id.to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_encoders_cost_their_callers_an_error_with_an_id_and_nobody_else() {
    let stage = Stage::ready().await;
    for mode in [Mode::Fail, Mode::Panic] {
        stage.control.set(mode);
        for id in [Some("mine-1"), None] {
            let status = ask(&stage, id).await.expect_err("the encoder fails");
            assert_eq!(status.code(), Code::Internal);
            let told = format!("{status:?}");
            assert!(!told.contains("secret"), "details are for the log: {told}");
            let returned = id_of(status.metadata());
            assert!(status.message().contains(&returned), "{status:?}");
            let details = status.get_error_details();
            let info = details.request_info().expect("told");
            assert_eq!(info.request_id, returned);
            assert!(id.is_none_or(|id| id == returned));
        }
        stage.control.set(Mode::Work);
        let answered = ask(&stage, None).await;
        assert_eq!(answered.expect("the workers live on").0.results.len(), 1);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_echoed_if_well_formed_and_made_if_not() {
    let stage = Stage::ready().await;
    let mut made = Vec::new();
    for (given, kept) in [
        (Some("trace/7:a.b"), true),
        (Some("not well formed"), false),
        (Some("$(reboot)"), false),
        (None, false),
    ] {
        let (_, metadata) = ask(&stage, given).await.expect("answered");
        let id = id_of(&metadata);
        assert_eq!(Some(id.as_str()) == given, kept, "{given:?} {id}");
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 4);
    stage.stop().await;
}
