//! What the user should know about the data. Pure.

use super::{
    Split,
    clean::Clean,
    lengths::Lengths,
    split::Part,
    target::{Answers, TargetPlan},
};

/// Rows of a part below which its figures say little.
const SMALL: usize = 100;

/// Rows of `dev` below which nothing is calibrated on it.
const TOO_SMALL: usize = 20;

/// Share of the rows that are cut above which it is told.
const MUCH_CUT: f64 = 0.05;

/// Labels that a note names.
const SHOWN: usize = 5;

/// Sentences about the labels, the contradictions, the splits and the lengths.
pub fn notes(
    target: &TargetPlan,
    clean: &Clean,
    split: Option<&Split>,
    lengths: &Lengths,
) -> Vec<String> {
    let mut notes = Vec::new();
    for group in &target.variants {
        let labels: Vec<String> = group.iter().map(|label| format!("{label:?}")).collect();
        notes.push(format!(
            "labels {} differ in their case alone and stay different: make them alike in the file \
             if they mean the same",
            labels.join(" and ")
        ));
    }
    let contradictory = &clean.contradictory;
    if contradictory.rows > 0 {
        let kind = match target.answers {
            Answers::Classification { .. } => "labels",
            Answers::Regression { .. } => "numbers",
        };
        notes.push(format!(
            "{} rows have a text that occurs with different {kind} ({}): they are trained on and \
             not tested on; mend them if you can",
            contradictory.rows,
            contradictory.first()
        ));
    }
    if let Some(split) = split {
        about_split(&mut notes, target, clean, split);
    }
    if lengths.cut_share > MUCH_CUT {
        notes.push(format!(
            "{:.0} % of the rows are longer than a prompt of {} tokens and are cut",
            lengths.cut_share * 100.0,
            lengths.max_length
        ));
    }
    notes
}

fn about_split(notes: &mut Vec<String>, target: &TargetPlan, clean: &Clean, split: &Split) {
    let (dev, test) = (split.size(Part::Dev), split.size(Part::Test));
    if dev == 0 || test == 0 {
        notes.push(
            "there are too few rows for a dev and a test set: nothing will tell how good the model is"
                .to_owned(),
        );
    } else if dev < TOO_SMALL {
        notes.push(format!(
            "dev is small ({dev}): too few examples to calibrate on or to choose a threshold by; \
             label more rows"
        ));
    }
    if (1..SMALL).contains(&test) {
        // Half the width of a 95 % interval about a share of 0.8.
        let width = 100.0 * 1.96 * (0.8 * 0.2 / test as f64).sqrt();
        let is_share = matches!(target.answers, Answers::Classification { .. });
        let width = match is_share && test >= TOO_SMALL {
            true => format!(", such as an accuracy of 80 ± {width:.0} %"),
            false => String::new(),
        };
        notes.push(format!("test is small ({test}): figures from it are rough{width}"));
    }
    let Answers::Classification { labels, .. } = &target.answers else { return };
    for (part, name) in [(Part::Dev, "dev"), (Part::Test, "test")] {
        let is_missing = |label: &str| {
            let mut rows = clean.kept.iter().zip(&split.parts);
            !rows.any(|(row, other)| *other == part && row.answer == label)
        };
        let missing: Vec<&str> = labels
            .iter()
            .map(|label| label.name.as_str())
            .filter(|name| is_missing(name))
            .collect();
        if !missing.is_empty() && split.size(part) > 0 {
            let shown: Vec<String> =
                missing.iter().take(SHOWN).map(|label| format!("{label:?}")).collect();
            let more = if missing.len() > SHOWN { ", …" } else { "" };
            notes.push(format!(
                "{name} has no example of {}{more}: label more rows of {}",
                shown.join(", "),
                if missing.len() == 1 { "it" } else { "them" }
            ));
        }
    }
}
