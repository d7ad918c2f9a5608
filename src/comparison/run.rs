//! Runs an experiment's cells.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use sha2::{Digest, Sha256};

use super::{
    ComparedTask, ComparisonError, Design, as_training,
    cells::{AnswerResult, CellResult, Cells},
    method::Method,
    plan::{Cell, Entrant, Setting, Stage, best, finals, trials},
};
use crate::{
    checkpoint::Checkpoint,
    dataset::{Dataset, check_labels, few_shot, sample, write_csv},
    export,
    inference::{language_head, load_tokenizer},
    prompt::TaskFile,
    report::Shot,
    tokenization::PromptTokenizer,
    training::{Interrupt, TrainingError, label_word_head},
    weights::{EncoderWeights, LanguageHead},
};

/// The seed with which long development and test sets are cut.
const CUT_SEED: u64 = 77;

/// Changes whenever a cell of an older program would come out otherwise.
const REVISION: &str = "2";

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
        let weights = export::read_weights(encoder)
            .map_err(|error| ComparisonError::from(as_training(error)))?;
        let scored = tasks
            .iter()
            .map(|task| {
                let cut = |data| sample(data, design.max_scored, CUT_SEED);
                [cut(&task.dev), cut(&task.test)]
            })
            .collect();
        for task in tasks {
            check_examples(task)?;
        }
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
        let entrants = self.entrants(observer);
        let Design { grid, seeds, trial_seeds, .. } = self.design;
        let trials = trials(&entrants, grid, *trial_seeds);
        let mut scores: HashMap<Entrant, Vec<(Setting, f64)>> = HashMap::new();
        for result in self.stage(Stage::Trial, &trials, observer, interrupt)? {
            let CellResult { cell, answers, .. } = &result;
            let score = self.score(cell.task, answers)?;
            scores.entry(cell.entrant()).or_default().push((cell.setting, score));
        }
        let first = grid.settings()[0];
        let chosen = |entrant: &Entrant| {
            scores.get(entrant).and_then(|scores| best(scores, grid)).unwrap_or(first)
        };
        let finals = finals(&entrants, *seeds, chosen);
        self.write_sets()?;
        self.stage(Stage::Final, &finals, observer, interrupt)
    }

    /// The methods that can be tried on each task, with each number of examples: few ones first.
    fn entrants(&self, observer: &mut dyn Observer) -> Vec<Entrant> {
        let mut entrants = Vec::new();
        for (at, task) in self.tasks.iter().enumerate() {
            for &method in &self.design.methods {
                match self.obstacle(method, &task.file) {
                    None => entrants.extend(task.shots.iter().map(|&shot| Entrant {
                        task: at,
                        shot,
                        method,
                    })),
                    Some(reason) => observer.left_out(&task.file.task.name, method, &reason),
                }
            }
        }
        entrants.sort_by_key(|entrant| entrant.shot);
        entrants
    }

    /// Why a method cannot be tried on a task, if so.
    fn obstacle(&self, method: Method, file: &TaskFile) -> Option<String> {
        if let Some(reason) = method.obstacle(file, self.language.is_some()) {
            return Some(reason.to_owned());
        }
        let language = self.language.as_ref().filter(|_| method == Method::LabelWords)?;
        label_word_head(file, &self.tokenizer, &self.weights, language)
            .err()
            .map(|error| error.to_string())
    }

    /// Writes the training sets of the reported runs and what they are scored on, for methods outside
    /// of this program.
    fn write_sets(&self) -> Result<(), ComparisonError> {
        for (task, [_, test]) in self.tasks.iter().zip(&self.scored) {
            let directory = self.design.work.join(&task.file.task.name);
            write_set(&directory, "test.csv", &task.file, test)?;
            for &shot in &task.shots {
                let Shot::Count(shots) = shot else { continue };
                for seed in 0..self.design.seeds {
                    let directory = directory.join(format!("k{shots}-seed{seed}"));
                    write_set(&directory, "train.csv", &task.file, &draw(task, shot, seed)?)?;
                }
            }
        }
        Ok(())
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
        // Which place a task has among the others does not matter. Numbers and names: there is
        // nothing that JSON cannot hold.
        let json = serde_json::to_string(&Cell { task: 0, ..*cell }).unwrap_or_default();
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
        let train = draw(task, cell.shot, cell.seed)?;
        let computed = match cell.method {
            Method::Frozen => self.linear(cell, &train),
            Method::BagOfWords | Method::Majority => self.without_encoder(cell, &train),
            _ => self.train(cell, &train, interrupt),
        };
        let (answers, seconds) = match computed {
            Ok(computed) => computed,
            // A setting with which numbers run away is a bad one, and no reason to stop.
            Err(TrainingError::Diverged { .. } | TrainingError::Gradient { .. }) => {
                (Vec::new(), 0.0)
            }
            Err(TrainingError::Interrupted { .. }) => return Err(ComparisonError::Interrupted),
            Err(source) => {
                return Err(ComparisonError::Cell {
                    task: name.clone(),
                    method: cell.method.name(),
                    shot: cell.shot,
                    seed: cell.seed,
                    source: Box::new(source),
                });
            }
        };
        // Said after the first cell, not after the last.
        self.score(cell.task, &answers)?;
        let result = CellResult { cell: *cell, answers, seconds };
        self.cells.put(name, &self.identity(cell), &result)?;
        observer.finished(name, &result);
        Ok(result)
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

/// The training examples of a cell, the same for all methods.
fn draw(task: &ComparedTask, shot: Shot, seed: u64) -> Result<Dataset, ComparisonError> {
    match shot {
        Shot::All => Ok(task.train.clone()),
        Shot::Count(shots) => {
            Ok(few_shot(&task.train, &task.file.task.kind, shots as usize, seed)?)
        }
    }
}

/// Refuses a training set that has too few examples for what is to be tried.
fn check_examples(task: &ComparedTask) -> Result<(), ComparisonError> {
    check_labels(&task.train, &task.file.task)?;
    task.shots.iter().try_for_each(|shot| draw(task, *shot, 0).map(drop))
}

/// Writes a set whole or not at all.
fn write_set(
    directory: &Path,
    name: &str,
    file: &TaskFile,
    data: &Dataset,
) -> Result<(), ComparisonError> {
    let written = || -> std::io::Result<()> {
        fs::create_dir_all(directory)?;
        let new = tempfile::NamedTempFile::new_in(directory)?;
        write_csv(new.path(), file, data)?;
        new.persist(directory.join(name))?;
        Ok(())
    };
    let path = directory.join(name).display().to_string();
    written().map_err(|source| ComparisonError::Write { path, source })
}

/// What all cells of a task are computed from, but for the cell itself.
fn identity(task: &ComparedTask, design: &Design, encoder: &str) -> String {
    // Numbers and names: there is nothing that JSON cannot hold.
    let settings = serde_json::to_string(&design.settings).unwrap_or_default();
    let numbers = format!("{} {}", design.epochs, design.max_scored);
    let [train, dev, test] = [&task.train, &task.dev, &task.test].map(Dataset::digest);
    let parts = [
        REVISION,
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
