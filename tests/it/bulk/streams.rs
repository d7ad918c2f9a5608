//! Standard input: which column is read.

use std::{
    io::{self, Read},
    sync::atomic::AtomicBool,
};

use dynamar::bulk::{Files, Format, Input, Target};

use super::stage::{Nobody, Stage};

fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn files<'a>(input: impl Read + Send + 'static, format: Format, target: Target<'a>) -> Files<'a> {
    let input = Input::Stream(Box::new(input));
    Files { input, input_format: format, target, output_format: format }
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
