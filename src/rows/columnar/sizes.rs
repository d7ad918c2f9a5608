//! What rows of Arrow take in memory.

use arrow_array::{Array, OffsetSizeTrait, RecordBatch, cast::AsArray};
use arrow_schema::DataType;

/// Bytes of each row of a batch. A value of a dictionary counts in each row that has it, for as a text
/// it stands in each.
pub fn row_bytes(batch: &RecordBatch) -> Vec<usize> {
    let mut rows = vec![0; batch.num_rows()];
    batch.columns().iter().for_each(|column| add(&mut rows, value_bytes(column.as_ref())));
    rows
}

fn add(sums: &mut [usize], bytes: Vec<usize>) {
    sums.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum += bytes);
}

/// Bytes of each value of a column.
fn value_bytes(column: &dyn Array) -> Vec<usize> {
    match column.data_type() {
        DataType::Utf8 => lengths(column.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => lengths(column.as_string::<i64>().value_offsets()),
        DataType::Binary => lengths(column.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => lengths(column.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => view_lengths(column.as_string_view().views()),
        DataType::BinaryView => view_lengths(column.as_binary_view().views()),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            sums(list.value_offsets(), list.values().as_ref())
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            sums(list.value_offsets(), list.values().as_ref())
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            sums(map.value_offsets(), map.entries())
        }
        DataType::Struct(_) => {
            let mut rows = vec![0; column.len()];
            let columns = column.as_struct().columns();
            columns.iter().for_each(|column| add(&mut rows, value_bytes(column.as_ref())));
            rows
        }
        DataType::Dictionary(_, _) => of_dictionary(column),
        _ => evenly(column),
    }
}

fn lengths<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<usize> {
    offsets.windows(2).map(|pair| (pair[1] - pair[0]).as_usize()).collect()
}

/// The lowest 32 bits of a view are its length.
fn view_lengths(views: &[u128]) -> Vec<usize> {
    views.iter().map(|view| (view & u128::from(u32::MAX)) as usize + size_of::<u128>()).collect()
}

fn sums<O: OffsetSizeTrait>(offsets: &[O], values: &dyn Array) -> Vec<usize> {
    let bytes = value_bytes(values);
    let stretch = |pair: &[O]| bytes.get(pair[0].as_usize()..pair[1].as_usize());
    offsets.windows(2).map(|pair| stretch(pair).map_or(0, |bytes| bytes.iter().sum())).collect()
}

fn of_dictionary(column: &dyn Array) -> Vec<usize> {
    let dictionary = column.as_any_dictionary();
    let bytes = value_bytes(dictionary.values().as_ref());
    // Without values every row is null.
    let keys = if bytes.is_empty() { Vec::new() } else { dictionary.normalized_keys() };
    let of_row = |row| {
        let key = keys.get(row).filter(|_| column.is_valid(row));
        key.and_then(|&key| bytes.get(key)).copied().unwrap_or(0)
    };
    (0..column.len()).map(of_row).collect()
}

/// Of numbers and what is rarer, all together in equal parts.
fn evenly(column: &dyn Array) -> Vec<usize> {
    let all = column.to_data().get_slice_memory_size();
    let all = all.unwrap_or_else(|_| column.get_array_memory_size());
    vec![all.div_ceil(column.len().max(1)); column.len()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BinaryViewArray, DictionaryArray, FixedSizeBinaryArray, Int64Array,
        LargeStringArray, ListArray, StringArray, StringViewArray, StructArray,
        builder::{ListBuilder, StringBuilder},
        types::Int8Type,
    };
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn long_values_count_wherever_they_are() {
        let long = "x".repeat(1000);
        let texts = || vec!["a", long.as_str(), "b"];
        let mut list = ListBuilder::new(StringBuilder::new());
        list.append_value([Some("a")]);
        list.append_value([Some(long.as_str()), None, Some("b")]);
        list.append_null();
        let list: ListArray = list.finish();
        let field = Arc::new(Field::new("x", DataType::Utf8, true));
        let inner: ArrayRef = Arc::new(StringArray::from(texts()));
        let dictionary: DictionaryArray<Int8Type> = texts().into_iter().collect();
        let bytes: Vec<&[u8]> = texts().into_iter().map(str::as_bytes).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(&inner),
            Arc::new(LargeStringArray::from(texts())),
            Arc::new(StringViewArray::from(texts())),
            Arc::new(BinaryViewArray::from(bytes)),
            Arc::new(StructArray::from(vec![(field, inner)])),
            Arc::new(list),
            Arc::new(dictionary),
        ];
        for column in columns {
            let kind = column.data_type().clone();
            let bytes = value_bytes(column.as_ref());
            assert!(bytes[0] < 20 && (1000..1100).contains(&bytes[1]) && bytes[2] < 20, "{kind}");
            let rest = value_bytes(column.slice(1, 2).as_ref());
            assert_eq!(rest, bytes[1..], "{kind}");
        }
        let fixed = FixedSizeBinaryArray::try_from_iter([[0; 500], [1; 500]].into_iter());
        assert_eq!(value_bytes(&fixed.expect("of one length")), [500, 500]);
        assert_eq!(value_bytes(&Int64Array::from(vec![1, 2])), [8, 8]);
        let none: DictionaryArray<Int8Type> = [None::<&str>, None].into_iter().collect();
        assert_eq!(value_bytes(&none), [0, 0]);
    }
}
