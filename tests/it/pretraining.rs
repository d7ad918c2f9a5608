//! Continued pretraining on a real encoder: what it learns, writes, repeats and refuses.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use dynamar::{
    checkpoint::Checkpoint,
    dataset::{Dataset, LabeledExample, Texts},
    inference::{Model, language_head},
    prompt::TaskFile,
    task::Target,
    training::{
        self, HeadShape, Interrupt, JobTask, Length, StepReport, TrainingError, Tune, Unfinished,
        pretrain::{Amounts, Job, Measures, Observer, Pretrained, Settings, pretrain},
    },
    weights::Precision,
};

use crate::fixtures;

/// Sentences of one kind, which a model can learn to complete.
fn texts() -> Texts {
    let nouns = ["phone", "case", "charger", "camera", "screen", "cable", "battery", "box"];
    let words = ["great", "awful", "cheap", "sturdy", "heavy", "tiny", "broken", "perfect"];
    let sentence =
        |noun: &str, word: &str| format!("The {noun} that came in the mail today is {word}.");
    let all = nouns.iter().flat_map(|noun| words.iter().map(|word| sentence(noun, word)));
    Texts { texts: all.collect(), ..Texts::default() }
}

fn settings(steps: usize) -> Settings {
    Settings {
        length: Length::Steps(steps),
        batch_size: 8,
        max_length: 32,
        learning_rate: 1e-3,
        head_learning_rate: 1e-3,
        held_back: 0.2,
        ..Settings::default()
    }
}

#[derive(Default)]
struct Record<'a> {
    losses: Vec<f32>,
    measures: Vec<(usize, Measures)>,
    begun_after: Option<usize>,
    ended: bool,
    /// Interrupts the run after a step.
    interrupt: Option<(usize, &'a Interrupt)>,
}

impl Observer for Record<'_> {
    fn read(&mut self, _: &Amounts) {}
    fn encoded(&mut self, _: usize, _: usize) {}
    fn begin(&mut self, done: usize, _: usize) {
        self.begun_after = Some(done);
    }
    fn step(&mut self, report: &StepReport) {
        self.losses.push(report.loss);
        if let Some((step, interrupt)) = self.interrupt
            && step == report.step
        {
            interrupt.store(true, Ordering::Relaxed);
        }
    }
    fn measured(&mut self, step: usize, measures: &Measures) {
        self.measures.push((step, *measures));
    }
    fn end(&mut self) {
        self.ended = true;
    }
}

/// A run of its own settings on some texts.
struct Run<'a> {
    texts: Texts,
    tasks: Vec<(String, TaskFile)>,
    out: &'a Path,
    settings: Settings,
    unfinished: Unfinished,
}

impl<'a> Run<'a> {
    fn new(out: &'a Path, settings: Settings) -> Self {
        let (texts, unfinished) = (texts(), Unfinished::Resume);
        Self { texts, tasks: Vec::new(), out, settings, unfinished }
    }

    fn go(
        &self,
        record: &mut Record<'_>,
        interrupt: &Interrupt,
    ) -> Result<Pretrained, TrainingError> {
        let fixture = fixtures::encoder("bert-tiny");
        let encoder = fixture.checkpoint();
        let job = Job {
            texts: &self.texts,
            tasks: &self.tasks,
            encoder: &encoder,
            out: self.out,
            replace: false,
            settings: &self.settings,
            runtime: &fixtures::runtime(),
            unfinished: self.unfinished,
            save_every: 1000,
        };
        pretrain(&job, record, interrupt)
    }

    fn quietly(&self) -> Result<Pretrained, TrainingError> {
        self.go(&mut Record::default(), &Interrupt::new(false))
    }

    /// Expects these words of the error, and nothing written.
    fn refused(&self, words: &str) {
        let error = self.quietly().expect_err(words).to_string();
        assert!(error.contains(words), "{error:?} says {words:?}");
        assert!(!self.out.exists());
    }
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_loss_falls_and_the_outcome_trains_label_words() {
    let home = tempfile::tempdir().expect("a directory");
    let (out, trained) = (home.path().join("out"), home.path().join("trained"));
    let mut record = Record::default();
    let run = Run::new(&out, settings(40));
    let pretrained = run.go(&mut record, &Interrupt::new(false)).expect("pretrained");
    assert_eq!((record.losses.len(), record.ended, record.measures.len()), (40, true, 11));
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&record.losses[..5]), mean(&record.losses[35..]));
    assert!(last < 0.7 * first, "{first} {last}");
    let perplexity =
        |measures: Option<Measures>| measures.and_then(|m| m.perplexity).expect("measured");
    let (before, after) = (perplexity(pretrained.before), perplexity(pretrained.after));
    assert!(after < 0.5 * before, "{before} {after}");
    assert_eq!(record.measures[0], (0, pretrained.before.expect("measured")));
    let written = [
        "encoder.onnx",
        "encoder.weights",
        "language_head.safetensors",
        "manifest.json",
        "tokenizer.json",
    ];
    assert_eq!(
        (files(&out), files(home.path())),
        (written.map(str::to_owned).into(), vec!["out".to_owned()])
    );
    let checkpoint = Checkpoint::open(&out).expect("intact");
    assert!(Model::from_checkpoint(&checkpoint).expect("loaded").tasks.is_empty());
    let head = language_head(&checkpoint).expect("readable").expect("there");
    let fixture = fixtures::encoder("bert-tiny");
    let source = fixture.checkpoint();
    assert_ne!(Some(head), language_head(&source).expect("readable"));
    let from = &checkpoint.manifest.provenance.encoder_from;
    assert!(from.contains(&source.manifest.id) && from.contains("40 steps"), "{from}");
    train_label_words(&checkpoint, &trained);
}

/// `train --head label-words` on an encoder.
fn train_label_words(encoder: &Checkpoint, out: &Path) {
    let path = fixtures::root().join("models/tasks/review-polarity.toml");
    let file = Arc::new(TaskFile::read(&path).expect("a good file"));
    let example = |word: &str, label| {
        let example = fixtures::example(&[&format!("The phone is {word}.")]);
        LabeledExample::new(example, Target::Label(label))
    };
    let examples = [("awful", 0), ("poor", 0), ("great", 1), ("good", 1)]
        .map(|(word, label)| example(word, label))
        .into();
    let train = Dataset { path: "made-up.csv".to_owned(), examples };
    let tasks = vec![JobTask::new(file, "task.toml".to_owned(), train, None)];
    let job = training::Job {
        tasks,
        encoder,
        out,
        replace: false,
        settings: &training::Settings {
            head: HeadShape::LabelWords,
            length: Length::Steps(2),
            ..training::Settings::new(Tune::Full)
        },
        recipe: None,
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &fixtures::runtime(),
        unfinished: Unfinished::Refuse,
        save_every: 1000,
    };
    training::train(&job, &mut Silence, &Interrupt::new(false)).expect("trained");
}

struct Silence;

impl training::Observer for Silence {
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, _: &StepReport) {}
    fn scored(&mut self, _: usize, _: &[(&str, &training::Score)], _: bool) {}
    fn end(&mut self) {}
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let settings = Settings { similarity: 1.0, ..settings(12) };
    let home = tempfile::tempdir().expect("a directory");
    let (whole, parts) = (home.path().join("whole"), home.path().join("parts"));
    let expected = Run::new(&whole, settings.clone()).quietly().expect("pretrained");
    let run = Run::new(&parts, settings.clone());
    for (done, step) in [(0, 3), (3, 7)] {
        let interrupt = Interrupt::new(false);
        let mut record = Record { interrupt: Some((step, &interrupt)), ..Record::default() };
        let error = run.go(&mut record, &interrupt).expect_err("interrupted");
        assert!(matches!(error, TrainingError::Interrupted { step: Some(at) } if at == step));
        assert_eq!(record.begun_after, Some(done));
        assert_eq!(files(home.path()), [".parts.training-state", "whole"]);
    }
    Run { unfinished: Unfinished::Refuse, ..Run::new(&parts, settings.clone()) }
        .refused("--resume");
    let mut other = Run::new(&parts, settings);
    other.texts.texts.swap(0, 1);
    other.refused("its text differs");
    let found = run.quietly().expect("pretrained");
    assert_eq!(found.manifest.id, expected.manifest.id);
    assert_eq!((found.before, found.after), (expected.before, expected.after));
    assert_eq!(files(home.path()), ["parts", "whole"], "the state is gone");
}

#[test]
fn the_similarity_alone_brings_the_mask_nearer_to_the_meaning() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let settings = Settings { similarity: 1.0, masking_weight: 0.0, ..settings(30) };
    let path = fixtures::root().join("models/tasks/review-intensity.toml");
    let task = TaskFile::read(&path).expect("a good file");
    let tasks = vec![("task.toml".to_owned(), task)];
    let pretrained = Run { tasks, ..Run::new(&out, settings) }.quietly().expect("pretrained");
    let (before, after) =
        (pretrained.before.expect("measured"), pretrained.after.expect("measured"));
    assert_eq!((before.perplexity, after.perplexity), (None, None));
    let (before, after) = (before.similarity.expect("there"), after.similarity.expect("there"));
    assert!(after > before + 0.1, "{before} {after}");
    // The encoder's own language head does not fit it any more.
    assert_eq!(pretrained.manifest.encoder.language_head, None);
    assert!(!out.join("language_head.safetensors").exists());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let with = |change: fn(&mut Settings)| {
        let mut settings = settings(2);
        change(&mut settings);
        Run::new(&out, settings)
    };
    with(|settings| settings.max_length = 513).refused("the encoder's 512 positions");
    with(|settings| settings.masking_weight = 0.0).refused("similarity");
    let task = |fields: &[&str], template| {
        vec![("two.toml".to_owned(), fixtures::one_template_task(fields, template))]
    };
    let mut unused = with(|_| {});
    unused.tasks = task(&["text"], "{text} {mask}");
    unused.refused("task files are for the similarity");
    let mut two = with(|settings| settings.similarity = 1.0);
    two.tasks = task(&["a", "b"], "{a} {b} {mask}");
    two.refused("two.toml: the task has 2 fields");
    let mut long = with(|settings| settings.similarity = 1.0);
    long.settings.max_length = 8;
    long.tasks = task(&["text"], "One two three four five six seven eight {text} {mask}");
    long.refused("max_length = 8");
    let mut empty = with(|_| {});
    empty.texts.texts = vec!["\u{200b}".to_owned()];
    empty.refused("no word to train on");
    assert_eq!(files(home.path()).len(), 0);
}
