//! The rows with the least sure predictions, the least sure first: those to label next.
//!
//! As many as were asked for are in memory, whatever the size of the input. Equally sure rows come
//! in their order, so that threads and time change nothing.

use std::{cmp::Ordering, collections::BinaryHeap, num::NonZeroUsize};

use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;

use super::{
    BulkError,
    columns::Layout,
    parse::Rows,
    render::{Outcome, Rendered, render},
    state::Counts,
};
use crate::{
    rows::RowsError,
    task::{Kind, Prediction},
};

/// Bytes of the rows that are kept, at most.
const MAX_BYTES: usize = 1 << 30;

/// Measure of a prediction's uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncertainty {
    /// 1 less the margin between the two most probable labels.
    Margin,
    /// The standard deviation between templates (of labels the largest).
    TemplateSpread,
}

impl Uncertainty {
    /// From 0, quite sure. `None` for a value whose margin is asked for.
    pub fn of(self, prediction: &Prediction) -> Option<f32> {
        match self {
            Self::Margin => prediction.output.margin().map(|margin| 1.0 - margin),
            Self::TemplateSpread => Some(prediction.template_spread),
        }
    }
}

/// Asks for the least sure rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeastSure {
    /// Rows that are written at most.
    pub limit: NonZeroUsize,
    pub uncertainty: Uncertainty,
}

impl LeastSure {
    /// So many of a task's rows: by the spread of the templates if several answer, or else by the
    /// margin between labels.
    ///
    /// # Errors
    ///
    /// If one template answers with a number, which says nothing of how sure it is.
    pub fn new(limit: NonZeroUsize, kind: &Kind, templates: usize) -> Result<Self, BulkError> {
        let uncertainty = match kind {
            _ if templates > 1 => Uncertainty::TemplateSpread,
            Kind::Classification { .. } => Uncertainty::Margin,
            Kind::Regression { .. } => return Err(BulkError::NoUncertainty),
        };
        Ok(Self { limit, uncertainty })
    }

    /// The least sure of some rows, of which the first has this number.
    ///
    /// # Errors
    ///
    /// If a row has a value that the output cannot hold.
    pub(super) fn pick(
        &self,
        rows: &Rows,
        outcomes: &[Outcome],
        first: u64,
        layout: &Layout,
        schema: Option<&SchemaRef>,
    ) -> Result<Vec<PickedRow>, BulkError> {
        let found = outcomes.iter().enumerate().filter_map(|(at, outcome)| {
            // A row that failed has no prediction.
            Some((at, self.uncertainty.of(outcome.as_ref().ok()?)?))
        });
        let mut found: Vec<(usize, f32)> = found.collect();
        // Stable: equal ones stay in their order.
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        found.truncate(self.limit.get());
        let pick = |(at, uncertainty): (usize, f32)| {
            let outcome = std::slice::from_ref(&outcomes[at]);
            let rendered = render(&rows.alone(at)?, outcome, layout, schema)?;
            Ok(PickedRow { uncertainty, row: first + at as u64, rendered })
        };
        found.into_iter().map(pick).collect()
    }
}

/// A row ready to be written.
#[derive(Clone)]
pub struct PickedRow {
    uncertainty: f32,
    row: u64,
    rendered: Rendered,
}

impl PickedRow {
    fn bytes(&self) -> usize {
        match &self.rendered {
            Rendered::Bytes(bytes) => bytes.len(),
            Rendered::Batches(batches) => {
                batches.iter().map(arrow_array::RecordBatch::get_array_memory_size).sum()
            }
            Rendered::Picked(rows) => rows.iter().map(Self::bytes).sum(),
        }
    }
}

/// The least sure comes first; of equals, the earlier row.
impl Ord for PickedRow {
    fn cmp(&self, other: &Self) -> Ordering {
        other.uncertainty.total_cmp(&self.uncertainty).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for PickedRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PickedRow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PickedRow {}

/// The rows that are kept while the input goes by.
pub struct Ranking {
    limit: usize,
    /// The surest on top, which gives way first.
    kept: BinaryHeap<PickedRow>,
    bytes: usize,
    /// Counts of all rows, kept or not.
    pub counts: Counts,
    pub first_error: Option<String>,
}

impl Ranking {
    pub fn new(limit: NonZeroUsize) -> Self {
        let (counts, first_error) = (Counts::default(), None);
        Self { limit: limit.get(), kept: BinaryHeap::new(), bytes: 0, counts, first_error }
    }

    /// Takes rows in, as long as they are among the least sure.
    ///
    /// # Errors
    ///
    /// If those that are kept take more memory than they may.
    pub fn add(&mut self, rows: &[PickedRow]) -> Result<(), BulkError> {
        for row in rows {
            let is_full = self.kept.len() >= self.limit;
            if is_full && self.kept.peek().is_some_and(|surest| row >= surest) {
                continue;
            }
            if is_full && let Some(surest) = self.kept.pop() {
                self.bytes -= surest.bytes();
            }
            self.bytes += row.bytes();
            self.kept.push(row.clone());
            if self.bytes > MAX_BYTES {
                let (limit, bytes) = (self.limit, MAX_BYTES);
                return Err(BulkError::TooMuchKept { limit, bytes });
            }
        }
        Ok(())
    }

    /// Rows that are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// The rows, the least sure first. A schema, if they are of Parquet.
    ///
    /// # Errors
    ///
    /// If Arrow cannot put them together.
    pub fn into_rows(self, schema: Option<&SchemaRef>) -> Result<Rendered, BulkError> {
        let (mut bytes, mut batches) = (Vec::new(), Vec::new());
        for row in self.kept.into_sorted_vec() {
            match row.rendered {
                Rendered::Bytes(row) => bytes.extend(row),
                Rendered::Batches(row) => batches.extend(row),
                Rendered::Picked(_) => {}
            }
        }
        let Some(schema) = schema else { return Ok(Rendered::Bytes(bytes)) };
        let whole = concat_batches(schema, &batches)
            .map_err(|error| RowsError::WriteParquet { message: error.to_string() })?;
        Ok(Rendered::Batches(vec![whole]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Output;

    fn row(uncertainty: f32, row: u64) -> PickedRow {
        PickedRow { uncertainty, row, rendered: Rendered::Bytes(format!("{row},").into_bytes()) }
    }

    fn check(limit: usize, rows: &[PickedRow], expected: &str) {
        // In whatever pieces they come.
        for size in [1, 3] {
            let mut ranking = Ranking::new(NonZeroUsize::new(limit).expect("not 0"));
            rows.chunks(size).for_each(|rows| ranking.add(rows).expect("few bytes"));
            assert!(ranking.kept.len() <= limit);
            let Rendered::Bytes(found) = ranking.into_rows(None).expect("rows") else {
                panic!("bytes")
            };
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
    }

    #[test]
    fn the_least_sure_come_first_and_equal_ones_in_their_order() {
        let rows = [row(0.1, 1), row(0.9, 2), row(0.5, 3), row(0.9, 4), row(0.5, 5)];
        check(3, &rows, "2,4,3,");
        check(9, &rows, "2,4,3,5,1,");
        let backwards: Vec<PickedRow> = rows.iter().rev().cloned().collect();
        check(3, &backwards, "2,4,3,");
    }

    #[test]
    fn what_says_how_sure_follows_from_task_and_templates() {
        let limit = NonZeroUsize::MIN;
        let labels = Kind::Classification { labels: vec!["a".to_owned(), "b".to_owned()] };
        let number = Kind::Regression { min: None, max: None };
        let of = |kind, templates| LeastSure::new(limit, kind, templates).map(|l| l.uncertainty);
        assert_eq!(of(&labels, 1).expect("a margin"), Uncertainty::Margin);
        assert_eq!(of(&labels, 2).expect("a spread"), Uncertainty::TemplateSpread);
        assert_eq!(of(&number, 2).expect("a spread"), Uncertainty::TemplateSpread);
        let error = of(&number, 1).expect_err("nothing says").to_string();
        assert!(error.contains("--ensemble"), "{error}");
        let prediction = Prediction {
            template_spread: 0.125,
            ..Prediction::of(Output::Probabilities(vec![0.25, 0.75]))
        };
        assert_eq!(Uncertainty::Margin.of(&prediction), Some(0.5));
        assert_eq!(Uncertainty::TemplateSpread.of(&prediction), Some(0.125));
    }
}
