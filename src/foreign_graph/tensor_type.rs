//! Types and sizes of tensors in ONNX files.

use super::messages::Tensor;
use crate::export::Element;

/// Numbers of `TensorProto.DataType` that graphs of encoders have.
pub const FLOAT: i32 = 1;
pub const UINT8: i32 = 2;
pub const INT8: i32 = 3;
pub const INT64: i32 = 7;
pub const FLOAT16: i32 = 10;

/// `TensorProto.DataLocation.EXTERNAL`.
pub const EXTERNAL: i32 = 1;

/// Bits of a number of this type; none of a type that no tensor may have.
pub fn bits(data_type: i32) -> Option<u64> {
    match data_type {
        // Four bits, with and without sign.
        21 | 22 => Some(4),
        // 8-bit integers and truth values.
        UINT8 | INT8 | 9 => Some(8),
        // 16-bit integers and floats.
        4 | 5 | FLOAT16 | 16 => Some(16),
        FLOAT | 6 | 12 => Some(32),
        INT64 | 11 | 13 => Some(64),
        _ => None,
    }
}

/// Words for a type.
pub fn name(data_type: i32) -> &'static str {
    match data_type {
        FLOAT => "32-bit floats",
        FLOAT16 => "16-bit floats",
        16 => "16-bit floats (bfloat16)",
        11 => "64-bit floats",
        INT64 => "64-bit integers",
        6 => "32-bit integers",
        UINT8 | INT8 => "8-bit integers",
        8 => "texts",
        9 => "truth values",
        _ => "another type",
    }
}

/// The element of a matrix that is stored beside its graph; none of types that stay inside.
pub fn element(data_type: i32) -> Option<Element> {
    match data_type {
        FLOAT => Some(Element::F32),
        FLOAT16 => Some(Element::F16),
        INT8 => Some(Element::I8),
        UINT8 => Some(Element::U8),
        _ => None,
    }
}

/// Number of values of a tensor's shape; none where a dimension is negative or the product too large.
pub fn values(tensor: &Tensor) -> Option<usize> {
    let sizes = tensor.dims.iter().map(|&size| usize::try_from(size).ok());
    sizes.into_iter().try_fold(1usize, |product, size| product.checked_mul(size?))
}

/// Tells whether a tensor's data lie in another file.
pub fn is_external(tensor: &Tensor) -> bool {
    tensor.data_location == EXTERNAL
}
