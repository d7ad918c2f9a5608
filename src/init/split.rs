//! Splits rows into those to train on, to choose by and to test on. Pure, and whatever their order.

use std::collections::{BTreeMap, HashMap};

use super::clean::{KeptRow, Key, hash};

/// Makes these splits others than those of another purpose.
const SEED: &str = "dynamar init 1";

/// Shares of the rows that `dev` and `test` get.
const SHARE: f64 = 0.1;

/// Rows of `dev` and `test` in files that are small, up to a share.
const MIN_ROWS: f64 = 50.0;
const MAX_SHARE: f64 = 0.2;

/// Rows of a label that training needs.
const MIN_TRAIN_ROWS: usize = 2;

/// A part of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Train,
    Dev,
    Test,
}

/// Rows that stay together.
struct Unit {
    rows: Vec<usize>,
    rank: Key,
    /// The label of most of its rows.
    stratum: String,
    contradictory: bool,
}

/// The part of each row. Rows with the same key, or with the same group where there are groups, are
/// in one part; contradictory ones are trained on. With `by_label`, each label has about its share
/// of every part.
pub fn split(rows: &[KeptRow], groups: Option<&[String]>, by_label: bool) -> Vec<Part> {
    let mut units = units(rows, groups, by_label);
    units.sort_by_key(|unit| unit.rank);
    let mut strata: BTreeMap<&str, Vec<&Unit>> = BTreeMap::new();
    for unit in &units {
        strata.entry(&unit.stratum).or_default().push(unit);
    }
    let share = (MIN_ROWS / rows.len().max(1) as f64).clamp(SHARE, MAX_SHARE);
    let mut parts = vec![Part::Train; rows.len()];
    // What a stratum gets too much or too little of, the next one makes up for.
    let mut owed = [0.0, 0.0];
    for units in strata.values() {
        let count: usize = units.iter().map(|unit| unit.rows.len()).sum();
        let wanted = owed.map(|owed| owed + share * count as f64);
        let taken = assign(units, count, wanted, &mut parts);
        owed = [wanted[0] - taken[0] as f64, wanted[1] - taken[1] as f64];
    }
    parts
}

/// Gives units of a stratum to `dev` and `test` until these have what is wanted; returns the rows
/// that they got.
fn assign(units: &[&Unit], count: usize, wanted: [f64; 2], parts: &mut [Part]) -> [usize; 2] {
    // Each part is to have each label, once there is enough of it to train on.
    let least = if count >= MIN_TRAIN_ROWS + 2 { 1.0 } else { 0.0 };
    let wanted = wanted.map(|wanted| wanted.round().max(least));
    let mut taken = [0usize; 2];
    let mut left = count;
    for unit in units.iter().filter(|unit| !unit.contradictory) {
        let rows = unit.rows.len();
        if left < MIN_TRAIN_ROWS + rows {
            continue;
        }
        // The test set is filled first; a unit that is far too large for what is wanted is passed.
        let place = [1, 0].into_iter().find(|part| {
            let missing = wanted[*part] - taken[*part] as f64;
            missing >= 1.0 && rows as f64 <= (1.5 * missing).max(1.0)
        });
        if let Some(place) = place {
            taken[place] += rows;
            left -= rows;
            let part = if place == 0 { Part::Dev } else { Part::Test };
            unit.rows.iter().for_each(|row| parts[*row] = part);
        }
    }
    taken
}

/// Joins rows that share a key or a group.
fn units(rows: &[KeptRow], groups: Option<&[String]>, by_label: bool) -> Vec<Unit> {
    let mut joined = Joined::new(rows.len());
    let mut by_key: HashMap<Key, usize> = HashMap::new();
    let mut by_group: HashMap<&str, usize> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        joined.join(*by_key.entry(row.key).or_insert(at), at);
        // A row without a group is one of its own.
        if let Some(group) = groups.map(|groups| groups[at].as_str()).filter(|g| !g.is_empty()) {
            joined.join(*by_group.entry(group).or_insert(at), at);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..rows.len() {
        let root = joined.root(at);
        members.entry(root).or_default().push(at);
    }
    members.into_values().map(|members| unit(rows, members, by_label)).collect()
}

fn unit(rows: &[KeptRow], members: Vec<usize>, by_label: bool) -> Unit {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for at in &members {
        *counts.entry(&rows[*at].answer).or_default() += 1;
    }
    let most = counts.iter().max_by_key(|(label, rows)| (**rows, std::cmp::Reverse(**label)));
    let stratum = most.filter(|_| by_label).map_or("", |(label, _)| *label).to_owned();
    // The least key of all names the unit, wherever its rows stand in the file.
    let rank = members.iter().map(|at| rank(&rows[*at].key)).min().unwrap_or_default();
    let contradictory = members.iter().any(|at| rows[*at].contradictory);
    Unit { rows: members, rank, stratum, contradictory }
}

fn rank(key: &Key) -> Key {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    hash([SEED, &hex].into_iter())
}

/// Sets of rows that are joined two at a time.
struct Joined {
    parents: Vec<usize>,
}

impl Joined {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, answer: impl Fn(usize) -> &'static str) -> Vec<KeptRow> {
        let row = |at: usize| {
            let key = hash([at.to_string().as_str()].into_iter());
            KeptRow { at, answer: answer(at).to_owned(), key, contradictory: false }
        };
        (0..count).map(row).collect()
    }

    fn sizes(parts: &[Part]) -> [usize; 3] {
        [Part::Train, Part::Dev, Part::Test]
            .map(|wanted| parts.iter().filter(|part| **part == wanted).count())
    }

    #[test]
    fn small_files_give_a_larger_share() {
        for (count, expected) in
            [(1000, [800, 100, 100]), (400, [300, 50, 50]), (100, [60, 20, 20]), (20, [12, 4, 4])]
        {
            assert_eq!(sizes(&split(&rows(count, |_| "a"), None, false)), expected, "{count}");
        }
    }

    #[test]
    fn splits_do_not_depend_on_the_order() {
        let forward = rows(300, |at| ["a", "b", "c"][at % 3]);
        let mut backward = forward.clone();
        backward.reverse();
        let mut parts = split(&backward, None, true);
        parts.reverse();
        assert_eq!(split(&forward, None, true), parts);
    }

    #[test]
    fn a_rare_label_is_in_every_part() {
        let rows = rows(1000, |at| if at % 100 == 0 { "rare" } else { "usual" });
        let parts = split(&rows, None, true);
        let of_rare: Vec<Part> = (0..10).map(|at| parts[at * 100]).collect();
        assert_eq!(sizes(&of_rare), [8, 1, 1]);
        assert_eq!(sizes(&parts), [800, 100, 100]);
    }

    #[test]
    fn groups_keys_and_contradictions_stay_together() {
        let mut rows = rows(200, |at| ["a", "b"][at % 2]);
        for at in 0..20 {
            rows[at + 100].key = rows[at].key;
        }
        for row in &mut rows[150..170] {
            row.contradictory = true;
        }
        let groups: Vec<String> = (0..200).map(|at| (at / 5).to_string()).collect();
        for (groups, by_label) in [(None, true), (Some(&groups[..]), false)] {
            let parts = split(&rows, groups, by_label);
            assert!((0..20).all(|at| parts[at] == parts[at + 100]));
            assert!((150..170).all(|at| parts[at] == Part::Train));
            if groups.is_some() {
                assert!((0..200).all(|at| parts[at] == parts[at / 5 * 5]));
            }
            let [_, dev, test] = sizes(&parts);
            assert!((20..=60).contains(&dev) && (20..=60).contains(&test), "{dev} {test}");
        }
    }

    #[test]
    fn a_label_with_few_rows_stays_in_training() {
        let rows = rows(40, |at| if at < 3 { "rare" } else { "usual" });
        let parts = split(&rows, None, true);
        assert!(parts[..3].iter().filter(|part| **part == Part::Train).count() >= 2);
    }
}
