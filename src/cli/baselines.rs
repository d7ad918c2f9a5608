//! What cheap methods get on the same rows, beside what was trained.

use std::{collections::BTreeMap, fmt::Write};

use anyhow::Result;

use crate::{
    baseline::{check_result, figures},
    dataset::Warning,
    evaluation::Metrics,
    training::{JobTask, Trained},
};

/// The metrics of each baseline, by its name.
pub type Baselines = BTreeMap<&'static str, Metrics>;

/// For each task the baselines, trained on its training set and judged on its development set;
/// `None` where it has none.
pub fn of_tasks(tasks: &[JobTask]) -> Result<Vec<Option<Baselines>>> {
    let of_task = |task: &JobTask| {
        let JobTask { file, train, dev, .. } = task;
        let judged = |dev| figures(&file.task, train, dev, file.positive);
        Ok(dev.as_ref().map(judged).transpose()?)
    };
    tasks.iter().map(of_task).collect()
}

/// The figures by task and baseline, for JSON.
pub fn summaries<'a>(
    tasks: &'a [JobTask],
    baselines: &[Option<Baselines>],
) -> BTreeMap<&'a str, BTreeMap<&'static str, BTreeMap<String, f64>>> {
    let summary = |baselines: &Baselines| {
        baselines.iter().map(|(name, metrics)| (*name, metrics.summary())).collect()
    };
    let judged = tasks.iter().zip(baselines).filter_map(|(task, baselines)| {
        Some((task.file.task.name.as_str(), summary(baselines.as_ref()?)))
    });
    judged.collect()
}

/// A line for each baseline of each task, with the task's metric.
pub fn lines(tasks: &[JobTask], baselines: &[Option<Baselines>]) -> String {
    let mut text = String::new();
    for (task, baselines) in tasks.iter().zip(baselines) {
        for (name, metrics) in baselines.iter().flatten() {
            let Some(value) = task.metric.value(metrics) else { continue };
            let (task, metric) = (&task.file.task.name, task.metric.name());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{task}: dev {metric} of the {name} {value:.4}");
        }
    }
    text
}

/// Warnings of results that are not worth an encoder.
pub fn warnings(
    tasks: &[JobTask],
    baselines: &[Option<Baselines>],
    trained: &Trained,
) -> Vec<Warning> {
    let scores = trained.scores.iter().map(|(_, score)| score.as_ref()?.whole.as_ref());
    let judged = tasks.iter().zip(baselines).zip(scores);
    let of_task =
        |((task, baselines), metrics): ((&JobTask, &Option<Baselines>), Option<&Metrics>)| {
            let (Some(baselines), Some(metrics)) = (baselines, metrics) else { return Vec::new() };
            let metric = task.metric;
            check_result(metrics, baselines, metric.name(), metric.is_higher_better())
        };
    judged.flat_map(of_task).collect()
}
