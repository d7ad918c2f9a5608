//! Texts as a tensor of data type BYTES in one piece: each after its length in bytes, a 32-bit
//! little-endian number.

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// What is wrong with such a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum RawFault {
    /// It ends inside an element.
    #[error(
        "ends inside element {element} of {expected}: each is a 4-byte little-endian length and so \
         many bytes"
    )]
    Truncated { element: usize, expected: usize },
    /// There is more of it.
    #[error("{bytes} bytes after the last of {expected} elements")]
    TooLong { bytes: usize, expected: usize },
}

/// Takes such a tensor apart, of which the shape says how many elements it has. Nothing is
/// allocated for what is not there.
pub(in crate::server) fn from_raw(raw: &[u8], expected: usize) -> Result<Vec<&[u8]>, RawFault> {
    let mut elements = Vec::with_capacity(expected.min(raw.len() / LENGTH_BYTES));
    let mut rest = raw;
    for element in 0..expected {
        let split = split_element(rest).ok_or(RawFault::Truncated { element, expected })?;
        elements.push(split.0);
        rest = split.1;
    }
    match rest.len() {
        0 => Ok(elements),
        bytes => Err(RawFault::TooLong { bytes, expected }),
    }
}

/// The first element and what comes after it.
fn split_element(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = raw.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Puts such a tensor together.
pub(in crate::server) fn to_raw<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Vec<u8> {
    let mut raw = Vec::new();
    for text in texts {
        // Longer ones do not fit in an answer, nor in the memory of what makes one.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        raw.extend(length.to_le_bytes());
        raw.extend(text);
    }
    raw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told() {
        let two = [1, 0, 0, 0, b'a', 0, 0, 0, 0];
        assert_eq!(from_raw(&two, 2), Ok(vec![&b"a"[..], b""]));
        assert_eq!(from_raw(&[], 0), Ok(vec![]));
        let truncated = |element, expected| Err(RawFault::Truncated { element, expected });
        assert_eq!(from_raw(&two, 3), truncated(2, 3));
        assert_eq!(from_raw(&two[..8], 2), truncated(1, 2));
        assert_eq!(from_raw(&two[..4], 2), truncated(0, 2));
        assert_eq!(from_raw(&two, 1), Err(RawFault::TooLong { bytes: 4, expected: 1 }));
        // A length that no memory has, and a count.
        assert_eq!(from_raw(&[255; 8], usize::MAX), truncated(0, usize::MAX));
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_taken_apart(texts: Vec<Vec<u8>>) {
            let raw = to_raw(texts.iter().map(Vec::as_slice));
            prop_assert_eq!(from_raw(&raw, texts.len()), Ok(texts.iter().map(Vec::as_slice).collect()));
        }
    }
}
