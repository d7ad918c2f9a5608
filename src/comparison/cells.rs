//! Finished cells on disk: one small file each, so that an experiment that was stopped goes on.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    ComparisonError,
    plan::{Cell, Stage},
};
use crate::{evaluation::calibration::ReliabilityBin, report::TemplateScore};

/// What one way of answering gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerResult {
    /// The column of the report.
    pub id: String,
    pub metrics: BTreeMap<String, f64>,
    #[serde(default)]
    pub templates: Vec<TemplateScore>,
    #[serde(default)]
    pub reliability: Vec<ReliabilityBin>,
    pub collapsed: bool,
}

/// What a cell gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    pub cell: Cell,
    pub answers: Vec<AnswerResult>,
    /// Of training.
    pub seconds: f64,
}

/// A cell's file: what it was computed from, and the result.
#[derive(Serialize, Deserialize)]
struct CellFile {
    identity: String,
    result: CellResult,
}

/// The directory of an experiment's finished cells.
pub struct Cells {
    directory: PathBuf,
}

impl Cells {
    /// In this directory, which is made.
    pub fn open(directory: PathBuf) -> Result<Self, ComparisonError> {
        fs::create_dir_all(&directory).map_err(|source| write_error(&directory, source))?;
        Ok(Self { directory })
    }

    /// The result that was kept for a cell, if it was computed from the same.
    pub fn get(
        &self,
        task: &str,
        cell: &Cell,
        identity: &str,
    ) -> Result<Option<CellResult>, ComparisonError> {
        let path = self.path(task, cell);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = path.display().to_string();
                return Err(ComparisonError::Read { path, source });
            }
        };
        // A file of another experiment, or one that somebody cut, is computed anew.
        let file: Option<CellFile> = serde_json::from_slice(&bytes).ok();
        let file = file.filter(|file| file.identity == identity);
        // In an experiment of other tasks beside it, the cell's task had another place.
        Ok(file.map(|file| CellResult { cell: *cell, ..file.result }))
    }

    /// Keeps a result, whole or not at all.
    pub fn put(
        &self,
        task: &str,
        identity: &str,
        result: &CellResult,
    ) -> Result<(), ComparisonError> {
        let path = self.path(task, &result.cell);
        let file = CellFile { identity: identity.to_owned(), result: result.clone() };
        let written = || -> std::io::Result<()> {
            let mut new = tempfile::NamedTempFile::new_in(&self.directory)?;
            new.write_all(&serde_json::to_vec(&file)?)?;
            new.persist(&path)?;
            Ok(())
        };
        written().map_err(|source| write_error(&path, source))
    }

    fn path(&self, task: &str, cell: &Cell) -> PathBuf {
        let stage = match cell.stage {
            Stage::Trial => "trial",
            Stage::Final => "final",
        };
        let Cell { method, shot, seed, setting, .. } = cell;
        let (method, setting) = (method.name(), setting.index);
        self.directory.join(format!("{task}.{method}.k{shot}.s{seed}.g{setting}.{stage}.json"))
    }
}

fn write_error(path: &Path, source: std::io::Error) -> ComparisonError {
    ComparisonError::Write { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        comparison::{method::Method, plan::Setting},
        report::Shot,
    };

    #[test]
    fn finished_cells_are_found_again_and_foreign_ones_are_not() {
        let home = tempfile::tempdir().expect("a directory");
        let cells = Cells::open(home.path().join("cells")).expect("made");
        let setting = Setting { index: 1, learning_rate: 1e-4, consistency: 0.0, contrastive: 0.5 };
        let cell = Cell {
            task: 0,
            method: Method::Dynamic,
            shot: Shot::Count(8),
            seed: 3,
            stage: Stage::Final,
            setting,
        };
        assert_eq!(cells.get("t", &cell, "x").expect("readable"), None);
        let answer = AnswerResult {
            id: "M3".to_owned(),
            metrics: BTreeMap::from([("accuracy".to_owned(), 0.1 + 0.2)]),
            templates: vec![],
            reliability: vec![],
            collapsed: false,
        };
        let result = CellResult { cell, answers: vec![answer], seconds: 1.5 };
        cells.put("t", "x", &result).expect("written");
        assert_eq!(cells.get("t", &cell, "x").expect("readable"), Some(result.clone()));
        let elsewhere = Cell { task: 5, ..cell };
        let found = cells.get("t", &elsewhere, "x").expect("readable").map(|found| found.cell);
        assert_eq!(found, Some(elsewhere), "another place among the tasks changes nothing");
        assert_eq!(cells.get("t", &cell, "other data").expect("readable"), None);
        assert_eq!(cells.get("u", &cell, "x").expect("readable"), None);
        fs::write(cells.path("t", &cell), "{").expect("written");
        assert_eq!(cells.get("t", &cell, "x").expect("readable"), None);
    }
}
