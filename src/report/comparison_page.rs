//! An experiment as a page.

use maud::{Markup, html};

use super::{
    chart::{
        Caption, Mark, Point, Row, RowGroup, Rows, Series, line_chart, reliability_chart, row_chart,
    },
    comparison::{ComparisonPage, Shot, TaskKind, TaskResults, TemplateRole},
    comparison_tables::{
        COLLAPSED, STATISTICS, average_table, bounds, cost_table, improvement_table, metric_table,
        shot_name, template_table,
    },
    derived::{
        AverageImprovement, CellImprovement, average_improvements, cell_improvements, role_score,
    },
    figure::{limits, signed, signed_percent, words},
    glossary::term,
    page::{document, facts},
    verdict::verdicts,
};
use crate::evaluation::{
    calibration::expected_calibration_error,
    paired::{Improvement, Interval, mean, standard_deviation},
};

/// The whole experiment on one page, which needs nothing but itself.
pub fn comparison_page(page: &ComparisonPage) -> String {
    let averages = average_improvements(page);
    let body = html! {
        (opening(page))
        (facts([
            ("Encoder", page.encoder.clone()),
            ("Baseline", page.shown(&page.baseline).to_owned()),
            ("Tasks", page.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ")),
        ]))
        h2 { "Methods" }
        (facts(page.methods.iter().map(|method| (method.shown(), method.description.clone()))))
        h2 { "Improvement over " (page.shown(&page.baseline)) }
        div.charts { (average_forest(page, &averages)) }
        details {
            summary { "The same as a table" }
            (average_table(page, &averages).html())
        }
        p.note { (STATISTICS) }
        @for task in &page.tasks { (task_section(page, task)) }
        h2 { "Cost" }
        (cost_table(page).html())
        @if !page.settings.is_empty() {
            h2 { "Settings" }
            (facts(page.settings.iter().map(|(name, value)| (name.as_str(), value.clone()))))
        }
        @if !page.commands.is_empty() {
            h2 { "Commands" }
            pre.wrap { code { (page.commands.join("\n")) } }
        }
    };
    document(&page.title, &body)
}

/// Differences have no lowest and no highest value.
const ANY: (Option<f64>, Option<f64>) = (None, None);

/// The verdict: a sentence, or one for each task.
fn opening(page: &ComparisonPage) -> Markup {
    match verdicts(page).as_slice() {
        [] => html! {},
        [one] => html! { p.lead { (one) } },
        several => html! { ul.lead { @for told in several { li { (told) } } } },
    }
}

fn task_section(page: &ComparisonPage, task: &TaskResults) -> Markup {
    let improvements = cell_improvements(page, task);
    html! {
        h2 { (task.name) ": " (term(&words(&task.headline.name))) }
        (metric_table(page, task, &task.headline).html())
        @if task.has_collapsed() { p.note { (COLLAPSED) } }
        div.charts {
            (headline_lines(page, task))
            (template_points(page, task))
            (forest(page, task, &improvements, Scale::Absolute))
            (forest(page, task, &improvements, Scale::Relative))
        }
        details {
            summary { "Differences and templates as tables" }
            (improvement_table(page, task, &improvements).html())
            (template_table(page, task).html())
        }
        @if !task.secondary.is_empty() {
            details {
                summary { "Other metrics" }
                @for metric in &task.secondary { (metric_table(page, task, metric).html()) }
            }
        }
        @if task.kind == TaskKind::Classification {
            @for shot in task.shots() { (reliability_charts(page, task, shot)) }
        }
    }
}

fn headline_lines(page: &ComparisonPage, task: &TaskResults) -> Markup {
    let shots: Vec<Shot> = task.shots().into_iter().collect();
    let metric = &task.headline.name;
    let point = |id: &str, shot| {
        let values: Vec<f64> = task.results(id, shot)?.values(metric).into_values().collect();
        let (value, sd) = (mean(&values)?, standard_deviation(&values).unwrap_or(0.0));
        Some(Point { value, low: value - sd, high: value + sd })
    };
    let series: Vec<Series> = page
        .methods
        .iter()
        .map(|method| Series {
            name: method.shown().to_owned(),
            points: shots.iter().map(|shot| point(&method.id, *shot)).collect(),
        })
        .collect();
    let categories: Vec<String> = shots.iter().map(Shot::to_string).collect();
    let direction = if task.headline.higher_is_better { "higher" } else { "lower" };
    let caption = Caption {
        title: format!("{} by training examples", words(metric)),
        description: "Mean over seeds; bars are one standard deviation each way.".to_owned(),
    };
    let y_name = format!("{} ({direction} is better)", words(metric));
    let x_name = match task.kind {
        TaskKind::Classification => "training examples of each label",
        TaskKind::Regression => "training examples",
    };
    line_chart(&caption, (x_name, &y_name), &categories, &series, limits(metric))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Absolute,
    Relative,
}

impl Scale {
    /// The interval to draw, in percent for relative differences.
    fn interval(self, improvement: &Improvement) -> Option<Interval> {
        let percent = |interval: Interval| Interval {
            estimate: 100.0 * interval.estimate,
            bounds: interval.bounds.map(|(low, high)| (100.0 * low, 100.0 * high)),
        };
        match self {
            Self::Absolute => Some(improvement.absolute),
            Self::Relative => improvement.relative.map(percent),
        }
    }

    fn note(self, improvement: &Improvement) -> String {
        match (self, improvement.relative) {
            (Self::Absolute, _) => signed(improvement.absolute.estimate),
            (Self::Relative, Some(relative)) => signed_percent(relative.estimate),
            (Self::Relative, None) => "not defined".to_owned(),
        }
    }
}

fn forest_row(label: String, series: usize, improvement: &Improvement, scale: Scale) -> Row {
    let interval = scale.interval(improvement);
    Row {
        label,
        series,
        range: interval.and_then(|interval| interval.bounds),
        marks: interval.map(|i| (Mark::of_series(series), i.estimate)).into_iter().collect(),
        note: scale.note(improvement),
    }
}

/// Rows of the same method, in the order of the methods, under its name.
fn grouped(page: &ComparisonPage, rows: impl Iterator<Item = (usize, Row)>) -> Vec<RowGroup> {
    let mut groups: Vec<(usize, RowGroup)> = Vec::new();
    for (method, row) in rows {
        match groups.last_mut() {
            Some((last, group)) if *last == method => group.rows.push(row),
            _ => {
                let heading = page.methods[method].shown().to_owned();
                groups.push((method, RowGroup { heading, rows: vec![row] }));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn forest(
    page: &ComparisonPage,
    task: &TaskResults,
    improvements: &[CellImprovement],
    scale: Scale,
) -> Markup {
    let rows = improvements.iter().map(|cell| {
        let row = forest_row(shot_name(cell.shot), cell.method, &cell.improvement, scale);
        (cell.method, row)
    });
    let (kind, unit) = match scale {
        Scale::Absolute => ("Difference", words(&task.headline.name)),
        Scale::Relative => ("Relative difference", "% of the baseline".to_owned()),
    };
    let caption = Caption {
        title: format!("{kind} from {}", page.shown(&page.baseline)),
        description: "Right of the line is better than the baseline. Lines are 95 % intervals."
            .to_owned(),
    };
    let axis_name = format!("improvement, {unit}");
    let groups = grouped(page, rows);
    row_chart(&caption, &Rows { axis_name, zero: true, limits: ANY, groups, legend: Vec::new() })
}

fn average_forest(page: &ComparisonPage, averages: &[AverageImprovement]) -> Markup {
    let rows = averages.iter().map(|average| {
        let label = format!("{} ({})", average.regime.name(), average.improvement.cells);
        let mut row = forest_row(label, average.method, &average.improvement, Scale::Relative);
        if let Some(relative) = &average.improvement.relative {
            let percent = |share: f64| signed_percent(share).trim_end_matches(" %").to_owned();
            row.note = format!("{} ({})", row.note, bounds(relative, percent));
        }
        (average.method, row)
    });
    let caption = Caption {
        title: format!("Relative improvement over {}, averaged", page.shown(&page.baseline)),
        description: "Over tasks and numbers of examples, which count equally; how many is in \
                      brackets. Lines are 95 % intervals."
            .to_owned(),
    };
    let axis_name = "%".to_owned();
    let groups = grouped(page, rows);
    row_chart(&caption, &Rows { axis_name, zero: true, limits: ANY, groups, legend: Vec::new() })
}

const CANONICAL: Mark = Mark { shape: 0, hollow: false };
const HELD_OUT: Mark = Mark { shape: 3, hollow: true };

fn template_points(page: &ComparisonPage, task: &TaskResults) -> Markup {
    let groups: Vec<RowGroup> =
        task.shots().into_iter().filter_map(|shot| template_group(page, task, shot)).collect();
    let caption = Caption {
        title: "Canonical and held-out templates".to_owned(),
        description: format!(
            "{}, mean over seeds; lines span the held-out templates.",
            words(&task.headline.name)
        ),
    };
    let legend = [(CANONICAL, "canonical"), (HELD_OUT, "held out, mean")];
    let legend = legend.map(|(mark, name)| (mark, name.to_owned())).to_vec();
    let axis_name = words(&task.headline.name);
    let limits = limits(&task.headline.name);
    let chart = Rows { axis_name, zero: false, limits, groups, legend };
    html! { @if !chart.groups.is_empty() { (row_chart(&caption, &chart)) } }
}

fn template_group(page: &ComparisonPage, task: &TaskResults, shot: Shot) -> Option<RowGroup> {
    let rows = page.methods.iter().enumerate().filter_map(|(series, method)| {
        let results = task.results(&method.id, shot)?;
        let held_out = role_score(results, TemplateRole::HeldOut);
        let canonical = role_score(results, TemplateRole::Canonical);
        let means = [(CANONICAL, canonical.as_ref()), (HELD_OUT, held_out.as_ref())];
        let marks = means.into_iter().filter_map(|(mark, score)| Some((mark, score?.mean)));
        let marks: Vec<(Mark, f64)> = marks.collect();
        (!marks.is_empty()).then_some(Row {
            label: method.shown().to_owned(),
            series,
            range: held_out.map(|score| score.range),
            marks,
            note: String::new(),
        })
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| RowGroup { heading: shot_name(shot), rows })
}

fn reliability_charts(page: &ComparisonPage, task: &TaskResults, shot: Shot) -> Markup {
    let of_each = page.methods.iter().enumerate().filter_map(|(series, method)| {
        let bins = &task.results(&method.id, shot)?.reliability;
        let filled = bins.iter().any(|bin| bin.examples > 0);
        filled.then_some((series, method, bins))
    });
    let charts = of_each.map(|(series, method, bins)| {
        let caption = Caption {
            title: method.shown().to_owned(),
            description: format!(
                "{}, all seeds; calibration error {:.3}",
                shot_name(shot),
                expected_calibration_error(bins)
            ),
        };
        reliability_chart(&caption, series, bins)
    });
    let charts: Vec<Markup> = charts.collect();
    html! {
        @if !charts.is_empty() {
            details {
                summary { "Reliability, " (shot_name(shot)) }
                div class="charts small" { @for chart in charts { (chart) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::tests::experiment;

    #[test]
    fn the_page_has_every_part() {
        let found = comparison_page(&experiment());
        for words in [
            "0.610 ± 0.010",
            "1 of 3 collapsed",
            "accuracy by training examples",
            "Relative difference from M0",
            "Canonical and held-out templates",
            "Reliability, K = 4",
            "calibration error 0.200",
            "30.0 s",
            "dynamar compare --out x",
            "<li>On polarity, M3 is ahead with all training data: accuracy 0.910",
            "A collapsed run answers the same whatever the text",
            "id=\"word-rmse\"",
            "<pre class=\"wrap\">",
            "what linear does",
        ] {
            assert!(found.contains(words), "{words}");
        }
    }

    #[test]
    fn methods_are_named_by_what_they_are() {
        let mut page = experiment();
        "standard fine-tuning (M0)".clone_into(&mut page.methods[0].name);
        let found = comparison_page(&page);
        assert!(found.contains("Relative difference from standard fine-tuning (M0)"), "{found}");
        assert!(!found.contains("from M0") && !found.contains(">M0<"), "{found}");
    }

    #[test]
    fn the_page_loads_and_runs_nothing() {
        let mut page = experiment();
        page.methods[1].id = "<script>alert(1)</script>".to_owned();
        let found = comparison_page(&page);
        for foreign in ["<script", "http://", "https://", "url(", "<link", "@import", " src="] {
            assert!(!found.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn an_empty_experiment_is_a_page_too() {
        let mut page = experiment();
        page.tasks.clear();
        page.methods.truncate(1);
        assert!(comparison_page(&page).ends_with("</html>"));
    }
}
