//! Turns a panic into an error: one request cannot end a thread that serves others, and a file from
//! elsewhere that a library does not expect is refused as any other fault of it is.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; if it panics, the error is what it said. The panic hook has run by then, so the
/// log knows the place.
///
/// The caller sees to it that nothing half-changed by `work` is read afterwards.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}
