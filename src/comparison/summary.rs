//! Cells to the experiment's record, from which tables and pages are made.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ComparedTask, Design, cells::CellResult, method::Method, outside::OutsideResults};
use crate::{
    evaluation::calibration::pool_bins,
    report::{
        ComparisonPage, Method as Column, Metric, Run, Shot, ShotResults, TaskKind, TaskResults,
    },
};

/// The column with which the others are compared, unless another is asked for.
const BASELINE: Method = Method::Standard;

/// Figures that are told beside the headline, where a task has them.
const SECONDARY: [&str; 9] = [
    "accuracy",
    "macro_f1",
    "f1_positive",
    "average_precision",
    "auroc",
    "ece",
    "spearman",
    "rmse",
    "r2",
];

/// Whether larger values of this figure are better.
pub fn is_higher_better(metric: &str) -> bool {
    !matches!(metric, "log_loss" | "ece" | "brier" | "rmse" | "mae")
}

/// Gathers what the cells and outside results say.
pub fn summarise(
    tasks: &[ComparedTask],
    design: &Design,
    encoder: &str,
    results: &[CellResult],
    outside: &[OutsideResults],
    commands: Vec<String>,
) -> ComparisonPage {
    let mut methods: Vec<Column> = Vec::new();
    for method in Method::ALL.into_iter().filter(|method| design.methods.contains(method)) {
        methods.extend(method.answers().into_iter().map(|answer| Column {
            id: answer.id.to_owned(),
            name: answer.name.to_owned(),
            description: answer.description.to_owned(),
        }));
    }
    methods.extend(outside.iter().map(|results| Column {
        id: results.method.clone(),
        name: String::new(),
        description: results.description.clone(),
    }));
    let standard = BASELINE.answers().first().map(|answer| answer.id.to_owned());
    let standard = standard.filter(|_| design.methods.contains(&BASELINE));
    let first = methods.first().map_or(String::new(), |method| method.id.clone());
    let baseline = design.baseline.clone().or(standard).unwrap_or(first);
    ComparisonPage {
        title: "Prompts, heads and examples".to_owned(),
        encoder: encoder.to_owned(),
        baseline,
        methods,
        tasks: tasks
            .iter()
            .enumerate()
            .map(|(at, task)| task_results(at, task, results, outside))
            .collect(),
        commands,
        settings: settings(tasks, design, results),
    }
}

fn task_results(
    at: usize,
    task: &ComparedTask,
    results: &[CellResult],
    outside: &[OutsideResults],
) -> TaskResults {
    let metric =
        |name: &str| Metric { name: name.to_owned(), higher_is_better: is_higher_better(name) };
    let of_task = || results.iter().filter(|result| result.cell.task == at);
    let known = |name: &str| {
        of_task().flat_map(|result| &result.answers).any(|answer| answer.metrics.contains_key(name))
    };
    let secondary = SECONDARY.into_iter().filter(|name| *name != task.metric && known(name));
    let mut methods: BTreeMap<String, Vec<ShotResults>> = BTreeMap::new();
    for result in of_task() {
        for answer in &result.answers {
            let shots = methods.entry(answer.id.clone()).or_default();
            let of_shot = shot(shots, result.cell.shot);
            of_shot.runs.push(Run {
                seed: result.cell.seed,
                metrics: answer.metrics.clone(),
                templates: answer.templates.clone(),
                collapsed: answer.collapsed,
                seconds: Some(result.seconds),
            });
            if answer.reliability.is_empty()
                || answer.reliability.iter().all(|bin| bin.examples == 0)
            {
                continue;
            }
            let bins = [of_shot.reliability.as_slice(), &answer.reliability];
            of_shot.reliability = pool_bins(bins.into_iter().filter(|bins| !bins.is_empty()));
        }
    }
    for results in outside {
        results.add_to(&task.file.task.name, &mut methods);
    }
    methods.values_mut().for_each(|shots| shots.sort_by_key(|results| results.shot));
    TaskResults {
        name: task.file.task.name.clone(),
        kind: match task.file.labels() {
            [] => TaskKind::Regression,
            _ => TaskKind::Classification,
        },
        headline: metric(&task.metric),
        secondary: secondary.map(metric).collect(),
        methods,
    }
}

/// The results of a number of examples, begun if there are none.
pub(super) fn shot(results: &mut Vec<ShotResults>, shot: Shot) -> &mut ShotResults {
    let at = match results.iter().position(|results| results.shot == shot) {
        Some(at) => at,
        None => {
            results.push(ShotResults { shot, runs: Vec::new(), reliability: Vec::new() });
            results.len() - 1
        }
    };
    &mut results[at]
}

fn listed(numbers: &[f64]) -> String {
    // Debug writes 5e-5 where Display writes 0.00005.
    numbers.iter().map(|number| format!("{number:?}")).collect::<Vec<_>>().join(", ")
}

/// A setting as people write it: `{"steps": 100}` is "100 steps".
fn written(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.replace('_', " "),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{} {name}", written(value)));
            entries.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn settings(
    tasks: &[ComparedTask],
    design: &Design,
    results: &[CellResult],
) -> BTreeMap<String, String> {
    let Design { seeds, grid, trial_seeds, settings, epochs, max_scored, .. } = design;
    let mut all = BTreeMap::from([
        ("seeds".to_owned(), seeds.to_string()),
        ("learning rates tried".to_owned(), listed(&grid.learning_rates)),
        ("consistency weights tried".to_owned(), listed(&grid.consistency)),
        ("contrastive weights tried".to_owned(), listed(&grid.contrastive)),
        ("trials per setting".to_owned(), trial_seeds.to_string()),
        ("epochs on the whole training set".to_owned(), epochs.to_string()),
        ("examples scored at most".to_owned(), max_scored.to_string()),
    ]);
    let diverged = results.iter().filter(|result| result.answers.is_empty()).map(|result| {
        let CellResult { cell, .. } = result;
        let task = &tasks[cell.task].file.task.name;
        format!("{task} {} K={} seed {}", cell.method.name(), cell.shot, cell.seed)
    });
    let diverged: Vec<String> = diverged.collect();
    if !diverged.is_empty() {
        all.insert("runs that diverged and are left out".to_owned(), diverged.join("; "));
    }
    if let Ok(Value::Object(settings)) = serde_json::to_value(settings) {
        let others = ["learning_rate", "head_learning_rate", "seed", "consistency", "contrastive"];
        let rest = settings.into_iter().filter(|(name, _)| !others.contains(&name.as_str()));
        all.extend(rest.map(|(name, value)| (name.replace('_', " "), written(&value))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_people_write_them() {
        let check = |value: Value, expected: &str| assert_eq!(written(&value), expected);
        check(serde_json::json!(0.1), "0.1");
        check(serde_json::json!({"steps": 100}), "100 steps");
        check(serde_json::json!("label_words"), "label words");
        check(Value::Null, "none");
        assert_eq!(listed(&[5e-5, 0.1, 3.0]), "5e-5, 0.1, 3.0");
    }
}
