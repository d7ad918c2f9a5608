//! The state of a run that may be interrupted: everything that a later process needs to go on as if
//! nothing had happened.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::parameter::Parameter;

/// The key under which a state file holds what is not numbers.
const PROGRESS: &str = "dynamar.state";

/// Bytes of a value that a message tells.
const SHOWN_BYTES: usize = 40;

/// Why a state cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot write the state {path}: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot read the state {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the state {path} is damaged: {message}; pass --restart to begin anew")]
    Damaged { path: String, message: String },
    #[error(
        "the state {path} belongs to another run: {}; pass --restart to begin anew",
        .differences.join("; ")
    )]
    Other { path: String, differences: Vec<String> },
    #[error(
        "{path} holds the state of a run that stopped at step {step}: pass --resume to go on, or --restart to begin anew"
    )]
    Unfinished { path: String, step: usize },
}

/// Where a run keeps its state, and what tells it from others.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    /// What must be the same for a run to go on, by name.
    identity: HashMap<String, String>,
}

/// What of a state is not an array.
#[derive(Serialize, Deserialize)]
struct Header<P> {
    identity: HashMap<String, String>,
    /// Steps taken.
    step: usize,
    progress: P,
}

/// Arrays that a state holds besides parameters, by name.
pub type Extra = Vec<(String, Vec<f32>)>;

impl StateFile {
    /// The state of the run that makes `out`: a hidden file beside it.
    pub fn beside(out: &Path, identity: HashMap<String, String>) -> Self {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        Self { path: out.with_file_name(format!(".{name}.training-state")), identity }
    }

    /// Whether there is a state.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Refuses a state that is there: of a run that was not ended.
    pub fn refuse_unfinished(&self) -> Result<(), StateError> {
        let Some(bytes) = self.bytes()? else { return Ok(()) };
        let header: Header<serde::de::IgnoredAny> = self.header(&bytes)?;
        Err(StateError::Unfinished { path: self.name(), step: header.step })
    }

    /// Writes the state, whole or not at all.
    pub fn save<'a>(
        &self,
        step: usize,
        progress: &impl Serialize,
        parameters: impl Iterator<Item = &'a Parameter>,
        extra: &[(String, &[f32])],
    ) -> Result<(), StateError> {
        let header = Header { identity: self.identity.clone(), step, progress };
        let header = serde_json::to_string(&header)
            .map_err(|error| self.write_error(std::io::Error::other(error)))?;
        let mut arrays: Vec<(String, Floats<'_>)> = Vec::new();
        for (at, parameter) in parameters.enumerate() {
            let Parameter { values, moments, .. } = parameter;
            let parts =
                [("values", values), ("first", &moments.first), ("second", &moments.second)];
            arrays.extend(parts.map(|(part, data)| (format!("{at}.{part}"), Floats::new(data))));
        }
        arrays
            .extend(extra.iter().map(|(name, data)| (format!("extra.{name}"), Floats::new(data))));
        let metadata = HashMap::from([(PROGRESS.to_owned(), header)]);
        // A name of its own, so that a state that is whole stays so while this one is written.
        let new = self.path.with_extension("training-state-new");
        let written = safetensors::serialize_to_file(arrays, Some(metadata), &new)
            .map_err(std::io::Error::other)
            .and_then(|()| File::open(&new)?.sync_all())
            .and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|error| {
            // What is half written helps nobody; the error that matters is the first.
            let _ = fs::remove_file(&new);
            self.write_error(error)
        })
    }

    /// Reads the state into the parameters; returns the steps taken, the progress and the other
    /// arrays, or `None` if there is no state.
    pub fn load<'a, P: DeserializeOwned>(
        &self,
        parameters: impl Iterator<Item = &'a mut Parameter>,
    ) -> Result<Option<(usize, P, Extra)>, StateError> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        let header: Header<P> = self.header(&bytes)?;
        let differences = differences(&header.identity, &self.identity);
        if !differences.is_empty() {
            return Err(StateError::Other { path: self.name(), differences });
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| self.damaged(error))?;
        for (at, parameter) in parameters.enumerate() {
            let read = |part: &str| self.array(&tensors, &format!("{at}.{part}"));
            let (values, first, second) = (read("values")?, read("first")?, read("second")?);
            let fits = |moments: &[f32]| moments.is_empty() || moments.len() == values.len();
            if values.len() != parameter.values.len() || !fits(&first) || !fits(&second) {
                return Err(self.damaged(format!("{} has another size", parameter.name)));
            }
            parameter.values = values;
            (parameter.moments.first, parameter.moments.second) = (first, second);
        }
        let names = tensors.names();
        let names = names.into_iter().filter_map(|name| name.strip_prefix("extra."));
        let extra = names
            .map(|name| Ok((name.to_owned(), self.array(&tensors, &format!("extra.{name}"))?)))
            .collect::<Result<Extra, StateError>>()?;
        Ok(Some((header.step, header.progress, extra)))
    }

    /// Removes the state, when the run has ended or begins anew.
    pub fn remove(&self) -> Result<(), StateError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.write_error(error)),
            _ => Ok(()),
        }
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, StateError> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Read { path: self.name(), source }),
        }
    }

    fn header<P: DeserializeOwned>(&self, bytes: &[u8]) -> Result<Header<P>, StateError> {
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| self.damaged(error))?;
        let header = metadata.metadata().as_ref().and_then(|map| map.get(PROGRESS));
        let header = header.ok_or_else(|| self.damaged("it has no header"))?;
        serde_json::from_str(header).map_err(|error| self.damaged(error))
    }

    fn array(&self, tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>, StateError> {
        let tensor = tensors.tensor(name).map_err(|error| self.damaged(error))?;
        let (values, _) = tensor.data().as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn damaged(&self, message: impl ToString) -> StateError {
        StateError::Damaged { path: self.name(), message: message.to_string() }
    }

    fn write_error(&self, source: std::io::Error) -> StateError {
        StateError::Write { path: self.name(), source }
    }
}

/// What is another in the run of now, in words. Hashes say nothing to people.
fn differences(was: &HashMap<String, String>, is: &HashMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = is.keys().chain(was.keys()).collect();
    names.sort();
    names.dedup();
    let tell = |name: &&String| {
        let value = |of: &HashMap<String, String>| match of.get(*name) {
            Some(value) if value.len() <= SHOWN_BYTES => value.clone(),
            Some(_) => "another".to_owned(),
            None => "nothing".to_owned(),
        };
        match (value(was), value(is)) {
            (was, is) if was == is => format!("its {name} differs"),
            (was, is) => format!("its {name} differs (it was {was} and is now {is})"),
        }
    };
    names.iter().filter(|name| was.get(**name) != is.get(**name)).map(tell).collect()
}

/// Numbers to be written, turned to bytes when their turn comes.
struct Floats<'a> {
    values: &'a [f32],
    shape: [usize; 1],
}

impl<'a> Floats<'a> {
    fn new(values: &'a [f32]) -> Self {
        Self { values, shape: [values.len()] }
    }
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::ops::Moments;

    fn parameters() -> Vec<Parameter> {
        let moments = Moments { first: vec![0.1, 0.2], second: vec![0.3, f32::MIN_POSITIVE] };
        let mut trained = Parameter::new("a", vec![2], vec![1.0, -0.0]);
        trained.moments = moments;
        vec![trained, Parameter::new("b", vec![1], vec![3.0])]
    }

    fn file(directory: &Path, seed: &str) -> StateFile {
        let identity = HashMap::from([("seed".to_owned(), seed.to_owned())]);
        StateFile::beside(&directory.join("out"), identity)
    }

    #[test]
    fn a_state_comes_back_to_the_bit() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = file(directory.path(), "1");
        assert!(state.load::<u32>(parameters().iter_mut()).expect("no state").is_none());
        state.refuse_unfinished().expect("nothing there");
        let extra = vec![("best".to_owned(), vec![7.0f32])];
        let borrowed = [("best".to_owned(), extra[0].1.as_slice())];
        state.save(5, &42u32, parameters().iter(), &borrowed).expect("saved");
        let mut fresh = parameters();
        for parameter in &mut fresh {
            parameter.values.fill(9.0);
            parameter.moments = Moments::default();
        }
        let (step, progress, found) =
            state.load::<u32>(fresh.iter_mut()).expect("read").expect("a state");
        assert_eq!((step, progress, found), (5, 42, extra));
        for (found, expected) in fresh.iter().zip(parameters()) {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found.values), bits(&expected.values));
            assert_eq!(found.moments, expected.moments);
        }
        let error = state.refuse_unfinished().expect_err("unfinished").to_string();
        assert!(error.contains("step 5") && error.contains("--resume"), "{error}");
        state.remove().expect("removed");
        state.remove().expect("nothing left to remove");
        state.refuse_unfinished().expect("nothing there");
    }

    #[test]
    fn other_runs_and_damage_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = file(directory.path(), "1");
        state.save(5, &42u32, parameters().iter(), &[]).expect("saved");
        let load = |state: &StateFile| {
            let error = state.load::<u32>(parameters().iter_mut()).map(drop);
            error.expect_err("refused").to_string()
        };
        let error = load(&file(directory.path(), "2"));
        assert!(error.contains("its seed differs (it was 1 and is now 2)"), "{error}");
        let long = load(&file(directory.path(), &"2".repeat(64)));
        assert!(long.contains("its seed differs (it was 1 and is now another)"), "{long}");
        let bytes = fs::read(&state.path).expect("read");
        fs::write(&state.path, &bytes[..bytes.len() - 1]).expect("written");
        assert!(load(&state).contains("damaged"));
        fs::write(&state.path, b"no state").expect("written");
        assert!(load(&state).contains("damaged"));
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_state() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = file(directory.path(), "1");
        state.save(5, &42u32, parameters().iter(), &[]).expect("saved");
        // A directory in the way of the new file.
        fs::create_dir(state.path.with_extension("training-state-new")).expect("made");
        let error = state.save(6, &43u32, parameters().iter(), &[]).expect_err("refused");
        assert!(error.to_string().contains("cannot write"), "{error}");
        let loaded = state.load::<u32>(parameters().iter_mut()).expect("read");
        assert_eq!(loaded.map(|(step, progress, _)| (step, progress)), Some((5, 42)));
    }
}
