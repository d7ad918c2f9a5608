//! How scoring a file goes: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::{clock, note};
use crate::bulk::{Observer, Progress};

/// Between two plain lines. The first comes with the first rows.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress on stderr.
pub struct PredictProgress {
    is_wanted: bool,
    /// Absent where stderr is no terminal.
    bar: Option<ProgressBar>,
    started: Instant,
    /// Rows of an earlier run.
    resumed: u64,
    last_line: Option<Instant>,
}

impl PredictProgress {
    /// Shows nothing yet; nothing ever, if it is not wanted.
    pub fn new(is_wanted: bool) -> Self {
        let bar = (is_wanted && std::io::stderr().is_terminal()).then(ProgressBar::no_length);
        Self { is_wanted, bar, started: Instant::now(), resumed: 0, last_line: None }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, Progress { counts, total }: &Progress) -> String {
        let computed = counts.rows.saturating_sub(self.resumed);
        let rate = computed as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = total.map(|total| total.saturating_sub(counts.rows) as f64 / rate.max(1e-9));
        let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let left = left.map_or(String::new(), |left| format!("  {} left", clock(left)));
        format!("{rate:.0} rows/s  {} with an error{left}", counts.errors)
    }
}

impl Observer for PredictProgress {
    fn begin(&mut self, progress: &Progress) {
        self.resumed = progress.counts.rows;
        self.started = Instant::now();
        if self.resumed > 0 {
            note(&format!("going on after row {}", self.resumed));
        }
        if let (Some(bar), Some(total)) = (&self.bar, progress.total) {
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} rows  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(total);
        }
    }

    fn advanced(&mut self, progress: &Progress) {
        if !self.is_wanted {
            return;
        }
        let (rows, text) = (progress.counts.rows, self.text(progress));
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
            bar.set_message(text);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            let of = progress.total.map_or(String::new(), |total| format!(" of {total}"));
            note(&format!("{rows}{of} rows  {text}"));
        }
    }
}
