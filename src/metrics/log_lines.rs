//! Lines of the log that nobody can read. The one counter of the whole process: so is stderr.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Page;

static LOST: AtomicU64 = AtomicU64::new(0);

/// A line could not be written to stderr.
pub fn count_lost_log_line() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// Writes down how many.
pub fn show_log_lines(page: &mut Page) {
    let help = "Lines of the log that stderr did not take.";
    page.counter("dynamar_log_lines_lost_total", help, &[], LOST.load(Ordering::Relaxed));
}
