//! How training goes: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::time_left::TimeLeft;
use crate::training::{
    Observer, Score, StepReport,
    pretrain::{self, Amounts, Measures},
};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The share that a new loss has in the one that is shown.
const SMOOTHING: f32 = 0.1;

/// Shows progress on stderr.
pub struct Progress {
    /// Absent where stderr is no terminal.
    bar: Option<ProgressBar>,
    /// The last step that was taken.
    last: usize,
    /// Steps that an earlier process took.
    done: usize,
    steps: usize,
    loss: Option<f32>,
    prompts: usize,
    started: Instant,
    /// When the last step, or a look at the development sets, was over.
    over: Instant,
    left: TimeLeft,
    /// Time of all steps.
    stepping: Duration,
    last_line: Instant,
}

/// Writes a line to stderr, or loses it where nobody reads: that is no reason to stop.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Progress {
    /// Shows nothing yet.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        let now = Instant::now();
        Self {
            bar,
            last: 0,
            done: 0,
            steps: 0,
            loss: None,
            prompts: 0,
            started: now,
            over: now,
            left: TimeLeft::default(),
            stepping: Duration::ZERO,
            last_line: now,
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    fn rate(&self) -> f64 {
        self.prompts as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// What the steps that are left take, and as much for looks at the development sets as so far. With
    /// a frozen encoder the first look is the only one that takes long.
    fn time_left(&self, step: usize) -> Duration {
        if self.left.has_encoded() {
            return self.left.of(self.steps.saturating_sub(step));
        }
        let between = self.started.elapsed().saturating_sub(self.stepping);
        let taken = step.saturating_sub(self.done).max(1);
        let left = self.steps.saturating_sub(step);
        let between = between.as_secs_f64() / taken as f64 * left as f64;
        let between = Duration::try_from_secs_f64(between).unwrap_or(Duration::MAX);
        self.left.of(left).saturating_add(between)
    }
}

impl Observer for Progress {
    fn begin(&mut self, done: usize, steps: usize) {
        (self.done, self.steps) = (done, steps);
        if done > 0 {
            self.line(&format!("going on after step {done} of {steps}"));
        }
        self.started = Instant::now();
        (self.over, self.last_line) = (self.started, self.started);
        if let Some(bar) = &self.bar {
            let style = "{bar:32} {pos}/{len} steps  {msg}";
            bar.set_style(
                ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_length(steps as u64);
        }
    }

    fn step(&mut self, report: &StepReport) {
        self.prompts += report.prompts;
        self.last = report.step;
        let took = self.over.elapsed();
        self.left.add(report, took);
        (self.over, self.stepping) = (Instant::now(), self.stepping + took);
        let loss = self.loss.map_or(report.loss, |shown| shown + SMOOTHING * (report.loss - shown));
        self.loss = Some(loss);
        let text = format!(
            "loss {loss:.4}  {:.0} examples/s  {} left",
            self.rate(),
            clock(self.time_left(report.step))
        );
        if let Some(bar) = &self.bar {
            bar.set_position(report.step as u64);
            bar.set_message(text);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            note(&format!("step {}/{}  {text}", report.step, self.steps));
        }
    }

    fn scored(&mut self, step: usize, scores: &[(&str, &Score)], best: bool) {
        self.over = Instant::now();
        let best = if best { "  (best so far)" } else { "" };
        for (task, score) in scores {
            let metrics = score.metrics.iter().map(|(name, value)| format!("{name} {value:.4}"));
            let metrics = metrics.collect::<Vec<_>>().join("  ");
            let task = if scores.len() > 1 { format!("{task} ") } else { String::new() };
            self.line(&format!("step {step}/{}  {task}dev: {metrics}{best}", self.steps));
        }
    }

    fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let taken = clock(self.started.elapsed());
        let steps = self.last.saturating_sub(self.done);
        self.line(&format!("{steps} steps in {taken}, {:.0} examples/s", self.rate()));
    }
}

/// The bar and the lines are the same; what is measured is not.
impl pretrain::Observer for Progress {
    fn read(&mut self, amounts: &Amounts) {
        let Amounts { texts, windows, held_back, duplicates, empty } = amounts;
        self.line(&format!(
            "{texts} texts in {windows} windows, {held_back} held back and measured; \
             {duplicates} duplicates and {empty} empty ones left out"
        ));
    }

    fn encoded(&mut self, texts: usize, all: usize) {
        if texts == all || self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.line(&format!("what the texts mean: {texts} of {all} encoded"));
        }
    }

    fn begin(&mut self, done: usize, steps: usize) {
        Observer::begin(self, done, steps);
    }

    fn step(&mut self, report: &StepReport) {
        Observer::step(self, report);
    }

    fn measured(&mut self, step: usize, measures: &Measures) {
        let figure = |name: &str, figure: Option<f64>| figure.map(|f| format!("  {name} {f:.3}"));
        let figures =
            [figure("perplexity", measures.perplexity), figure("similarity", measures.similarity)];
        let figures: String = figures.into_iter().flatten().collect();
        self.line(&format!("step {step}/{}  held back:{figures}", self.steps));
    }

    fn end(&mut self) {
        Observer::end(self);
    }
}

/// A duration for people.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}
