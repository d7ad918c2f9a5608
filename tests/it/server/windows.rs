//! Tasks with a stride: long texts are read in windows by the server, `predict` and `evaluate` alike.

use std::{fs, path::Path, process::Command};

use dynamar::{
    inference::{Model, TemplateChoice, predict},
    server::{
        open_inference::proto::{GrpcInferenceServiceClient, infer_parameter::ParameterChoice},
        proto::{self, options::TemplateMode, task_prediction::Answer},
    },
    task::Prediction,
};
use tempfile::TempDir;
use tonic::Code;

use super::{
    checkpoints::{self, INTENSITY, MATCH, POLARITY},
    open_inference::tensors::{as_tensors, infer, tensor, told},
    reference::{Reference, assert_classified, assert_regressed},
    stage::{
        Stage, classify, config, count, example, options, predict as ask_several, regress, soon,
        texts,
    },
};
use crate::fixtures;

/// The task with these lines for its windows.
fn with(task: &str, lines: &str) -> String {
    task.replace("[prompt]\n", &format!("[prompt]\n{lines}\n"))
}

/// The usual checkpoints, with strides.
fn models() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let reviews = [with(POLARITY, "stride = 16"), with(INTENSITY, "stride = 20\nmax_windows = 3")];
    checkpoints::write(&home.path().join("reviews"), &reviews.each_ref().map(String::as_str));
    checkpoints::write(&home.path().join("shop"), &[&with(MATCH, "stride = 30")]);
    home
}

/// A text of so many words, each a token, without a pattern: no two windows are the same.
fn review(words: usize) -> String {
    let some = ["bad", "great", "a", "camera", "works", "not", "at", "all", "lovely", "!"];
    let mut state = words as u64;
    let pick = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        some[(state >> 33) as usize % some.len()]
    };
    (0..words).map(pick).collect::<Vec<_>>().join(" ")
}

/// Some that fit, some that are read in windows, and one that is too long even for those.
fn reviews() -> Vec<String> {
    [3, 42, 43, 60, 100, 200, 400].map(review).to_vec()
}

fn windows(found: impl IntoIterator<Item = u32>, expected: &[Prediction]) -> Vec<u32> {
    let found: Vec<u32> = found.into_iter().collect();
    let expected: Vec<u32> = expected.iter().map(|one| one.windows as u32).collect();
    assert_eq!(found, expected);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_answered_by_the_mean_of_its_windows() {
    let stage = Stage::ready_over(models(), config(), None).await;
    let mut reference = Reference::new(&stage);
    let mut client = stage.client().await;
    let reviews = reviews();
    let reviews: Vec<&str> = reviews.iter().map(String::as_str).collect();
    let choice = TemplateChoice::Default;

    let answer = soon(client.classify(classify("polarity", texts(&reviews)))).await;
    let polarity = answer.expect("answered").into_inner();
    let expected = reference.predict("polarity", &texts(&reviews), &choice);
    assert_classified("polarity", &polarity.results, &expected);
    let counts = windows(polarity.results.iter().map(|one| one.windows), &expected);
    // Each has room for 42 tokens; 15 steps of 16 are 240 more.
    assert_eq!(counts, [1, 1, 2, 3, 5, 11, 16]);
    let truncated: Vec<bool> = polarity.results.iter().map(|one| one.truncated).collect();
    assert_eq!(truncated, [false, false, false, false, false, false, true]);
    let metadata = polarity.metadata.expect("told");
    assert_eq!(metadata.windows, counts.iter().sum::<u32>());
    let predictor = &reference.reviews.tasks["polarity"].predictor;
    let read = reviews
        .iter()
        .flat_map(|text| predictor.read(&fixtures::example(&[text]), &[0]).expect("encoded").0);
    assert_eq!(metadata.tokens, read.map(|prompt| prompt.input_ids.len() as u32).sum::<u32>());

    let answer = soon(client.regress(regress("intensity", texts(&reviews)))).await;
    let intensity = answer.expect("answered").into_inner();
    let expected = reference.predict("intensity", &texts(&reviews), &choice);
    assert_regressed(&intensity.results, &expected);
    let of_intensity = windows(intensity.results.iter().map(|one| one.windows), &expected);
    assert_eq!(of_intensity.iter().max(), Some(&3));

    // Several tasks in one call, and both templates of each.
    let options = options(TemplateMode::Ensemble, &[]);
    let request = ask_several(&["polarity", "intensity"], texts(&reviews));
    let answer = soon(client.predict(proto::PredictRequest { options, ..request })).await;
    let both = answer.expect("answered").into_inner();
    let choice = TemplateChoice::Ensemble(Vec::new());
    let mut sum = 0;
    for prediction in &both.predictions {
        let expected = reference.predict(&prediction.task, &texts(&reviews), &choice);
        let counts = match prediction.answer.as_ref().expect("answered") {
            Answer::Classify(answer) => {
                assert_classified(&prediction.task, &answer.results, &expected);
                windows(answer.results.iter().map(|one| one.windows), &expected)
            }
            Answer::Regress(answer) => {
                assert_regressed(&answer.results, &expected);
                windows(answer.results.iter().map(|one| one.windows), &expected)
            }
        };
        sum += counts.iter().sum::<u32>();
    }
    assert_eq!(both.metadata.expect("told").windows, sum);

    // The longest of several fields.
    let (query, title) = (review(12), review(150));
    let items = vec![
        example(&[("query", &query), ("title", &title), ("brand", "Fleet")]),
        example(&[("query", "tripod"), ("title", "Camera bag")]),
    ];
    let answer = soon(client.classify(classify("match", items.clone()))).await;
    let answer = answer.expect("answered").into_inner();
    let expected = reference.predict("match", &items, &TemplateChoice::Default);
    assert_classified("match", &answer.results, &expected);
    let counts = windows(answer.results.iter().map(|one| one.windows), &expected);
    assert!(counts[0] > 2 && counts[1] == 1, "{counts:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_and_the_description_tell_windows_too() {
    let mut config = config();
    config.cache.max_bytes = 1 << 24;
    let stage = Stage::ready_over(models(), config, None).await;
    let mut client = stage.client().await;
    let reviews = [review(5), review(90)];
    let reviews = reviews.each_ref().map(String::as_str);
    let request = classify("polarity", texts(&reviews));
    let said = soon(client.classify(request.clone())).await.expect("answered").into_inner();
    // Every window is in the cache now.
    let again = soon(client.classify(request)).await.expect("answered").into_inner();
    assert_eq!(again.results, said.results);
    let metadata = again.metadata.expect("told");
    assert_eq!((metadata.tokens, metadata.cached), (0, metadata.windows));
    let mut theirs = GrpcInferenceServiceClient::new(stage.channel().await);
    let request = infer("polarity", vec![tensor("text", &reviews)]);
    let answer = soon(theirs.model_infer(request)).await.expect("answered").into_inner();
    assert_eq!(told(&answer), as_tensors(&["negative", "positive"], &said, 0));
    let parameter = answer.parameters["windows"].parameter_choice.as_ref();
    let expected = ParameterChoice::Int64Param(i64::from(metadata.windows));
    assert_eq!(parameter, Some(&expected));
    let request = proto::GetTaskRequest { task: "intensity".to_owned() };
    let task = soon(client.get_task(request)).await.expect("described").into_inner();
    assert_eq!((task.stride, task.max_windows), (20, 3));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stride_nothing_is_told_and_with_one_every_window_counts() {
    let home = tempfile::tempdir().expect("a directory");
    let (slides, other) = (with(POLARITY, "stride = 16"), POLARITY.replace("polarity", "cut"));
    checkpoints::write(&home.path().join("reviews"), &[&slides, &other]);
    let mut config = config();
    config.batching.max_queued_tokens = count(256);
    let stage = Stage::ready_over(home, config, None).await;
    let mut client = stage.client().await;
    let long = review(200);
    let answer = soon(client.classify(classify("cut", texts(&[&long])))).await;
    let answer = answer.expect("answered").into_inner();
    assert_eq!((answer.results[0].windows, answer.results[0].truncated), (0, true));
    assert_eq!(answer.metadata.expect("told").windows, 0);
    let mut theirs = GrpcInferenceServiceClient::new(stage.channel().await);
    let request = infer("cut", vec![tensor("text", &[&long])]);
    let answer = soon(theirs.model_infer(request)).await.expect("answered").into_inner();
    assert!(answer.parameters.is_empty());
    // 11 windows of up to 48 tokens.
    let refused = soon(client.classify(classify("polarity", texts(&[&long])))).await;
    let status = refused.expect_err("more than may wait");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("no more than 256 are taken"), "{status:?}");
    stage.stop().await;
}

fn run(arguments: &[&str], paths: &[(&str, &Path)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.current_dir(fixtures::root()).args(arguments);
    paths.iter().for_each(|(flag, path)| {
        command.arg(flag).arg(path);
    });
    let ran = command.output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("there");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_scored_and_judged_as_the_server_answers() {
    let stage = Stage::ready_over(models(), config(), None).await;
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str| home.path().join(name);
    let reviews = reviews();
    let asked: Vec<&str> = reviews.iter().map(String::as_str).collect();
    let mut client = stage.client().await;
    let answer = soon(client.classify(classify("polarity", texts(&asked)))).await;
    let results = answer.expect("answered").into_inner().results;
    let rows = reviews.iter().zip(&results).map(|(text, result)| {
        serde_json::json!({"text": text, "label": result.decision}).to_string()
    });
    fs::write(path("in.jsonl"), rows.collect::<Vec<_>>().join("\n")).expect("written");
    let model = stage.models.path().join("reviews");
    let scored = ["predict", "--task", "polarity", "--scores", "--prefix", "p_"];
    run(&scored, &[("--model", &model), ("--in", &path("in.jsonl")), ("--out", &path("a.jsonl"))]);
    let found = lines(&path("a.jsonl"));
    assert_eq!(found.len(), results.len());
    for (found, expected) in found.iter().zip(&results) {
        assert_eq!(found["p_windows"], expected.windows, "{found}");
        assert_eq!(found["p_truncated"], expected.truncated);
        for score in &expected.labels {
            let found = found[format!("p_probability_{}", score.label)].as_f64().expect("a number");
            assert!((found - f64::from(score.probability)).abs() < 1e-5, "{found} {score:?}");
        }
    }
    // A column of whole numbers in Parquet, which is read again as such.
    let parquet = path("b.parquet");
    run(&scored, &[("--model", &model), ("--in", &path("in.jsonl")), ("--out", &parquet)]);
    let again = ["predict", "--task", "polarity", "--prefix", "q_"];
    run(&again, &[("--model", &model), ("--in", &parquet), ("--out", &path("b.jsonl"))]);
    for (found, expected) in lines(&path("b.jsonl")).iter().zip(&results) {
        assert_eq!(found["p_windows"], expected.windows);
        assert_eq!(found["q_windows"], expected.windows);
    }
    // Every row is as the server says.
    let judged = run(
        &["evaluate", "--task", "polarity", "--json"],
        &[("--model", &model), ("--data", &path("in.jsonl"))],
    );
    let judged: serde_json::Value = serde_json::from_str(&judged).expect("JSON");
    assert_eq!(judged["accuracy"], 1.0, "{judged}");
    stage.stop().await;
}

#[test]
fn prompts_are_as_long_as_the_encoder_reads() {
    let home = tempfile::tempdir().expect("a directory");
    let write = |name: &str, length: usize| {
        let task = POLARITY.replace("max_length = 48", &format!("max_length = {length}"));
        let directory = home.path().join(name);
        checkpoints::write(&directory, &[&with(&task, "stride = 400")]);
        Model::load(&directory)
    };
    let model = write("long", 512).expect("as long as the encoder reads");
    let predictor = &model.tasks["polarity"].predictor;
    let example = fixtures::example(&[&review(1200)]);
    let (prompts, _) = predictor.read(&example, &[0]).expect("encoded");
    assert!(prompts.iter().all(|prompt| prompt.input_ids.len() == 512));
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let found = predict(&mut encoder, predictor, &[example], &[0]).expect("predicted");
    assert!(found[0].output.is_finite() && !found[0].truncated);
    assert_eq!((found[0].windows, prompts.len()), (3, 3));
    let error = write("longer", 513).err().expect("refused").to_string();
    assert!(error.contains("max_length = 513 is more than the encoder's 512 positions"), "{error}");
}
