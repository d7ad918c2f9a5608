//! A run that was stopped at any moment goes on to the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use dynamar::bulk::{BulkError, Naming, Observer, Progress, Shard, Unfinished};

use super::stage::{Ask, Stage, reviews};

const FORMATS: [&str; 3] = ["csv", "jsonl", "parquet"];

/// Keeps what lies beside an output whenever rows were written: as a process leaves it that is
/// killed then.
pub struct Snapshots {
    out: PathBuf,
    into: PathBuf,
    pub taken: usize,
}

impl Snapshots {
    /// Of a run, a directory for each in one.
    pub fn of(ask: &Ask<'_>, into: &Path) -> Self {
        Self { out: ask.out.clone(), into: into.to_owned(), taken: 0 }
    }
}

fn beside(out: &Path) -> [PathBuf; 2] {
    ["partial", "partial.state"].map(|name| PathBuf::from(format!("{}.{name}", out.display())))
}

impl Observer for Snapshots {
    fn begin(&mut self, _: &Progress) {}

    fn advanced(&mut self, _: &Progress) {
        let directory = self.into.join(self.taken.to_string());
        fs::create_dir_all(&directory).expect("a directory");
        for path in beside(&self.out).iter().filter(|path| path.exists()) {
            fs::copy(path, directory.join(path.file_name().expect("a name"))).expect("copied");
        }
        self.taken += 1;
    }
}

/// The same run with what lies beside another output.
pub fn resumed<'s>(ask: &Ask<'s>, out: &Path) -> Ask<'s> {
    let mut ask = ask.clone();
    (ask.out, ask.unfinished) = (out.to_owned(), Unfinished::Resume);
    ask
}

#[test]
fn a_run_killed_after_any_chunk_goes_on_to_the_same_bytes() {
    let stage = Stage::new();
    stage.file("base.csv", reviews(60) + "60,\n");
    for (at, format) in FORMATS.into_iter().enumerate() {
        let input = format!("in.{format}");
        stage.ask("base.csv", &input).prefixed("x_").run().expect("scored");
        let out = format!("out.{}", FORMATS[(at + 1) % 3]);
        let ask = stage.ask(&input, &out);
        let into = stage.path(&format!("killed-{format}"));
        let mut snapshots = Snapshots::of(&ask, &into);
        let whole = ask.run_with(&mut snapshots, &AtomicBool::new(false)).expect("scored");
        let expected = fs::read(&ask.out).expect("there");
        assert_eq!((snapshots.taken, whole.counts.rows), (8, 61));
        let mut went_on = 0;
        for taken in 0..snapshots.taken {
            let out = into.join(taken.to_string()).join(&out);
            // What the system had not been told to keep may be there or not.
            if let Ok(mut partial) = fs::OpenOptions::new().append(true).open(&beside(&out)[0]) {
                std::io::Write::write_all(&mut partial, b"half a ro").expect("written");
            }
            let ask = resumed(&ask, &out);
            let summary = ask.run().expect("it goes on");
            went_on += usize::from(summary.resumed > 0);
            assert_eq!(summary.counts, whole.counts, "after {taken}");
            assert_eq!(summary.first_error, whole.first_error);
            assert!(fs::read(&out).expect("there") == expected, "{format}, after {taken}");
            assert!(beside(&out).iter().all(|path| !path.exists()));
            // And once more, when all is done.
            let again = ask.run().expect("nothing to do");
            assert!(again.was_there && fs::read(&out).expect("there") == expected);
        }
        // Of Parquet a row group takes 16 rows, which are two chunks.
        assert_eq!(went_on, if out.ends_with("parquet") { 7 } else { 8 });
    }
}

#[test]
fn a_run_killed_when_its_output_is_in_place_has_only_to_tidy_up() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(20));
    let mut ask = stage.ask("in.csv", "out.csv");
    // An empty part is one too.
    for shard in [None, Some(Shard { index: 0, count: 30 })] {
        (ask.shard, ask.replace, ask.unfinished) = (shard, true, Unfinished::Refuse);
        let into = stage.path("killed");
        let mut snapshots = Snapshots::of(&ask, &into);
        let interrupt = AtomicBool::new(false);
        let whole = ask.run_with(&mut snapshots, &interrupt).expect("scored");
        let expected = stage.text("out.csv");
        let state = &beside(&ask.out)[1];
        match snapshots.taken {
            0 => {
                // Stopped before it began, and so with a state of no row, which are all.
                stage.file("out.csv.partial", &expected);
                fs::remove_file(&ask.out).expect("removed");
                ask.unfinished = Unfinished::Resume;
                ask.run().expect("begun anew");
                assert_eq!(stage.text("out.csv"), expected);
            }
            taken => {
                let last = into.join((taken - 1).to_string());
                fs::copy(last.join(state.file_name().expect("a name")), state).expect("copied");
                (ask.replace, ask.unfinished) = (false, Unfinished::Resume);
                let summary = ask.run().expect("nothing to do");
                assert!(summary.was_there);
                assert_eq!(summary.counts, whole.counts);
            }
        }
        assert_eq!(stage.text("out.csv"), expected);
        assert!(beside(&ask.out).iter().all(|path| !path.exists()));
    }
}

#[test]
fn an_output_that_somebody_else_put_there_meanwhile_stays() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(20));
    for (out, partial) in [("out.csv", "out.csv.partial"), ("out.parquet", "out.parquet.partial")] {
        stage.ask("in.csv", &format!("whole-{out}")).run().expect("scored");
        let path = stage.path(out);
        let mut ask = stage.ask("in.csv", out).with_trick(move |_| {
            fs::write(&path, "of somebody else").expect("written");
            Ok(())
        });
        let refused = |ask: &Ask<'_>| {
            let error = ask.run().expect_err("there is one").to_string();
            assert!(error.contains("exists already") && error.contains("--replace"), "{error}");
            assert_eq!(stage.text(out), "of somebody else");
            assert!(stage.path(partial).exists(), "what was computed stays");
        };
        refused(&ask);
        ask.unfinished = Unfinished::Resume;
        refused(&ask);
        fs::remove_file(stage.path(out)).expect("removed");
        let summary = ask.run().expect("it goes on");
        assert_eq!(summary.resumed, 20);
        let whole = fs::read(stage.path(&format!("whole-{out}"))).expect("there");
        assert!(fs::read(stage.path(out)).expect("there") == whole);
    }
}

#[test]
fn parquet_killed_before_it_is_in_its_place_is_put_there() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(16));
    let mut ask = stage.ask("in.csv", "out.parquet");
    let into = stage.path("killed");
    let mut snapshots = Snapshots::of(&ask, &into);
    ask.run_with(&mut snapshots, &AtomicBool::new(false)).expect("scored");
    let expected = fs::read(&ask.out).expect("there");
    let state = &beside(&ask.out)[1];
    let kept =
        into.join((snapshots.taken - 1).to_string()).join(state.file_name().expect("a name"));
    let kill = || {
        fs::copy(&kept, state).expect("copied");
        fs::rename(&ask.out, stage.path("out.parquet.partial.whole")).expect("renamed");
    };
    kill();
    ask.unfinished = Unfinished::Resume;
    assert!(ask.run().expect("nothing to compute").was_there);
    assert!(fs::read(&ask.out).expect("there") == expected);
    kill();
    stage.file("out.parquet", "of somebody else");
    let error = ask.run().expect_err("there is one").to_string();
    assert!(error.contains("exists already"), "{error}");
    ask.replace = true;
    assert!(ask.run().expect("nothing to compute").was_there);
    assert!(fs::read(&ask.out).expect("there") == expected);
    assert_eq!(stage.files(), ["in.csv", "killed", "out.parquet"]);
}

#[test]
fn an_interrupted_run_goes_on_with_other_threads_and_in_a_shard() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(80));
    for shard in [None, Some(Shard { index: 1, count: 2 })] {
        let mut whole = stage.ask("in.csv", "whole.jsonl");
        (whole.shard, whole.replace) = (shard, true);
        whole.run().expect("scored");
        let interrupt = Arc::new(AtomicBool::new(false));
        let (batches, flag) = (AtomicUsize::new(0), Arc::clone(&interrupt));
        let mut ask = stage.ask("in.csv", "parts.jsonl").with_trick(move |_| {
            if batches.fetch_add(1, Ordering::Relaxed) == 12 {
                flag.store(true, Ordering::Relaxed);
            }
            Ok(())
        });
        (ask.shard, ask.replace) = (shard, true);
        let error = ask.run_with(&mut super::stage::Nobody, &interrupt).expect_err("interrupted");
        assert!(matches!(error, BulkError::Interrupted { kept: true, .. }), "{error}");
        let mut rest = resumed(&ask, &stage.path("parts.jsonl")).with_trick(|_| Ok(()));
        rest.threads = 1;
        rest.run().expect("it goes on");
        assert_eq!(stage.text("parts.jsonl"), stage.text("whole.jsonl"));
    }
}

#[test]
fn a_run_goes_on_only_with_what_it_began_with() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(20));
    let mut ask = stage.ask("in.csv", "out.csv");
    ask.max_errors = Some(0);
    stage.file("in.csv", reviews(20) + "20,\n");
    ask.run().expect_err("one error too many");
    ask.max_errors = None;
    let refuse = |ask: &Ask<'_>, words: &[&str]| {
        let before = stage.files();
        let error = ask.run().expect_err("refused").to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(stage.files(), before);
    };
    refuse(&ask, &["out.csv.partial", "--resume", "--restart"]);
    ask.unfinished = Unfinished::Resume;
    let with = |change: &dyn Fn(&mut Ask<'_>)| {
        let mut other = ask.clone();
        change(&mut other);
        other
    };
    refuse(&with(&|ask| "other".clone_into(&mut ask.checkpoint)), &["the checkpoint was"]);
    refuse(
        &with(&|ask| ask.task = "intensity"),
        &["the choice of templates was it-was, and now is rated"],
    );
    refuse(&with(&|ask| ask.chunk_rows = 9), &["--chunk-rows was 8"]);
    let scores = Naming { scores: true, ..Naming::default() };
    refuse(&with(&|ask| ask.naming = scores.clone()), &["--scores was false"]);
    let shard = Some(Shard { index: 0, count: 2 });
    refuse(&with(&|ask| ask.shard = shard), &["the shard was none"]);
    stage.file("in.csv", reviews(20) + "21,\n");
    refuse(&ask, &["the input was a file of sha256", "--restart"]);
    fs::write(&beside(&ask.out)[1], "{").expect("written");
    refuse(&ask, &["out.csv.partial.state", "--restart"]);
    ask.unfinished = Unfinished::Restart;
    assert_eq!(ask.run().expect("begun anew").counts.rows, 21);
    assert_eq!(stage.files(), ["in.csv", "out.csv"]);
}

#[test]
fn an_output_that_another_process_writes_is_left_to_it() {
    let stage = Stage::new();
    stage.file("in.csv", reviews(3));
    let partial = stage.file("out.csv.partial", "");
    let held = fs::File::open(&partial).expect("there");
    held.lock().expect("locked");
    let mut ask = stage.ask("in.csv", "out.csv");
    ask.unfinished = Unfinished::Restart;
    let error = ask.run().expect_err("busy").to_string();
    assert!(error.contains("another process"), "{error}");
    drop(held);
    ask.run().expect("free");
}

#[test]
fn an_input_that_changes_meanwhile_gives_no_output() {
    let stage = Stage::new();
    let input = stage.file("in.csv", reviews(30));
    let ask = stage.ask("in.csv", "out.csv").with_trick(move |_| {
        fs::write(&input, reviews(31)).expect("written");
        Ok(())
    });
    let error = ask.run().expect_err("changed").to_string();
    assert!(error.contains("changed while it was read"), "{error}");
    assert!(!stage.path("out.csv").exists());
}
