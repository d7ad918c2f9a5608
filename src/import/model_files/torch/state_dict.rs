//! From the tensors that a pickle describes to their places in the file.

use std::collections::BTreeMap;

use super::{
    archive::{Archive, Member},
    pickle::{self, Tensor},
};
use crate::import::model_files::{
    confined::OpenFile,
    error::{FileError, shown},
    stored_tensor::{Layout, StoredTensor},
};

/// `data.pkl` has at most this many bytes; one of 100 000 tensors has about 20 MB.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

/// Places and shapes of all tensors in a file of torch.save.
pub fn read(file: &OpenFile) -> Result<BTreeMap<String, StoredTensor>, FileError> {
    let archive = Archive::read(file)?;
    let missing = |name: &str| {
        let message = format!("it has no {}", shown(name));
        FileError::Archive { path: file.name(), message }
    };
    refuse_big_endian(file, &archive)?;
    let member = archive.member("data.pkl").ok_or_else(|| missing("data.pkl"))?;
    if member.bytes > MAX_PICKLE_BYTES {
        let path = format!("{}: data.pkl", file.name());
        return Err(FileError::TooLarge { path, bytes: member.bytes, limit: MAX_PICKLE_BYTES });
    }
    let bytes = file.read_range(member.start, member.bytes)?;
    let tensors =
        pickle::read(&bytes).map_err(|source| FileError::Pickle { path: file.name(), source })?;
    let mut stored = BTreeMap::new();
    for (name, tensor) in tensors {
        let data = format!("data/{}", tensor.storage.key);
        let member = archive.member(&data).ok_or_else(|| missing(&data))?;
        stored.insert(name.to_owned(), place(file, name, &tensor, member)?);
    }
    Ok(stored)
}

/// Archives of torch before 2.1 do not say; those are little-endian on all machines that matter.
fn refuse_big_endian(file: &OpenFile, archive: &Archive) -> Result<(), FileError> {
    const LITTLE: &[u8] = b"little";
    let Some(member) = archive.member("byteorder") else { return Ok(()) };
    // One byte more tells a longer word apart.
    let found = file.read_range(member.start, member.bytes.min(LITTLE.len() as u64 + 1))?;
    if found == LITTLE {
        return Ok(());
    }
    let found = shown(&String::from_utf8_lossy(&found));
    Err(FileError::ByteOrder { path: file.name(), found })
}

fn place(
    file: &OpenFile,
    name: &str,
    tensor: &Tensor<'_>,
    member: Member,
) -> Result<StoredTensor, FileError> {
    let start = first_byte(tensor, member)
        .ok_or_else(|| FileError::Bounds { path: file.name(), name: shown(name) })?;
    let layout = layout(&tensor.shape, &tensor.strides);
    Ok(StoredTensor {
        element: tensor.storage.kind.element(),
        shape: tensor.shape.clone(),
        layout,
        start,
    })
}

/// Place of the first value in the file, `None` where the tensor does not fit its storage or the
/// storage does not fit its member.
fn first_byte(tensor: &Tensor<'_>, member: Member) -> Option<u64> {
    let storage = &tensor.storage;
    let size = storage.kind.bytes();
    if storage.values.checked_mul(size)? > member.bytes {
        return None;
    }
    // The number of values fits, even where a stride of 0 repeats them.
    let count = tensor.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))?;
    let mut end = tensor.offset;
    if count > 0 {
        for (size, stride) in tensor.shape.iter().zip(&tensor.strides) {
            end = end.checked_add(u64::try_from(size - 1).ok()?.checked_mul(*stride)?)?;
        }
        end = end.checked_add(1)?;
    }
    if end > storage.values {
        return None;
    }
    member.start.checked_add(tensor.offset.checked_mul(size)?)
}

fn layout(shape: &[usize], strides: &[u64]) -> Layout {
    if is_contiguous(shape, strides) {
        return Layout::Contiguous;
    }
    if let ([rows, columns], [down, across]) = (shape, strides)
        && is_contiguous(&[*columns, *rows], &[*across, *down])
    {
        return Layout::Transposed;
    }
    Layout::Strided
}

/// Each value follows the one before. The stride of a dimension of size 1 means nothing.
fn is_contiguous(shape: &[usize], strides: &[u64]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut expected = 1u64;
    for (size, stride) in shape.iter().zip(strides).rev() {
        if *size != 1 && *stride != expected {
            return false;
        }
        expected = expected.saturating_mul(*size as u64);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_tell_the_layout() {
        use Layout::{Contiguous, Strided, Transposed};
        let check = |shape: &[usize], strides: &[u64], expected| {
            assert_eq!(layout(shape, strides), expected, "{shape:?} {strides:?}");
        };
        check(&[], &[], Contiguous);
        check(&[5], &[1], Contiguous);
        check(&[5], &[2], Strided);
        check(&[2, 3], &[3, 1], Contiguous);
        check(&[2, 3], &[1, 2], Transposed);
        check(&[2, 3], &[4, 1], Strided);
        check(&[2, 3], &[0, 1], Strided);
        check(&[1, 3], &[77, 1], Contiguous);
        check(&[3, 1], &[1, 77], Contiguous);
        check(&[0, 3], &[9, 9], Contiguous);
        check(&[2, 0], &[9, 9], Contiguous);
        check(&[2, 3, 4], &[12, 4, 1], Contiguous);
        check(&[2, 3, 4], &[1, 2, 6], Strided);
    }
}
