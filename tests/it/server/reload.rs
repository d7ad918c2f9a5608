//! Checkpoints come and go while calls are answered.

mod encoders;
mod faults;
mod load;
mod process;
mod versions;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dynamar::{
    checkpoint::Checkpoint,
    import,
    inference::{self, MaskEncoder, Model, TemplateChoice},
    server::proto,
    task::Output,
    weights::Precision,
};
use tempfile::TempDir;
use tonic::{Code, Status};

use super::{
    checkpoints::{self, INTENSITY, MATCH, POLARITY, Variant},
    stage::{self, Stage, classify, config, soon, texts},
};
use crate::fixtures;

/// What is asked of `polarity`.
const TEXTS: [&str; 3] = ["fine camera", "it broke at once", "not what I expected"];

/// Answers of one checkpoint may differ by this, depending on what shares their batch. Those of two
/// checkpoints differ by more.
const TOLERANCE: f32 = 1e-5;

/// An encoder with the same shape as bert-tiny and other vectors.
fn other_encoder(home: &Path) -> Checkpoint {
    let fixture = fixtures::encoder("bert-tiny");
    let out = home.join("other-encoder");
    import::with_precision(&fixture.checkpoint(), Precision::Int8, &out, false).expect("written");
    Checkpoint::open(&out).expect("intact")
}

/// The id of the checkpoint in a directory.
fn id(checkpoint: &Path) -> String {
    Checkpoint::open_unverified(checkpoint).expect("a manifest").manifest.id
}

/// What a checkpoint must say of `TEXTS`: the probabilities of `negative` and `positive`.
fn expected(checkpoint: &Path) -> Vec<[f32; 2]> {
    let model = Model::load(checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let predictor = &model.tasks["polarity"].predictor;
    let templates = predictor.select(&TemplateChoice::Default).expect("templates");
    let mut one = |text: &&str| {
        let examples = [fixtures::example(&[text])];
        let encoder: &mut dyn MaskEncoder = &mut encoder;
        let all = inference::predict(encoder, predictor, &examples, &templates);
        match &all.expect("predicted")[0].output {
            Output::Probabilities(two) => [two[0], two[1]],
            Output::Value(_) => panic!("polarity is a classification"),
        }
    };
    TEXTS.iter().map(&mut one).collect()
}

fn is_near(found: &[proto::Classification], expected: &[[f32; 2]]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            found.labels.iter().all(|score| {
                let at = usize::from(score.label == "positive");
                (score.probability - expected[at]).abs() < TOLERANCE
            })
        })
}

/// Asks `TEXTS` of a task; the id of the checkpoint that answered, and what it said.
async fn ask(stage: &Stage, task: &str) -> Result<(String, Vec<proto::Classification>), Status> {
    let request = classify(task, texts(&TEXTS));
    let answer = soon(stage.client().await.classify(request)).await?.into_inner();
    Ok((answer.metadata.expect("told").model, answer.results))
}

/// Asks, and sees to it that the checkpoint in this directory answers, and as it must.
async fn assert_answers(stage: &Stage, task: &str, checkpoint: &Path) {
    let (model, results) = ask(stage, task).await.expect("answered");
    assert_eq!(model, id(checkpoint));
    assert!(is_near(&results, &expected(checkpoint)), "{task} by {}", checkpoint.display());
}

async fn refusal(stage: &Stage, task: &str) -> Code {
    ask(stage, task).await.expect_err("no such task").code()
}

/// The names that ListTasks tells.
async fn listed(stage: &Stage) -> Vec<String> {
    let request = proto::ListTasksRequest::default();
    let answer = soon(stage.client().await.list_tasks(request)).await.expect("listed");
    answer.into_inner().tasks.into_iter().map(|task| task.name).collect()
}

/// A checkpoint that is put beside `directory` and renamed in its place, whatever was there.
fn replace(directory: &Path, write: impl FnOnce(&Path)) {
    let name = directory.file_name().expect("a name").to_string_lossy();
    let new = directory.with_file_name(format!(".{name}.new"));
    write(&new);
    if directory.exists() {
        fs::remove_dir_all(directory).expect("removed");
    }
    fs::rename(&new, directory).expect("renamed");
}

/// A copy of a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry").path();
        let target = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("copied");
        }
    }
}

fn variant(seed: f32) -> Variant<'static> {
    Variant { seed, ..Variant::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_head_serves_after_a_reload_on_the_encoder_that_is_there() {
    let stage = Stage::ready().await;
    let (reviews, shop) = (stage.models.path().join("reviews"), stage.models.path().join("shop"));
    assert_answers(&stage, "polarity", &reviews).await;
    let (first, sessions) = (id(&reviews), stage.control.sessions());
    replace(&reviews, |at| checkpoints::write_as(at, &[POLARITY, INTENSITY], variant(7.0)));
    let before = ask(&stage, "polarity").await.expect("answered");
    assert_eq!(before.0, first, "nothing is loaded unless it is looked for");
    let reloads = stage.reload().await;
    assert_eq!((reloads.succeeded, reloads.failed), (1, 0), "{reloads:?}");
    assert_ne!(id(&reviews), first);
    assert_answers(&stage, "polarity", &reviews).await;
    assert_eq!(stage.control.sessions(), sessions, "no session is made for a head");
    assert_eq!(listed(&stage).await, ["intensity", "match", "polarity"]);
    assert!(shop.exists());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_encoder_is_loaded_once_for_each_worker_and_the_old_one_goes() {
    let stage = Stage::ready().await;
    let reviews = stage.models.path().join("reviews");
    let home = tempfile::tempdir().expect("a directory");
    let encoder = other_encoder(home.path());
    let (sessions, alive) = (stage.control.sessions(), stage.control.alive());
    for seed in [1.0, 2.0] {
        replace(&reviews, |at| {
            let variant = Variant { seed, encoder: Some(&encoder) };
            checkpoints::write_as(at, &[POLARITY, INTENSITY], variant);
        });
        assert_eq!(stage.reload().await.failed, 0);
        assert_answers(&stage, "polarity", &reviews).await;
        // `shop` still has the other encoder.
        assert_eq!(stage.control.sessions(), 2 * sessions);
    }
    fs::remove_dir_all(stage.models.path().join("shop")).expect("removed");
    assert_eq!(stage.reload().await.failed, 0);
    soon(stage.control.until_alive(alive)).await;
    assert_answers(&stage, "polarity", &reviews).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_ends_on_the_checkpoint_that_it_began_with() {
    let stage = Stage::ready().await;
    let reviews = stage.models.path().join("reviews");
    fs::remove_dir_all(stage.models.path().join("shop")).expect("removed");
    let (first, said) = (id(&reviews), expected(&reviews));
    let alive = stage.control.alive();
    let home = tempfile::tempdir().expect("a directory");
    let encoder = other_encoder(home.path());
    stage.control.set(super::encoder::Mode::Hold);
    // Encoders that are made from now on work.
    let later = stage.next_control();
    let mut begun = stage.control.watch();
    let mut client = stage.client().await;
    let call =
        tokio::spawn(async move { client.classify(classify("polarity", texts(&TEXTS))).await });
    soon(begun.batches(1)).await;
    replace(&reviews, |at| {
        checkpoints::write_as(at, &[POLARITY], Variant { seed: 3.0, encoder: Some(&encoder) });
    });
    assert_eq!(stage.reload().await.failed, 0);
    assert_answers(&stage, "polarity", &reviews).await;
    assert!(!call.is_finished());
    assert_eq!((stage.control.alive(), later.alive()), (alive, alive));
    stage.control.set(super::encoder::Mode::Work);
    let answer = soon(call).await.expect("no panic").expect("answered").into_inner();
    assert_eq!(answer.metadata.expect("told").model, first);
    assert!(is_near(&answer.results, &said));
    soon(stage.control.until_alive(0)).await;
    stage.stop().await;
    assert_eq!(later.alive(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_checkpoint_is_removed_ends_and_others_go_on() {
    let stage = Stage::ready().await;
    let shop = stage.models.path().join("shop");
    fs::remove_dir_all(stage.models.path().join("reviews")).expect("removed");
    assert_eq!(stage.reload().await.failed, 0);
    assert_eq!(refusal(&stage, "polarity").await, Code::NotFound);
    assert_eq!(listed(&stage).await, ["match"]);
    replace(&shop, |at| checkpoints::write_as(at, &[MATCH, POLARITY], variant(2.0)));
    assert_eq!(stage.reload().await.failed, 0);
    assert_answers(&stage, "polarity", &shop).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_an_encoder_outlives_a_head() {
    let mut config = config();
    config.cache.max_bytes = 1 << 20;
    let stage = Stage::ready_with(config).await;
    let reviews = stage_path(&stage, "reviews");
    assert_answers(&stage, "polarity", &reviews).await;
    replace(&reviews, |at| checkpoints::write_as(at, &[POLARITY], variant(7.0)));
    assert_eq!(stage.reload().await.failed, 0);
    let request = classify("polarity", texts(&TEXTS));
    let answer = soon(stage.client().await.classify(request)).await.expect("answered").into_inner();
    let metadata = answer.metadata.expect("told");
    assert_eq!((metadata.model, metadata.tokens, metadata.cached), (id(&reviews), 0, 3));
    assert!(is_near(&answer.results, &expected(&reviews)));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_with_the_checkpoint_that_serves_now() {
    let stage = Stage::ready().await;
    let reviews = stage_path(&stage, "reviews");
    let (requests, sent) = tokio::sync::mpsc::channel(1);
    let request = || classify("polarity", texts(&TEXTS));
    requests.send(request()).await.expect("there is room");
    let sent = tokio_stream::wrappers::ReceiverStream::new(sent);
    let stream = soon(stage.client().await.classify_stream(sent)).await;
    let mut answers = stream.expect("a stream").into_inner();
    for seed in [7.0, 8.0] {
        let answer = soon(answers.message()).await.expect("answered").expect("one for each");
        assert_eq!(answer.metadata.expect("told").model, id(&reviews));
        assert!(is_near(&answer.results, &expected(&reviews)));
        replace(&reviews, |at| checkpoints::write_as(at, &[POLARITY], variant(seed)));
        assert_eq!(stage.reload().await.failed, 0);
        soon(requests.send(request())).await.expect("there is room");
    }
    stage.stop().await;
}

/// Looked at every millisecond: a change is found without being told of.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_found_by_looking() {
    let mut config = config();
    config.models.poll_interval_ms = 1;
    let stage = Stage::ready_with(config).await;
    let reviews = stage.models.path().join("reviews");
    for seed in [5.0, 6.0] {
        let mut reloads = stage.operator.reloads();
        reloads.borrow_and_update();
        checkpoints::replace_as(&reviews, &[POLARITY], variant(seed));
        let expected = id(&reviews);
        while ask(&stage, "polarity").await.expect("answered").0 != expected {
            soon(reloads.changed()).await.expect("the server lives");
        }
        assert_eq!(reloads.borrow().last_error, None);
    }
    stage.stop().await;
}

fn home_with(checkpoints: &[(&str, &[&str], f32)]) -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    for (name, tasks, seed) in checkpoints {
        checkpoints::write_as(&home.path().join(name), tasks, variant(*seed));
    }
    home
}

fn stage_path(stage: &Stage, name: &str) -> PathBuf {
    stage.models.path().join(name)
}

async fn stage_over(models: TempDir) -> Arc<Stage> {
    Arc::new(stage::Stage::ready_over(models, config(), None).await)
}
