//! Streams of requests against a real server.

use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_types::StatusExt;

use super::{
    encoder::Mode,
    reference::{Reference, assert_classified, assert_regressed},
    stage::{Stage, classify, config, count, regress, soon, texts},
};
use dynamar::{inference::TemplateChoice, server::proto};

fn requests(count: usize) -> Vec<proto::ClassifyRequest> {
    let text = |at: usize| format!("{} {at}", "camera ".repeat(at % 30));
    (0..count).map(|at| classify("polarity", texts(&[&text(at), "fine"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_the_order_of_the_requests() {
    let stage = Stage::ready().await;
    let mut reference = Reference::new(&stage);
    let mut client = stage.client().await;
    let asked = requests(300);
    let streamed = soon(client.classify_stream(tokio_stream::iter(asked.clone()))).await;
    let mut answers = streamed.expect("a stream").into_inner();
    for request in asked {
        let answer = soon(answers.message()).await.expect("answered").expect("one for each");
        let expected = reference.predict("polarity", &request.examples, &TemplateChoice::Default);
        assert_classified("polarity", &answer.results, &expected);
    }
    assert!(soon(answers.message()).await.expect("a good end").is_none());

    let asked = vec![regress("intensity", texts(&["good", "bad"])); 3];
    let streamed = soon(client.regress_stream(tokio_stream::iter(asked.clone()))).await;
    let answers = streamed.expect("a stream").into_inner();
    let answers: Vec<_> = soon(answers.collect::<Result<Vec<_>, _>>()).await.expect("answered");
    assert_eq!(answers.len(), 3);
    let expected = reference.predict("intensity", &asked[0].examples, &TemplateChoice::Default);
    assert_regressed(&answers[2].results, &expected);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_ends_the_stream_after_the_answers_before_it_and_names_its_request() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let mut asked = requests(5);
    asked[3].examples.clear();
    let streamed = soon(client.classify_stream(tokio_stream::iter(asked))).await;
    let mut answers = streamed.expect("a stream").into_inner();
    for _ in 0..3 {
        soon(answers.message()).await.expect("answered").expect("answered");
    }
    let error = soon(answers.message()).await.expect_err("no examples");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().starts_with("request 3 of the stream: examples: "), "{error:?}");
    assert!(error.get_error_details().bad_request().is_some());
    // Many clients show the message in there, and not the other.
    let shown = tonic_types::pb::Status::decode(error.details()).expect("a status");
    assert_eq!(shown.message, error.message());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fills_the_queue_is_slowed_down_and_not_ended() {
    let mut config = config();
    config.batching.workers = Some(count(1));
    config.batching.max_batch_tokens = count(60);
    config.batching.max_queued_tokens = count(60);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let asked = requests(200);
    let streamed = soon(client.classify_stream(tokio_stream::iter(asked))).await;
    let answers = streamed.expect("a stream").into_inner();
    let answers = soon(answers.collect::<Result<Vec<_>, _>>()).await.expect("answered");
    assert_eq!(answers.len(), 200);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_others_fill_ends_the_stream() {
    let mut config = config();
    config.batching.workers = Some(count(1));
    config.batching.max_batch_tokens = count(10);
    config.batching.max_queued_tokens = count(10);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    stage.control.set(Mode::Hold);
    let mut begun = stage.control.watch();
    let mut other = stage.client().await;
    let held =
        tokio::spawn(async move { other.classify(classify("polarity", texts(&["a"]))).await });
    soon(begun.batches(1)).await;
    // Of two more calls one waits in the queue and the other finds it full: both have arrived.
    let [mut one, mut two] = [stage.client().await, stage.client().await];
    let one = tokio::spawn(async move { one.classify(classify("polarity", texts(&["b"]))).await });
    let two = tokio::spawn(async move { two.classify(classify("polarity", texts(&["c"]))).await });
    let (mut one, mut two) = (one, two);
    let (refused, waits) = soon(async {
        tokio::select! { refused = &mut one => (refused, two), refused = &mut two => (refused, one) }
    })
    .await;
    let refused = refused.expect("no panic").expect_err("the queue is full");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let asked = tokio_stream::iter([classify("polarity", texts(&["d"]))]);
    let mut answers = soon(client.classify_stream(asked)).await.expect("a stream").into_inner();
    let error = soon(answers.message()).await.expect_err("full");
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.get_error_details().retry_info().is_some());
    stage.control.set(Mode::Work);
    soon(held).await.expect("no panic").expect("answered");
    soon(waits).await.expect("no panic").expect("answered");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_does_not_keep_the_server_from_stopping() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let (_open, requests) = tokio::sync::watch::channel(classify("polarity", texts(&["fine"])));
    let requests = tokio_stream::wrappers::WatchStream::new(requests);
    let mut answers = soon(client.classify_stream(requests)).await.expect("a stream").into_inner();
    soon(answers.message()).await.expect("answered").expect("answered");
    stage.begin_stop();
    let error = soon(answers.message()).await.expect_err("stopped");
    assert_eq!(error.code(), Code::Unavailable);
    drop((answers, client));
    stage.ended().await.expect("a clean end");
}
