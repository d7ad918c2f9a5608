//! The part of a head that compares the sides of pairs: fitted by itself, and averaged with what the
//! encoder and the rest of the head have learnt.
//!
//! Two models that see different things are wrong on different examples, so that their mean is better
//! than either (Hinton, 2002, has the product of probabilities, which is the mean of logits).

use rayon::prelude::*;

use super::{TrainingError, objective::Objective, score::score_of};
use crate::{
    baseline::{Answers, OfSimilarities},
    dataset::{Dataset, is_enough_to_calibrate, sample},
    evaluation::Metric,
    inference::{
        Head, Layer, MaskEncoder, PairSimilarity, TaskPredictor, TemplateChoice, read_each,
    },
    lexical::pairs,
    task::{Example, Target, Task},
    weights::Array,
};

/// Examples to which it is fitted at most: it has few weights.
const MAX_EXAMPLES: usize = 20_000;

/// The seed of the draw of these.
const SAMPLE_SEED: u64 = 0;

/// Share of the comparison in an answer where no development set says another.
pub const USUAL_SHARE: f32 = 0.5;

/// The shares that are tried on a development set, the usual one first.
pub const SHARES: [f32; 4] = [USUAL_SHARE, 0.25, 0.75, 0.0];

/// Loss that a comparison may leave of that of always answering the labels' shares, or the mean;
/// one that leaves more is left out.
const MAX_LOSS_LEFT: f64 = 0.9;

/// Fits it to training examples. `None` for a task whose fields have no counterparts, or where these
/// say nothing of the answer.
pub fn fit(
    predictor: &TaskPredictor,
    train: &Dataset,
    objective: &Objective,
) -> Option<PairSimilarity> {
    let task = &predictor.file.task;
    let pairs = pairs(&task.fields);
    if pairs.is_empty() || train.examples.is_empty() {
        return None;
    }
    let drawn =
        (train.examples.len() > MAX_EXAMPLES).then(|| sample(train, MAX_EXAMPLES, SAMPLE_SEED));
    let train = drawn.as_ref().unwrap_or(train);
    let compare = |example: &Example| PairSimilarity::similarities(&pairs, example);
    let rows: Vec<Vec<f32>> =
        train.examples.par_iter().map(|labeled| compare(&labeled.example)).collect();
    let mut model = model(task, &rows, train, objective)?;
    shift(&mut model.constants, train, objective.label_shares());
    let outputs = task.kind.outputs();
    let weight = Array { shape: vec![model.weights.len() / outputs, outputs], data: model.weights };
    let bias = Array { shape: vec![outputs], data: model.constants };
    Some(PairSimilarity::new(&task.fields, pairs, Layer { weight, bias }))
}

/// A linear model of the rows, if it says more than chance of rows that it has not seen.
fn model(
    task: &Task,
    rows: &[Vec<f32>],
    train: &Dataset,
    objective: &Objective,
) -> Option<OfSimilarities> {
    let targets = train.targets();
    let gold: Vec<usize> = targets.iter().filter_map(Target::label).collect();
    let scaling = objective.scaling;
    let scaled = |value: f64| ((value - scaling.mean) / scaling.standard_deviation) as f32;
    let values: Vec<f32> = targets.iter().filter_map(Target::value).map(scaled).collect();
    let answers = match gold.len() == targets.len() {
        true => Answers::Labels { gold: &gold, labels: task.kind.outputs() },
        false => Answers::Values(&values),
    };
    let left = OfSimilarities::loss_left(rows, answers);
    (left <= MAX_LOSS_LEFT).then(|| OfSimilarities::fit(rows, answers))
}

/// Shifts constants to the label shares that a weighted loss sees, as the head learns with these and
/// is averaged with it.
fn shift(constants: &mut [f32], train: &Dataset, shares: &[f64]) {
    let mut counts = vec![0usize; shares.len()];
    let labels = train.examples.iter().filter_map(|labeled| labeled.target.label());
    labels.for_each(|label| counts[label] += 1);
    let total = counts.iter().sum::<usize>() as f64;
    for ((constant, share), count) in constants.iter_mut().zip(shares).zip(counts) {
        if count > 0 {
            *constant += (share * total / count as f64).ln() as f32;
        }
    }
}

/// The mean of a head's outputs and a comparison's, weighted by the comparison's share.
pub fn mixed(mut head: Head, pairs: &PairSimilarity, share: f32) -> Head {
    if share > 0.0 {
        let Layer { weight, bias } = &mut head.output;
        weight.data.iter_mut().chain(&mut bias.data).for_each(|value| *value *= 1.0 - share);
        head.pair_similarity = Some(pairs.scaled(share));
    }
    head
}

/// The share by which a development set becomes most probable, or its numbers nearest. `predictors`
/// have those of [`SHARES`].
pub fn best_share(
    encoder: &mut dyn MaskEncoder,
    predictors: &[TaskPredictor; SHARES.len()],
    dev: &Dataset,
    metric: Metric,
) -> Result<f32, TrainingError> {
    let usual = &predictors[0];
    if !is_enough_to_calibrate(dev, &usual.file.task) {
        return Ok(USUAL_SHARE);
    }
    let templates = usual
        .select(&TemplateChoice::Default)
        .map_err(|error| TrainingError::Settings(error.to_string()))?;
    let mut answers = [const { Vec::new() }; SHARES.len()];
    read_each(encoder, usual, &dev.inputs(), &templates, usize::MAX, |input, vectors, reading| {
        for (predictor, answers) in predictors.iter().zip(&mut answers) {
            let offsets = predictor.head.offsets(input);
            answers.push(predictor.answer(vectors.iter().map(Vec::as_slice), &offsets, reading));
        }
    })?;
    let mut best = (f64::INFINITY, USUAL_SHARE);
    for ((predictor, share), answers) in predictors.iter().zip(SHARES).zip(&answers) {
        let score = score_of(predictor, dev, answers, metric)?;
        let loss = ["log_loss", "rmse"].iter().find_map(|name| score.metrics.get(*name));
        let loss = loss.copied().unwrap_or(f64::INFINITY);
        if loss < best.0 {
            best = (loss, share);
        }
    }
    Ok(best.1)
}
