//! Reads the header of a safetensors file; the values stay where they are.

use std::collections::BTreeMap;

use ::safetensors::{Dtype, tensor::Metadata};

use super::{
    confined::OpenFile,
    element::Element,
    error::{FileError, shown},
    stored_tensor::{Layout, MAX_DIMENSIONS, StoredTensor},
};

/// Bytes that hold the header's length.
const LENGTH_BYTES: u64 = 8;

/// A header has at most this many bytes; one of 100 000 tensors has about 10 MB.
const MAX_HEADER_BYTES: u64 = 32 << 20;

/// Places and shapes of all tensors in the file.
pub fn read(file: &OpenFile) -> Result<BTreeMap<String, StoredTensor>, FileError> {
    let wrong = |message: String| FileError::Safetensors { path: file.name(), message };
    let mut length = [0; 8];
    if file.bytes() < LENGTH_BYTES {
        return Err(wrong(format!("it has {} bytes", file.bytes())));
    }
    file.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length > file.bytes() - LENGTH_BYTES {
        return Err(wrong(format!(
            "its header should have {length} bytes, more than the file or than {MAX_HEADER_BYTES}"
        )));
    }
    let header = file.read_range(LENGTH_BYTES, length)?;
    // Checks that tensors have the bytes of their shapes, one after the other.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| wrong(shown(&error.to_string())))?;
    let data = LENGTH_BYTES + length;
    let (needed, found) = (metadata.data_len() as u64, file.bytes() - data);
    if needed != found {
        return Err(wrong(format!("its header needs {needed} bytes of data, it has {found}")));
    }
    metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let dimensions = info.shape.len();
            if dimensions > MAX_DIMENSIONS {
                let (path, name, limit) = (file.name(), shown(&name), MAX_DIMENSIONS);
                return Err(FileError::Dimensions { path, name, dimensions, limit });
            }
            let stored = StoredTensor {
                element: element(info.dtype),
                shape: info.shape.clone(),
                layout: Layout::Contiguous,
                start: data + info.data_offsets.0 as u64,
            };
            Ok((name, stored))
        })
        .collect()
}

/// Number type of a tensor.
pub fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        other => Element::Other(format!("{other:?}")),
    }
}
