//! Predictions, as they travel.

use std::{sync::Arc, time::Duration};

use crate::{
    registry::Route,
    server::{
        call::{Answer, Cost, TaskAnswer},
        proto,
    },
    task::{Kind, Output, Prediction},
};

/// What is told of a classification.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::server) struct Wanted {
    /// The best so many labels; 0 is all.
    top_k: u32,
    /// In place of the task's own.
    threshold: Option<f32>,
}

impl Wanted {
    /// As these options, which were checked, ask for.
    pub fn by(options: &proto::Options) -> Self {
        Self { top_k: options.top_k, threshold: options.threshold }
    }
}

/// The answer of Classify.
pub(in crate::server) fn classify_response(
    answer: Answer,
    wanted: Wanted,
) -> proto::ClassifyResponse {
    let metadata = Some(metadata(&answer));
    let results = answer.tasks.into_iter().flat_map(|task| classifications(task, wanted));
    proto::ClassifyResponse { results: results.collect(), metadata }
}

/// The answer of Regress.
pub(in crate::server) fn regress_response(answer: Answer) -> proto::RegressResponse {
    let metadata = Some(metadata(&answer));
    let results = answer.tasks.into_iter().flat_map(regressions);
    proto::RegressResponse { results: results.collect(), metadata }
}

/// The answer of Predict.
pub(in crate::server) fn predict_response(
    answer: Answer,
    wanted: Wanted,
) -> proto::PredictResponse {
    let metadata = Some(metadata(&answer));
    let predictions = answer.tasks.into_iter().map(|task| task_prediction(task, wanted));
    proto::PredictResponse { predictions: predictions.collect(), metadata }
}

fn task_prediction(answer: TaskAnswer, wanted: Wanted) -> proto::TaskPrediction {
    use proto::task_prediction::Answer;
    let route = Arc::clone(&answer.route);
    let metadata = proto::Metadata { model: route.checkpoint.clone(), ..Default::default() };
    let metadata = Some(metadata);
    let wire = match route.task.predictor.file.task.kind {
        Kind::Classification { .. } => {
            let results = classifications(answer, wanted).collect();
            Answer::Classify(proto::ClassifyResponse { results, metadata })
        }
        Kind::Regression { .. } => {
            let results = regressions(answer).collect();
            Answer::Regress(proto::RegressResponse { results, metadata })
        }
    };
    proto::TaskPrediction { task: route.name().to_owned(), answer: Some(wire) }
}

/// What a call cost, and the checkpoint that answered if it is one.
fn metadata(answer: &Answer) -> proto::Metadata {
    let mut models = answer.tasks.iter().map(|task| &task.route.checkpoint);
    let first = models.next().filter(|first| models.all(|other| other == *first));
    let Cost { tokens, cached, queue_time, inference_time, .. } = answer.cost;
    let windows = answer.windows();
    // Only times beyond the age of the universe do not fit.
    let wire = |time: Duration| prost_types::Duration::try_from(time).ok();
    proto::Metadata {
        model: first.cloned().unwrap_or_default(),
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        cached: u32::try_from(cached).unwrap_or(u32::MAX),
        windows: u32::try_from(windows).unwrap_or(u32::MAX),
        queue_time: wire(queue_time),
        inference_time: wire(inference_time),
    }
}

/// A classification task gives no values; they would be left out.
fn classifications(
    answer: TaskAnswer,
    wanted: Wanted,
) -> impl Iterator<Item = proto::Classification> {
    let TaskAnswer { route, predictions } = answer;
    predictions.into_iter().map(move |prediction| {
        let windows = windows(&route, &prediction);
        let Prediction { output, truncated, template_spread, .. } = prediction;
        let (predictor, names) = (&route.task.predictor, route.task.predictor.file.labels());
        let decision = predictor.decide(&output, wanted.threshold);
        let decision = decision.map(|label| names[label].clone()).unwrap_or_default();
        let labels = match output {
            Output::Probabilities(probabilities) => best_first(names, &probabilities, wanted.top_k),
            Output::Value(_) => Vec::new(),
        };
        proto::Classification { labels, truncated, template_spread, decision, windows }
    })
}

/// Equals keep the order of the task, so that the first is the same as anywhere else.
pub(in crate::server) fn best_first(
    labels: &[String],
    probabilities: &[f32],
    top_k: u32,
) -> Vec<proto::LabelScore> {
    let mut order: Vec<(&String, f32)> = labels.iter().zip(probabilities.iter().copied()).collect();
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    if top_k > 0 {
        order.truncate(usize::try_from(top_k).unwrap_or(usize::MAX));
    }
    let score = |(label, probability): (&String, f32)| proto::LabelScore {
        label: label.clone(),
        probability,
    };
    order.into_iter().map(score).collect()
}

/// A regression task gives no probabilities.
fn regressions(answer: TaskAnswer) -> impl Iterator<Item = proto::Regression> {
    let TaskAnswer { route, predictions } = answer;
    predictions.into_iter().map(move |prediction| {
        let windows = windows(&route, &prediction);
        let Prediction { output, truncated, template_spread, .. } = prediction;
        let value = match output {
            Output::Value(value) => value,
            Output::Probabilities(_) => f64::NAN,
        };
        proto::Regression { value, truncated, template_spread, windows }
    })
}

/// The windows that an example was read in, where its task has a stride; else 0.
fn windows(route: &Route, prediction: &Prediction) -> u32 {
    let windows = route.task.predictor.has_windows().then_some(prediction.windows);
    u32::try_from(windows.unwrap_or(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_best_first_and_equals_in_the_tasks_order() {
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let check = |probabilities: &[f32], top_k, expected: &str| {
            let scores = best_first(&labels, probabilities, top_k);
            let order: String = scores.iter().map(|score| score.label.as_str()).collect();
            assert_eq!(order, expected, "{probabilities:?} {top_k}");
            let best = Output::Probabilities(probabilities.to_vec()).best_label();
            assert_eq!(best.map(|best| &labels[best]), Some(&scores[0].label));
        };
        check(&[0.1, 0.4, 0.2, 0.3], 0, "bdca");
        check(&[0.1, 0.4, 0.2, 0.3], 2, "bd");
        check(&[0.25, 0.25, 0.25, 0.25], 0, "abcd");
        check(&[0.2, 0.3, 0.2, 0.3], 3, "bda");
        check(&[0.2, 0.3, 0.2, 0.3], u32::MAX, "bdac");
    }
}
