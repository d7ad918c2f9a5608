//! Which columns become fields of the task, and why the others do not. Pure.

use super::{
    InitError, names,
    pairs::{self, Relation, Side},
    profile::{Nature, Profile, follows_target},
    table::Table,
};

/// Fields that a task gets; more text than this does not fit into a prompt.
const MAX_FIELDS: usize = 16;

/// A column that the task reads.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FieldPlan {
    pub name: String,
    pub column: String,
    #[serde(skip)]
    pub at: usize,
    pub side: Side,
    /// Whether a row may have no value here.
    pub optional: bool,
}

/// A column that the task does not read.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct UnusedColumn {
    pub column: String,
    #[serde(skip)]
    pub at: usize,
    pub reason: String,
}

/// The fields of the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    /// Shared ones first, then those of the left and of the right side.
    pub fields: Vec<FieldPlan>,
    pub unused: Vec<UnusedColumn>,
    /// For pairs, how their sides relate.
    pub relation: Option<Relation>,
}

impl Fields {
    /// Whether this side has a value in a row; a side without fields has.
    pub fn has_text(&self, table: &Table, row: usize, side: Side) -> bool {
        let mut fields = self.fields.iter().filter(|field| field.side == side).peekable();
        fields.peek().is_none() || fields.any(|field| !table.value(row, field.at).is_empty())
    }

    /// The sides that a row must have text on.
    pub fn sides(&self) -> &'static [Side] {
        match self.relation {
            Some(_) => &[Side::Left, Side::Right],
            None => &[Side::Shared],
        }
    }
}

/// Chooses the fields among the columns, or takes those that are named.
///
/// # Errors
///
/// `InitError` if a named column is not there or is the target, or no column holds text.
pub fn choose(
    table: &Table,
    profiles: &[Profile],
    target: usize,
    named: &[String],
) -> Result<Fields, InitError> {
    let mut candidates = candidates(table, profiles, target, named)?;
    let names: Vec<&str> = table.columns.iter().map(String::as_str).collect();
    let usable: Vec<bool> = (0..names.len())
        .map(|at| match named {
            [] => at != target && is_usable_in_pairs(table, &profiles[at], at, target),
            _ => candidates.contains(&at),
        })
        .collect();
    let of_text = |at: &usize| !named.is_empty() || profiles[*at].nature == Nature::Text;
    let pairs = pairs::find(&names, &usable).map(|mut pairs| {
        if pairs.relation != Relation::Alike {
            pairs.right.retain(of_text);
        }
        pairs
    });
    let pairs =
        pairs.filter(|pairs| pairs.left.iter().any(of_text) && pairs.right.iter().any(of_text));
    let mut chosen: Vec<(usize, Side)> = match &pairs {
        None => Vec::new(),
        Some(pairs) => {
            let (left, right) = (pairs.left.iter(), pairs.right.iter());
            let left = left.map(|at| (*at, Side::Left));
            left.chain(right.map(|at| (*at, Side::Right))).collect()
        }
    };
    if pairs.as_ref().is_some_and(|pairs| pairs.relation == Relation::Alike) && named.is_empty() {
        // A column of a side whose other side has none says little of how they compare.
        candidates.retain(|at| !is_one_sided(&names, *at));
    }
    candidates.retain(|at| chosen.iter().all(|(taken, _)| taken != at));
    let shared = candidates.iter().map(|at| (*at, Side::Shared));
    chosen = shared.chain(chosen).collect();
    if chosen.is_empty() {
        return Err(no_text(table, profiles, target));
    }
    chosen.sort_by_key(|(_, side)| *side);
    limit(&mut chosen, profiles);
    let unused = unused(table, profiles, target, &chosen, named);
    let fields = plans(table, profiles, &chosen);
    Ok(Fields { fields, unused, relation: pairs.map(|pairs| pairs.relation) })
}

/// Whether a name marks a side.
fn is_one_sided(names: &[&str], at: usize) -> bool {
    let first_or_last = |word: &str| {
        let words = names::words(names[at]);
        words.first().is_some_and(|w| w == word) || words.last().is_some_and(|w| w == word)
    };
    ["left", "right", "ltable", "rtable"].iter().any(|marker| first_or_last(marker))
}

/// The columns that hold text, or those that are named.
fn candidates(
    table: &Table,
    profiles: &[Profile],
    target: usize,
    named: &[String],
) -> Result<Vec<usize>, InitError> {
    let mut found = Vec::new();
    for name in named {
        let at = table.column(name)?;
        if at == target {
            return Err(InitError::TargetAsText { column: name.clone() });
        }
        if !found.contains(&at) {
            found.push(at);
        }
    }
    if !named.is_empty() {
        return Ok(found);
    }
    // Where nothing reads like text, what comes next to it.
    let order = [Nature::Text, Nature::Category, Nature::Code, Nature::Person];
    for nature in order {
        let of_nature = (0..profiles.len()).filter(|at| {
            *at != target && profiles[*at].nature == nature && !follows_target(table, *at, target)
        });
        found.extend(of_nature);
        if !found.is_empty() {
            break;
        }
    }
    if found.iter().all(|at| profiles[*at].nature != Nature::Text) {
        found.sort_by_key(|at| std::cmp::Reverse(profiles[*at].median_tokens));
        found.truncate(1);
    }
    Ok(found)
}

/// Whether a column can be compared with the other side's: text, codes and numbers can.
fn is_usable_in_pairs(table: &Table, profile: &Profile, at: usize, target: usize) -> bool {
    let is_comparable = match profile.nature {
        Nature::Text | Nature::Code | Nature::Number => true,
        // Unique codes; a column of ids says so in its name.
        Nature::Id => !names::is_id(&profile.column),
        _ => false,
    };
    is_comparable && !names::is_id(&profile.column) && !follows_target(table, at, target)
}

/// Leaves out the shortest fields where there are too many.
fn limit(chosen: &mut Vec<(usize, Side)>, profiles: &[Profile]) {
    while chosen.len() > MAX_FIELDS {
        let shortest = (0..chosen.len()).min_by_key(|at| profiles[chosen[*at].0].median_tokens);
        let Some(shortest) = shortest else { return };
        chosen.remove(shortest);
    }
}

fn unused(
    table: &Table,
    profiles: &[Profile],
    target: usize,
    chosen: &[(usize, Side)],
    named: &[String],
) -> Vec<UnusedColumn> {
    let is_unused = |at: &usize| *at != target && chosen.iter().all(|(taken, _)| taken != at);
    (0..profiles.len())
        .filter(is_unused)
        .map(|at| {
            let reason = match profiles[at].nature {
                _ if !named.is_empty() => "not among --text".to_owned(),
                Nature::Unnamed => Nature::Unnamed.to_string(),
                _ if follows_target(table, at, target) => "gives the target away".to_owned(),
                Nature::Text if chosen.len() == MAX_FIELDS => "too many columns of text".to_owned(),
                Nature::Text => "the other side has nothing to compare it with".to_owned(),
                nature => nature.to_string(),
            };
            UnusedColumn { column: table.columns[at].clone(), at, reason }
        })
        .collect()
}

fn plans(table: &Table, profiles: &[Profile], chosen: &[(usize, Side)]) -> Vec<FieldPlan> {
    let columns: Vec<&str> = chosen.iter().map(|(at, _)| table.columns[*at].as_str()).collect();
    let names = names::field_names(&columns);
    let required = required(table, profiles, chosen);
    let plan = |(name, (at, side)): (String, &(usize, Side))| FieldPlan {
        name,
        column: table.columns[*at].clone(),
        at: *at,
        side: *side,
        optional: !required.contains(at),
    };
    names.into_iter().zip(chosen).map(plan).collect()
}

/// The columns that no row may be without: of each side the text that is filled most often, and of
/// those the longest. A caller may not have the others.
fn required(table: &Table, profiles: &[Profile], chosen: &[(usize, Side)]) -> Vec<usize> {
    let of_side = |side: Side| -> Vec<usize> {
        chosen.iter().filter(|(_, other)| *other == side).map(|(at, _)| *at).collect()
    };
    let (left, right) = (of_side(Side::Left), of_side(Side::Right));
    let empty = |at: usize| table.rows.len() - profiles[at].filled;
    // Both sides need the same field, where each has its partner.
    let gaps = |at: usize| match left.iter().zip(&right).find(|(l, r)| **l == at || **r == at) {
        Some((l, r)) if left.len() == right.len() => empty(*l).max(empty(*r)),
        _ => empty(at),
    };
    let most = |side: Vec<usize>| {
        let key = |at: &usize| {
            let profile = &profiles[*at];
            (profile.nature != Nature::Text, gaps(*at), std::cmp::Reverse(profile.median_tokens))
        };
        let is_alone = side.len() == 1;
        side.into_iter().min_by_key(key).filter(|at| is_alone || gaps(*at) == 0)
    };
    [Side::Shared, Side::Left, Side::Right]
        .into_iter()
        .filter_map(|side| most(of_side(side)))
        .collect()
}

fn no_text(table: &Table, profiles: &[Profile], target: usize) -> InitError {
    let others = profiles.iter().enumerate().filter(|(at, _)| *at != target);
    let columns: Vec<String> =
        others.map(|(_, profile)| format!("{:?} ({})", profile.column, profile.nature)).collect();
    let columns = if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
    InitError::NoText { path: table.source.path.clone(), columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{profile::profiles, table::tests::table};

    /// The fields of a file with these columns, each a name and what its values look like.
    fn fields(columns: &[(&str, &str)], named: &[&str]) -> Result<Fields, InitError> {
        let rows: Vec<Vec<String>> = (0..60)
            .map(|row| {
                let cell = |kind: &str| match kind {
                    "text" => format!("it is thing number {row} of {}", row * 7),
                    "label" => ["yes", "no"][row % 2].to_owned(),
                    "copy" => ["1", "0"][row % 2].to_owned(),
                    "gaps" => {
                        if row % 3 == 0 {
                            String::new()
                        } else {
                            format!("some {row} gaps")
                        }
                    }
                    "number" => format!("{}.5", row % 7),
                    "brand" => ["Acme", "Bolt", "Cold"][row % 3].to_owned(),
                    "date" => format!("2015-01-{:02}", row % 28 + 1),
                    other => format!("{other}{row}"),
                };
                columns.iter().map(|(_, kind)| cell(kind)).collect()
            })
            .collect();
        let rows: Vec<Vec<&str>> =
            rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        let rows: Vec<&[&str]> = rows.iter().map(Vec::as_slice).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let table = table(&names, &rows);
        let target = table.column("label").expect("a target");
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        choose(&table, &profiles(&table, None), target, &named)
    }

    fn names(fields: &Fields) -> Vec<&str> {
        fields.fields.iter().map(|field| field.name.as_str()).collect()
    }

    #[test]
    fn text_becomes_fields_and_the_rest_is_said() {
        let found = fields(
            &[
                ("review_id", "R"),
                ("Review Text", "text"),
                ("title", "gaps"),
                ("label", "label"),
                ("label_text", "copy"),
                ("date", "date"),
                ("price", "number"),
                ("brand", "brand"),
            ],
            &[],
        )
        .expect("fields");
        assert_eq!(names(&found), ["Review_Text", "title"]);
        assert_eq!(found.fields.iter().map(|f| f.optional).collect::<Vec<_>>(), [false, true]);
        let reasons: Vec<(&str, &str)> =
            found.unused.iter().map(|u| (u.column.as_str(), u.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                ("review_id", "ids"),
                ("label_text", "gives the target away"),
                ("date", "dates"),
                ("price", "numbers"),
                ("brand", "few values"),
            ]
        );
    }

    #[test]
    fn pairs_keep_what_can_be_compared() {
        let columns = [
            ("left_id", "L"),
            ("left_title", "text"),
            ("left_price", "number"),
            ("right_id", "R"),
            ("right_title", "text"),
            ("right_price", "gaps"),
            ("label", "label"),
            ("note", "text"),
        ];
        let found = fields(&columns, &[]).expect("fields");
        assert_eq!(found.relation, Some(Relation::Alike));
        assert_eq!(
            names(&found),
            ["note", "left_title", "left_price", "right_title", "right_price"]
        );
        let found = fields(&columns, &["right_title", "left_title"]).expect("fields");
        assert_eq!(names(&found), ["left_title", "right_title"]);
        assert_eq!(found.unused.len(), 5);
    }

    #[test]
    fn a_file_without_text_says_what_it_has() {
        let error = fields(&[("label", "label"), ("date", "date")], &[]).expect_err("no text");
        assert!(error.to_string().contains("\"date\" (dates)"), "{error}");
        let error = fields(&[("label", "label"), ("text", "text")], &["label"]).expect_err("both");
        assert!(error.to_string().contains("target"), "{error}");
        let found = fields(&[("label", "label"), ("brand", "brand")], &[]).expect("what there is");
        assert_eq!(names(&found), ["brand"]);
    }
}
