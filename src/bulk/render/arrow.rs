//! Rows as Arrow batches, for Parquet.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Cell, Outcome, Rendered, cell};
use crate::{
    bulk::{
        BulkError,
        columns::{Added, Layout},
        parse::{Object, Rows},
    },
    rows::{Column, ColumnKind, Entry, RowsError, entry_text},
};

/// The types of the output's columns. Those of a Parquet file stay as they are.
pub fn output_schema(layout: &Layout, input: Option<&SchemaRef>) -> SchemaRef {
    let column = |column: &Column| {
        let kind = match column.kind {
            ColumnKind::Text | ColumnKind::Arrow => DataType::Utf8,
            ColumnKind::Boolean => DataType::Boolean,
            ColumnKind::Integer => DataType::Int64,
            ColumnKind::Float => DataType::Float64,
        };
        Arc::new(Field::new(&column.name, kind, true))
    };
    let mut fields: Vec<Arc<Field>> = match input {
        Some(schema) => schema.fields().iter().cloned().collect(),
        None => layout.columns().iter().map(column).collect(),
    };
    fields.extend(layout.added.iter().map(|(name, what)| {
        let kind = match what {
            Added::Label | Added::Decision(_) | Added::Error => DataType::Utf8,
            Added::Probability | Added::Score(_) | Added::Uncertainty(_) => DataType::Float32,
            Added::Value => DataType::Float64,
            Added::Truncated => DataType::Boolean,
            Added::Windows => DataType::Int64,
        };
        Arc::new(Field::new(name, kind, true))
    }));
    let metadata = input.map(|schema| schema.metadata().clone()).unwrap_or_default();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// Arrow batches of rows and outcomes.
pub(super) fn batches(
    rows: &Rows,
    outcomes: &[Outcome],
    layout: &Layout,
    schema: &SchemaRef,
) -> Result<Rendered, BulkError> {
    let batch = |mut columns: Vec<ArrayRef>, outcomes: &[Outcome]| {
        columns.extend(layout.added.iter().map(|(_, what)| added(layout, *what, outcomes)));
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| {
            BulkError::from(RowsError::WriteParquet { message: error.to_string() })
        })
    };
    let columns = layout.columns().iter();
    let batches = match rows {
        Rows::Arrow(batches) => {
            let mut rest = outcomes;
            let with_outcomes = batches.iter().map(|one| {
                let (these, after) = rest.split_at(one.num_rows());
                rest = after;
                batch(one.columns().to_vec(), these)
            });
            with_outcomes.collect::<Result<_, _>>()?
        }
        Rows::Csv(records) => {
            let column = |at: usize| -> ArrayRef {
                let texts = records.iter().map(|row| row.get(at).map(String::from_utf8_lossy));
                Arc::new(texts.collect::<StringArray>())
            };
            vec![batch((0..columns.len()).map(column).collect(), outcomes)?]
        }
        Rows::Json(objects) => {
            vec![batch(columns.map(|column| json_column(objects, column)).collect(), outcomes)?]
        }
    };
    Ok(Rendered::Batches(batches))
}

fn json_column(objects: &[Object], column: &Column) -> ArrayRef {
    let entries = objects.iter().map(|object| object.entries.get(&column.name));
    // What is no plain value makes its column one of texts.
    let values = entries.clone().map(|entry| match entry? {
        Entry::Plain(value) => Some(value),
        Entry::Written(_) => None,
    });
    match column.kind {
        ColumnKind::Boolean => {
            Arc::new(values.map(|value| value?.as_bool()).collect::<BooleanArray>())
        }
        ColumnKind::Integer => {
            Arc::new(values.map(|value| value?.as_i64()).collect::<Int64Array>())
        }
        ColumnKind::Float => {
            Arc::new(values.map(|value| value?.as_f64()).collect::<Float64Array>())
        }
        ColumnKind::Text | ColumnKind::Arrow => {
            Arc::new(entries.map(|entry| entry_text(entry?)).collect::<StringArray>())
        }
    }
}

fn added(layout: &Layout, what: Added, outcomes: &[Outcome]) -> ArrayRef {
    let cells = outcomes.iter().map(|outcome| cell(layout, what, outcome));
    match what {
        Added::Label | Added::Decision(_) | Added::Error => {
            let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
            Arc::new(cells.map(text).collect::<StringArray>()) as Arc<dyn Array>
        }
        Added::Probability | Added::Score(_) | Added::Uncertainty(_) => {
            let number = |cell| if let Cell::Single(number) = cell { Some(number) } else { None };
            Arc::new(cells.map(number).collect::<Float32Array>())
        }
        Added::Value => {
            let number = |cell| if let Cell::Double(number) = cell { Some(number) } else { None };
            Arc::new(cells.map(number).collect::<Float64Array>())
        }
        Added::Windows => {
            let count = |cell| if let Cell::Count(count) = cell { Some(count) } else { None };
            let whole = |count| i64::try_from(count).unwrap_or(i64::MAX);
            Arc::new(cells.map(|cell| count(cell).map(whole)).collect::<Int64Array>())
        }
        Added::Truncated => {
            let truth = |cell| if let Cell::Truth(truth) = cell { Some(truth) } else { None };
            Arc::new(cells.map(truth).collect::<BooleanArray>())
        }
    }
}
