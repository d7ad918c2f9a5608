//! The name of a call.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tonic::codegen::http::{HeaderName, HeaderValue};

/// Names a call: taken from the client, or made, and returned.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's own id.
const MAX_ID_LENGTH: usize = 128;

/// Names a call in its answer and in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(pub HeaderValue);

impl RequestId {
    /// The client's own id if it gave a well-formed one, else a new one.
    pub(super) fn from_header(given: Option<&HeaderValue>) -> Self {
        match given {
            Some(given) if is_well_formed(given.as_bytes()) => Self(given.clone()),
            _ => Self::new(),
        }
    }

    /// Different for every call, also between servers.
    fn new() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));
        static CALL: AtomicU64 = AtomicU64::new(1);
        let call = CALL.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}-{call:x}", *PROCESS);
        // Hexadecimal digits and a hyphen are always a good header.
        Self(HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none")))
    }

    pub(super) fn as_str(&self) -> &str {
        // Only well-formed ids get here, and those are ASCII.
        self.0.to_str().unwrap_or_default()
    }
}

/// What can stand in a log, a URL or a shell without being mistaken for anything else.
fn is_well_formed(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=MAX_ID_LENGTH).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_id_is_kept_and_any_other_replaced() {
        for good in ["1", "a-B_c.9", "00-4bf92f3577b34da6-01", "a/b:c=d+e@f"] {
            let given = HeaderValue::from_static(good);
            assert_eq!(RequestId::from_header(Some(&given)).as_str(), good);
        }
        let long = "x".repeat(MAX_ID_LENGTH + 1);
        for bad in ["", " ", "a b", "a\tb", "$(id)", "ä", long.as_str()] {
            let given = HeaderValue::from_bytes(bad.as_bytes()).expect("a header");
            let id = RequestId::from_header(Some(&given));
            assert!(is_well_formed(id.as_str().as_bytes()), "{bad:?} gives {id:?}");
            assert_ne!(id.as_str(), bad);
        }
        assert_ne!(RequestId::from_header(None), RequestId::from_header(None));
    }
}
