//! An experiment as tables.

use super::{
    comparison::{ComparisonPage, Metric, Shot, ShotResults, TaskResults, TemplateRole},
    derived::{
        AverageImprovement, CellImprovement, average_improvements, cell_improvements, role_score,
    },
    figure::{figure, seconds, signed, signed_percent, words},
    table::{Cell, Style, Table, plain},
    verdict::verdicts,
};
use crate::evaluation::paired::{Improvement, Interval, mean, standard_deviation};

/// How intervals were made, for readers.
pub const STATISTICS: &str = "Means and standard deviations are over seeds. Differences are \
    between runs with the same seed, positive where the method is better than the baseline; a \
    relative one is divided by the baseline's mean. Intervals are 95 % percentile intervals of \
    10,000 paired bootstrap resamples of the seeds, within each task and number of examples. With \
    few seeds such intervals are too narrow, and they say nothing about other test sets.";

/// What a collapsed run is, for readers.
pub const COLLAPSED: &str = "A collapsed run answers the same whatever the text: one label alone, \
    or values that hardly differ. It has learnt nothing, and its figures are those of always the \
    same answer.";

/// Interval bounds in words; a dash where there are none.
pub fn bounds(interval: &Interval, words: impl Fn(f64) -> String) -> String {
    match interval.bounds {
        Some((low, high)) => format!("{} to {}", words(low), words(high)),
        None => "–".to_owned(),
    }
}

/// "K = 4", "all data".
pub fn shot_name(shot: Shot) -> String {
    match shot {
        Shot::Count(count) => format!("K = {count}"),
        Shot::All => "all data".to_owned(),
    }
}

/// Mean and standard deviation of a metric, method by examples; the best of each column stands
/// out, worst seed and collapsed runs are notes.
pub fn metric_table(page: &ComparisonPage, task: &TaskResults, metric: &Metric) -> Table {
    by_method_and_shot(page, task, metric, |results| {
        let values: Vec<f64> = results.values(&metric.name).into_values().collect();
        let mean = mean(&values)?;
        let spread = standard_deviation(&values);
        let text = figure(mean) + &spread.map_or(String::new(), |sd| format!(" ± {}", figure(sd)));
        let worst = worst(&values, metric);
        let mut note = worst.map_or(String::new(), |worst| format!("worst {}", figure(worst)));
        if results.collapsed() > 0 {
            note += &format!(", {} of {} collapsed", results.collapsed(), results.runs.len());
        }
        Some((mean, Cell { note, ..Cell::new(text) }))
    })
}

/// The worst seed and the collapsed runs of the headline metric.
fn worst_table(page: &ComparisonPage, task: &TaskResults) -> Table {
    let metric = &task.headline;
    let mut table = by_method_and_shot(page, task, metric, |results| {
        let values: Vec<f64> = results.values(&metric.name).into_values().collect();
        let worst = worst(&values, metric)?;
        let collapsed = format!("{} ({}/{})", figure(worst), results.collapsed(), values.len());
        Some((worst, Cell::new(collapsed)))
    });
    table.caption = format!("{} of the worst seed (collapsed runs)", words(&metric.name));
    table
}

fn worst(values: &[f64], metric: &Metric) -> Option<f64> {
    let worse = if metric.higher_is_better { f64::min } else { f64::max };
    values.iter().copied().reduce(worse)
}

fn by_method_and_shot(
    page: &ComparisonPage,
    task: &TaskResults,
    metric: &Metric,
    cell: impl Fn(&ShotResults) -> Option<(f64, Cell)>,
) -> Table {
    let shots = task.shots();
    let mut columns = vec!["method".to_owned()];
    columns.extend(shots.iter().map(|shot| shot_name(*shot)));
    let mut rows: Vec<Vec<Cell>> =
        page.methods.iter().map(|method| vec![Cell::new(method.shown())]).collect();
    for shot in shots {
        let found: Vec<Option<(f64, Cell)>> = page
            .methods
            .iter()
            .map(|method| task.results(&method.id, shot).and_then(&cell))
            .collect();
        let best = best(found.iter().flatten().map(|(value, _)| *value), metric);
        for (row, found) in rows.iter_mut().zip(found) {
            row.push(found.map_or(Cell::new("–"), |(value, cell)| Cell {
                strong: Some(value) == best,
                ..cell
            }));
        }
    }
    let direction = if metric.higher_is_better { "higher" } else { "lower" };
    let caption = format!("{} ({direction} is better)", words(&metric.name));
    Table { caption, columns, rows }
}

fn best(values: impl Iterator<Item = f64>, metric: &Metric) -> Option<f64> {
    values.reduce(if metric.higher_is_better { f64::max } else { f64::min })
}

/// Improvements over the baseline on one task.
pub fn improvement_table(
    page: &ComparisonPage,
    task: &TaskResults,
    found: &[CellImprovement],
) -> Table {
    let rows = found.iter().map(|cell| {
        let Improvement { pairs, absolute, relative, .. } = &cell.improvement;
        let name = format!("{}, {}", page.methods[cell.method].shown(), shot_name(cell.shot));
        let mut row = vec![
            Cell::new(name),
            Cell::new(pairs.to_string()),
            Cell::new(signed(absolute.estimate)),
            Cell::new(bounds(absolute, signed)),
        ];
        row.extend(relative_cells(relative.as_ref()));
        row
    });
    let columns = ["method", "pairs", "difference", "95 % interval", "relative", "95 % interval"];
    Table {
        caption: format!(
            "Improvement of {} over {}",
            words(&task.headline.name),
            page.shown(&page.baseline)
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

fn relative_cells(relative: Option<&Interval>) -> [Cell; 2] {
    match relative {
        Some(relative) => [signed_percent(relative.estimate), bounds(relative, signed_percent)],
        None => ["–".to_owned(), "–".to_owned()],
    }
    .map(Cell::new)
}

/// Improvements over the baseline, averaged over tasks and numbers of examples.
pub fn average_table(page: &ComparisonPage, found: &[AverageImprovement]) -> Table {
    let rows = found.iter().map(|average| {
        let Improvement { cells, pairs, relative, .. } = &average.improvement;
        let name = format!("{}, {}", page.methods[average.method].shown(), average.regime.name());
        let mut row =
            vec![Cell::new(name), Cell::new(cells.to_string()), Cell::new(pairs.to_string())];
        row.extend(relative_cells(relative.as_ref()));
        row
    });
    Table {
        caption: format!(
            "Relative improvement over {}, averaged over cells",
            page.shown(&page.baseline)
        ),
        columns: ["method", "cells", "pairs", "relative", "95 % interval"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

/// The headline metric by the templates' role.
pub fn template_table(page: &ComparisonPage, task: &TaskResults) -> Table {
    let shots = task.shots();
    let cells = page.methods.iter().flat_map(|method| {
        shots.iter().filter_map(move |shot| Some((method, *shot, task.results(&method.id, *shot)?)))
    });
    let rows = cells.filter_map(|(method, shot, results)| {
        let score = |role| role_score(results, role);
        let mean = |role| score(role).map_or("–".to_owned(), |score| figure(score.mean));
        let held_out = score(TemplateRole::HeldOut);
        let range = held_out.map(|s| format!("{} to {}", figure(s.range.0), figure(s.range.1)));
        let roles = [TemplateRole::Canonical, TemplateRole::Pool, TemplateRole::HeldOut];
        roles.into_iter().any(|role| score(role).is_some()).then(|| {
            let mut row = vec![Cell::new(format!("{}, {}", method.shown(), shot_name(shot)))];
            row.extend(roles.map(|role| Cell::new(mean(role))));
            row.push(Cell::new(range.unwrap_or("–".to_owned())));
            row
        })
    });
    let name = words(&task.headline.name);
    Table {
        caption: format!("{name} by template, mean over seeds"),
        columns: ["method", "canonical", "other pool", "held out", "held-out range"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

/// Mean seconds of training of a run, over tasks and seeds.
pub fn cost_table(page: &ComparisonPage) -> Table {
    let mut shots: Vec<Shot> = page.tasks.iter().flat_map(TaskResults::shots).collect();
    shots.sort_unstable();
    shots.dedup();
    let mut columns = vec!["method".to_owned()];
    columns.extend(shots.iter().map(|shot| shot_name(*shot)));
    let cost = |id: &str, shot| {
        let runs = page.tasks.iter().filter_map(|task| task.results(id, shot));
        let taken: Vec<f64> = runs.flat_map(|r| &r.runs).filter_map(|run| run.seconds).collect();
        Cell::new(mean(&taken).map_or("–".to_owned(), seconds))
    };
    let rows = page.methods.iter().map(|method| {
        let costs = shots.iter().map(|shot| cost(&method.id, *shot));
        std::iter::once(Cell::new(method.shown())).chain(costs).collect()
    });
    let caption = "Training of one run, mean over tasks and seeds".to_owned();
    Table { caption, columns, rows: rows.collect() }
}

/// The experiment as tables for a terminal or a document, best of a column in bold in Markdown.
pub fn comparison_tables(page: &ComparisonPage, style: Style) -> String {
    let heading = if style == Style::Markdown { "## " } else { "" };
    let mut parts = vec![
        format!("{heading}{}\n", plain(&page.title, style)),
        format!("Encoder: {}\n", plain(&page.encoder, style)),
    ];
    parts.extend(verdicts(page).iter().map(|told| format!("{}\n", plain(told, style))));
    let mut add = |table: Table| {
        if !table.rows.is_empty() {
            parts.push(format!("{}:\n\n{}", plain(&table.caption, style), table.render(style)));
        }
    };
    add(average_table(page, &average_improvements(page)));
    for task in &page.tasks {
        let name = format!("{}: ", task.name);
        let named = |table: Table| Table { caption: name.clone() + &table.caption, ..table };
        add(named(metric_table(page, task, &task.headline)));
        add(named(worst_table(page, task)));
        add(named(improvement_table(page, task, &cell_improvements(page, task))));
        add(named(template_table(page, task)));
        for metric in &task.secondary {
            add(named(metric_table(page, task, metric)));
        }
    }
    add(cost_table(page));
    if page.tasks.iter().any(TaskResults::has_collapsed) {
        parts.push(format!("{COLLAPSED}\n"));
    }
    parts.push(format!("{STATISTICS}\n"));
    parts.join("\n")
}

#[cfg(test)]
mod tests;
