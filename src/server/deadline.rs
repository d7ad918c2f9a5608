//! When a caller gives up: the `grpc-timeout` of its call (gRPC over HTTP/2, "Timeout").

use std::time::{Duration, Instant};

use tonic::codegen::http::HeaderMap;

const HEADER: &str = "grpc-timeout";

/// Digits that the specification allows.
const MAX_DIGITS: usize = 8;

/// When the caller of a call gives up. Stands in the extensions of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline(pub Instant);

impl Deadline {
    /// Of a call with these headers that came at `now`; `None` if it has none, or one that says
    /// nothing.
    pub(super) fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse(headers.get(HEADER)?.to_str().ok()?)?;
        now.checked_add(timeout).map(Self)
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = (1..=MAX_DIGITS).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| plain)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_writes_them() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("0u", Some(Duration::ZERO)),
            ("5n", Some(Duration::from_nanos(5))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("", None),
            ("S", None),
            ("100000000m", None),
            ("+1S", None),
            ("-1S", None),
            ("1.5S", None),
            ("1s", None),
            ("1 S", None),
            ("1ß", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
