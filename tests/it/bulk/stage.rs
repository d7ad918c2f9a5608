//! A checkpoint, one session of its encoder for all runs of a test, and files beside it.

use std::{
    fs,
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use dynamar::{
    bulk::{
        self, BoxedEncoder, BulkError, Files, Format, Input, Job, Naming, Observer, Progress,
        Shard, Summary, Target, Unfinished,
    },
    inference::{Encoder, MaskEncoder, Model, PredictError, TemplateChoice},
    rows::ReadOptions,
    tokenization::Prompt,
};
use tempfile::TempDir;

use crate::{fixtures, server::checkpoints};

pub struct Stage {
    pub home: TempDir,
    pub model: Model,
    encoder: Arc<Mutex<Encoder>>,
}

/// What a test does to the encoder before it works.
type Trick = Arc<dyn Fn(&[&Prompt]) -> Result<(), PredictError> + Send + Sync>;

/// The encoder, as often as a run wants it.
struct Shared {
    encoder: Arc<Mutex<Encoder>>,
    trick: Trick,
    /// Whether it panics where that is not expected of an encoder.
    is_broken: bool,
}

impl MaskEncoder for Shared {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        (self.trick)(prompts)?;
        self.encoder.lock().expect("no panic").mask_vectors(prompts)
    }

    fn hidden_size(&self) -> usize {
        assert!(!self.is_broken, "a broken encoder");
        self.encoder.lock().expect("no panic").hidden_size()
    }
}

/// Is told nothing.
pub struct Nobody;

impl Observer for Nobody {
    fn begin(&mut self, _: &Progress) {}

    fn advanced(&mut self, _: &Progress) {}
}

/// One run, with what is usual in tests.
#[derive(Clone)]
pub struct Ask<'s> {
    stage: &'s Stage,
    pub task: &'static str,
    pub input: PathBuf,
    pub out: PathBuf,
    pub reading: ReadOptions,
    pub naming: Naming,
    pub choice: TemplateChoice,
    pub shard: Option<Shard>,
    pub chunk_rows: usize,
    pub threads: usize,
    pub max_errors: Option<u64>,
    pub unfinished: Unfinished,
    pub replace: bool,
    pub checkpoint: String,
    pub is_broken: bool,
    trick: Trick,
}

impl Stage {
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("model");
        let column = "[fields.text]\ncolumn = \"review\"\n";
        let intensity = checkpoints::INTENSITY.replace("[fields.text]\n", column);
        checkpoints::write(&directory, &[checkpoints::POLARITY, &intensity, checkpoints::MATCH]);
        let model = Model::load(&directory).expect("a good checkpoint");
        let encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
        Self { home, model, encoder: Arc::new(Mutex::new(encoder)) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Puts a file there.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("there, and text")
    }

    /// What lies there but the checkpoint.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path()).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "model").collect();
        names.sort();
        names
    }

    pub fn encoder(&self) -> impl MaskEncoder + use<> {
        let trick = Arc::new(|_: &[&Prompt]| Ok(()));
        Shared { encoder: Arc::clone(&self.encoder), trick, is_broken: false }
    }

    /// Polarity of the rows of a file.
    pub fn ask(&self, input: &str, out: &str) -> Ask<'_> {
        Ask {
            stage: self,
            task: "polarity",
            input: self.path(input),
            out: self.path(out),
            reading: ReadOptions::default(),
            naming: Naming::default(),
            choice: TemplateChoice::Default,
            shard: None,
            chunk_rows: 8,
            threads: 2,
            max_errors: None,
            unfinished: Unfinished::Refuse,
            replace: false,
            checkpoint: self.model.id.clone(),
            is_broken: false,
            trick: Arc::new(|_| Ok(())),
        }
    }
}

impl Ask<'_> {
    /// The same with other columns added to others.
    pub fn prefixed(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.naming.prefix);
        self
    }

    /// The same with an encoder that does this first.
    pub fn with_trick(
        mut self,
        trick: impl Fn(&[&Prompt]) -> Result<(), PredictError> + Send + Sync + 'static,
    ) -> Self {
        self.trick = Arc::new(trick);
        self
    }

    pub fn run(&self) -> Result<Summary, BulkError> {
        self.run_with(&mut Nobody, &AtomicBool::new(false))
    }

    pub fn run_with(
        &self,
        observer: &mut dyn Observer,
        interrupt: &AtomicBool,
    ) -> Result<Summary, BulkError> {
        let files = Files {
            input: Input::File(&self.input),
            reading: self.reading.clone(),
            target: Target::File(&self.out),
            output_format: Format::of(&self.out)?,
        };
        self.run_over(files, observer, interrupt)
    }

    pub fn run_over(
        &self,
        files: Files<'_>,
        observer: &mut dyn Observer,
        interrupt: &AtomicBool,
    ) -> Result<Summary, BulkError> {
        let predictor = &self.stage.model.tasks[self.task].predictor;
        let templates = predictor.select(&self.choice).expect("known templates");
        let count = |count: usize| NonZeroUsize::new(count).expect("not 0");
        let job = Job {
            checkpoint: &self.checkpoint,
            predictor,
            templates: &templates,
            naming: &self.naming,
            shard: self.shard,
            chunk_rows: count(self.chunk_rows),
            group_rows: NonZeroU64::new(16).expect("not 0"),
            batch_tokens: count(64),
            max_errors: self.max_errors,
            unfinished: self.unfinished,
            replace: self.replace,
            save_interval: Duration::ZERO,
        };
        let encoder = |_| -> BoxedEncoder {
            let (encoder, trick) = (Arc::clone(&self.stage.encoder), Arc::clone(&self.trick));
            Box::new(Shared { encoder, trick, is_broken: self.is_broken })
        };
        let encoders = (0..self.threads).map(encoder).collect();
        bulk::run(files, &job, encoders, observer, interrupt)
    }
}

/// The rows of a CSV file by the names of its columns.
pub struct Table {
    names: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn read(path: &Path) -> Self {
        let mut reader = csv::Reader::from_path(path).expect("there");
        let owned = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let names = owned(reader.headers().expect("a header"));
        let rows = reader.records().map(|record| owned(&record.expect("a record"))).collect();
        Self { names, rows }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn column(&self, name: &str) -> Vec<&str> {
        let at = self.names.iter().position(|known| known == name);
        let at = at.unwrap_or_else(|| panic!("{name} is one of {:?}", self.names));
        self.rows.iter().map(|row| row[at].as_str()).collect()
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.column(name).iter().map(|text| text.parse().expect("a number")).collect()
    }
}

/// Reviews that differ in length, as CSV with an id.
pub fn reviews(rows: usize) -> String {
    let mut text = "id,text\n".to_owned();
    for at in 0..rows {
        let words = "It works well, mostly. ".repeat(at % 7);
        text += &format!("{at},\"Review {at} says: {words}\"\n");
    }
    text
}
