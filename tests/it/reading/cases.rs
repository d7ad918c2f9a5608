//! Small files, each a kind of those that went wrong, and their task.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dynamar::{
    dataset::{Dataset, DatasetError, Reading, read_labelled},
    prompt::TaskFile,
    rows::Origin,
};
use flate2::{Compression, write::GzEncoder};

use crate::fixtures;

pub const TASK: &str = r#"
[task]
name = "pol"
kind = "classification"
max_length = 64
[fields.text]
min_tokens = 8
[labels]
column = "sentiment"
names = ["negative", "positive"]
[prompt]
canonical = "it-was"
[[prompt.template]]
id = "it-was"
text = "{text} It was {mask}."
[[prompt.template]]
id = "overall"
text = "Overall {mask}: {text}"
"#;

/// Six reviews, one of which has a comma.
pub const GOOD: &str = "text,sentiment\nThe battery died,negative\nBest phone ever,positive\n\
    Screen cracked,negative\nWorks like a charm,positive\n\"Awful sound, sent back\",negative\n\
    \"Fast, light and pretty\",positive\n";

/// The same with another separator, which needs no quotes.
pub fn separated_by(separator: char) -> String {
    let rows = rows().into_iter().map(|(text, label)| format!("{text}{separator}{label}\n"));
    format!("text{separator}sentiment\n{}", rows.collect::<String>())
}

/// The reviews and their labels.
pub fn rows() -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_reader(GOOD.as_bytes());
    let rows = reader.records().map(|row| row.expect("a row"));
    rows.map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
}

pub fn jsonl() -> String {
    let object = |(text, label): (String, String)| {
        serde_json::json!({ "text": text, "sentiment": label }).to_string() + "\n"
    };
    rows().into_iter().map(object).collect()
}

pub fn json() -> String {
    format!("[\n{}]\n", jsonl().trim_end().replace('\n', ",\n"))
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

pub fn zstandard(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).expect("packed")
}

pub fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A directory with a task file.
pub struct Desk {
    pub home: tempfile::TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let desk = Self { home: tempfile::tempdir().expect("a directory") };
        desk.file("task.toml", TASK);
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file there; its path as a text.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        text(&path).to_owned()
    }

    /// Reads labelled examples as `train` and the others do.
    pub fn read(
        &self,
        name: &str,
        content: impl AsRef<[u8]>,
        reading: &Reading,
    ) -> Result<Dataset, DatasetError> {
        self.file(name, content);
        let task = TaskFile::parse(TASK, "task.toml").expect("a good task");
        let labelled = read_labelled(&[Origin::new(&self.path(name))], &task, reading)?;
        Ok(labelled.data)
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

pub fn dynamar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.args(arguments).current_dir(fixtures::root()).env_remove("RUST_BACKTRACE");
    command
}

/// Expects this exit code and these words.
pub fn check(output: &Output, code: i32, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let told = format!("{}{stderr}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "{told:?} says {word:?}");
    }
}
