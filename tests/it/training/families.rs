//! Training small encoders of every family: end to end, heads alone, on unlabelled text, interrupted.

use std::sync::{Arc, atomic::Ordering};

use dynamar::{
    checkpoint::Checkpoint,
    dataset::Texts,
    inference::{Model, language_head, predict},
    prompt::TaskFile,
    training::{
        Interrupt, JobTask, Length, TrainingError, Tune, Unfinished,
        pretrain::{self, pretrain},
    },
    weights::Precision,
};

use super::{
    dataset,
    options::{InterruptAfter, Run},
    settings,
};
use crate::{
    families::{IMPORTED, imported},
    fixtures,
};

/// Short enough for the small encoders.
const TASK: &str = r#"
[task]
name = "t"
kind = "classification"
max_length = 32
[fields.text]
[labels]
column = "y"
names = ["bad", "good"]
[prompt]
canonical = "it-was"
[[prompt.template]]
id = "it-was"
text = "{text} It was {mask}."
[[prompt.template]]
id = "overall"
text = "Overall {mask}: {text}"
"#;

fn task() -> JobTask {
    let file = Arc::new(TaskFile::parse(TASK, "t.toml").expect("a good file"));
    let mut data = dataset("polarity");
    data.examples.truncate(16);
    JobTask::new(file, "t.toml".to_owned(), data.clone(), Some(data))
}

/// Trains, and is interrupted after this step if there is one; returns the checkpoint's id.
fn trained(name: &str, tune: Tune, stop: Option<usize>) -> String {
    let encoder = imported(name, Precision::Fp32);
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    let run = || Run {
        encoder: Checkpoint::open(&encoder.checkpoint.path("")).expect("intact"),
        tasks: vec![task()],
        unfinished: Unfinished::Resume,
        ..Run::new(&out, settings(tune, 6))
    };
    if let Some(step) = stop {
        let interrupt = Interrupt::new(false);
        let mut observer = InterruptAfter { step, interrupt: &interrupt, begun_after: None };
        let error = run().train(&mut observer, &interrupt).expect_err("interrupted");
        assert!(matches!(error, TrainingError::Interrupted { step: Some(at) } if at == step));
        assert!(interrupt.load(Ordering::Relaxed));
    }
    let trained = run().quietly().unwrap_or_else(|error| panic!("{name}: {error}"));
    let checkpoint = Checkpoint::open(&out).expect("intact");
    let model = Model::from_checkpoint(&checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let example = fixtures::example(&["The phone is great."]);
    let answers = predict(&mut encoder, &model.tasks["t"].predictor, &[example], &[0, 1]);
    assert_eq!(answers.expect("answered").len(), 1, "{name}");
    trained.manifest.id
}

/// Publication compares the trainer's vectors with the graph's, so training that ends has passed that.
#[test]
fn every_family_is_trained_and_goes_on_after_an_interruption_to_the_same_bits() {
    for name in IMPORTED {
        assert_eq!(trained(name, Tune::Full, None), trained(name, Tune::Full, Some(3)), "{name}");
    }
}

#[test]
fn every_family_takes_heads_alone() {
    IMPORTED.iter().for_each(|name| drop(trained(name, Tune::Head, None)));
}

struct Silent;

impl pretrain::Observer for Silent {
    fn read(&mut self, _: &pretrain::Amounts) {}
    fn encoded(&mut self, _: usize, _: usize) {}
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, _: &dynamar::training::StepReport) {}
    fn measured(&mut self, _: usize, _: &pretrain::Measures) {}
    fn end(&mut self) {}
}

/// ELECTRA's discriminator begins with a fresh language head, the others with their own.
#[test]
fn every_family_is_pretrained_further() {
    let sentences = ["The phone is great.", "A case that broke soon.", "It charges quickly."];
    let texts = sentences.iter().cycle().take(24).enumerate();
    let texts = texts.map(|(at, text)| format!("{text} Number {at}.")).collect();
    let texts = Texts { texts, ..Texts::default() };
    for name in IMPORTED {
        let encoder = imported(name, Precision::Fp32);
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("out");
        let settings = pretrain::Settings {
            length: Length::Steps(3),
            batch_size: 8,
            max_length: 32,
            held_back: 0.2,
            ..pretrain::Settings::default()
        };
        let job = pretrain::Job {
            texts: &texts,
            tasks: &[],
            encoder: &encoder.checkpoint,
            out: &out,
            replace: false,
            settings: &settings,
            runtime: &fixtures::runtime(),
            unfinished: Unfinished::Refuse,
            save_every: 1000,
        };
        let done = pretrain(&job, &mut Silent, &Interrupt::new(false));
        let done = done.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(done.steps, 3);
        let trained = Checkpoint::open(&out).expect("intact");
        assert!(language_head(&trained).expect("intact").is_some(), "{name}");
    }
}
