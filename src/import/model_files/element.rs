//! Number types of tensors, and their values as 32-bit floats.

use half::{bf16, f16};

/// Type of a tensor's values, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    F64,
    F32,
    F16,
    Bf16,
    /// Type whose values are not read, by its name.
    Other(String),
}

impl Element {
    /// Bytes of a value, `None` for a type that is not read.
    pub fn bytes(&self) -> Option<usize> {
        match self {
            Self::F64 => Some(8),
            Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(_) => None,
        }
    }

    /// Appends the values in `bytes`, whole ones, to `values`.
    pub fn widen(&self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest float")]
            Self::F64 => {
                let (chunks, _) = bytes.as_chunks::<8>();
                values.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32));
            }
            Self::F32 => {
                let (chunks, _) = bytes.as_chunks::<4>();
                values.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
            }
            Self::F16 => {
                let (chunks, _) = bytes.as_chunks::<2>();
                values.extend(chunks.iter().map(|chunk| f16::from_le_bytes(*chunk).to_f32()));
            }
            Self::Bf16 => {
                let (chunks, _) = bytes.as_chunks::<2>();
                values.extend(chunks.iter().map(|chunk| bf16::from_le_bytes(*chunk).to_f32()));
            }
            Self::Other(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_widens_to_the_value_it_means() {
        let check = |element: Element, bytes: &[u8], expected: &[f32]| {
            let mut values = vec![];
            element.widen(bytes, &mut values);
            assert_eq!(values, expected, "{element:?}");
        };
        check(Element::F64, &1.5f64.to_le_bytes(), &[1.5]);
        check(Element::F64, &1e300f64.to_le_bytes(), &[f32::INFINITY]);
        check(Element::F32, &[0, 0, 0xc0, 0x3f, 0, 0, 0, 0x80], &[1.5, -0.0]);
        check(Element::F16, &[0, 0x3e, 0, 0x7c], &[1.5, f32::INFINITY]);
        check(Element::Bf16, &[0xc0, 0x3f], &[1.5]);
        check(Element::Other("I64".to_owned()), &[0; 8], &[]);
    }
}
