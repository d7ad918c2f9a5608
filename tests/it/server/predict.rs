//! Several tasks of the same examples.

use dynamar::{
    inference::TemplateChoice,
    server::proto::{self, options::TemplateMode, task_prediction::Answer},
};
use tonic::Code;

use super::{
    checkpoints::{self, POLARITY},
    reference::{Reference, assert_classified, assert_regressed},
    refusals::{paths, reason},
    stage::{Stage, classify, config, count, example, options, predict, soon, texts},
};

/// The fields of all three tasks.
fn union() -> Vec<proto::Example> {
    let one = |text, query, title, brand| {
        example(&[("text", text), ("query", query), ("title", title), ("brand", brand)])
    };
    vec![
        one("Lovely shoes.", "red shoes", "Red running shoe", "Fleet"),
        one("They broke on the second day, a waste of money.", "tripod", "Camera bag", ""),
    ]
}

/// The fields of one of them.
fn only(names: &[&str]) -> Vec<proto::Example> {
    let mut examples = union();
    for example in &mut examples {
        example.fields.retain(|name, _| names.contains(&name.as_str()));
    }
    examples
}

async fn ask(stage: &Stage, request: proto::PredictRequest) -> proto::PredictResponse {
    let mut client = stage.client().await;
    soon(client.predict(request)).await.expect("answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_takes_its_fields_and_answers_as_if_it_were_alone() {
    let stage = Stage::ready().await;
    let mut reference = Reference::new(&stage);
    for (mode, choice) in [
        (TemplateMode::Default, TemplateChoice::Default),
        (TemplateMode::Single, TemplateChoice::Single(None)),
        (TemplateMode::Ensemble, TemplateChoice::Ensemble(vec![])),
    ] {
        let tasks = ["match", "intensity", "polarity"];
        let request =
            proto::PredictRequest { options: options(mode, &[]), ..predict(&tasks, union()) };
        let answer = ask(&stage, request).await;
        let names: Vec<&str> = answer.predictions.iter().map(|one| one.task.as_str()).collect();
        assert_eq!(names, tasks);
        for one in &answer.predictions {
            let is_match = one.task == "match";
            let fields: &[&str] = if is_match { &["query", "title", "brand"] } else { &["text"] };
            let expected = reference.predict(&one.task, &only(fields), &choice);
            let metadata = match one.answer.as_ref().expect("an answer") {
                Answer::Classify(answer) => {
                    assert_classified(&one.task, &answer.results, &expected);
                    &answer.metadata
                }
                Answer::Regress(answer) => {
                    assert_regressed(&answer.results, &expected);
                    &answer.metadata
                }
            };
            let model = if is_match { &reference.shop.id } else { &reference.reviews.id };
            assert_eq!(&metadata.as_ref().expect("told").model, model);
        }
        let metadata = answer.metadata.expect("told");
        assert_eq!(metadata.model, "", "two checkpoints have answered");
        assert!(metadata.tokens > 0 && metadata.inference_time.is_some());
    }
    stage.stop().await;
}

/// The task file of `polarity` under another name.
fn renamed(name: &str) -> String {
    POLARITY.replace("\"polarity\"", &format!("{name:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_prompts_go_through_the_encoder_once() {
    let models = tempfile::tempdir().expect("a directory");
    checkpoints::write(&models.path().join("a"), &[POLARITY, &renamed("again")]);
    checkpoints::write(&models.path().join("b"), &[&renamed("elsewhere")]);
    let stage = Stage::ready_over(models, config(), None).await;
    let mut client = stage.client().await;
    let alone = soon(client.classify(classify("polarity", texts(&["fine camera"])))).await;
    let alone = alone.expect("answered").into_inner();
    let tokens = alone.metadata.expect("told").tokens;
    let examples = texts(&["fine camera", "fine camera"]);
    let answer = ask(&stage, predict(&["again", "elsewhere", "polarity"], examples)).await;
    assert_eq!(answer.metadata.expect("told").tokens, tokens);
    let results = answer.predictions.iter().map(|one| match &one.answer {
        Some(Answer::Classify(answer)) => &answer.results,
        other => panic!("a classification was asked: {other:?}"),
    });
    let results: Vec<_> = results.collect();
    for of_task in &results {
        assert_eq!(of_task.len(), 2);
        assert_eq!(of_task[0], of_task[1]);
    }
    assert_eq!(results[2][0], alone.results[0]);
    assert_ne!(results[0][0], results[2][0], "the heads are different");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_named_with_its_task_where_it_matters() {
    let mut config = config();
    config.server.max_text_bytes = count(60);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let long = "x".repeat(61);
    let odd = example(&[("text", &long), ("query", "q"), ("price", "9")]);
    let with = |mode, ids: &[&str], tasks: &[&str]| proto::PredictRequest {
        options: options(mode, ids),
        ..predict(tasks, only(&["text"]))
    };
    for (request, expected) in [
        (predict(&[], union()), &["tasks"][..]),
        (predict(&["polarity"; 4], union()), &["tasks[1]"]),
        (predict(&["polarity", "match", "polarity"], union()), &["tasks[2]"]),
        (predict(&["polarity", "intensity"], vec![]), &["examples"]),
        (
            predict(&["intensity", "polarity", "match"], vec![odd]),
            &["examples[0].fields.text", "examples[0].fields.title", "examples[0].fields.price"],
        ),
        // A field of a task that is not asked.
        (
            predict(&["intensity", "polarity"], vec![example(&[("text", "x"), ("title", "t")])]),
            &["examples[0].fields.title"],
        ),
        (
            with(TemplateMode::Single, &["it-was"], &["intensity", "polarity"]),
            &["options.template_ids[0]"],
        ),
    ] {
        let status = soon(client.predict(request.clone())).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}: {status:?}");
        assert_eq!(paths(&status), expected, "{status:?}");
        assert_eq!(reason(&status), "INVALID_REQUEST");
        if expected[0].starts_with("options") {
            assert!(status.message().contains("the task intensity has"), "{status:?}");
        }
    }
    // Also of more than there are: a task may be gone for a moment.
    for tasks in [&["polarity", "x"][..], &["polarity", "intensity", "match", "x"]] {
        let unknown = soon(client.predict(predict(tasks, texts(&["fine"])))).await;
        assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_for_all_tasks_together_is_too_much() {
    let mut config = config();
    config.batching.max_batch_tokens = count(64);
    config.batching.max_queued_tokens = count(64);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let examples = || texts(&["one fine camera", "two fine cameras", "three", "four", "five"]);
    for task in ["polarity", "intensity"] {
        soon(client.predict(predict(&[task], examples()))).await.expect("answered");
    }
    let both = predict(&["polarity", "intensity"], examples());
    let status = soon(client.predict(both)).await.expect_err("too much at once");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "CALL_TOO_LARGE");
    stage.stop().await;
}
