//! The answers that a server must give, computed without one.

use std::{collections::BTreeMap, path::Path};

use dynamar::{
    inference::{self, MaskEncoder, Model, TemplateChoice},
    server::proto,
    task::{Output, Prediction},
};

use super::stage::Stage;
use crate::fixtures;

/// A prompt's vector depends a little on what shares its batch.
const TOLERANCE: f64 = 1e-5;

/// The same tasks and encoder without a server.
pub struct Reference {
    pub reviews: Model,
    pub shop: Model,
    encoder: Box<dyn MaskEncoder>,
}

impl Reference {
    pub fn new(stage: &Stage) -> Self {
        Self::over(stage.models.path())
    }

    /// Of the checkpoints `reviews` and `shop` of a directory, which have the same encoder.
    pub fn over(models: &Path) -> Self {
        let load = |name: &str| Model::load(&models.join(name)).expect("loaded");
        let reviews = load("reviews");
        let encoder = reviews.encoder(&fixtures::runtime(), 1).expect("a session");
        Self { reviews, shop: load("shop"), encoder: Box::new(encoder) }
    }

    /// Tokens of the prompts that Classify makes of these for `polarity`.
    pub fn polarity_tokens(&self, examples: &[proto::Example]) -> u32 {
        let predictor = &self.reviews.tasks["polarity"].predictor;
        let tokens = examples.iter().map(|wire| {
            let example = fixtures::example(&[&wire.fields["text"]]);
            let prompt = predictor.prompt(&example, 0).expect("a prompt");
            prompt.input_ids.len() as u32
        });
        tokens.sum()
    }

    pub fn predict(
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

pub fn labels(task: &str) -> &'static [&'static str] {
    match task {
        "polarity" => &["negative", "positive"],
        _ => &["exact", "substitute", "complement", "irrelevant"],
    }
}

pub fn assert_classified(task: &str, found: &[proto::Classification], expected: &[Prediction]) {
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

pub fn assert_regressed(found: &[proto::Regression], expected: &[Prediction]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let Output::Value(value) = expected.output else {
            panic!("a regression was asked");
        };
        assert!((found.value - value).abs() < TOLERANCE, "{found:?} {value}");
        assert_eq!(found.truncated, expected.truncated);
        let difference = (found.template_spread - expected.template_spread).abs();
        assert!(f64::from(difference) < TOLERANCE);
    }
}
