//! Training on a real encoder: what it writes, what it refuses, what it repeats.

use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc};

mod families;
mod options;
mod recipe;

use dynamar::{
    checkpoint::Checkpoint,
    dataset::{Dataset, LabeledExample},
    inference::{Model, TemplateChoice, predict},
    prompt::TaskFile,
    task::Target,
    training::{
        Interrupt, Job, JobTask, Length, Observer, Score, Settings, StepReport, Trained,
        TrainingError, Tune, Unfinished, train,
    },
    weights::Precision,
};

use crate::fixtures;

/// A task file of the demo, shortened.
fn task(kind: &str) -> Arc<TaskFile> {
    let path = fixtures::root().join(format!("models/tasks/review-{kind}.toml"));
    Arc::new(TaskFile::read(&path).expect("a good file"))
}

/// Sentences whose sense is plain, with their value or label.
fn dataset(kind: &str) -> Dataset {
    let good = ["great", "excellent", "wonderful", "perfect", "lovely", "superb"];
    let bad = ["terrible", "awful", "useless", "broken", "dreadful", "faulty"];
    let nouns = ["phone", "case", "charger", "camera"];
    let mut examples = Vec::new();
    for (good, bad) in good.iter().zip(bad) {
        for noun in nouns {
            for (word, sign) in [(*good, 1.0), (bad, -1.0)] {
                let target = match kind {
                    "polarity" => Target::Label(usize::from(sign > 0.0)),
                    _ => Target::Value(2.0 * sign),
                };
                let example = fixtures::example(&[&format!("The {noun} is {word}.")]);
                examples.push(LabeledExample::new(example, target));
            }
        }
    }
    Dataset { path: "made-up.csv".to_owned(), examples }
}

#[derive(Debug, Default)]
struct Record {
    losses: Vec<f32>,
    scores: Vec<(usize, bool)>,
    ended: bool,
}

impl Observer for Record {
    fn begin(&mut self, _: usize, steps: usize) {
        self.losses.reserve(steps);
    }
    fn step(&mut self, report: &StepReport) {
        self.losses.push(report.loss);
    }
    fn scored(&mut self, step: usize, _: &[(&str, &Score)], best: bool) {
        self.scores.push((step, best));
    }
    fn end(&mut self) {
        self.ended = true;
    }
}

fn settings(tune: Tune, steps: usize) -> Settings {
    let batch_size = 16;
    let learning_rate = 3e-4;
    let head_learning_rate = if tune == Tune::Head { 3e-2 } else { 3e-3 };
    let length = Length::Steps(steps);
    Settings { batch_size, learning_rate, head_learning_rate, length, ..Settings::new(tune) }
}

fn job_task(kind: &str, train: Dataset, dev: Option<Dataset>) -> JobTask {
    JobTask::new(task(kind), "task.toml".to_owned(), train, dev)
}

fn run(
    kind: &str,
    encoder: &Path,
    out: &Path,
    settings: &Settings,
    replace: bool,
) -> Result<(Trained, Record), TrainingError> {
    let encoder = Checkpoint::open(encoder).expect("an intact encoder");
    let (data, runtime) = (dataset(kind), fixtures::runtime());
    let job = Job {
        tasks: vec![job_task(kind, data.clone(), Some(data))],
        encoder: &encoder,
        out,
        replace,
        settings,
        recipe: None,
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &runtime,
        unfinished: Unfinished::Refuse,
        save_every: 1000,
    };
    let mut record = Record::default();
    let trained = train(&job, &mut record, &Interrupt::new(false))?;
    Ok((trained, record))
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_fine_tuned_task_answers_and_its_figures_are_those_of_the_checkpoint() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let fixture = fixtures::encoder("bert-tiny");
    let settings = settings(Tune::Full, 40);
    let (trained, record) =
        run("polarity", &fixture.path(), &out, &settings, false).expect("trained");
    assert_eq!((record.losses.len(), record.ended), (40, true));
    assert_eq!(record.scores.len(), 10);
    assert!(record.scores.contains(&(trained.step, true)), "the best step was kept");
    assert_eq!(files(home.path()), ["out"], "nothing temporary is left");
    // The encoder is another one now, which the old language head does not fit.
    assert_eq!(trained.manifest.encoder.language_head, None);
    assert!(!out.join("language_head.safetensors").exists());
    let model = Model::load(&out).expect("an intact checkpoint");
    let served = &model.tasks["review-polarity"];
    assert_eq!(served.report.metrics, trained.scores[0].1.as_ref().expect("a score").metrics);
    assert!(served.report.metrics["accuracy"] > 0.9, "{:?}", served.report.metrics);
    assert_eq!(served.report.training["seed"], 0);
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let templates = served.predictor.select(&TemplateChoice::Default).expect("templates");
    for (text, label) in [("The camera is awful.", 0), ("The case is superb.", 1)] {
        let examples = [fixtures::example(&[text])];
        let found = predict(&mut encoder, &served.predictor, &examples, &templates);
        assert_eq!(found.expect("predicted")[0].output.best_label(), Some(label), "{text}");
    }
}

#[test]
fn the_same_seed_gives_the_same_checkpoint_to_the_bit() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let id = |name: &str, seed| {
        let settings = Settings { seed, ..settings(Tune::Full, 3) };
        let out = home.path().join(name);
        run("intensity", &fixture.path(), &out, &settings, false).expect("trained").0.manifest.id
    };
    let first = id("first", 1);
    assert_eq!(first, id("second", 1));
    assert_ne!(first, id("other", 2));
}

#[test]
fn a_head_joins_an_encoder_without_copying_it() {
    let home = tempfile::tempdir().expect("a directory");
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    let fixture = fixtures::encoder("bert-tiny");
    let head = settings(Tune::Head, 20);
    run("polarity", &fixture.path(), &first, &head, false).expect("trained");
    let inode = |directory: &Path| {
        std::fs::metadata(directory.join("encoder.onnx")).expect("a graph").ino()
    };
    // Both lie below the system's temporary directory, on one file system.
    assert_eq!(inode(&first), inode(&fixture.path()), "the graph is shared");
    let language_head = |directory: &Path| {
        let checkpoint = Checkpoint::open(directory).expect("intact");
        dynamar::inference::language_head(&checkpoint).expect("readable")
    };
    let kept = language_head(&first);
    assert!(kept.is_some() && kept == language_head(&fixture.path()), "and so is its head");
    run("intensity", &first, &second, &head, false).expect("trained");
    assert_eq!(Model::load(&second).expect("intact").tasks.len(), 1, "another place, one task");
    run("intensity", &first, &first, &head, false).expect("joined");
    let model = Model::load(&first).expect("intact");
    assert_eq!(model.tasks.keys().collect::<Vec<_>>(), ["review-intensity", "review-polarity"]);
    assert_eq!(inode(&first), inode(&fixture.path()), "the graph is still shared");
    let error = run("intensity", &first, &first, &head, false).expect_err("there already");
    assert!(error.to_string().contains("--replace"), "{error}");
    run("intensity", &first, &first, &head, true).expect("replaced");
    assert_eq!(Model::load(&first).expect("intact").tasks.len(), 2);
}

#[test]
fn targets_that_cannot_be_computed_with_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    // Targets so far apart that their squares overflow.
    let mut data = dataset("intensity");
    for (at, labeled) in data.examples.iter_mut().enumerate() {
        labeled.target = Target::Value(if at == 0 { f64::MAX } else { -f64::MAX });
    }
    let (runtime, encoder) = (fixtures::runtime(), fixture.checkpoint());
    let settings = settings(Tune::Full, 3);
    let job = Job {
        tasks: vec![job_task("intensity", data, None)],
        encoder: &encoder,
        out: &home.path().join("out"),
        replace: false,
        settings: &settings,
        recipe: None,
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &runtime,
        unfinished: Unfinished::Refuse,
        save_every: 1000,
    };
    let error =
        train(&job, &mut Record::default(), &Interrupt::new(false)).expect_err("too far apart");
    assert!(matches!(error, TrainingError::Targets), "{error}");
    assert!(files(home.path()).is_empty());
}
