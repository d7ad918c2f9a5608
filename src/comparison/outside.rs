//! Results of methods outside of this program, as further columns.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{ComparisonError, summary::shot};
use crate::report::{Run, Shot, ShotResults};

/// Such a file holds no more than this many bytes.
const MAX_BYTES: u64 = 64 << 20;

/// One method's results, as a file gives them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideResults {
    /// The column's name.
    pub method: String,
    #[serde(default)]
    pub description: String,
    results: Vec<OutsideRun>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct OutsideRun {
    task: String,
    shots: OutsideShot,
    seed: u64,
    metrics: BTreeMap<String, f64>,
    #[serde(default)]
    seconds: Option<f64>,
}

/// A number, or "all".
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum OutsideShot {
    Count(u32),
    Named(Shot),
}

/// Reads a file of outside results.
pub fn read_outside(path: &Path) -> Result<OutsideResults, ComparisonError> {
    let name = path.display().to_string();
    let read = |source| ComparisonError::Read { path: name.clone(), source };
    let fault = |message: String| ComparisonError::Outside { path: name.clone(), message };
    if fs::metadata(path).map_err(read)?.len() > MAX_BYTES {
        return Err(fault(format!("it has more than {MAX_BYTES} bytes")));
    }
    let bytes = fs::read(path).map_err(read)?;
    let results: OutsideResults =
        serde_json::from_slice(&bytes).map_err(|error| fault(error.to_string()))?;
    let metrics = results.results.iter().flat_map(|run| run.metrics.values());
    if metrics.into_iter().any(|value| !value.is_finite()) {
        return Err(fault("a figure is not finite".to_owned()));
    }
    Ok(results)
}

impl OutsideResults {
    /// The tasks that there are results of.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.results.iter().map(|run| run.task.as_str())
    }

    /// Adds the runs of a task to those of other methods.
    pub(super) fn add_to(&self, task: &str, methods: &mut BTreeMap<String, Vec<ShotResults>>) {
        for run in self.results.iter().filter(|run| run.task == task) {
            let of_method = methods.entry(self.method.clone()).or_default();
            let number = match run.shots {
                OutsideShot::Count(count) => Shot::Count(count),
                OutsideShot::Named(shot) => shot,
            };
            shot(of_method, number).runs.push(Run {
                seed: run.seed,
                metrics: run.metrics.clone(),
                templates: Vec::new(),
                collapsed: false,
                seconds: run.seconds,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_become_a_column() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("setfit.json");
        let text = r#"{"method": "SetFit", "description": "d", "results": [
            {"task": "t", "shots": 8, "seed": 1, "metrics": {"accuracy": 0.8}, "seconds": 2.5},
            {"task": "t", "shots": "all", "seed": 0, "metrics": {"accuracy": 0.9}},
            {"task": "u", "shots": 8, "seed": 1, "metrics": {"accuracy": 0.7}}]}"#;
        fs::write(&path, text).expect("written");
        let mut methods = BTreeMap::new();
        read_outside(&path).expect("readable").add_to("t", &mut methods);
        let results = &methods["SetFit"];
        assert_eq!(results.len(), 2);
        assert_eq!((results[0].shot, results[0].runs[0].seed), (Shot::Count(8), 1));
        assert_eq!(results[1].runs[0].metrics["accuracy"], 0.9);
        for bad in ["{}", r#"{"method": "m", "results": [{"task": "t"}]}"#, "["] {
            fs::write(&path, bad).expect("written");
            let error = read_outside(&path).expect_err(bad).to_string();
            assert!(error.contains("setfit.json"), "{error}");
        }
    }
}
