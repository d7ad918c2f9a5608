//! The least sure rows alone: what to label next.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
};

use dynamar::{
    bulk::{BulkError, Files, Format, Input, LeastSure, Observer, Progress, Target, Unfinished},
    inference::TemplateChoice,
};

use super::stage::{Ask, Nobody, Stage, Table, reviews};

impl Ask<'_> {
    /// The same with the least sure rows alone.
    fn least_sure(mut self, stage: &Stage, limit: usize) -> Self {
        let predictor = &stage.model.tasks[self.task].predictor;
        let templates = predictor.select(&self.choice).expect("known").len();
        let limit = NonZeroUsize::new(limit).expect("not 0");
        let kind = &predictor.file.task.kind;
        self.naming.least_sure = Some(LeastSure::new(limit, kind, templates).expect("it can be"));
        self
    }
}

/// The ids of the rows, the least sure first, as the whole output tells.
fn expected(whole: &Table, limit: usize) -> Vec<String> {
    let mut rows: Vec<(f64, &str)> =
        whole.numbers("probability").into_iter().zip(whole.column("id")).collect();
    // With two labels the margin is small where the probability is.
    rows.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    rows.iter().take(limit).map(|(_, id)| (*id).to_owned()).collect()
}

#[test]
fn the_least_sure_rows_come_first_whatever_the_format_and_the_chunks() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(40));
    stage.ask("in.csv", "whole.csv").run().expect("scored");
    let whole = Table::read(&stage.path("whole.csv"));
    let wanted = expected(&whole, 7);
    for (at, (chunk_rows, threads)) in [(3, 1), (8, 2), (64, 2)].into_iter().enumerate() {
        let out = format!("{at}.csv");
        let mut ask = stage.ask("in.csv", &out).least_sure(&stage, 7);
        (ask.chunk_rows, ask.threads) = (chunk_rows, threads);
        let summary = ask.run().expect("scored");
        assert_eq!((summary.counts.rows, summary.kept), (40, Some(7)));
        let table = Table::read(&stage.path(&out));
        assert_eq!(table.column("id"), wanted, "{chunk_rows} rows of a chunk");
        let uncertainty = table.numbers("uncertainty");
        assert!(uncertainty.is_sorted_by(|a, b| a >= b), "{uncertainty:?}");
        let probability = table.numbers("probability")[0];
        assert!((uncertainty[0] - (2.0 - 2.0 * probability)).abs() < 1e-5, "1 less the margin");
    }
    for format in ["jsonl", "parquet"] {
        let input = format!("in.{format}");
        stage.ask("in.csv", &input).prefixed("old_").run().expect("another format");
        let out = format!("out.{format}");
        let ask = stage.ask(&input, &out).least_sure(&stage, 7);
        assert_eq!(ask.run().expect("scored").kept, Some(7));
        let back = format!("{format}.csv");
        stage.ask(&out, &back).prefixed("again_").run().expect("read again");
        assert_eq!(Table::read(&stage.path(&back)).column("id"), wanted, "{format}");
    }
}

#[test]
fn equally_sure_rows_stay_in_their_order_and_failed_ones_are_left_out() {
    let stage = Stage::new();
    let rows: String = (0..9).map(|at| format!("{at},Good.\n")).collect();
    stage.file("in.csv", format!("id,text\n{rows}9, \n"));
    let mut ask = stage.ask("in.csv", "out.csv").least_sure(&stage, 4);
    ask.chunk_rows = 2;
    let summary = ask.run().expect("scored");
    assert_eq!((summary.counts.errors, summary.kept), (1, Some(4)));
    assert!(summary.first_error.is_some_and(|first| first.contains("row 10")));
    assert_eq!(Table::read(&stage.path("out.csv")).column("id"), ["0", "1", "2", "3"]);
    let all = stage.ask("in.csv", "all.csv").least_sure(&stage, 100);
    assert_eq!(all.run().expect("scored").kept, Some(9), "fewer than were asked for");
}

#[test]
fn numbers_are_ordered_by_what_the_templates_differ() {
    let stage = Stage::new();
    let rows = reviews(12).replace("text\n", "review\n");
    stage.file("in.csv", rows);
    let mut ask = stage.ask("in.csv", "out.csv");
    ask.task = "intensity";
    ask.choice = TemplateChoice::Ensemble(Vec::new());
    let ask = ask.least_sure(&stage, 5);
    assert_eq!(ask.run().expect("scored").kept, Some(5));
    let table = Table::read(&stage.path("out.csv"));
    let spread = table.numbers("uncertainty");
    assert!(spread[0] > 0.0 && spread.is_sorted_by(|a, b| a >= b), "{spread:?}");
    let kind = &stage.model.tasks["intensity"].predictor.file.task.kind;
    let error = LeastSure::new(NonZeroUsize::MIN, kind, 1).expect_err("one template");
    assert!(error.to_string().contains("say --ensemble"), "{error}");
}

#[test]
fn a_stream_gets_its_header_and_the_least_sure_rows() {
    let stage = Stage::new();
    let input = stage.file("in.csv", reviews(9));
    let mut written = Vec::new();
    let files = Files {
        input: Input::File(&input),
        reading: dynamar::rows::ReadOptions::default(),
        target: Target::Stream(&mut written),
        output_format: Format::Csv,
    };
    let ask = stage.ask("in.csv", "none.csv").least_sure(&stage, 2);
    ask.run_over(files, &mut Nobody, &AtomicBool::new(false)).expect("scored");
    let text = String::from_utf8(written).expect("text");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("id,text,label,probability,uncertainty,truncated,error\n"), "{text}");
}

/// Interrupts after the first rows.
struct Interrupts<'a>(&'a AtomicBool);

impl Observer for Interrupts<'_> {
    fn begin(&mut self, _: &Progress) {}

    fn advanced(&mut self, _: &Progress) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn such_a_run_leaves_nothing_and_is_not_gone_on_with() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(200));
    let mut ask = stage.ask("in.csv", "out.csv").least_sure(&stage, 3);
    let interrupt = AtomicBool::new(false);
    let error = ask.run_with(&mut Interrupts(&interrupt), &interrupt).expect_err("interrupted");
    assert!(matches!(error, BulkError::Interrupted { kept: false, .. }), "{error}");
    assert_eq!(stage.files(), ["in.csv"]);
    ask.unfinished = Unfinished::Resume;
    let error = ask.run_with(&mut Nobody, &AtomicBool::new(false)).expect_err("no such thing");
    assert!(error.to_string().contains("--resume"), "{error}");
    ask.unfinished = Unfinished::Refuse;
    stage.file("out.csv", "somebody else's");
    let error = ask.run().expect_err("there is one");
    assert!(matches!(error, BulkError::Exists { .. }), "{error}");
    ask.replace = true;
    assert_eq!(ask.run().expect("scored").kept, Some(3));
    assert_eq!(stage.files(), ["in.csv", "out.csv"]);
}
