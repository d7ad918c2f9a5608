//! Any bytes as a file of rows to score, of any format, packing and encoding by how it begins.

#![no_main]

use std::{
    io,
    num::{NonZeroU64, NonZeroUsize},
    panic,
    path::Path,
    sync::{Arc, LazyLock, atomic::AtomicBool},
    time::Duration,
};

use dynamar::{
    bulk::{self, Files, Format, Input, Job, Naming, Observer, Progress, Target, Unfinished},
    inference::{Head, TaskPredictor},
    rows::ReadOptions,
    tokenization::PromptTokenizer,
};
use dynamar_fuzz::{HIDDEN, TOKENIZER, Zeros, directory, task, written};
use libfuzzer_sys::fuzz_target;

/// Positions of the encoder that there is none of.
const POSITIONS: usize = 64;

/// Counts what it is told.
#[derive(Default)]
struct Rows(u64);

impl Observer for Rows {
    fn begin(&mut self, _: &Progress) {}

    fn advanced(&mut self, progress: &Progress) {
        assert!(progress.counts.rows >= self.0);
        self.0 = progress.counts.rows;
    }
}

static PREDICTOR: LazyLock<TaskPredictor> = LazyLock::new(|| {
    let tokenizer = PromptTokenizer::from_bytes(TOKENIZER, Path::new("tokenizer.json"));
    let tokenizer = Arc::new(tokenizer.expect("a good tokenizer"));
    let head = Head::blank(HIDDEN, 2);
    TaskPredictor::new(Arc::new(task()), tokenizer, POSITIONS, head, "task.toml").expect("fits")
});

// The hook that libFuzzer sets ends the process at any panic, also at those of the Parquet library
// that are caught. One that is not caught still ends it.
fuzz_target!(init: panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let home = directory();
    let path = written(&home, "in", bytes);
    let job = Job {
        checkpoint: "zeros",
        predictor: &PREDICTOR,
        templates: &[0],
        naming: &Naming::default(),
        shard: None,
        chunk_rows: NonZeroUsize::MIN.saturating_add(15),
        group_rows: NonZeroU64::MIN.saturating_add(15),
        batch_tokens: NonZeroUsize::MIN.saturating_add(511),
        max_errors: None,
        unfinished: Unfinished::Restart,
        replace: false,
        save_interval: Duration::from_secs(60),
    };
    let mut rows = Rows::default();
    let mut written = io::sink();
    let files = Files {
        input: Input::File(&path),
        reading: ReadOptions::default(),
        target: Target::Stream(&mut written),
        output_format: Format::Jsonl,
    };
    let encoders = vec![Box::new(Zeros) as bulk::BoxedEncoder];
    let Ok(summary) = bulk::run(files, &job, encoders, &mut rows, &AtomicBool::new(false)) else {
        return;
    };
    assert_eq!(summary.counts.rows, rows.0);
});
