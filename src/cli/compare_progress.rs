//! How an experiment goes: what is being computed, and how long the rest of the plan takes.

use std::{
    collections::HashMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::progress::{clock, note};
use crate::{
    comparison::{Cell, CellResult, Method, Observer, Stage},
    report::Shot,
};

/// Cells that take about the same time.
type Class = (usize, Method, Shot);

/// Shows progress on stderr.
pub struct CellProgress {
    /// Absent where stderr is no terminal.
    bar: Option<ProgressBar>,
    open: Vec<Cell>,
    done: usize,
    began: Instant,
    /// For each class how many cells were computed, and in what time.
    times: HashMap<Class, (u32, Duration)>,
}

impl CellProgress {
    /// Shows nothing yet.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        let (open, times) = (Vec::new(), HashMap::new());
        Self { bar, open, done: 0, began: Instant::now(), times }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    /// What the open cells will take: as long as others of their class, or as the average cell.
    fn left(&self) -> Option<Duration> {
        let (count, total) = self
            .times
            .values()
            .fold((0, Duration::ZERO), |(count, total), (n, time)| (count + n, total + *time));
        let average = total.checked_div(count)?;
        let of = |cell: &Cell| {
            let known = self.times.get(&class(cell));
            known.and_then(|(count, time)| time.checked_div(*count)).unwrap_or(average)
        };
        Some(self.open[self.done..].iter().map(of).sum())
    }
}

fn class(cell: &Cell) -> Class {
    (cell.task, cell.method, cell.shot)
}

impl Observer for CellProgress {
    fn begin(&mut self, stage: Stage, finished: &[Cell], open: &[Cell]) {
        let what = match stage {
            Stage::Trial => "trials on the development sets",
            Stage::Final => "runs for the test sets",
        };
        if !finished.is_empty() || !open.is_empty() {
            let kept = finished.len();
            self.line(&format!("{} {what}, {kept} of them finished before", kept + open.len()));
        }
        self.open = open.to_vec();
        self.done = 0;
        if let Some(bar) = &self.bar {
            let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(open.len() as u64);
            bar.set_position(0);
        }
    }

    fn cell(&mut self, task: &str, cell: &Cell) {
        self.began = Instant::now();
        if let Some(bar) = &self.bar {
            let left = self.left().map_or(String::new(), |left| format!(", {} left", clock(left)));
            let (method, shot) = (cell.method.name(), cell.shot);
            bar.set_message(format!("{task} {method} K={shot} seed {}{left}", cell.seed));
        }
    }

    fn finished(&mut self, task: &str, result: &CellResult) {
        let cell = &result.cell;
        let (count, time) = self.times.entry(class(cell)).or_default();
        *count += 1;
        *time += self.began.elapsed();
        self.done += 1;
        let figure = result.answers.first().and_then(|answer| {
            let name =
                if answer.metrics.contains_key("accuracy") { "accuracy" } else { "spearman" };
            Some(format!("{name} {:.3}", answer.metrics.get(name)?))
        });
        let left = self.left().map_or(String::new(), |left| format!(", {} left", clock(left)));
        let (method, shot, place) = (cell.method.name(), cell.shot, self.done);
        self.line(&format!(
            "{place}/{} {task} {method} K={shot} seed {} lr {:.0e}: {} ({:.1} s{left})",
            self.open.len(),
            cell.seed,
            cell.setting.learning_rate,
            figure.unwrap_or_default(),
            result.seconds,
        ));
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
            if self.done == self.open.len() {
                bar.finish_and_clear();
            }
        }
    }

    fn left_out(&mut self, task: &str, method: Method, reason: &str) {
        self.line(&format!("{task}: {} is left out: {reason}", method.name()));
    }
}
