//! The language head's file: safetensors with the names of our own parameters.

use std::{collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use super::ReadError;
use crate::{
    architecture::Architecture,
    weights::{Array, LanguageHead, WeightsError},
};

/// What a file may have beyond its values: names and shapes.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// The bytes of a language head's file. Refuses values that are not finite, which could not be
/// read back.
pub fn language_head_bytes(head: &LanguageHead) -> Result<Vec<u8>, WeightsError> {
    let mut arrays = Vec::new();
    for (name, array) in head.iter() {
        if array.data.iter().any(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite { name: name.to_owned() });
        }
        let bytes: Vec<u8> = array.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        arrays.push((name, array, bytes));
    }
    let mut views = Vec::new();
    for (name, array, bytes) in &arrays {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes);
        let wrong = |_| WeightsError::Shape {
            name: (*name).to_owned(),
            found: vec![array.data.len()],
            expected: array.shape.clone(),
        };
        views.push((*name, view.map_err(wrong)?));
    }
    // Views of the right size in memory: there is nothing left that could fail.
    Ok(safetensors::serialize(views, None).unwrap_or_default())
}

/// Reads a language head for this encoder from the bytes of its file; `path` is for messages. The
/// file must hold F32 alone, and no more of it than such a head has.
pub fn read_language_head(
    file: &[u8],
    path: &Path,
    architecture: &Architecture,
) -> Result<LanguageHead, ReadError> {
    let name = path.display().to_string();
    let format = |error: SafeTensorError| ReadError::Tensors {
        path: name.clone(),
        message: error.to_string(),
    };
    let bytes = file.len() as u64;
    let parameters = LanguageHead::parameters(architecture);
    let values: usize = parameters.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let limit = (values * size_of::<f32>()) as u64 + MAX_HEADER_BYTES;
    if bytes > limit {
        return Err(ReadError::TooLarge { path: name, bytes, limit });
    }
    let tensors = SafeTensors::deserialize(file).map_err(format)?;
    let arrays = tensors.iter().filter_map(to_array).collect::<BTreeMap<_, _>>();
    LanguageHead::new(architecture, arrays)
        .map_err(|source| ReadError::Weights { path: name.clone(), source })
}

/// `None` for other types, which makes the parameter a missing one.
fn to_array((name, tensor): (&str, TensorView<'_>)) -> Option<(String, Array)> {
    if tensor.dtype() != Dtype::F32 {
        return None;
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    let data = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    Some((name.to_owned(), Array { shape: tensor.shape().to_vec(), data }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tests::{small, small_head};

    fn read(bytes: &[u8], architecture: &Architecture) -> Result<LanguageHead, ReadError> {
        read_language_head(bytes, Path::new("head"), architecture)
    }

    #[test]
    fn a_head_survives_its_file_bit_for_bit() {
        let head = small_head();
        let bytes = language_head_bytes(&head).expect("finite");
        assert_eq!(read(&bytes, &small().architecture).expect("our own file"), head);
        assert_eq!(bytes, language_head_bytes(&head).expect("finite"), "the same every time");
    }

    #[test]
    fn other_files_are_refused() {
        let architecture = small().architecture;
        let check = |bytes: &[u8], architecture: &Architecture, words: &str| {
            let error = read(bytes, architecture).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        let mut head = small_head();
        head.bias.data[0] = 77.0;
        let bytes = language_head_bytes(&head).expect("finite");
        check(b"garbage", &architecture, "no safetensors file");
        let larger = Architecture { vocabulary_size: 21, ..architecture.clone() };
        check(&bytes, &larger, "[20], expected [21]");
        let mut long = bytes.clone();
        long.resize(1 << 20, 0);
        check(&long, &architecture, "1048576 bytes");
        let mut infinite = bytes;
        let place = infinite.windows(4).position(|four| four == 77f32.to_le_bytes());
        let place = place.expect("the 77");
        infinite[place..place + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        check(&infinite, &architecture, "not finite");
    }

    #[test]
    fn a_head_that_could_not_be_read_back_is_not_written() {
        let mut head = small_head();
        head.bias.data.pop();
        let error = language_head_bytes(&head).expect_err("too short").to_string();
        assert!(error.contains("language_head.bias has shape [19], expected [20]"), "{error}");
        head.bias.data.push(f32::NAN);
        let error = language_head_bytes(&head).expect_err("not finite").to_string();
        assert!(error.contains("not finite"), "{error}");
    }
}
