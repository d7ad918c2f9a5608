//! Runs an experiment's cells.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, atomic::Ordering},
};

use sha2::{Digest, Sha256};

use super::{
    ComparedTask, ComparisonError, Design, as_training,
    cells::{AnswerResult, CellResult, Cells},
    method::Method,
    plan::{Cell, Setting, Stage, best, finals, trials},
};
use crate::{
    checkpoint::Checkpoint,
    dataset::{Dataset, few_shot, sample, write_csv},
    export,
    inference::{language_head, load_tokenizer},
    report::Shot,
    tokenization::PromptTokenizer,
    training::{Interrupt, TrainingError},
    weights::{EncoderWeights, LanguageHead},
};

/// The seed with which long development and test sets are cut.
const CUT_SEED: u64 = 77;

/// Is told how an experiment goes.
pub trait Observer {
    /// Before a stage: how many cells it has, and how many of these are finished already.
    fn begin(&mut self, stage: Stage, finished: &[Cell], open: &[Cell]);
    /// Before a cell is computed.
    fn cell(&mut self, task: &str, cell: &Cell);
    /// After it.
    fn finished(&mut self, task: &str, result: &CellResult);
    /// A method is left out of a task for this reason.
    fn left_out(&mut self, task: &str, method: Method, reason: &str);
}

/// An experiment on one encoder.
pub struct Experiment<'a> {
    pub(super) tasks: &'a [ComparedTask],
    pub(super) design: &'a Design,
    pub(super) weights: EncoderWeights,
    pub(super) language: Option<LanguageHead>,
    pub(super) tokenizer: Arc<PromptTokenizer>,
    /// Development and test set of each task, cut to what is scored.
    pub(super) scored: Vec<[Dataset; 2]>,
    /// What the cells of each task are computed from.
    identities: Vec<String>,
    cells: Cells,
}

impl<'a> Experiment<'a> {
    /// Reads the encoder and prepares the data.
    pub fn new(
        tasks: &'a [ComparedTask],
        design: &'a Design,
        encoder: &Checkpoint,
    ) -> Result<Self, ComparisonError> {
        let entry = &encoder.manifest.encoder;
        let weights = export::read_weights(&encoder.path(&entry.file), &entry.architecture)
            .map_err(|error| ComparisonError::from(as_training(error)))?;
        let scored = tasks
            .iter()
            .map(|task| {
                let cut = |data| sample(data, design.max_scored, CUT_SEED);
                [cut(&task.dev), cut(&task.test)]
            })
            .collect();
        let identities =
            tasks.iter().map(|task| identity(task, design, &encoder.manifest.id)).collect();
        Ok(Self {
            tasks,
            design,
            weights,
            language: language_head(encoder)?,
            tokenizer: Arc::new(load_tokenizer(encoder)?),
            scored,
            identities,
            cells: Cells::open(design.work.join("cells"))?,
        })
    }

    /// Runs what is not finished yet; returns the final cells.
    pub fn run(
        &self,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Vec<CellResult>, ComparisonError> {
        let methods = self.methods(observer);
        let Design { shots, grid, seeds, trial_seeds, .. } = self.design;
        let trials = trials(&methods, shots, grid, *trial_seeds);
        let mut scores: HashMap<(usize, Method, Shot), Vec<(Setting, f64)>> = HashMap::new();
        for result in self.stage(Stage::Trial, &trials, observer, interrupt)? {
            let CellResult { cell, answers, .. } = &result;
            let score = self.score(cell.task, answers)?;
            let key = (cell.task, cell.method, cell.shot);
            scores.entry(key).or_default().push((cell.setting, score));
        }
        let first = grid.settings()[0];
        let chosen = |task, method, shot| {
            scores.get(&(task, method, shot)).and_then(|scores| best(scores, grid)).unwrap_or(first)
        };
        let finals = finals(&methods, shots, *seeds, chosen);
        self.stage(Stage::Final, &finals, observer, interrupt)
    }

    /// The methods that can be tried on each task.
    fn methods(&self, observer: &mut dyn Observer) -> Vec<(usize, Method)> {
        let mut methods = Vec::new();
        for (at, task) in self.tasks.iter().enumerate() {
            for &method in &self.design.methods {
                match method.obstacle(&task.file, self.language.is_some()) {
                    None => methods.push((at, method)),
                    Some(reason) => observer.left_out(&task.file.task.name, method, reason),
                }
            }
        }
        methods
    }

    fn stage(
        &self,
        stage: Stage,
        cells: &[Cell],
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Vec<CellResult>, ComparisonError> {
        let mut kept = Vec::new();
        for cell in cells {
            let name = &self.tasks[cell.task].file.task.name;
            kept.push(self.cells.get(name, cell, &self.identity(cell))?);
        }
        let of = |is_kept: bool| -> Vec<Cell> {
            let pairs = cells.iter().zip(&kept).filter(|(_, kept)| kept.is_some() == is_kept);
            pairs.map(|(cell, _)| *cell).collect()
        };
        observer.begin(stage, &of(true), &of(false));
        let mut results = Vec::new();
        for (cell, kept) in cells.iter().zip(kept) {
            let result = match kept {
                Some(result) => result,
                None => self.compute(cell, observer, interrupt)?,
            };
            results.push(result);
        }
        Ok(results)
    }

    /// What a cell's result depends on.
    fn identity(&self, cell: &Cell) -> String {
        // Numbers and names: there is nothing that JSON cannot hold.
        let json = serde_json::to_string(cell).unwrap_or_default();
        digest(&[&self.identities[cell.task], &json])
    }

    fn compute(
        &self,
        cell: &Cell,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<CellResult, ComparisonError> {
        if interrupt.load(Ordering::Relaxed) {
            return Err(ComparisonError::Interrupted);
        }
        let task = &self.tasks[cell.task];
        let name = &task.file.task.name;
        observer.cell(name, cell);
        let train = self.draw(task, cell)?;
        let computed = match cell.method {
            Method::Frozen => self.linear(cell, &train),
            _ => self.train(cell, &train, interrupt),
        };
        let (answers, seconds) = computed.map_err(|error| match error {
            TrainingError::Interrupted { .. } => ComparisonError::Interrupted,
            source => ComparisonError::Cell {
                task: name.clone(),
                method: cell.method.name(),
                shot: cell.shot,
                seed: cell.seed,
                source: Box::new(source),
            },
        })?;
        // Said after the first cell, not after the last.
        self.score(cell.task, &answers)?;
        let result = CellResult { cell: *cell, answers, seconds };
        self.cells.put(name, &self.identity(cell), &result)?;
        observer.finished(name, &result);
        Ok(result)
    }

    /// The training examples of a cell, the same for all methods. Those of reported runs are kept
    /// as a file, for methods outside of this program.
    fn draw(&self, task: &ComparedTask, cell: &Cell) -> Result<Dataset, ComparisonError> {
        let Shot::Count(shots) = cell.shot else { return Ok(task.train.clone()) };
        let drawn = few_shot(&task.train, &task.file.task.kind, shots as usize, cell.seed)?;
        if cell.stage == Stage::Final {
            let place = format!("k{shots}-seed{}", cell.seed);
            let directory = self.design.work.join(&task.file.task.name).join(place);
            let write =
                |source| ComparisonError::Write { path: directory.display().to_string(), source };
            fs::create_dir_all(&directory).map_err(write)?;
            write_csv(&directory.join("train.csv"), &task.file, &drawn).map_err(write)?;
        }
        Ok(drawn)
    }

    /// The figure by which a setting is chosen; larger is better.
    fn score(&self, task: usize, answers: &[AnswerResult]) -> Result<f64, ComparisonError> {
        let metric = &self.tasks[task].metric;
        let Some(answer) = answers.first() else { return Ok(f64::NEG_INFINITY) };
        let value = answer.metrics.get(metric).ok_or_else(|| self.no_metric(task, answer))?;
        let sign = if super::summary::is_higher_better(metric) { 1.0 } else { -1.0 };
        Ok(sign * value)
    }

    fn no_metric(&self, task: usize, answer: &AnswerResult) -> ComparisonError {
        let task = &self.tasks[task];
        let known: Vec<&str> = answer.metrics.keys().map(String::as_str).collect();
        ComparisonError::Metric {
            task: task.file.task.name.clone(),
            metric: task.metric.clone(),
            known: known.join(", "),
        }
    }
}

/// What all cells of a task are computed from, but for the cell itself.
fn identity(task: &ComparedTask, design: &Design, encoder: &str) -> String {
    // Numbers and names: there is nothing that JSON cannot hold.
    let settings = serde_json::to_string(&design.settings).unwrap_or_default();
    let numbers = format!("{} {}", design.epochs, design.max_scored);
    let [train, dev, test] = [&task.train, &task.dev, &task.test].map(Dataset::digest);
    let version = env!("CARGO_PKG_VERSION");
    let parts = [
        version,
        encoder,
        &task.file.source,
        &task.metric,
        &train,
        &dev,
        &test,
        &settings,
        &numbers,
    ];
    digest(&parts)
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
