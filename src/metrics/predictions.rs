//! What was answered, task by task: the distributions by which the owner of a model notices that
//! the texts, or the world, are no longer those it was trained on.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use prometheus::{Histogram, IntCounter};

use super::{
    Page,
    instruments::{counter, histogram},
};
use crate::task::{Kind, Output, Prediction};

/// Probabilities of the best label.
const CONFIDENCE: &[f64] = &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/// Values of a task that declares no range for them.
const ANY_VALUE: &[f64] = &[-1000.0, -100.0, -10.0, -1.0, -0.1, 0.0, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// Steps in which a declared range of values is divided.
const STEPS: u32 = 20;

/// What was answered for one task by one checkpoint.
pub struct TaskMetrics {
    examples: IntCounter,
    truncated: IntCounter,
    answers: Answers,
}

enum Answers {
    /// The label with how often it was the best one, and how probable the best one was.
    Labels {
        counts: Vec<(String, IntCounter)>,
        confidence: Histogram,
    },
    Values(Histogram),
}

impl TaskMetrics {
    fn new(kind: &Kind) -> Self {
        Self {
            examples: counter("dynamar_examples_total", "Examples that were answered."),
            truncated: counter(
                "dynamar_truncated_examples_total",
                "Examples whose text was cut to fit the task's maximum length.",
            ),
            answers: match kind {
                Kind::Classification { labels } => Answers::of_labels(labels),
                Kind::Regression { min, max } => Answers::Values(histogram(
                    "dynamar_predicted_value",
                    "Values that were answered; the sum falls where they are negative.",
                    &steps(*min, *max),
                )),
            },
        }
    }

    /// These were answered.
    pub fn observe(&self, predictions: &[Prediction]) {
        self.examples.inc_by(predictions.len() as u64);
        self.truncated.inc_by(predictions.iter().filter(|one| one.truncated).count() as u64);
        for prediction in predictions {
            match (&self.answers, &prediction.output) {
                (Answers::Values(values), Output::Value(value)) => values.observe(*value),
                (Answers::Labels { counts, confidence }, Output::Probabilities(all)) => {
                    let best = prediction.output.best_label();
                    if let Some((best, (_, count))) = best.zip(best.and_then(|at| counts.get(at))) {
                        count.inc();
                        confidence.observe(f64::from(all[best]));
                    }
                }
                // A head gives what its task is.
                _ => {}
            }
        }
    }

    fn show(&self, page: &mut Page, task: &str, checkpoint: &str) {
        let of_task = [("task", task), ("checkpoint", checkpoint)];
        page.add(&of_task, &self.examples);
        page.add(&of_task, &self.truncated);
        match &self.answers {
            Answers::Values(values) => page.add(&of_task, values),
            Answers::Labels { counts, confidence } => {
                page.add(&of_task, confidence);
                for (label, count) in counts {
                    page.add(&[of_task[0], of_task[1], ("label", label)], count);
                }
            }
        }
    }
}

impl Answers {
    fn of_labels(labels: &[String]) -> Self {
        let count = |label: &String| {
            let help = "Examples of which this was the most probable label.";
            (label.clone(), counter("dynamar_predicted_labels_total", help))
        };
        let help = "Probability of the most probable label.";
        Self::Labels {
            counts: labels.iter().map(count).collect(),
            confidence: histogram("dynamar_prediction_confidence", help, CONFIDENCE),
        }
    }
}

/// Bounds of the buckets for values that are declared to lie here.
fn steps(min: Option<f64>, max: Option<f64>) -> Vec<f64> {
    match min.zip(max) {
        Some((min, max)) if min < max && (max - min).is_finite() => {
            let width = (max - min) / f64::from(STEPS);
            let mut steps: Vec<f64> =
                (0..STEPS).map(|step| min + width * f64::from(step)).chain([max]).collect();
            // Of a range too narrow for its size some are the same.
            steps.dedup_by(|next, one| next <= one);
            steps
        }
        _ => ANY_VALUE.to_vec(),
    }
}

/// By task and then by checkpoint.
type Tasks = BTreeMap<String, BTreeMap<String, Arc<TaskMetrics>>>;

/// What was answered for all tasks.
#[derive(Default)]
pub struct PredictionMetrics(RwLock<Tasks>);

impl PredictionMetrics {
    /// Where to count what a checkpoint answers for a task.
    pub fn of(&self, task: &str, checkpoint: &str, kind: &Kind) -> Arc<TaskMetrics> {
        let known = self.read().get(task).and_then(|of_task| of_task.get(checkpoint)).cloned();
        known.unwrap_or_else(|| {
            let mut tasks = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let of_task = tasks.entry(task.to_owned()).or_default();
            let of_both = of_task.entry(checkpoint.to_owned());
            Arc::clone(of_both.or_insert_with(|| Arc::new(TaskMetrics::new(kind))))
        })
    }

    /// Forgets what is not answered any more: `serves` says of a task and a checkpoint whether it is.
    pub fn retain(&self, serves: impl Fn(&str, &str) -> bool) {
        let mut tasks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task, of_task| {
            of_task.retain(|checkpoint, _| serves(task, checkpoint));
            !of_task.is_empty()
        });
    }

    /// Writes it all down.
    pub fn show(&self, page: &mut Page) {
        for (task, of_task) in self.read().iter() {
            for (checkpoint, metrics) in of_task {
                metrics.show(page, task, checkpoint);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tasks> {
        // Nothing that can panic runs while it is written.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(output: Output, truncated: bool) -> Prediction {
        Prediction { truncated, ..Prediction::of(output) }
    }

    fn text(metrics: &PredictionMetrics) -> String {
        let mut page = Page::default();
        metrics.show(&mut page);
        page.text().expect("text")
    }

    #[test]
    fn labels_values_and_what_was_cut_are_counted() {
        let metrics = PredictionMetrics::default();
        let labels = ["bad", "good"].map(str::to_owned).to_vec();
        let mood = metrics.of("mood", "c1", &Kind::Classification { labels });
        let probabilities = |p: &[f32]| Output::Probabilities(p.to_vec());
        mood.observe(&[
            answer(probabilities(&[0.25, 0.75]), true),
            answer(probabilities(&[0.0, 1.0]), false),
        ]);
        let price =
            metrics.of("price", "c2", &Kind::Regression { min: Some(0.0), max: Some(10.0) });
        price.observe(&[answer(Output::Value(2.25), false), answer(Output::Value(99.0), false)]);
        let text = text(&metrics);
        for line in [
            r#"dynamar_predicted_labels_total{task="mood",checkpoint="c1",label="bad"} 0"#,
            r#"dynamar_predicted_labels_total{task="mood",checkpoint="c1",label="good"} 2"#,
            r#"dynamar_prediction_confidence_bucket{task="mood",checkpoint="c1",le="0.8"} 1"#,
            r#"dynamar_truncated_examples_total{task="mood",checkpoint="c1"} 1"#,
            r#"dynamar_examples_total{task="price",checkpoint="c2"} 2"#,
            r#"dynamar_predicted_value_bucket{task="price",checkpoint="c2",le="2"} 0"#,
            r#"dynamar_predicted_value_bucket{task="price",checkpoint="c2",le="2.5"} 1"#,
            r#"dynamar_predicted_value_bucket{task="price",checkpoint="c2",le="10"} 1"#,
            r#"dynamar_predicted_value_sum{task="price",checkpoint="c2"} 101.25"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_checkpoint_that_serves_no_more_is_forgotten() {
        let metrics = PredictionMetrics::default();
        let kind = Kind::Regression { min: None, max: None };
        for checkpoint in ["old", "new"] {
            metrics.of("price", checkpoint, &kind).observe(&[answer(Output::Value(1.0), false)]);
        }
        metrics.retain(|task, checkpoint| task == "price" && checkpoint == "new");
        let text = text(&metrics);
        assert!(text.contains("new") && !text.contains("old"), "{text}");
        let known = metrics.of("price", "new", &kind);
        assert!(Arc::ptr_eq(&known, &metrics.of("price", "new", &kind)));
    }

    #[test]
    fn buckets_ascend_whatever_the_range() {
        let ranges = [
            (Some(0.0), Some(1.0)),
            (Some(-4.0), Some(4.0)),
            (Some(1.0), Some(1.0 + f64::EPSILON)),
            (Some(-1e300), Some(1e300)),
            (Some(f64::MIN), Some(f64::MAX)),
            (Some(3.0), Some(3.0)),
            (None, Some(3.0)),
            (None, None),
        ];
        for (min, max) in ranges {
            let steps = steps(min, max);
            assert!(!steps.is_empty() && steps.windows(2).all(|two| two[0] < two[1]), "{steps:?}");
            TaskMetrics::new(&Kind::Regression { min, max });
        }
    }
}
