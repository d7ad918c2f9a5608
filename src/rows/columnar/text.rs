//! Columns of text, read as bytes: the library gives up a file for one value that is not UTF-8, and
//! here its row alone fails.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, GenericStringArray, LargeBinaryArray,
    LargeStringArray, OffsetSizeTrait, RecordBatch, StringArray, StringViewArray, cast::AsArray,
};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    basic::Type as Physical,
    errors::Result,
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

use crate::rows::columns::shown;

/// Rows, by their places, that have what is no text, and what is wrong with each.
pub type Faults = BTreeMap<usize, String>;

/// How a file is read so that no text of a column is looked at: as bytes, and those of each row as a
/// view, so that a long value that stands in many rows is there once. What is within lists and
/// structs is read as it is.
///
/// # Errors
///
/// If the columns cannot be told.
pub fn as_bytes(metadata: &ArrowReaderMetadata) -> Result<ArrowReaderOptions> {
    let schema = metadata.schema();
    let root = metadata.parquet_schema().root_schema();
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    let mut known = schema.fields().iter().peekable();
    for column in root.get_fields() {
        // A group without fields is no column in Arrow.
        let Some(field) = known.next_if(|field| field.name() == column.name()) else {
            columns.push(Arc::clone(column));
            continue;
        };
        match read_as(field.data_type()) {
            Some(kind) if column.is_primitive() => {
                columns.push(without_meaning(column)?);
                fields.push(Arc::new(field.as_ref().clone().with_data_type(kind)));
            }
            _ => {
                columns.push(Arc::clone(column));
                fields.push(Arc::clone(field));
            }
        }
    }
    let root = Type::group_type_builder(root.name()).with_fields(columns).build()?;
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    Ok(ArrowReaderOptions::new()
        .with_parquet_schema(Arc::new(SchemaDescriptor::new(Arc::new(root))))
        .with_schema(Arc::new(schema)))
}

fn read_as(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::BinaryView),
        DataType::Binary | DataType::LargeBinary => Some(DataType::BinaryView),
        DataType::Dictionary(keys, values) => {
            let values = match values.as_ref() {
                DataType::Utf8 => DataType::Binary,
                DataType::LargeUtf8 => DataType::LargeBinary,
                DataType::Utf8View => DataType::BinaryView,
                _ => return None,
            };
            Some(DataType::Dictionary(keys.clone(), Box::new(values)))
        }
        _ => None,
    }
}

/// A column of bytes of which nothing is said.
fn without_meaning(column: &TypePtr) -> Result<TypePtr> {
    let info = column.get_basic_info();
    let id = info.has_id().then(|| info.id());
    let built = Type::primitive_type_builder(column.name(), Physical::BYTE_ARRAY)
        .with_repetition(info.repetition())
        .with_id(id)
        .build()?;
    Ok(Arc::new(built))
}

/// Rows that were read as bytes with the types that the file says. In what is no text, U+FFFD stands
/// for what cannot be read, and its row has a fault.
///
/// # Errors
///
/// If a column has no such type.
pub fn as_said(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> std::result::Result<(RecordBatch, Faults), ArrowError> {
    let mut faults = Faults::new();
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let mut note = |row, valid: usize| {
            let fault =
                || format!("column {:?}: not UTF-8 after byte {valid}", shown(field.name()));
            faults.entry(row).or_insert_with(fault);
        };
        converted(column, field.data_type(), &mut note)
    });
    let columns = columns.collect();
    Ok((RecordBatch::try_new(Arc::clone(schema), columns)?, faults))
}

/// A column with another type; `note` is told of rows that are no text, and how many bytes of them are.
fn converted(column: &ArrayRef, kind: &DataType, note: &mut dyn FnMut(usize, usize)) -> ArrayRef {
    let views = match (column.data_type(), kind) {
        (DataType::BinaryView, _) => column.as_binary_view(),
        (DataType::Dictionary(_, was), DataType::Dictionary(_, is)) if was != is => {
            return of_dictionary(column.as_ref(), is, note);
        }
        _ => return Arc::clone(column),
    };
    match kind {
        DataType::Utf8 => Arc::new(texts(views.iter(), note).collect::<StringArray>()),
        DataType::LargeUtf8 => Arc::new(texts(views.iter(), note).collect::<LargeStringArray>()),
        DataType::Utf8View => Arc::new(texts(views.iter(), note).collect::<StringViewArray>()),
        DataType::Binary => Arc::new(views.iter().collect::<BinaryArray>()),
        DataType::LargeBinary => Arc::new(views.iter().collect::<LargeBinaryArray>()),
        // Apart from the pages that it was read from.
        _ => Arc::new(views.gc()),
    }
}

fn texts<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    note: &mut dyn FnMut(usize, usize),
) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    values.enumerate().map(move |(row, value)| {
        let bytes = value?;
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => {
                note(row, error.valid_up_to());
                String::from_utf8_lossy(bytes)
            }
        })
    })
}

/// The same of a dictionary, whose values are looked at once.
fn of_dictionary(
    column: &dyn Array,
    kind: &DataType,
    note: &mut dyn FnMut(usize, usize),
) -> ArrayRef {
    let dictionary = column.as_any_dictionary();
    let mut wrong = BTreeMap::new();
    let values = valid_texts(dictionary.values(), kind).unwrap_or_else(|| {
        // Those of a dictionary are bytes of one kind or another, and their texts of the same.
        let views: BinaryViewArray = all_bytes(dictionary.values().as_ref()).into_iter().collect();
        let views: ArrayRef = Arc::new(views);
        converted(&views, kind, &mut |value, valid| _ = wrong.insert(value, valid))
    });
    if !wrong.is_empty() {
        let rows = dictionary.normalized_keys().into_iter().enumerate();
        rows.filter(|(row, _)| column.is_valid(*row)).for_each(|(row, key)| {
            wrong.get(&key).into_iter().for_each(|valid| note(row, *valid));
        });
    }
    dictionary.with_values(values)
}

/// Bytes as texts, if all of them are any.
fn valid_texts(values: &ArrayRef, kind: &DataType) -> Option<ArrayRef> {
    fn of<O: OffsetSizeTrait>(values: &ArrayRef) -> Option<ArrayRef> {
        let texts = GenericStringArray::<O>::try_from_binary(values.as_binary::<O>().clone());
        texts.ok().map(|texts| Arc::new(texts) as ArrayRef)
    }
    match kind {
        DataType::Utf8 => of::<i32>(values),
        DataType::LargeUtf8 => of::<i64>(values),
        _ => None,
    }
}

fn all_bytes(values: &dyn Array) -> Vec<Option<&[u8]>> {
    match values.data_type() {
        DataType::Binary => values.as_binary::<i32>().iter().collect(),
        DataType::LargeBinary => values.as_binary::<i64>().iter().collect(),
        _ => values.as_binary_view().iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{DictionaryArray, Int8Array};
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn rows_of_a_dictionary_fail_for_their_own_values() {
        let values = BinaryArray::from(vec![&b"a"[..], b"b\xff", b"c"]);
        let keys = Int8Array::from(vec![Some(0), Some(1), None, Some(2), Some(1)]);
        let column: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
        let batch = RecordBatch::try_from_iter([("x", column)]).expect("one column");
        let kind = |of| DataType::Dictionary(Box::new(DataType::Int8), Box::new(of));
        let schema = Schema::new(vec![Field::new("x", kind(DataType::Utf8), true)]);
        let (batch, faults) = as_said(&batch, &Arc::new(schema)).expect("texts");
        let fault = "column \"x\": not UTF-8 after byte 1".to_owned();
        assert_eq!(faults, Faults::from([(1, fault.clone()), (4, fault)]));
        let values = batch.column(0).as_any_dictionary().values();
        let values: Vec<&str> = values.as_string::<i32>().iter().flatten().collect();
        assert_eq!(values, ["a", "b\u{fffd}", "c"]);
        let views = read_as(&kind(DataType::Utf8View));
        assert_eq!(views, Some(kind(DataType::BinaryView)));
    }
}
