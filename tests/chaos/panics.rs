//! Panics: those of encoders are ours, any other is a failure.

use std::{panic, sync::Arc};

use crate::tally::Tally;

/// What encoders under control panic with; see `tests/it/server/encoder.rs`.
const OURS: &str = "a secret of the house";

/// From now on a panic that is not ours is counted as a failure, wherever it is caught, and ours
/// are not printed.
pub fn count_in(tally: Arc<Tally>) {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        if text == Some(OURS) {
            return;
        }
        print(info);
        tally.failed(format!("a panic: {info}"));
    }));
}
