//! A cell as what a task predicts.

use crate::{
    rows::Cell,
    task::{Kind, Target},
};

/// Characters of a faulty value that a message quotes.
const MAX_SHOWN: usize = 40;

/// Labels that a message lists.
const MAX_LABELS: usize = 20;

/// Reads a label or a number.
///
/// # Errors
///
/// Message of the fault.
pub(super) fn read_target(cell: Option<&Cell>, kind: &Kind) -> Result<Target, String> {
    let text = match cell {
        Some(Cell::Other(what)) => return Err(format!("{what}, and no label or number")),
        cell => cell.and_then(Cell::text).unwrap_or_default().trim(),
    };
    match kind {
        Kind::Classification { .. } if text.is_empty() => Err("no label".to_owned()),
        Kind::Classification { labels } => {
            find_label(text, labels).map(Target::Label).ok_or_else(|| {
                let known: Vec<&str> = labels.iter().take(MAX_LABELS).map(String::as_str).collect();
                format!("unknown label {:?}; the task has: {}", shown(text), known.join(", "))
            })
        }
        Kind::Regression { .. } if text.is_empty() => Err("no number".to_owned()),
        Kind::Regression { min, max } => {
            let value: f64 = text.parse().map_err(|_| format!("{:?} is no number", shown(text)))?;
            if !value.is_finite() {
                return Err(format!("{text} is not finite"));
            }
            if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
                return Err(format!("{value} lies outside the target's declared range"));
            }
            Ok(Target::Value(value))
        }
    }
}

/// The label as the task file writes it, or else the only one that is the same number or truth
/// value: tables write 5 as `5.0` as soon as a row has none.
fn find_label(text: &str, labels: &[String]) -> Option<usize> {
    let exact = labels.iter().position(|label| label == text);
    exact.or_else(|| {
        let is_same = |label: &String| match (number(text), truth(text)) {
            (Some(found), _) => number(label) == Some(found),
            (None, Some(found)) => truth(label) == Some(found),
            (None, None) => false,
        };
        let mut same = (0..labels.len()).filter(|at| is_same(&labels[*at]));
        same.next().filter(|_| same.next().is_none())
    })
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn truth(text: &str) -> Option<bool> {
    text.trim().to_ascii_lowercase().parse().ok()
}

/// Enough of a value to find it.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: Cell, labels: &[&str], expected: Option<usize>) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let found = read_target(Some(&cell), &Kind::Classification { labels });
        assert_eq!(found.ok(), expected.map(Target::Label), "{cell:?}");
    }

    #[test]
    fn a_label_is_found_however_a_table_writes_it() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let number = |digits: &str| Cell::Number(digits.to_owned());
        check(text(" 5 "), &["4", "5"], Some(1));
        check(text("5.0"), &["4", "5"], Some(1));
        check(number("5"), &["4.0", "5.0"], Some(1));
        check(number("5.0"), &["4", "5"], Some(1));
        check(number("5e0"), &["4", "05"], Some(1));
        // As written comes first; of two that are the same number neither.
        check(text("5"), &["5.0", "5"], Some(1));
        check(number("5.00"), &["5.0", "5"], None);
        check(number("4.5"), &["4", "5"], None);
        check(Cell::Boolean(true), &["False", "True"], Some(1));
        check(text("TRUE"), &["false", "true"], Some(1));
        check(text("Good"), &["bad", "good"], None);
        check(text("nan"), &["bad", "NaN"], None);
        check(Cell::Null, &["bad", "good"], None);
        check(Cell::Other("a list"), &["bad", "good"], None);
    }

    #[test]
    fn a_number_may_be_written_in_any_cell() {
        let kind = Kind::Regression { min: Some(0.0), max: Some(5.0) };
        for cell in [Cell::Text(" 4.5".to_owned()), Cell::Number("45e-1".to_owned())] {
            assert_eq!(read_target(Some(&cell), &kind), Ok(Target::Value(4.5)));
        }
        assert!(read_target(Some(&Cell::Number("6".to_owned())), &kind).is_err());
        assert_eq!(read_target(None, &kind), Err("no number".to_owned()));
    }
}
