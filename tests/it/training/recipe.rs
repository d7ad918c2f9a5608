//! Settings that the data chooses, the adaptation, and the search for better ones.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use dynamar::{
    inference::Model,
    training::{
        Interrupt, Job, JobTask, Length, Observer, Recipe, Requested, Score, SearchObserver,
        StepReport, Trained, TrainingError, Trial, Unfinished, adapt, forget_search,
        pretrain::{self, Amounts, Measures},
        recipe, search, train,
    },
    weights::Precision,
};

use super::{Record, dataset, files, job_task};
use crate::fixtures::{self, EncoderFixture};

/// Says nothing of an adaptation, and may interrupt it.
struct Adapting<'a> {
    stop_after: Option<usize>,
    interrupt: &'a Interrupt,
    steps: usize,
}

impl pretrain::Observer for Adapting<'_> {
    fn read(&mut self, _: &Amounts) {}
    fn encoded(&mut self, _: usize, _: usize) {}
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, report: &StepReport) {
        self.steps += 1;
        if Some(report.step) == self.stop_after {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
    fn measured(&mut self, _: usize, _: &Measures) {}
    fn end(&mut self) {}
}

struct Searching<'a> {
    planned: usize,
    trials: Vec<Trial>,
    /// Interrupts the search after so many trials.
    stop_after: Option<usize>,
    interrupt: &'a Interrupt,
}

impl SearchObserver for Searching<'_> {
    fn planned(&mut self, trials: usize, _: usize) {
        self.planned = trials;
    }
    fn tried(&mut self, trial: &Trial) {
        self.trials.push(trial.clone());
        if Some(self.trials.len()) == self.stop_after {
            self.interrupt.store(true, Ordering::Relaxed);
        }
    }
}

fn tasks(dev: bool) -> Vec<JobTask> {
    let data = dataset("polarity");
    vec![job_task("polarity", data.clone(), dev.then_some(data))]
}

fn chosen(fixture: &EncoderFixture, tasks: &mut [JobTask], requested: &Requested) -> Recipe {
    recipe(tasks, &fixture.checkpoint(), requested, &Interrupt::new(false)).expect("a recipe")
}

/// Adapts and trains; the adaptation is interrupted after `stop_after` of its steps.
fn run(
    out: &Path,
    requested: &Requested,
    stop_after: Option<usize>,
) -> Result<(Trained, usize), TrainingError> {
    let fixture = fixtures::encoder("bert-tiny");
    let mut tasks = tasks(true);
    let recipe = chosen(&fixture, &mut tasks, requested);
    let (encoder, runtime) = (fixture.checkpoint(), fixtures::runtime());
    let mut job = Job {
        tasks,
        encoder: &encoder,
        out,
        replace: false,
        settings: &recipe.settings,
        recipe: Some(&recipe),
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &runtime,
        unfinished: Unfinished::Resume,
        save_every: 1000,
    };
    let interrupt = Interrupt::new(false);
    let mut observer = Adapting { stop_after, interrupt: &interrupt, steps: 0 };
    let adapted = adapt(&job, &mut observer, &interrupt)?;
    let steps = observer.steps;
    job.adapted = adapted.as_ref();
    let trained = train(&job, &mut Record::default(), &interrupt)?;
    Ok((trained, steps))
}

fn requested(adapt_steps: usize) -> Requested {
    let length = Some(Length::Steps(3));
    Requested { length, adapt_steps: Some(adapt_steps), ..Requested::default() }
}

#[test]
fn the_record_of_a_checkpoint_says_what_was_chosen_and_why() {
    let home = tempfile::tempdir().expect("a directory");
    let out = home.path().join("out");
    run(&out, &requested(0), None).expect("trained");
    let model = Model::load(&out).expect("whole");
    let training = &model.tasks["review-polarity"].report.training;
    assert_eq!(
        (training["metric"].as_str(), &training["adaptation"]),
        (Some("accuracy"), &serde_json::Value::Null)
    );
    let chosen = training["chosen"].as_object().expect("choices");
    assert!(chosen["learning-rate"].as_str().expect("a reason").contains("128 wide"), "{chosen:?}");
    assert!(!chosen.contains_key("epochs"), "it was requested: {chosen:?}");
}

#[test]
fn an_adaptation_changes_the_encoder_and_goes_on_after_an_interruption() {
    let home = tempfile::tempdir().expect("a directory");
    let at = |name: &str| home.path().join(name);
    let id = |trained: &Trained| trained.manifest.id.clone();
    let (plain, steps) = run(&at("plain"), &requested(0), None).expect("trained");
    assert_eq!(steps, 0);
    let (whole, steps) = run(&at("whole"), &requested(6), None).expect("trained");
    assert_eq!(steps, 6);
    assert_ne!(id(&plain), id(&whole));
    let parts = at("parts");
    let error = run(&parts, &requested(6), Some(2)).expect_err("interrupted");
    assert!(error.to_string().contains("--resume"), "{error}");
    let (rest, steps) = run(&parts, &requested(6), None).expect("trained");
    assert_eq!((id(&rest), steps), (id(&whole), 4));
    let mut left = files(home.path());
    left.sort();
    assert_eq!(left, ["parts", "plain", "whole"], "no state is left");
}

#[test]
fn a_search_tries_recipes_and_goes_on_after_an_interruption() {
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let (encoder, runtime) = (fixture.checkpoint(), fixtures::runtime());
    for has_dev in [true, false] {
        let requested = requested(0);
        let mut tasks = tasks(has_dev);
        let recipe = chosen(&fixture, &mut tasks, &requested);
        let job = Job {
            tasks,
            encoder: &encoder,
            out: &home.path().join("out"),
            replace: false,
            settings: &recipe.settings,
            recipe: Some(&recipe),
            adapted: None,
            budget: None,
            precision: Precision::Fp32,
            runtime: &runtime,
            unfinished: Unfinished::Refuse,
            save_every: 1000,
        };
        let searched = |stop_after: Option<usize>| {
            let interrupt = Interrupt::new(false);
            let (trials, planned) = (Vec::new(), 0);
            let mut shown = Searching { planned, trials, stop_after, interrupt: &interrupt };
            let budget = Duration::from_secs(1);
            let found = search(&job, &requested, budget, &mut shown, &interrupt);
            (found, shown.planned, shown.trials)
        };
        let (found, planned, trials) = searched(Some(3));
        assert!(matches!(found, Err(TrainingError::Interrupted { .. })));
        assert_eq!((planned, trials.len()), (7 + 4 + 2, 3));
        let (found, _, trials) = searched(None);
        let found = found.expect("found");
        assert_eq!(trials.iter().filter(|trial| trial.was_known).count(), 3);
        assert_eq!((trials.len(), found.trials.len()), (13, 13));
        assert_eq!(trials[0].candidate, "as chosen");
        assert_eq!(found.settings.length, Length::Steps(3), "trained in full length");
        forget_search(&home.path().join("out")).expect("removed");
        assert!(files(home.path()).is_empty());
    }
}

#[test]
fn a_metric_that_is_named_picks_the_step() {
    struct Looks(Vec<(usize, f64, bool)>);
    impl Observer for Looks {
        fn begin(&mut self, _: usize, _: usize) {}
        fn step(&mut self, _: &StepReport) {}
        fn scored(&mut self, step: usize, scores: &[(&str, &Score)], best: bool) {
            self.0.push((step, scores[0].1.metrics["average_precision"], best));
        }
        fn end(&mut self) {}
    }
    let home = tempfile::tempdir().expect("a directory");
    let fixture = fixtures::encoder("bert-tiny");
    let metric = Some(dynamar::evaluation::Metric::AveragePrecision);
    let requested = Requested { metric, length: Some(Length::Steps(20)), ..requested(0) };
    let mut tasks = tasks(true);
    let recipe = chosen(&fixture, &mut tasks, &requested);
    let (encoder, runtime) = (fixture.checkpoint(), fixtures::runtime());
    let job = Job {
        tasks,
        encoder: &encoder,
        out: &home.path().join("out"),
        replace: false,
        settings: &recipe.settings,
        recipe: Some(&recipe),
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &runtime,
        unfinished: Unfinished::Refuse,
        save_every: 1000,
    };
    let mut looks = Looks(Vec::new());
    let trained = train(&job, &mut looks, &Interrupt::new(false)).expect("trained");
    let highest = looks.0.iter().map(|look| look.1).fold(f64::MIN, f64::max);
    let kept = looks.0.iter().find(|look| look.0 == trained.step).expect("a look");
    assert_eq!(kept.1, highest);
}
