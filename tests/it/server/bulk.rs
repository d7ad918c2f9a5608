//! A file is scored as the server answers.

use std::{fs, process::Command};

use super::stage::{Stage, classify, soon, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_scored_file_says_what_the_server_says() {
    let stage = Stage::ready().await;
    let home = tempfile::tempdir().expect("a directory");
    let (input, out) = (home.path().join("in.jsonl"), home.path().join("out.jsonl"));
    let reviews: Vec<String> =
        (0..12).map(|at| format!("Case {at}: {}", "it broke. ".repeat(at * 3))).collect();
    let rows: Vec<String> =
        reviews.iter().map(|text| serde_json::json!({"text": text}).to_string()).collect();
    fs::write(&input, rows.join("\n")).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.args(["predict", "--task", "polarity", "--scores", "--model"]);
    command.arg(stage.models.path().join("reviews")).arg("--in").arg(&input).arg("--out").arg(&out);
    let ran = command.current_dir(crate::fixtures::root()).output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let asked: Vec<&str> = reviews.iter().map(String::as_str).collect();
    let mut client = stage.client().await;
    let answer = soon(client.classify(classify("polarity", texts(&asked)))).await;
    let results = answer.expect("answered").into_inner().results;
    let scored = fs::read_to_string(&out).expect("there");
    assert_eq!(scored.lines().count(), results.len());
    for (line, expected) in scored.lines().zip(&results) {
        let found: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(found["label"], expected.labels[0].label);
        assert_eq!(found["truncated"], expected.truncated);
        for score in &expected.labels {
            let found = found[format!("probability_{}", score.label)].as_f64().expect("a number");
            assert!((found - f64::from(score.probability)).abs() < 1e-5, "{line} {score:?}");
        }
    }
    stage.stop().await;
}
