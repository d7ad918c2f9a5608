//! What the server answers is what the encoder and the heads say in this process.

use dynamar::{
    inference::TemplateChoice,
    server::proto::{self, options::TemplateMode, task::Kind},
};
use tokio::task::JoinSet;

use super::{
    checkpoints,
    reference::{Reference, assert_classified, assert_regressed, labels},
    stage::{Stage, classify, example, options, regress, soon, texts},
};

/// Texts of all lengths, so that batches mix them and some are cut.
fn reviews(call: usize) -> Vec<String> {
    let words = ["bad", "great", "a", "camera", "works", "not", "at", "all", "lovely", "!"];
    let text = |at: usize| -> String {
        let length = 1 + (call * 7 + at * 13) % 70;
        let pick = |word: usize| words[(call * 31 + at * 17 + word * word) % words.len()];
        (0..length).map(pick).collect::<Vec<_>>().join(" ")
    };
    (0..1 + call % 9).map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_mixed_tasks_get_the_answers_of_one_process() {
    let stage = Stage::ready().await;
    let mut reference = Reference::new(&stage);
    let client = stage.client().await;
    let mut calls = JoinSet::new();
    for call in 0..60 {
        let (mut client, reviews) = (client.clone(), reviews(call));
        let examples = texts(&reviews.iter().map(String::as_str).collect::<Vec<_>>());
        calls.spawn(async move {
            let request = classify("polarity", examples.clone());
            let polarity = client.classify(request).await.expect("answered").into_inner();
            let request = regress("intensity", examples.clone());
            let intensity = client.regress(request).await.expect("answered").into_inner();
            (examples, polarity, intensity)
        });
    }
    let mut truncated = 0;
    for (examples, polarity, intensity) in soon(calls.join_all()).await {
        let choice = TemplateChoice::Default;
        let expected = reference.predict("polarity", &examples, &choice);
        assert_classified("polarity", &polarity.results, &expected);
        truncated += expected.iter().filter(|one| one.truncated).count();
        let expected = reference.predict("intensity", &examples, &choice);
        assert_regressed(&intensity.results, &expected);
        let metadata = polarity.metadata.expect("told");
        assert_eq!(metadata.model, reference.reviews.id);
        assert_eq!(metadata.tokens, reference.polarity_tokens(&examples));
        assert!(metadata.inference_time.is_some_and(|time| time.nanos > 0));
        assert!(metadata.queue_time.is_some());
    }
    assert!(truncated > 0, "some texts are too long");
    stage.stop().await;
}

fn items() -> Vec<proto::Example> {
    vec![
        example(&[("query", "red shoes"), ("title", "Red running shoe"), ("brand", "Fleet")]),
        example(&[("query", "tripod"), ("title", "Camera bag")]),
        example(&[("query", "a tent for two"), ("title", "Tent"), ("brand", "")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_chosen_by_mode_and_id() {
    let stage = Stage::ready().await;
    let mut reference = Reference::new(&stage);
    let mut client = stage.client().await;
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let pair = Some("pair".to_owned());
    for (options, choice) in [
        (None, TemplateChoice::Ensemble(vec![])),
        (
            options(TemplateMode::Default, &["pair", "asked"]),
            TemplateChoice::Ensemble(ids(&["pair", "asked"])),
        ),
        (options(TemplateMode::Single, &[]), TemplateChoice::Single(None)),
        (options(TemplateMode::Single, &["pair"]), TemplateChoice::Single(pair)),
        (
            options(TemplateMode::Ensemble, &["is-it", "asked"]),
            TemplateChoice::Ensemble(ids(&["is-it", "asked"])),
        ),
    ] {
        let request = proto::ClassifyRequest { options, ..classify("match", items()) };
        let answer = soon(client.classify(request)).await.expect("answered");
        let answer = answer.into_inner();
        let expected = reference.predict("match", &items(), &choice);
        assert_classified("match", &answer.results, &expected);
        let averaged = !matches!(choice, TemplateChoice::Single(_));
        for result in &answer.results {
            assert_eq!(result.template_spread > 0.0, averaged, "{choice:?}");
        }
        assert_eq!(answer.metadata.expect("told").model, reference.shop.id);
    }
    // A template that was held out answers when it is named.
    let request = proto::ClassifyRequest {
        options: options(TemplateMode::Default, &["unseen"]),
        ..classify("polarity", texts(&["fine"]))
    };
    let answer = soon(client.classify(request)).await.expect("answered");
    let choice = TemplateChoice::Single(Some("unseen".to_owned()));
    let expected = reference.predict("polarity", &texts(&["fine"]), &choice);
    assert_classified("polarity", &answer.into_inner().results, &expected);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn top_k_cuts_the_list_and_nothing_else() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let mut ask = async |top_k| {
        let request = proto::ClassifyRequest {
            options: Some(proto::Options { top_k, ..proto::Options::default() }),
            ..classify("match", items())
        };
        let answer = soon(client.classify(request)).await.expect("answered");
        answer.into_inner().results
    };
    let all = ask(0).await;
    for result in &all {
        let sum: f32 = result.labels.iter().map(|score| score.probability).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
    for (top_k, expected) in [(1, 1), (2, 2), (4, 4), (99, 4)] {
        for (cut, all) in ask(top_k).await.iter().zip(&all) {
            assert_eq!(cut.labels.len(), expected);
            for (cut, all) in cut.labels.iter().zip(&all.labels) {
                assert_eq!(cut.label, all.label);
                assert!((cut.probability - all.probability).abs() < 1e-6);
            }
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_described() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let listed = soon(client.list_tasks(proto::ListTasksRequest {})).await;
    let tasks = listed.expect("listed").into_inner().tasks;
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["intensity", "match", "polarity"]);
    for task in &tasks {
        let request = proto::GetTaskRequest { task: task.name.clone() };
        let described = soon(client.get_task(request)).await.expect("described");
        assert_eq!(&described.into_inner(), task);
        assert_eq!(task.metrics["accuracy"], 0.875);
    }
    let [intensity, pairs, polarity] = &tasks[..] else {
        panic!("three tasks");
    };
    assert_eq!(intensity.kind(), Kind::Regression);
    let range = intensity.range.expect("declared");
    assert_eq!((range.min, range.max), (Some(-4.0), Some(4.0)));
    assert_eq!(pairs.labels, labels("match"));
    assert_eq!(pairs.template_mode(), TemplateMode::Ensemble);
    let optional: Vec<(&str, bool)> =
        pairs.fields.iter().map(|field| (field.name.as_str(), field.optional)).collect();
    assert_eq!(optional, [("query", false), ("title", false), ("brand", true)]);
    assert_eq!((polarity.max_length, polarity.kind()), (48, Kind::Classification));
    let templates: Vec<(&str, bool, bool)> = polarity
        .templates
        .iter()
        .map(|template| (template.id.as_str(), template.canonical, template.held_out))
        .collect();
    let expected = [("it-was", true, false), ("overall", false, false), ("unseen", false, true)];
    assert_eq!(templates, expected);
    assert!(checkpoints::POLARITY.contains(&polarity.templates[0].text));
    stage.stop().await;
}
