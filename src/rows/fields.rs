//! Which column holds a task's field: one rule for training, evaluating and scoring.

use super::{Column, shown};

/// Where a field's text is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldColumn {
    pub name: String,
    /// Where each row says its own columns, the one that is read if a row has none of that name.
    pub otherwise: Option<String>,
    /// Its place among the columns; `None` if there is no such column, or nothing is known of them.
    pub place: Option<usize>,
}

/// Finds a field's column: the one that was chosen for it, else the one of the field's own name, else
/// the one that the task file names. Without `columns` each row says its own, and both names are
/// kept.
pub fn find_field(
    columns: Option<&[Column]>,
    chosen: Option<&str>,
    field: &str,
    column: &str,
) -> FieldColumn {
    let place = |name: &str| columns?.iter().position(|column| column.name == name);
    let first = chosen.unwrap_or(field);
    let second = chosen.is_none().then_some(column).filter(|name| *name != first);
    let mut names = [Some(first), second].into_iter().flatten();
    let found = names.find_map(|name| Some((name, place(name)?)));
    match found {
        Some((name, place)) => {
            FieldColumn { name: name.to_owned(), otherwise: None, place: Some(place) }
        }
        None => FieldColumn {
            name: first.to_owned(),
            otherwise: second.filter(|_| columns.is_none()).map(str::to_owned),
            place: None,
        },
    }
}

/// Names of columns for a message, quoted, as many as one can hold.
pub fn known_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 40;
    let more = names.len().saturating_sub(SHOWN);
    let names: Vec<String> = names.take(SHOWN).map(|name| format!("{:?}", shown(name))).collect();
    match more {
        0 => names.join(", "),
        more => format!("{}, and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ColumnKind;

    #[test]
    fn a_field_is_found_by_what_was_chosen_its_name_or_the_task_file() {
        let check = |columns: &[&str], chosen, expected: Option<usize>| {
            let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Text };
            let columns: Vec<Column> = columns.iter().map(column).collect();
            let found = find_field(Some(&columns), chosen, "title", "headline");
            assert_eq!(found.place, expected, "{columns:?}");
        };
        check(&["id", "title"], None, Some(1));
        check(&["id", "headline"], None, Some(1));
        check(&["headline", "title"], None, Some(1));
        check(&["headline", "title"], Some("headline"), Some(0));
        check(&["headline", "title"], Some("x"), None);
        check(&["Title"], None, None);
        let unknown = find_field(None, None, "title", "headline");
        let names = (unknown.name.as_str(), unknown.otherwise.as_deref());
        assert_eq!(names, ("title", Some("headline")));
        assert_eq!(find_field(None, Some("x"), "title", "headline").otherwise, None);
    }

    #[test]
    fn names_are_quoted_and_end() {
        assert_eq!(known_names([" a", "b"].into_iter()), "\" a\", \"b\"");
        assert!(known_names(["a"; 100].into_iter()).ends_with("and 60 more"));
    }
}
