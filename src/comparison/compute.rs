//! Computes one cell: trains or fits, and scores.

use std::{sync::Arc, time::Instant};

use super::{
    ComparedTask, as_training,
    cells::AnswerResult,
    linear,
    method::{Answer, Method},
    plan::{Cell, Setting, Stage},
    run::Experiment,
};
use crate::{
    baseline::{BagOfWords, Majority},
    dataset::Dataset,
    evaluation::{Metric, Metrics, Options, Threshold, evaluate_with, is_collapsed},
    inference::{Head, MaskEncoder, Reading, TaskPredictor, TemplateChoice, predict_each},
    prompt::{InferenceMode, TaskFile, Template},
    report::{Shot, TemplateRole, TemplateScore},
    task::Prediction,
    tokenization::Prompt,
    training::{
        Body, Interrupt, Length, Quiet, Settings, TrainableEncoder, TrainableHead, Trainer,
        TrainerTask, TrainingError, label_word_head,
    },
};

/// Penalties of the linear model: the grid's first setting, its second, and so on round.
const PENALTIES: [f64; 3] = [1.0, 0.1, 10.0];

impl Experiment<'_> {
    fn settings(&self, cell: &Cell) -> Settings {
        let Setting { learning_rate, consistency, contrastive, .. } = cell.setting;
        let base = &self.design.settings;
        let head_factor = base.head_learning_rate / base.learning_rate;
        Settings {
            head: cell.method.head(base.head),
            length: match cell.shot {
                Shot::Count(_) => base.length,
                Shot::All => Length::Epochs(self.design.epochs),
            },
            learning_rate,
            head_learning_rate: learning_rate * head_factor,
            consistency,
            // Regressors have no labels to contrast.
            contrastive: match self.tasks[cell.task].file.labels() {
                [] => 0.0,
                _ => contrastive,
            },
            seed: cell.seed,
            ..base.clone()
        }
    }

    fn predictor(&self, cell: &Cell) -> Result<TaskPredictor, TrainingError> {
        let task = &self.tasks[cell.task];
        let file = Arc::new(cell.method.task_file(&task.file));
        let architecture = &self.weights.architecture;
        let head = Head::blank(architecture.hidden_size, file.task.kind.outputs());
        let tokenizer = Arc::clone(&self.tokenizer);
        Ok(TaskPredictor::new(file, tokenizer, architecture.max_positions, head, &task.path)?)
    }

    /// Trains and scores.
    pub(super) fn train(
        &self,
        cell: &Cell,
        train: &Dataset,
        interrupt: &Interrupt,
    ) -> Result<(Vec<AnswerResult>, f64), TrainingError> {
        let settings = self.settings(cell);
        let predictor = self.predictor(cell)?;
        let hidden = self.weights.architecture.hidden_size;
        let outputs = predictor.file.task.kind.outputs();
        let head = match (&self.language, cell.method) {
            (Some(language), Method::LabelWords) => {
                label_word_head(&predictor.file, &self.tokenizer, &self.weights, language)?
            }
            _ => TrainableHead::new(settings.head, hidden, outputs, settings.seed),
        };
        // Few examples come without a development set; the last step is kept.
        let dev = matches!(cell.shot, Shot::All).then_some(&self.scored[cell.task][0]);
        let started = Instant::now();
        let body = Body::from(TrainableEncoder::new(&self.weights)?);
        let ComparedTask { class_weights, ref metric, .. } = self.tasks[cell.task];
        let kind = &predictor.file.task.kind;
        // A report can compare figures by which no step can be kept.
        let metric =
            Metric::of_name(metric).filter(|metric| metric.fits(kind)).unwrap_or_else(|| {
                Metric::for_task(kind, predictor.file.positive, &train.targets()).metric
            });
        let task = TrainerTask { predictor: &predictor, train, dev, head, class_weights, metric };
        let trainer = Trainer::new(&settings, body, vec![task])?;
        let (outcome, mut body) = trainer.run(None, &mut Quiet, interrupt)?;
        let seconds = started.elapsed().as_secs_f64();
        let Some(head) = outcome.heads.into_iter().next() else {
            return Err(as_training("a task has a head"));
        };
        let predictor = predictor.with_head(head);
        let answers = self.answers(cell, body.encoder(), &predictor)?;
        Ok((answers, seconds))
    }

    /// Scores every way in which a method answers, and, where templates can be compared, the
    /// canonical one and those that were held out, each alone.
    fn answers(
        &self,
        cell: &Cell,
        encoder: &mut dyn MaskEncoder,
        predictor: &TaskPredictor,
    ) -> Result<Vec<AnswerResult>, TrainingError> {
        let data = self.scored(cell);
        let answers = cell.method.answers();
        let alone = match cell.stage {
            Stage::Final if cell.method.has_templates() => compared_templates(predictor),
            _ => Vec::new(),
        };
        let mut choices = answers
            .iter()
            .map(|answer| predictor.select(&choice(answer)).map_err(as_training))
            .collect::<Result<Vec<_>, _>>()?;
        choices.extend(alone.iter().map(|(template, _)| vec![*template]));
        let predictions = predict_each(encoder, predictor, &data.inputs(), &choices)?;
        let (of_answers, of_templates) = predictions.split_at(answers.len());
        let results = answers
            .iter()
            .zip(of_answers)
            .map(|(answer, predictions)| self.result(cell, answer, predictor, predictions));
        let mut results = results.collect::<Result<Vec<_>, _>>()?;
        let metric = &self.tasks[cell.task].metric;
        for ((template, role), predictions) in alone.into_iter().zip(of_templates) {
            let metrics = metrics(predictor, data, predictions)?.summary();
            let id = predictor.file.prompts.templates[template].id.clone();
            if let (Some(first), Some(&value)) = (results.first_mut(), metrics.get(metric)) {
                first.templates.push(TemplateScore { id, role, value });
            }
        }
        Ok(results)
    }

    fn result(
        &self,
        cell: &Cell,
        answer: &Answer,
        predictor: &TaskPredictor,
        predictions: &[Prediction],
    ) -> Result<AnswerResult, TrainingError> {
        let data = self.scored(cell);
        let metrics = metrics(predictor, data, predictions)?;
        Ok(scores(answer, data, predictions, &metrics))
    }

    /// Fits and scores the linear model.
    pub(super) fn linear(
        &self,
        cell: &Cell,
        train: &Dataset,
    ) -> Result<(Vec<AnswerResult>, f64), TrainingError> {
        let started = Instant::now();
        let predictor = self.predictor(cell)?;
        let file = &predictor.file;
        let mut encoder = TrainableEncoder::new(&self.weights)?;
        let prompt = |input| predictor.prompt(input, file.prompts.canonical);
        let prompts: Vec<Prompt> = train.inputs().iter().map(prompt).collect::<Result<_, _>>()?;
        let inputs = linear::mean_vectors(&mut encoder, &prompts)?;
        let class_weights = self.tasks[cell.task].class_weights;
        let objective = linear::objective(
            &train.targets(),
            file.labels().len(),
            class_weights,
            &self.design.settings,
        );
        let penalty = PENALTIES[cell.setting.index % PENALTIES.len()];
        let outputs = file.task.kind.outputs();
        let head = linear::fit(&inputs, &train.targets(), outputs, &objective, penalty)?;
        let seconds = started.elapsed().as_secs_f64();
        let calibration = objective.prior_calibration(file.priors.as_deref());
        let head = Head { calibration, ..head.head(objective.scaling) };
        let predictor = predictor.with_head(head);
        let read = |input| predictor.read(input, &[file.prompts.canonical]);
        let inputs = self.scored(cell).inputs();
        let read: Vec<(Vec<Prompt>, Reading)> =
            inputs.iter().map(read).collect::<Result<_, _>>()?;
        let (prompts, readings): (Vec<Vec<Prompt>>, Vec<Reading>) = read.into_iter().unzip();
        let vectors = linear::mean_vectors(&mut encoder, &prompts.concat())?;
        let mut rest = vectors.as_slice();
        let predictions = readings.iter().map(|reading| {
            let (own, after) = rest.split_at(reading.prompts());
            rest = after;
            predictor.answer(own.iter().map(Vec::as_slice), &[], reading)
        });
        let predictions: Vec<Prediction> = predictions.collect();
        let answers = cell.method.answers();
        let results =
            answers.iter().map(|answer| self.result(cell, answer, &predictor, &predictions));
        Ok((results.collect::<Result<_, _>>()?, seconds))
    }

    /// Fits and scores a method that needs no encoder.
    pub(super) fn without_encoder(
        &self,
        cell: &Cell,
        train: &Dataset,
    ) -> Result<(Vec<AnswerResult>, f64), TrainingError> {
        let started = Instant::now();
        let TaskFile { task, positive, .. } = &*self.tasks[cell.task].file;
        let data = self.scored(cell);
        let half = positive.map(|positive| Threshold { positive, value: 0.5 });
        let (predictions, threshold) = match cell.method {
            Method::Majority => {
                let majority = Majority::fit(task, &train.targets()).map_err(as_training)?;
                (majority.predict(data.examples.len()), half)
            }
            _ => {
                let bag = BagOfWords::fit(task, train, *positive).map_err(as_training)?;
                (bag.predict(&data.inputs()), bag.threshold().or(half))
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        let options = Options { threshold, weights: None };
        let metrics = evaluate_with(&task.kind, &data.targets(), &predictions, &options)
            .map_err(as_training)?;
        let answers = cell.method.answers();
        let results = answers.iter().map(|answer| {
            let scores = scores(answer, data, &predictions, &metrics);
            // The majority's answers never change, by design.
            let collapsed = scores.collapsed && cell.method != Method::Majority;
            AnswerResult { collapsed, ..scores }
        });
        Ok((results.collect(), seconds))
    }

    /// The set that a cell is scored on.
    fn scored(&self, cell: &Cell) -> &Dataset {
        let [dev, test] = &self.scored[cell.task];
        match cell.stage {
            Stage::Trial => dev,
            Stage::Final => test,
        }
    }
}

fn scores(
    answer: &Answer,
    data: &Dataset,
    predictions: &[Prediction],
    metrics: &Metrics,
) -> AnswerResult {
    let reliability = match metrics {
        Metrics::Classification(metrics) => metrics.reliability.clone(),
        Metrics::Regression(_) => Vec::new(),
    };
    AnswerResult {
        id: answer.id.to_owned(),
        metrics: metrics.summary(),
        templates: Vec::new(),
        reliability,
        collapsed: is_collapsed(&data.targets(), predictions),
    }
}

fn choice(answer: &Answer) -> TemplateChoice {
    match answer.inference {
        InferenceMode::Single => TemplateChoice::Single(None),
        InferenceMode::Ensemble => TemplateChoice::Ensemble(Vec::new()),
    }
}

/// The canonical template and those that were held out.
fn compared_templates(predictor: &TaskPredictor) -> Vec<(usize, TemplateRole)> {
    let prompts = &predictor.file.prompts;
    let role = |(at, template): (usize, &Template)| match (template.held_out, prompts.canonical) {
        (true, _) => Some((at, TemplateRole::HeldOut)),
        (false, canonical) => (at == canonical).then_some((at, TemplateRole::Canonical)),
    };
    prompts.templates.iter().enumerate().filter_map(role).collect()
}

fn metrics(
    predictor: &TaskPredictor,
    data: &Dataset,
    predictions: &[Prediction],
) -> Result<Metrics, TrainingError> {
    let options = Options { threshold: predictor.threshold(), weights: None };
    let kind = &predictor.file.task.kind;
    evaluate_with(kind, &data.targets(), predictions, &options).map_err(as_training)
}
