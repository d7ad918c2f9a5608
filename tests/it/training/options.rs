//! Options of training: several tasks, early ends, interruption and resumption.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use dynamar::{
    checkpoint::{
        Checkpoint, Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, Provenance, TOKENIZER_FILE,
    },
    dataset::Dataset,
    export,
    inference::{Model, TemplateChoice, load_tokenizer, predict},
    prompt::ClassWeights,
    training::{
        HeadShape, Interrupt, Job, JobTask, Observer, Score, Settings, StepReport, Stop, Trained,
        TrainingError, Tune, Unfinished, train,
    },
    weights::{Array, EncoderWeights, Precision},
};

use super::{Record, dataset, files, job_task, settings};
use crate::fixtures::{self, EncoderFixture};

/// A run of some tasks.
pub struct Run<'a> {
    /// Keeps the directory of the default encoder while the run may read it.
    pub _fixture: Arc<EncoderFixture>,
    pub encoder: Checkpoint,
    pub tasks: Vec<JobTask>,
    pub out: &'a Path,
    pub settings: Settings,
    pub precision: Precision,
    pub unfinished: Unfinished,
    pub save_every: usize,
}

impl<'a> Run<'a> {
    pub fn new(out: &'a Path, settings: Settings) -> Self {
        let fixture = fixtures::encoder("bert-tiny");
        let encoder = fixture.checkpoint();
        let data = dataset("polarity");
        let tasks = vec![job_task("polarity", data.clone(), Some(data))];
        let (precision, unfinished) = (Precision::Fp32, Unfinished::Refuse);
        Self {
            _fixture: fixture,
            encoder,
            tasks,
            out,
            settings,
            precision,
            unfinished,
            save_every: 1000,
        }
    }

    pub fn train(
        self,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Trained, TrainingError> {
        let job = Job {
            tasks: self.tasks,
            encoder: &self.encoder,
            out: self.out,
            replace: false,
            settings: &self.settings,
            recipe: None,
            adapted: None,
            budget: None,
            precision: self.precision,
            runtime: &fixtures::runtime(),
            unfinished: self.unfinished,
            save_every: self.save_every,
        };
        train(&job, observer, interrupt)
    }

    pub fn quietly(self) -> Result<Trained, TrainingError> {
        self.train(&mut Record::default(), &Interrupt::new(false))
    }
}

/// Interrupts the run after a step.
pub struct InterruptAfter<'a> {
    pub step: usize,
    pub interrupt: &'a Interrupt,
    pub begun_after: Option<usize>,
}

impl Observer for InterruptAfter<'_> {
    fn begin(&mut self, done: usize, _: usize) {
        self.begun_after = Some(done);
    }
    fn step(&mut self, report: &StepReport) {
        if report.step == self.step {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
    fn scored(&mut self, _: usize, _: &[(&str, &Score)], _: bool) {}
    fn end(&mut self) {}
}

/// Trains with an interruption after each of these steps; returns the checkpoint's id.
fn in_parts(home: &Path, settings: &Settings, tasks: &[&str], stops: &[usize]) -> String {
    let out = home.join("parts");
    let tasks = || {
        let of_kind = |kind: &&str| job_task(kind, dataset(kind), Some(dataset(kind)));
        tasks.iter().map(of_kind).collect()
    };
    let (mut done, unfinished, save_every) = (0, Unfinished::Resume, 1000);
    for &step in stops {
        let interrupt = Interrupt::new(false);
        let mut observer = InterruptAfter { step, interrupt: &interrupt, begun_after: None };
        let run =
            Run { tasks: tasks(), unfinished, save_every, ..Run::new(&out, settings.clone()) };
        let error = run.train(&mut observer, &interrupt).expect_err("interrupted");
        assert!(
            matches!(error, TrainingError::Interrupted { step: Some(at) } if at == step),
            "{error}"
        );
        assert!(error.to_string().contains("--resume"), "{error}");
        assert_eq!(observer.begun_after, Some(done));
        assert!(!out.exists());
        done = step;
    }
    let run = Run { tasks: tasks(), unfinished, save_every, ..Run::new(&out, settings.clone()) };
    let id = run.quietly().expect("trained").manifest.id;
    assert_eq!(files(home), ["parts"], "the state is gone");
    id
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    for (tune, tasks) in
        [(Tune::Full, &["polarity", "intensity"][..]), (Tune::Head, &["polarity"][..])]
    {
        let settings = settings(tune, 12);
        let whole = tempfile::tempdir().expect("a directory");
        let parts = tempfile::tempdir().expect("a directory");
        let expected = in_parts(whole.path(), &settings, tasks, &[]);
        assert_eq!(in_parts(parts.path(), &settings, tasks, &[3, 7]), expected, "{tune:?}");
    }
}

#[test]
fn an_unfinished_run_is_neither_overlooked_nor_mixed_up() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let begun = |settings| Run::new(&out, settings);
    let error =
        begun(settings(Tune::Full, 12)).train(&mut Record::default(), &Interrupt::new(true));
    assert!(matches!(error, Err(TrainingError::Interrupted { step: None })));
    assert!(files(home.path()).is_empty(), "before the first step there is nothing to keep");
    let interrupt = Interrupt::new(false);
    let mut observer = InterruptAfter { step: 1, interrupt: &interrupt, begun_after: None };
    let error = begun(settings(Tune::Full, 12)).train(&mut observer, &interrupt);
    assert!(matches!(error, Err(TrainingError::Interrupted { step: Some(1) })));
    let error = begun(settings(Tune::Full, 12)).quietly().expect_err("unfinished").to_string();
    assert!(error.contains("--resume") && error.contains("--restart"), "{error}");
    let other = Run { unfinished: Unfinished::Resume, ..begun(settings(Tune::Full, 13)) };
    let error = other.quietly().expect_err("another run").to_string();
    assert!(error.contains("its length differs"), "{error}");
    let mut other = Run { unfinished: Unfinished::Resume, ..begun(settings(Tune::Full, 12)) };
    other.tasks[0].train.examples.swap(0, 1);
    let error = other.quietly().expect_err("other data").to_string();
    assert!(error.contains("training set 1 differs"), "{error}");
    let anew = Run { unfinished: Unfinished::Restart, ..begun(settings(Tune::Full, 2)) };
    anew.quietly().expect("trained");
    assert_eq!(files(home.path()), ["out"]);
}

#[test]
fn tasks_trained_together_share_one_encoder_and_answer_both() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let tasks = ["polarity", "intensity"];
    let tasks = tasks.map(|kind| job_task(kind, dataset(kind), Some(dataset(kind)))).into();
    let trained = Run { tasks, ..Run::new(&out, settings(Tune::Full, 80)) }.quietly();
    let trained = trained.expect("trained");
    let metric = |task: &str, name: &str| {
        let score = trained.scores.iter().find(|(name, _)| name == task);
        score.and_then(|(_, score)| Some(score.as_ref()?.metrics[name])).expect("a figure")
    };
    assert!(metric("review-polarity", "accuracy") > 0.9);
    assert!(metric("review-intensity", "spearman") > 0.6);
    let model = Model::load(&out).expect("intact");
    assert_eq!(model.tasks.len(), 2);
    let together = &model.tasks["review-intensity"].report.training["trained_together"];
    assert_eq!(together, &serde_json::json!(["review-polarity", "review-intensity"]));
    let twice = vec![
        job_task("polarity", dataset("polarity"), None),
        job_task("polarity", dataset("polarity"), None),
    ];
    let other = home.path().join("other");
    let error = Run { tasks: twice, ..Run::new(&other, settings(Tune::Full, 4)) }.quietly();
    assert!(error.expect_err("one name").to_string().contains("two tasks are called"));
}

#[test]
fn patience_ends_a_run_that_gets_no_better() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    // Too slow to change any answer: after the first look nothing is better.
    let settings = Settings {
        learning_rate: 1e-12,
        head_learning_rate: 1e-12,
        score_every: Some(2),
        patience: Some(3),
        ..settings(Tune::Full, 400)
    };
    let trained = Run::new(&out, settings.clone()).quietly().expect("trained");
    let Some(Stop::Patience { step }) = trained.stop else { panic!("{:?}", trained.stop) };
    assert!(step < 400 && step == trained.step + 6, "{step} after {}", trained.step);
    let mut blind = Run::new(&out, settings);
    blind.tasks[0].dev = None;
    let error = blind.quietly().expect_err("nothing to look at").to_string();
    assert!(error.contains("patience needs a development set"), "{error}");
}

/// bert-tiny with a word whose embedding is finite, and too large to compute with.
fn poisoned(out: &Path, word: &str) -> Checkpoint {
    let fixture = fixtures::encoder("bert-tiny");
    let from = fixture.checkpoint();
    let entry = &from.manifest.encoder;
    let weights = export::read_weights(&from);
    let weights = weights.expect("weights");
    let tokenizer = load_tokenizer(&from).expect("a tokenizer");
    let id = tokenizer.word_id(word).expect("tokenised").expect("one token") as usize;
    let mut arrays: BTreeMap<String, Array> =
        weights.iter().map(|(name, array)| (name, array.clone())).collect();
    let hidden = entry.architecture.hidden_size;
    let embeddings = arrays.get_mut("embeddings.word").expect("embeddings");
    // Finite, but their sum is not.
    embeddings.data[id * hidden..][..hidden].fill(f32::MAX);
    let weights = EncoderWeights::new(entry.architecture.clone(), arrays).expect("finite");
    let mut draft = Draft::new(out, false).expect("a draft");
    let files = export::to_onnx(&weights, Precision::Fp32, ENCODER_WEIGHTS_FILE);
    draft.add_encoder(&files.graph, &files.weights).expect("written");
    draft.share(&from, &from.manifest.tokenizer).expect("shared");
    let entry = EncoderEntry { language_head: None, ..entry.clone() };
    draft.publish(entry, TOKENIZER_FILE, Provenance::new("a test")).expect("published");
    Checkpoint::open(out).expect("intact")
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_keeps_the_best_so_far() {
    let home = tempfile::tempdir().expect("a directory");
    let (encoder, out) = (home.path().join("encoder"), home.path().join("out"));
    let encoder = poisoned(&encoder, "zebra");
    let dev = dataset("polarity");
    let mut train_set = dev.clone();
    let last = train_set.examples.last_mut().expect("examples");
    last.example = fixtures::example(&["The zebra is faulty."]);
    let run = |dev: Option<Dataset>| {
        let settings = Settings { batch_size: 4, score_every: Some(1), ..settings(Tune::Full, 12) };
        let job = Job {
            tasks: vec![job_task("polarity", train_set.clone(), dev)],
            encoder: &encoder,
            out: &out,
            replace: false,
            settings: &settings,
            recipe: None,
            adapted: None,
            budget: None,
            precision: Precision::Fp32,
            runtime: &fixtures::runtime(),
            unfinished: Unfinished::Refuse,
            save_every: 1000,
        };
        train(&job, &mut Record::default(), &Interrupt::new(false))
    };
    let error = run(None).expect_err("nothing to keep").to_string();
    assert!(error.contains("at step") && error.contains("lower learning rate"), "{error}");
    assert_eq!(files(home.path()), ["encoder"]);
    let trained = run(Some(dev)).expect("the best so far");
    let Some(Stop::Diverged { reason }) = &trained.stop else { panic!("{:?}", trained.stop) };
    assert!(reason.contains("at step") && trained.step < 12, "{reason}");
    let model = Model::load(&out).expect("whole");
    let served = &model.tasks["review-polarity"].report;
    assert_eq!(served.training["best_step"], trained.step);
}

#[test]
fn options_that_mean_nothing_for_a_task_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let check = |change: &dyn Fn(&mut Settings), words: &str| {
        let mut settings = settings(Tune::Full, 4);
        change(&mut settings);
        let tasks = vec![job_task("intensity", dataset("intensity"), None)];
        let error = Run { tasks, ..Run::new(&out, settings) }.quietly().expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert!(files(home.path()).is_empty());
    };
    check(&|settings| settings.contrastive = 1.0, "for classification");
    check(&|settings| settings.head = HeadShape::LabelWords, "for classification");
    check(&|settings| settings.layer_decay = 0.0, "above 0");
    check(&|settings| settings.consistency = -1.0, "between 0 and 1000");
    let mut task = job_task("intensity", dataset("intensity"), None);
    task.class_weights = ClassWeights::Balanced;
    let run = Run { tasks: vec![task], ..Run::new(&out, settings(Tune::Full, 4)) };
    let error = run.quietly().expect_err("class weights").to_string();
    assert!(error.contains("for classification"), "{error}");
}

#[test]
fn every_addition_to_the_loss_still_learns() {
    let home = tempfile::tempdir().expect("a directory");
    let check = |name: &str, change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(Tune::Full, 40);
        change(&mut settings);
        let out = home.path().join(name);
        let trained = Run::new(&out, settings).quietly().expect(name);
        let score = trained.scores[0].1.as_ref().expect("a score");
        assert!(score.metrics["accuracy"] > 0.9, "{name}: {:?}", score.metrics);
    };
    check("consistency", &|settings| settings.consistency = 1.0);
    check("contrastive", &|settings| settings.contrastive = 1.0);
    check("layers", &|settings| settings.layer_decay = 0.9);
    check("mlp", &|settings| settings.head = HeadShape::Mlp);
    check("words", &|settings| settings.head = HeadShape::LabelWords);
}

#[test]
fn probabilities_follow_the_priors() {
    let home = tempfile::tempdir().expect("a directory");
    let train = |name: &str, priors: &str| {
        let out = home.path().join(name);
        let mut run = Run::new(&out, settings(Tune::Full, 4));
        let file = &run.tasks[0].file;
        let names = "names = [\"negative\", \"positive\"]";
        let source = file.source.replace(names, &format!("{names}\n{priors}"));
        let file = dynamar::prompt::TaskFile::parse(&source, "task.toml").expect("a good file");
        run.tasks[0].file = file.into();
        run.quietly().expect("trained");
        let checkpoint = Checkpoint::open(&out).expect("intact");
        let model = Model::from_checkpoint(&checkpoint).expect("loaded");
        model.tasks["review-polarity"].predictor.head.calibration.clone()
    };
    assert!(train("none", "").shift.is_empty());
    let shifted = train("priors", "priors = { negative = 0.9, positive = 0.1 }");
    // The training set is balanced.
    let expected = [(0.9f32 / 0.5).ln(), (0.1f32 / 0.5).ln()];
    for (found, expected) in shifted.shift.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{:?}", shifted.shift);
    }
    assert!(shifted.threshold.is_some() && shifted.temperature > 0.0);
}

#[test]
fn an_encoder_stored_in_8_bits_is_measured_as_it_serves_and_takes_further_heads() {
    let home = tempfile::tempdir().expect("a directory");
    let (out, joined) = (home.path().join("int8"), home.path().join("joined"));
    let run = Run { precision: Precision::Int8, ..Run::new(&out, settings(Tune::Full, 8)) };
    let trained = run.quietly().expect("trained");
    assert_eq!(trained.manifest.encoder.precision, Precision::Int8);
    let score = trained.scores[0].1.as_ref().expect("a development set");
    let data = dataset("polarity");
    let model = Model::load(&out).expect("loaded");
    let task = &model.tasks[&trained.scores[0].0];
    assert_eq!(task.report.metrics, score.metrics);
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let templates = task.predictor.select(&TemplateChoice::Default).expect("templates");
    let answers = predict(&mut encoder, &task.predictor, &data.inputs(), &templates);
    let pairs = answers.expect("predicted").into_iter().zip(data.targets());
    let right = pairs.filter(|(answer, target)| answer.output.best_label() == target.label());
    let accuracy = right.count() as f64 / data.examples.len() as f64;
    assert!((accuracy - score.metrics["accuracy"]).abs() < 1e-9);
    // It can be served and take another head, but not be trained.
    let from = Checkpoint::open(&out).expect("intact");
    let further = |tune, out: &Path| {
        let job = Job {
            tasks: vec![job_task("intensity", dataset("intensity"), None)],
            encoder: &from,
            out,
            replace: false,
            settings: &settings(tune, 2),
            recipe: None,
            adapted: None,
            budget: None,
            precision: Precision::Fp32,
            runtime: &fixtures::runtime(),
            unfinished: Unfinished::Refuse,
            save_every: 1000,
        };
        train(&job, &mut Record::default(), &Interrupt::new(false))
    };
    let joined = further(Tune::Head, &joined).expect("a head");
    assert_eq!(joined.manifest.encoder, from.manifest.encoder);
    let error = further(Tune::Full, &home.path().join("no")).expect_err("lossy");
    assert!(error.to_string().contains("8-bit integers"), "{error}");
}
