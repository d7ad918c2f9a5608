use super::*;
use crate::{evaluation::MetricChoice, task::Kind};

fn facts(rows: usize, label_counts: &[usize], is_pair: bool) -> TaskFacts {
    let labels = label_counts.iter().enumerate().map(|(at, _)| at.to_string()).collect();
    let kind = match label_counts {
        [] => Kind::Regression { min: None, max: None },
        _ => Kind::Classification { labels },
    };
    let targets = label_counts.iter().enumerate();
    let targets = targets.flat_map(|(at, count)| vec![crate::task::Target::Label(at); *count]);
    let positive = (label_counts.len() == 2).then_some(1);
    let metric: MetricChoice = Metric::for_task(&kind, positive, &targets.collect::<Vec<_>>());
    TaskFacts {
        name: "task".to_owned(),
        is_alone: true,
        rows,
        tokens: 40,
        dev_rows: 100,
        label_counts: label_counts.to_vec(),
        is_pair,
        has_counterparts: is_pair,
        draws_all: false,
        templates: 6,
        has_inference: false,
        metric,
        has_metric: false,
        has_class_weights: false,
    }
}

const ENCODER: EncoderFacts = EncoderFacts { hidden_size: 384, similarity: Some(0.1), texts: 1000 };

fn chosen(facts: TaskFacts, requested: &Requested) -> Chosen {
    choose(&[facts], &ENCODER, requested)
}

#[test]
fn settings_follow_from_the_data() {
    let few = chosen(facts(384, &[200, 184], false), &Requested::default());
    assert_eq!(few.settings.length, Length::Epochs(10));
    assert_eq!((few.settings.contrastive, few.settings.learning_rate), (1.0, 2e-4));
    let many = chosen(facts(21_000, &[2000; 10], false), &Requested::default());
    assert_eq!(many.settings.length, Length::Epochs(2));
    assert_eq!(many.settings.contrastive, 0.0);
    let pairs = chosen(facts(6144, &[5568, 576], true), &Requested::default());
    assert_eq!((pairs.settings.learning_rate, pairs.settings.batch_size), (1e-4, 16));
    assert_eq!(pairs.settings.length, Length::Epochs(8));
    let weights_and_metric = |chosen: &Chosen| {
        let of_task = chosen.of_tasks[0];
        (of_task.class_weights, of_task.metric)
    };
    assert_eq!(
        weights_and_metric(&pairs),
        (Some(ClassWeights::Even), Some(Metric::AveragePrecision))
    );
    assert!(pairs.settings.pair_similarity && !few.settings.pair_similarity);
    let stars = chosen(facts(2752, &[132, 405, 891, 732, 592], false), &Requested::default());
    assert_eq!(weights_and_metric(&stars), (Some(ClassWeights::Softened), Some(Metric::MacroF1)));
    let long = TaskFacts { tokens: 230, ..facts(6144, &[5568, 576], true) };
    let long = chosen(long, &Requested::default());
    assert_eq!(long.settings.length, Length::Epochs(3));
    let reason = long.choices.iter().find(|choice| choice.setting == "epochs");
    assert!(reason.is_some_and(|choice| choice.reason.contains("230 tokens")));
    let tiny = chosen(facts(20, &[10, 10], false), &Requested::default());
    assert_eq!(tiny.settings.length, Length::Epochs(MAX_EPOCHS));
}

#[test]
fn requested_settings_are_kept_and_not_explained() {
    let requested = Requested {
        learning_rate: Some(1e-5),
        length: Some(Length::Steps(7)),
        batch_size: Some(8),
        contrastive: Some(0.0),
        adapt_steps: Some(0),
        class_weights: Some(ClassWeights::Balanced),
        metric: Some(Metric::Accuracy),
        inference: Some(InferenceMode::Ensemble),
        ..Requested::default()
    };
    let found = chosen(facts(384, &[300, 84], false), &requested);
    let settings = &found.settings;
    assert_eq!((settings.learning_rate, settings.head_learning_rate), (1e-5, 1e-4));
    assert_eq!((settings.length, settings.batch_size), (Length::Steps(7), 8));
    assert_eq!((settings.contrastive, found.adaptation), (0.0, None));
    let of_task = ChosenOfTask {
        class_weights: Some(ClassWeights::Balanced),
        metric: Some(Metric::Accuracy),
        inference: Some(InferenceMode::Ensemble),
    };
    assert_eq!(found.of_tasks, [of_task]);
    let named: Vec<&str> = found.choices.iter().map(|c| c.setting.as_str()).collect();
    assert_eq!(named, ["kept step"]);
}

#[test]
fn few_examples_are_answered_by_all_templates_unless_the_task_file_says() {
    let mode = |rows, templates, has_inference| {
        let facts = TaskFacts { templates, has_inference, ..facts(rows, &[rows], false) };
        chosen(facts, &Requested::default()).of_tasks[0].inference
    };
    assert_eq!(mode(199, 6, false), Some(InferenceMode::Ensemble));
    assert_eq!(mode(200, 6, false), Some(InferenceMode::Single));
    assert_eq!(mode(50, 1, false), Some(InferenceMode::Single));
    assert_eq!(mode(50, 6, true), None);
}

#[test]
fn a_weak_mask_is_taught_first_and_a_good_one_is_not() {
    let steps = |similarity, rows, is_pair| {
        let encoder = EncoderFacts { similarity, ..ENCODER };
        let facts = facts(rows, &[rows / 2, rows / 2], is_pair);
        choose(&[facts], &encoder, &Requested::default()).adaptation
    };
    assert_eq!(steps(Some(0.1), 100, false), Some(125));
    assert_eq!((steps(Some(0.9), 100, false), steps(None, 100, false)), (None, None));
    assert_eq!((steps(Some(0.1), 400, false), steps(Some(0.1), 400, true)), (None, Some(125)));
    assert_eq!(steps(Some(0.1), 20_000, false), Some(125));
}

#[test]
fn a_frozen_encoder_keeps_the_usual_settings() {
    let requested = Requested { tune: Some(Tune::Head), ..Requested::default() };
    let found = chosen(facts(384, &[200, 184], false), &requested);
    let usual = Settings { score_every: found.settings.score_every, ..Settings::new(Tune::Head) };
    assert_eq!((found.settings, found.adaptation), (usual, None));
}
