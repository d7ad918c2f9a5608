//! Values of Arrow columns as text and as JSON.

use std::borrow::Cow;

use arrow_array::{
    Array, ArrowPrimitiveType, PrimitiveArray,
    cast::AsArray,
    types::{
        Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
        Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
        Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

/// Whether texts of a task can be read from such a column.
pub fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        // Some writers do not say that their bytes are text.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The text in a row of a column that [`is_text`]; nothing where it is null.
///
/// # Errors
///
/// If it is no text.
pub fn text(column: &dyn Array, row: usize) -> Result<Option<Cow<'_, str>>, String> {
    if column.is_null(row) {
        return Ok(None);
    }
    let bytes = match column.data_type() {
        DataType::Utf8 => return Ok(Some(column.as_string::<i32>().value(row).into())),
        DataType::LargeUtf8 => return Ok(Some(column.as_string::<i64>().value(row).into())),
        DataType::Utf8View => return Ok(Some(column.as_string_view().value(row).into())),
        DataType::Binary => column.as_binary::<i32>().value(row),
        DataType::LargeBinary => column.as_binary::<i64>().value(row),
        DataType::BinaryView => column.as_binary_view().value(row),
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            return text(dictionary.values().as_ref(), key(column, row));
        }
        other => return Err(format!("its type is {other}, and a text is needed")),
    };
    let found = std::str::from_utf8(bytes);
    let found = found.map_err(|error| format!("not UTF-8 after byte {}", error.valid_up_to()))?;
    Ok(Some(found.into()))
}

/// The place of a row's value among those of a dictionary. Not for a row that is null.
fn key(column: &dyn Array, row: usize) -> usize {
    let keys = column.slice(row, 1);
    let keys = keys.as_any_dictionary().normalized_keys();
    keys.first().copied().unwrap_or(0)
}

/// Whether values of such a column can be written as JSON.
pub fn has_json(kind: &DataType) -> bool {
    match kind {
        DataType::Null | DataType::Boolean => true,
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => true,
        DataType::Timestamp(_, _) => true,
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => true,
        DataType::FixedSizeBinary(_) => true,
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            has_json(of.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|field| has_json(field.data_type())),
        DataType::Dictionary(_, values) => has_json(values),
        other => other.is_integer() || other.is_floating() || is_text(other),
    }
}

/// The value in a row of a column that [`has_json`]. Times are written as in ISO 8601, decimal
/// numbers as text, bytes as text if they are any and in hexadecimal otherwise.
pub fn json(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        kind if kind.is_integer() => integer(column, row),
        kind if kind.is_floating() => floating(column, row),
        DataType::Dictionary(_, _) => {
            json(column.as_any_dictionary().values().as_ref(), key(column, row))
        }
        DataType::FixedSizeBinary(_) => bytes(column.as_fixed_size_binary().value(row)),
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(_, _) => list(column.as_fixed_size_list().value(row).as_ref()),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let entries = fields.iter().zip(columns);
            let entry = |(field, column): (&arrow_schema::FieldRef, &arrow_array::ArrayRef)| {
                (field.name().clone(), json(column.as_ref(), row))
            };
            Value::Object(entries.map(entry).collect::<Map<_, _>>())
        }
        kind if is_text(kind) => match text(column, row) {
            Ok(text) => text.map_or(Value::Null, |text| text.into_owned().into()),
            Err(_) => hexadecimal(column, row),
        },
        kind => timed(kind, column, row).map_or(Value::Null, Value::String),
    }
}

fn list(values: &dyn Array) -> Value {
    Value::Array((0..values.len()).map(|at| json(values, at)).collect())
}

fn hexadecimal(column: &dyn Array, row: usize) -> Value {
    match column.data_type() {
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(column.as_binary_view().value(row)),
        _ => Value::Null,
    }
}

fn bytes(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn integer(column: &dyn Array, row: usize) -> Value {
    fn at<T: ArrowPrimitiveType<Native: Into<Value>>>(column: &dyn Array, row: usize) -> Value {
        column.as_primitive::<T>().value(row).into()
    }
    match column.data_type() {
        DataType::Int8 => at::<Int8Type>(column, row),
        DataType::Int16 => at::<Int16Type>(column, row),
        DataType::Int32 => at::<Int32Type>(column, row),
        DataType::Int64 => at::<Int64Type>(column, row),
        DataType::UInt8 => at::<UInt8Type>(column, row),
        DataType::UInt16 => at::<UInt16Type>(column, row),
        DataType::UInt32 => at::<UInt32Type>(column, row),
        DataType::UInt64 => at::<UInt64Type>(column, row),
        _ => Value::Null,
    }
}

/// What is not finite is no number in JSON.
fn floating(column: &dyn Array, row: usize) -> Value {
    let shortest = |digits: String| digits.parse().map_or(Value::Null, |n: f64| n.into());
    match column.data_type() {
        DataType::Float16 => f32::from(column.as_primitive::<Float16Type>().value(row))
            .to_string()
            .parse()
            .map_or(Value::Null, |number: f64| number.into()),
        // Its own digits, not those of the same number in 64 bits.
        DataType::Float32 => shortest(column.as_primitive::<Float32Type>().value(row).to_string()),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        _ => Value::Null,
    }
}

/// Dates, times and decimal numbers.
fn timed(kind: &DataType, column: &dyn Array, row: usize) -> Option<String> {
    fn at<T: ArrowPrimitiveType>(column: &dyn Array) -> &PrimitiveArray<T> {
        column.as_primitive::<T>()
    }
    // Their Debug form is that of ISO 8601.
    macro_rules! stamp {
        ($kind:ty) => {
            at::<$kind>(column).value_as_datetime(row).map(|time| format!("{time:?}"))
        };
    }
    macro_rules! time {
        ($kind:ty) => {
            at::<$kind>(column).value_as_time(row).map(|time| format!("{time:?}"))
        };
    }
    match kind {
        DataType::Timestamp(unit, zone) => {
            let stamp = match unit {
                TimeUnit::Second => stamp!(TimestampSecondType),
                TimeUnit::Millisecond => stamp!(TimestampMillisecondType),
                TimeUnit::Microsecond => stamp!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => stamp!(TimestampNanosecondType),
            };
            // With a zone they are kept in UTC.
            let suffix = if zone.is_some() { "Z" } else { "" };
            stamp.map(|stamp| format!("{stamp}{suffix}"))
        }
        DataType::Date32 => at::<Date32Type>(column).value_as_date(row).map(|d| format!("{d:?}")),
        DataType::Date64 => stamp!(Date64Type),
        DataType::Time32(TimeUnit::Second) => time!(Time32SecondType),
        DataType::Time32(_) => time!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => time!(Time64MicrosecondType),
        DataType::Time64(_) => time!(Time64NanosecondType),
        DataType::Decimal128(_, _) => Some(at::<Decimal128Type>(column).value_as_string(row)),
        DataType::Decimal256(_, _) => Some(at::<Decimal256Type>(column).value_as_string(row)),
        _ => None,
    }
}
