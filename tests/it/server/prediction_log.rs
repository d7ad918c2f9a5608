//! What a server writes of its predictions.

use std::{fs, path::Path};

use dynamar::{
    config::{Config, LoggedInputs},
    server::proto,
};
use serde_json::Value;
use tonic::{Code, Request};

use super::stage::{Stage, classify, config, predict, soon, texts};

fn logging(path: &Path, inputs: LoggedInputs) -> Config {
    let mut config = config();
    config.prediction_log.path = Some(path.to_owned());
    config.prediction_log.inputs = inputs;
    config
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("read");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_prediction_has_a_line_that_says_what_was_answered() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("predictions.jsonl");
    let stage = Stage::ready_with(logging(&path, LoggedInputs::Full)).await;
    let mut client = stage.client().await;
    let mut request = Request::new(classify("polarity", texts(&["fine", "awful"])));
    request.metadata_mut().insert("x-request-id", "mine-1".parse().expect("a value"));
    let answer = soon(client.classify(request)).await.expect("answered").into_inner();
    let both = predict(&["polarity", "intensity"], texts(&["so so"]));
    soon(client.predict(both)).await.expect("answered");
    soon(client.classify(classify("polarity", Vec::new()))).await.expect_err("no examples");
    // All of it is there when the server has ended.
    stage.stop().await;
    let lines = lines(&path);
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, (text, result)) in lines.iter().zip(["fine", "awful"].iter().zip(&answer.results)) {
        assert_eq!(line["request_id"], "mine-1");
        assert_eq!(line["task"], "polarity");
        assert_eq!(line["checkpoint"], answer.metadata.as_ref().expect("told").model);
        assert_eq!(line["templates"], serde_json::json!(["it-was"]));
        assert_eq!(line["fields"], serde_json::json!({ "text": text }));
        let proto::LabelScore { label, probability } = &result.labels[0];
        assert_eq!(line["label"], *label);
        assert_eq!(line["probabilities"][label].as_f64().map(|p| p as f32), Some(*probability));
        assert_eq!(line["truncated"], false);
    }
    assert_eq!((&lines[2]["task"], &lines[3]["task"]), (&"polarity".into(), &"intensity".into()));
    assert!(lines[3]["value"].is_f64() && lines[3].get("label").is_none(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_written_unless_it_is_asked_for() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("predictions.jsonl");
    let stage = Stage::ready_with(logging(&path, LoggedInputs::Off)).await;
    let mut client = stage.client().await;
    let secret = classify("polarity", texts(&["my card is 4111"]));
    soon(client.classify(secret)).await.expect("answered");
    stage.stop().await;
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.contains("polarity") && !text.contains("4111"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_lines_and_no_answers() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("predictions.jsonl");
    let mut config = logging(&path, LoggedInputs::Full);
    config.prediction_log.max_file_bytes = 1024;
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    // When the file is full, it cannot be renamed, nor another one made.
    fs::create_dir(place.path().join("predictions.jsonl.1")).expect("made");
    for asked in 1..=20 {
        let answer = soon(client.classify(classify("polarity", texts(&["fine"])))).await;
        assert_eq!(answer.map(|answer| answer.into_inner().results.len()).ok(), Some(1));
        // Lines that wait for the writer are one block, which an empty file takes whatever its size.
        soon(async {
            let mut lines = 0.0;
            while lines < f64::from(asked) {
                lines = 0.0;
                for outcome in ["written", "dropped"] {
                    let name = format!("dynamar_prediction_log_total{{outcome=\"{outcome}\"}}");
                    lines += stage.metric(&name).await.expect("counted");
                }
            }
        })
        .await;
    }
    stage.stop().await;
    let written = lines(&path).len();
    assert!((1..20).contains(&written), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_renamed_or_removed_is_written_anew_in_its_place() {
    let place = tempfile::tempdir().expect("a directory");
    let (path, renamed) = (place.path().join("log"), place.path().join("log-20261128"));
    let stage = Stage::ready_with(logging(&path, LoggedInputs::Full)).await;
    let mut client = stage.client().await;
    let written = "dynamar_prediction_log_total{outcome=\"written\"}";
    let mut ask = async |text: &str, count: f64| {
        soon(client.classify(classify("polarity", texts(&[text])))).await.expect("answered");
        soon(async { while stage.metric(written).await != Some(count) {} }).await;
    };
    ask("one", 1.0).await;
    fs::rename(&path, &renamed).expect("renamed");
    // As on SIGHUP: the new file is there before the next line.
    stage.reload().await;
    soon(async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ask("two", 2.0).await;
    let of = |path: &Path| -> Vec<Value> {
        lines(path).iter().map(|line| line["fields"]["text"].clone()).collect()
    };
    assert_eq!((of(&renamed), of(&path)), (vec!["one".into()], vec!["two".into()]));
    // Without a signal.
    fs::remove_file(&path).expect("removed");
    ask("three", 3.0).await;
    assert_eq!(of(&path), ["three"]);
    let dropped = stage.metric("dynamar_prediction_log_total{outcome=\"dropped\"}").await;
    assert_eq!(dropped, Some(0.0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_without_the_log_that_it_should_write() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("no/such/directory/log");
    let (config, models) = (logging(&path, LoggedInputs::Off), super::checkpoints::models());
    let control = super::encoder::Control::new();
    let loads =
        move |_: Option<&dynamar::registry::Registry>| unreachable!("it does not get there");
    let stage = Stage::start(&config, loads, models, control).await;
    let error = stage.ended().await.expect_err("no such directory").to_string();
    assert!(error.starts_with("prediction_log.path: cannot write "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn written_lines_are_counted() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("predictions.jsonl");
    let stage = Stage::ready_with(logging(&path, LoggedInputs::Off)).await;
    let mut client = stage.client().await;
    let missing = soon(client.classify(classify("nothing", texts(&["fine"])))).await;
    assert_eq!(missing.expect_err("no task").code(), Code::NotFound);
    let dropped = stage.metric("dynamar_prediction_log_total{outcome=\"dropped\"}").await;
    let written = stage.metric("dynamar_prediction_log_total{outcome=\"written\"}").await;
    assert_eq!((written, dropped), (Some(0.0), Some(0.0)));
    stage.stop().await;
}
