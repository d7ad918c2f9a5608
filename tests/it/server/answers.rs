//! What the server answers is what the encoder and the heads say in this process.

use std::collections::BTreeMap;

use dynamar::{
    inference::{self, MaskEncoder, Model, TemplateChoice},
    server::proto::{self, options::TemplateMode, task::Kind},
    task::{Output, Prediction},
};
use tokio::task::JoinSet;

use super::{
    checkpoints,
    stage::{Stage, classify, example, regress, soon, texts},
};
use crate::fixtures;

const TOLERANCE: f64 = 1e-5;

/// The same tasks and encoder without a server.
struct Reference {
    reviews: Model,
    shop: Model,
    encoder: Box<dyn MaskEncoder>,
}

impl Reference {
    fn new(stage: &Stage) -> Self {
        let load = |name: &str| Model::load(&stage.models.path().join(name)).expect("loaded");
        let reviews = load("reviews");
        let encoder = reviews.encoder(&fixtures::runtime(), 1).expect("a session");
        Self { reviews, shop: load("shop"), encoder: Box::new(encoder) }
    }

    /// Tokens of the prompts that Classify makes of these for `polarity`.
    fn polarity_tokens(&self, examples: &[proto::Example]) -> u32 {
        let predictor = &self.reviews.tasks["polarity"].predictor;
        let tokens = examples.iter().map(|wire| {
            let example = fixtures::example(&[&wire.fields["text"]]);
            let prompt = predictor.prompt(&example, 0).expect("a prompt");
            prompt.input_ids.len() as u32
        });
        tokens.sum()
    }

    fn predict(
        &mut self,
        task: &str,
        examples: &[proto::Example],
        choice: &TemplateChoice,
    ) -> Vec<Prediction> {
        let models = [&self.reviews, &self.shop];
        let task = models.iter().find_map(|model| model.tasks.get(task));
        let predictor = &task.expect("a task").predictor;
        let named = |example: &proto::Example| -> BTreeMap<String, String> {
            example.fields.clone().into_iter().collect()
        };
        let examples: Vec<_> = examples
            .iter()
            .map(|wire| predictor.file.task.example(named(wire), usize::MAX))
            .collect::<Result<_, _>>()
            .expect("good examples");
        let templates = predictor.select(choice).expect("known templates");
        inference::predict(self.encoder.as_mut(), predictor, &examples, &templates)
            .expect("predicted")
    }
}

fn labels(task: &str) -> &'static [&'static str] {
    match task {
        "polarity" => &["negative", "positive"],
        _ => &["exact", "substitute", "complement", "irrelevant"],
    }
}

fn assert_classified(task: &str, found: &[proto::Classification], expected: &[Prediction]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let Output::Probabilities(probabilities) = &expected.output else {
            panic!("{task} is a classification");
        };
        assert_eq!(found.labels.len(), probabilities.len());
        let best = labels(task)[expected.output.best_label().expect("a label")];
        assert_eq!(found.labels[0].label, best);
        for score in &found.labels {
            let at = labels(task).iter().position(|label| *label == score.label);
            let expected = probabilities[at.expect("a label of the task")];
            let difference = f64::from((score.probability - expected).abs());
            assert!(difference < TOLERANCE, "{score:?}, expected {expected}");
        }
        assert!(found.labels.is_sorted_by(|a, b| a.probability >= b.probability));
        assert_eq!(found.truncated, expected.truncated);
        let difference = (found.template_spread - expected.template_spread).abs();
        assert!(f64::from(difference) < TOLERANCE);
    }
}

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
        assert_eq!(intensity.results.len(), expected.len());
        for (found, expected) in intensity.results.iter().zip(expected) {
            let Output::Value(value) = expected.output else {
                panic!("intensity is a regression");
            };
            assert!((found.value - value).abs() < TOLERANCE, "{found:?} {value}");
        }
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

fn options(mode: TemplateMode, ids: &[&str]) -> Option<proto::Options> {
    Some(proto::Options {
        top_k: 0,
        template_mode: mode.into(),
        template_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    })
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
