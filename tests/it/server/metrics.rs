//! What Prometheus reads of a server, after calls whose number is known.

use std::collections::BTreeSet;

use dynamar::server::open_inference::proto::GrpcInferenceServiceClient;

use tokio_stream::StreamExt;
use tonic::Code;

use super::{
    encoder::Mode,
    open_inference::tensors::{infer, tensor},
    stage::{Stage, classify, config, count, predict, regress, soon, texts},
};

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_method_task_and_code() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    for _ in 0..3 {
        soon(client.classify(classify("polarity", texts(&["fine", "bad"])))).await.expect("good");
    }
    soon(client.predict(predict(&["polarity", "intensity"], texts(&["so so"]))))
        .await
        .expect("good");
    let asked = vec![regress("intensity", texts(&["good"])); 4];
    let streamed = soon(client.regress_stream(tokio_stream::iter(asked))).await.expect("a stream");
    let answers: Vec<_> = soon(streamed.into_inner().collect()).await;
    assert!(answers.len() == 4 && answers.iter().all(Result::is_ok));
    let mut open_inference = GrpcInferenceServiceClient::new(stage.channel().await);
    let inference = infer("polarity", vec![tensor("text", &["fine"])]);
    soon(open_inference.model_infer(inference)).await.expect("answered");
    let refused = soon(client.classify(classify("nothing", texts(&["fine"])))).await;
    assert_eq!(refused.expect_err("no task").code(), Code::NotFound);
    soon(client.classify(classify("polarity", Vec::new()))).await.expect_err("no examples");

    for (line, expected) in [
        (r#"requests_total{code="OK",method="Classify",task="polarity"}"#, 3.0),
        (r#"requests_total{code="OK",method="Predict",task="(several)"}"#, 1.0),
        (r#"requests_total{code="OK",method="RegressStream",task="intensity"}"#, 4.0),
        (r#"requests_total{code="OK",method="ModelInfer",task="polarity"}"#, 1.0),
        (r#"requests_total{code="NOT_FOUND",method="Classify",task=""}"#, 1.0),
        (r#"requests_total{code="INVALID_ARGUMENT",method="Classify",task="polarity"}"#, 1.0),
        (r#"request_duration_seconds_count{method="Classify",task="polarity"}"#, 4.0),
        (r#"refused_total{reason="UNKNOWN_TASK"}"#, 1.0),
        (r#"refused_total{reason="INVALID_REQUEST"}"#, 1.0),
        // Three calls, one, four, and one.
        ("tokenization_duration_seconds_count", 9.0),
        ("serving", 1.0),
        (r#"reloads_total{outcome="failed"}"#, 0.0),
    ] {
        let found = stage.metric(&format!("dynamar_{line}")).await;
        assert_eq!(
            found,
            Some(expected),
            "{line}\n{}",
            stage.ask_for_metrics("GET /metrics").await
        );
    }
    let failed = r#"dynamar_requests_total{code="OK",method="Classify",task="nothing"}"#;
    assert_eq!(stage.metric(failed).await, None, "a caller's own word");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_counted_by_task_and_checkpoint() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let long = "word ".repeat(200);
    let asked = classify("polarity", texts(&["fine", "awful", &long]));
    let answer = soon(client.classify(asked)).await.expect("answered").into_inner();
    soon(client.regress(regress("intensity", texts(&["fine"])))).await.expect("answered");
    let checkpoint = answer.metadata.expect("told").model;
    let best = |label: &str| {
        let of_label = answer.results.iter().filter(|one| one.labels[0].label == label);
        of_label.count() as f64
    };
    let task = format!(r#"task="polarity",checkpoint="{checkpoint}""#);
    for (line, expected) in [
        (format!("examples_total{{{task}}}"), 3.0),
        (format!("truncated_examples_total{{{task}}}"), 1.0),
        (format!(r#"predicted_labels_total{{{task},label="positive"}}"#), best("positive")),
        (format!(r#"predicted_labels_total{{{task},label="negative"}}"#), best("negative")),
        (format!("prediction_confidence_count{{{task}}}"), 3.0),
    ] {
        assert_eq!(stage.metric(&format!("dynamar_{line}")).await, Some(expected), "{line}");
    }
    let page = stage.ask_for_metrics("GET /metrics").await;
    assert!(page.contains(r#"dynamar_predicted_value_bucket{task="intensity""#), "{page}");
    assert!(page.contains(&format!("dynamar_checkpoint_info{{{task},encoder=\"")), "{page}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_encoder_tells_its_batches_and_its_cache() {
    let mut config = config();
    config.cache.max_bytes = 1 << 20;
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let mut tokens = 0;
    for _ in 0..2 {
        let asked = classify("polarity", texts(&["fine camera"]));
        let answer = soon(client.classify(asked)).await.expect("answered").into_inner();
        tokens += answer.metadata.expect("told").tokens;
    }
    let page = stage.ask_for_metrics("GET /metrics").await;
    let encoders: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.split_once("dynamar_workers{encoder=\"")?.1.split('"').next())
        .collect();
    let mut batches = 0.0;
    let (mut found_tokens, mut hits) = (0.0, 0.0);
    for encoder in &encoders {
        let of = async |name: &str| {
            let line = format!(r#"dynamar_{name}{{encoder="{encoder}"}}"#);
            stage.metric(&line).await.unwrap_or_else(|| panic!("{line} in\n{page}"))
        };
        batches += of("encoder_duration_seconds_count").await;
        assert_eq!(of("queue_duration_seconds_count").await, of("batch_prompts_sum").await);
        found_tokens += of("batch_tokens_sum").await;
        hits += of("cache_hits_total").await;
        assert_eq!(of("workers").await, 2.0);
        assert_eq!(of("queued_tokens").await, 0.0);
        assert_eq!(of("padding_tokens_total").await, 0.0, "each batch has one prompt");
        assert_eq!(of("predicted_wait_seconds").await, 0.0);
    }
    assert_eq!((batches, found_tokens, hits), (1.0, f64::from(tokens), 1.0), "{page}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_no_more_is_no_longer_told() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    soon(client.classify(classify("match", Vec::new()))).await.expect_err("no examples");
    soon(client.regress(regress("intensity", texts(&["fine"])))).await.expect("answered");
    let of_intensity = "dynamar_examples_total{task=\"intensity\"";
    assert!(stage.ask_for_metrics("GET /metrics").await.contains(of_intensity));
    let one = |task: &str| {
        let held = |entry: &std::fs::DirEntry| entry.path().join("tasks").join(task).exists();
        let mut entries = std::fs::read_dir(stage.models.path()).expect("listed").flatten();
        entries.find(held).expect("a checkpoint with this task").path()
    };
    std::fs::remove_dir_all(one("intensity")).expect("removed");
    soon(client.regress(regress("intensity", texts(&["fine"])))).await.expect("answered");
    assert_eq!(stage.reload().await.succeeded, 1);
    // What it answered since it was last told of is told once more.
    let last = stage.ask_for_metrics("GET /metrics").await;
    let told = |line: &str| line.starts_with(of_intensity) && line.ends_with("} 2");
    assert!(last.lines().any(told), "{last}");
    let page = stage.ask_for_metrics("GET /metrics").await;
    assert!(!page.contains(of_intensity), "{page}");
    assert!(page.contains("dynamar_reloads_total{outcome=\"succeeded\"} 1"), "{page}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_page_and_it_can_only_be_read() {
    let stage = Stage::ready().await;
    for (request, status) in [
        ("GET /metrics", "HTTP/1.1 200 OK"),
        ("HEAD /metrics", "HTTP/1.1 200 OK"),
        ("GET /", "HTTP/1.1 404 Not Found"),
        ("POST /metrics", "HTTP/1.1 405 Method Not Allowed"),
    ] {
        let answer = stage.ask_for_metrics(request).await;
        assert_eq!(answer.lines().next(), Some(status), "{request}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    }
    assert!(stage.ask_for_metrics("\x16\x03\x01").await.starts_with("HTTP/1.1 400"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_ids_of_a_task_are_counted_as_the_task() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let asked = soon(client.classify(classify("polarity", texts(&["fine"])))).await;
    let id = asked.expect("answered").into_inner().metadata.expect("told").model;
    let by_id = classify(&format!("polarity@{id}"), texts(&["fine"]));
    soon(client.classify(by_id)).await.expect("answered");
    let calls = r#"dynamar_requests_total{code="OK",method="Classify",task="polarity"}"#;
    assert_eq!(stage.metric(calls).await, Some(2.0));
    let examples = format!(r#"dynamar_examples_total{{task="polarity",checkpoint="{id}"}}"#);
    assert_eq!(stage.metric(&examples).await, Some(2.0));
    let page = stage.ask_for_metrics("GET /metrics").await;
    assert!(!page.contains("polarity@"), "{page}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_open_until_its_end_and_its_error_is_counted_once() {
    let mut config = config();
    config.server.max_message_bytes = count(1024);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let (requests, asked) = tokio::sync::mpsc::channel(4);
    let stream = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = soon(client.classify_stream(stream)).await.expect("begun").into_inner();
    // The stage's own watch of the health may still be about to end; the stream is not.
    soon(async { while stage.metric("dynamar_requests_in_flight").await != Some(1.0) {} }).await;
    soon(requests.send(classify("polarity", texts(&["fine"])))).await.expect("there is room");
    soon(answers.message()).await.expect("answered").expect("one");
    let long = "word ".repeat(300);
    soon(requests.send(classify("polarity", texts(&[&long])))).await.expect("there is room");
    assert_eq!(soon(answers.message()).await.expect_err("too long").code(), Code::OutOfRange);
    let of_stream = r#"method="ClassifyStream",task"#;
    for (line, expected) in [
        ("requests_in_flight".to_owned(), 0.0),
        (format!(r#"requests_total{{code="OK",{of_stream}="polarity"}}"#), 1.0),
        (format!(r#"requests_total{{code="OUT_OF_RANGE",{of_stream}=""}}"#), 1.0),
        (r#"refused_total{reason="OUT_OF_RANGE"}"#.to_owned(), 1.0),
    ] {
        assert_eq!(stage.metric(&format!("dynamar_{line}")).await, Some(expected), "{line}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_is_an_error_and_stays_out_of_the_metrics() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    stage.control.set(Mode::Garble);
    let refused = soon(client.regress(regress("intensity", texts(&["fine"])))).await;
    assert_eq!(refused.expect_err("no number").code(), Code::Internal);
    let page = stage.ask_for_metrics("GET /metrics").await;
    assert!(!page.contains("NaN") && !page.contains("predicted_value_count"), "{page}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_as_long_as_it_lies_there() {
    let stage = Stage::ready().await;
    let refused = "dynamar_checkpoints_refused";
    assert_eq!(stage.metric(refused).await, Some(0.0));
    let broken = stage.models.path().join("broken");
    std::fs::create_dir(&broken).expect("made");
    std::fs::write(broken.join("manifest.json"), "{").expect("written");
    for _ in 0..2 {
        assert_eq!(stage.reload().await.refused, 1);
        assert_eq!(stage.metric(refused).await, Some(1.0));
    }
    std::fs::remove_dir_all(&broken).expect("removed");
    assert_eq!(stage.reload().await.refused, 0);
    assert_eq!(stage.metric(refused).await, Some(0.0));
    stage.stop().await;
}
