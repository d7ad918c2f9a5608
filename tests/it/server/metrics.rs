//! What Prometheus reads of a server, after calls whose number is known.

use std::collections::BTreeSet;

use dynamar::server::open_inference::proto::{
    GrpcInferenceServiceClient, InferTensorContents, ModelInferRequest,
    model_infer_request::InferInputTensor,
};

use tokio_stream::StreamExt;
use tonic::Code;

use super::stage::{Stage, classify, config, predict, regress, soon, texts};

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
    let text = InferTensorContents { bytes_contents: vec![b"fine".to_vec()], ..Default::default() };
    let input = InferInputTensor {
        name: "text".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![1],
        contents: Some(text),
        ..Default::default()
    };
    let inference = ModelInferRequest {
        model_name: "polarity".to_owned(),
        inputs: vec![input],
        ..Default::default()
    };
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
    assert_eq!(stage.reload().await.succeeded, 1);
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
