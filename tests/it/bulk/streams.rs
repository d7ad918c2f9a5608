//! Standard input: which column is read, and how a run ends while nothing comes.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use dynamar::{
    bulk::{BulkError, Files, Format, Input, Target, Unfinished},
    rows::{ReadOptions, STANDARD_INPUT},
};

use super::stage::{Ask, Nobody, Stage};

fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn files<'a>(input: impl Read + Send + 'static, format: Format, target: Target<'a>) -> Files<'a> {
    let input = Input::Stream(STANDARD_INPUT.to_owned(), Box::new(input));
    let reading = ReadOptions { format: Some(format), ..ReadOptions::default() };
    Files { input, reading, target, output_format: format }
}

#[test]
fn a_line_is_read_at_the_fields_name_or_at_that_of_the_task_file() {
    let stage = Stage::new();
    let mut ask = stage.ask("in.jsonl", "out.jsonl");
    ask.task = "intensity";
    let rows = "{\"review\":\"Good.\"}\n{\"text\":\"Good.\"}\n{\"text\":\"Good.\",\"review\":5}\n\
                {\"other\":1}\n{\"review\":5}\n";
    let mut out = Vec::new();
    let files = files(io::Cursor::new(rows), Format::Jsonl, Target::Stream(&mut out));
    let counts = ask.run_over(files, &mut Nobody, &AtomicBool::new(false)).expect("scored").counts;
    assert_eq!((counts.rows, counts.errors), (5, 2));
    let lines = lines(&out);
    assert!(lines[0]["value"].is_number() && lines[0]["value"] == lines[1]["value"], "{lines:?}");
    assert_eq!(lines[1]["value"], lines[2]["value"]);
    assert_eq!(lines[3]["error"], "column \"text\" or \"review\": missing");
    assert_eq!(lines[4]["error"], "\"review\" is a number, and a text is needed");
}

/// Gives its rows, and then nothing for as long as somebody waits for it.
struct Silent {
    rows: io::Cursor<&'static [u8]>,
    /// Is set when nothing comes any more.
    interrupt: Option<Arc<AtomicBool>>,
    /// The other end goes when the run has ended.
    end: Receiver<()>,
    /// Is told if the run never ends.
    waited: Sender<()>,
}

impl Read for Silent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.rows.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        if let Some(interrupt) = &self.interrupt {
            interrupt.store(true, Ordering::Relaxed);
        }
        if self.end.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout) {
            let _ = self.waited.send(());
        }
        Ok(0)
    }
}

/// Runs over rows of CSV after which there is silence.
fn run_silent(
    ask: &Ask<'_>,
    rows: &'static [u8],
    target: Target<'_>,
    is_interrupted: bool,
) -> BulkError {
    let interrupt = Arc::new(AtomicBool::new(false));
    let (ended, end) = channel();
    let (waited, has_waited) = channel();
    let flag = is_interrupted.then(|| Arc::clone(&interrupt));
    let input = Silent { rows: io::Cursor::new(rows), interrupt: flag, end, waited };
    let files = files(input, Format::Csv, target);
    let error = ask.run_over(files, &mut Nobody, &interrupt).expect_err("it ends");
    assert!(has_waited.try_recv().is_err(), "it waited for the stream");
    drop(ended);
    error
}

#[test]
fn an_interrupted_run_ends_while_its_stream_is_silent() {
    let stage = Stage::new();
    let ask = stage.ask("in.csv", "out.csv");
    let rows = b"id,text\n1,Good.\n2,Bad.\n";
    for rows in [&rows[..], b"id,te"] {
        let mut out = Vec::new();
        let error = run_silent(&ask, rows, Target::Stream(&mut out), true);
        assert!(matches!(error, BulkError::Interrupted { kept: false, .. }), "{error}");
        assert!(!error.to_string().contains("--resume"), "{error}");
    }
    // Nor does anybody go on with a file of it, of which nothing is left.
    let error = run_silent(&ask, rows, Target::File(&ask.out), true);
    assert!(matches!(error, BulkError::Interrupted { kept: false, .. }), "{error}");
    assert!(stage.files().is_empty(), "{:?}", stage.files());
    let mut again = ask.clone();
    again.unfinished = Unfinished::Resume;
    let told = run_silent(&again, rows, Target::File(&ask.out), true).to_string();
    assert!(told.contains("--resume: that needs a file"), "{told}");
}

/// Takes nothing.
struct Gone;

impl Write for Gone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.starts_with(b"id,") {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_whose_output_is_gone_ends_while_its_stream_is_silent() {
    let stage = Stage::new();
    let mut ask = stage.ask("in.csv", "out.csv");
    ask.chunk_rows = 1;
    let rows = b"id,text\n1,Good.\n2,Bad.\n";
    let error = run_silent(&ask, rows, Target::Stream(&mut Gone), false);
    let BulkError::Write { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
}
