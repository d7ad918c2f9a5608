//! From a directory to a registry, beside one that serves or as the first one.
//!
//! The first one is loaded whole or not at all, but for a task that two checkpoints hold: the one whose
//! name comes first serves it. Beside another, each checkpoint is taken or refused
//! by itself, and where it is refused the one that served from the same directory goes on.

use std::{collections::BTreeMap, io::ErrorKind, path::Path, sync::Arc};

use super::{
    LeftOut, NewEncoder, Registry, RegistryError,
    encoders::{self, Fleet, Lease, StartError},
    held::Held,
    listing::{Listed, Listing, State},
    memory, warm_up,
};
use crate::config::Config;

/// A checkpoint that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its directory.
    pub directory: String,
    /// Message of the fault.
    pub reason: String,
    /// Whether the same may be taken at another time.
    pub is_passing: bool,
}

impl Refused {
    /// Whether there is nothing new in the other one.
    fn is_same(&self, other: &Self) -> bool {
        // What passes is said with other figures each time.
        let is_same_reason = self.reason == other.reason || (self.is_passing && other.is_passing);
        self.directory == other.directory && is_same_reason
    }
}

/// What was made of a directory.
pub struct Loaded {
    /// What serves from now on.
    pub registry: Registry,
    /// What does not. Of a first registry, the checkpoints with tasks that others hold too.
    pub refused: Vec<Refused>,
}

/// What may serve from one directory.
struct Candidate {
    directory: String,
    /// What is to serve; `None` if nothing is good for it.
    held: Option<Held>,
    /// Whether that has not served before.
    is_new: bool,
    /// Whether its tasks have given an answer.
    is_warm: bool,
    /// What serves from there now, where `held` is another.
    fallback: Option<Held>,
}

/// What is wrong with some candidates, by their numbers.
struct Fault {
    of: Vec<usize>,
    error: Box<RegistryError>,
}

struct Loading<'a> {
    config: &'a Config,
    previous: Option<&'a Registry>,
    new_encoder: &'a NewEncoder,
    fleet: Arc<Fleet>,
    candidates: Vec<Candidate>,
    refused: Vec<Refused>,
    /// Directories that cannot be looked into, and of which nothing ever served.
    passed_over: Vec<String>,
    /// Encoders that do not serve yet.
    started: BTreeMap<String, Arc<Lease>>,
}

/// Loads what changed; see [`Registry::load`].
pub(super) fn load(
    directory: &Path,
    config: &Config,
    previous: Option<&Registry>,
    new_encoder: &NewEncoder,
) -> Result<Loaded, RegistryError> {
    memory::keep_large_apart();
    let listing = list(directory, previous.is_some())?;
    let mut loading = Loading {
        config,
        previous,
        new_encoder,
        fleet: previous.map(|previous| Arc::clone(&previous.fleet)).unwrap_or_default(),
        candidates: Vec::new(),
        refused: Vec::new(),
        passed_over: Vec::new(),
        started: BTreeMap::new(),
    };
    for listed in &listing.entries {
        loading.read(listed, listing.is_checkpoint)?;
    }
    loading.check_not_empty(directory)?;
    // One that is refused may have stood in another's way, or its older one stands in it now.
    while loading.refuse_duplicates()? || loading.start_encoders()? {}
    loading.check_not_empty(directory)?;
    let loaded = loading.finish();
    memory::give_back();
    Ok(loaded)
}

fn log(refused: &Refused, serves_on: Option<&Held>) {
    let Refused { directory, reason, .. } = refused;
    match serves_on {
        Some(held) => tracing::error!(
            directory,
            reason,
            checkpoint = held.model.id,
            "a checkpoint is refused, the one before it serves on"
        ),
        None => tracing::error!(directory, reason, "a checkpoint is refused"),
    }
}

fn list(directory: &Path, is_reload: bool) -> Result<Listing, RegistryError> {
    let name = || directory.display().to_string();
    let found = "there is no such directory";
    Listing::read(directory).map_err(|source| match source.kind() {
        ErrorKind::NotFound if is_reload => RegistryError::Gone { directory: name(), found },
        ErrorKind::NotFound => RegistryError::Empty { directory: name(), found },
        _ => RegistryError::Directory { directory: name(), source },
    })
}

impl Loading<'_> {
    /// Takes in what lies in one directory.
    fn read(&mut self, listed: &Listed, is_alone: bool) -> Result<(), RegistryError> {
        let directory = listed.path.display().to_string();
        let before = self.previous.and_then(|previous| previous.held_in(&directory)).cloned();
        match &listed.state {
            // A directory of something else.
            State::NoManifest if before.is_none() => return Ok(()),
            State::Inaccessible(reason) if before.is_none() => {
                self.pass_over(directory, reason);
                return Ok(());
            }
            _ => {}
        }
        let (held, error) = match Held::read(listed, is_alone, self.previous) {
            Ok(held) => (Some(held), None),
            Err(error) => (None, Some(error)),
        };
        let is_same =
            held.as_ref().zip(before.as_ref()).is_some_and(|(a, b)| a.model.id == b.model.id);
        self.candidates.push(Candidate {
            directory,
            is_new: !is_same,
            is_warm: is_same,
            fallback: before.filter(|_| !is_same),
            held,
        });
        error.map_or(Ok(()), |error| self.refuse(&[self.candidates.len() - 1], error))
    }

    /// A directory that holds a checkpoint or none: nobody has named it.
    fn pass_over(&mut self, directory: String, reason: &str) {
        let is_known =
            self.previous.is_some_and(|known| known.left_out.passed_over.contains(&directory));
        if !is_known {
            tracing::warn!(directory, reason, "a directory that cannot be read is passed over");
        }
        self.passed_over.push(directory);
    }

    /// What served from there goes on, or nothing does. In a first registry the error counts, unless
    /// others can serve without the checkpoint.
    fn refuse(&mut self, which: &[usize], error: RegistryError) -> Result<(), RegistryError> {
        if self.previous.is_none() && !error.spares_a_start() {
            return Err(error);
        }
        let known = self.previous.map_or(&[][..], |previous| &previous.left_out.refused);
        for &at in which {
            let candidate = &mut self.candidates[at];
            candidate.held = candidate.fallback.take();
            (candidate.is_new, candidate.is_warm) = (false, true);
            let refused = Refused {
                directory: candidate.directory.clone(),
                reason: error.to_string(),
                is_passing: error.is_passing(),
            };
            // Once for a change, and not again whenever another checkpoint changes.
            if !known.iter().any(|known| known.is_same(&refused)) {
                log(&refused, candidate.held.as_ref());
            }
            self.refused.push(refused);
        }
        Ok(())
    }

    fn check_not_empty(&self, directory: &Path) -> Result<(), RegistryError> {
        let mut held = self.candidates.iter().filter_map(|candidate| candidate.held.as_ref());
        if held.any(|held| !held.model.tasks.is_empty()) {
            return Ok(());
        }
        let directory = directory.display().to_string();
        let found = match self.candidates.iter().any(|candidate| candidate.held.is_some()) {
            true => "its checkpoints hold an encoder but no task",
            false if !self.refused.is_empty() => "its checkpoints are refused",
            false if !self.passed_over.is_empty() => "directories in it cannot be read",
            false => "it holds no checkpoint",
        };
        Err(match self.previous {
            Some(_) => RegistryError::Gone { directory, found },
            None => RegistryError::Empty { directory, found },
        })
    }

    /// Refuses a checkpoint that holds a task which another name's does, if there is one: rather a
    /// new one than one that serves.
    fn refuse_duplicates(&mut self) -> Result<bool, RegistryError> {
        let mut found_any = false;
        while let Some((first, second, task)) = self.duplicate() {
            found_any = true;
            let directory = |at: usize| self.candidates[at].directory.clone();
            let error = RegistryError::Duplicate {
                task,
                first: directory(first),
                second: directory(second),
            };
            let newcomer = if self.candidates[second].is_new { second } else { first };
            self.refuse(&[newcomer], error)?;
        }
        Ok(found_any)
    }

    fn duplicate(&self) -> Option<(usize, usize, String)> {
        let mut holders: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for (at, held) in self.serving() {
            let name = held.name.name.as_str();
            for task in held.model.tasks.keys() {
                let (first, holder) = *holders.entry(task).or_insert((at, name));
                if holder != name {
                    return Some((first, at, task.clone()));
                }
            }
        }
        None
    }

    /// Those that are to serve and have tasks.
    fn serving(&self) -> impl Iterator<Item = (usize, &Held)> {
        let candidates = self.candidates.iter().enumerate();
        let held = candidates.filter_map(|(at, candidate)| Some((at, candidate.held.as_ref()?)));
        held.filter(|(_, held)| !held.model.tasks.is_empty())
    }

    /// Makes workers for new encoders and tries new tasks. Says whether a checkpoint was refused,
    /// with which it stops.
    fn start_encoders(&mut self) -> Result<bool, RegistryError> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, held) in self.serving() {
            groups.entry(held.model.encoder_digest.clone()).or_default().push(at);
        }
        for (digest, group) in groups {
            let new: Vec<usize> =
                group.iter().copied().filter(|&at| !self.candidates[at].is_warm).collect();
            let tried = match self.lease(&digest) {
                // All workers are lost, as where others for their places cannot be had from the old files:
                // they can be had from the new ones.
                Some(lease) if lease.batcher().is_deserted() && !new.is_empty() => {
                    self.start(&digest, &new)
                }
                Some(lease) => self.warm_up(&new, &lease),
                None => self.start(&digest, &group),
            };
            if let Err(Fault { of, error }) = tried {
                self.refuse(&of, *error)?;
                return Ok(true);
            }
            new.iter().for_each(|&at| self.candidates[at].is_warm = true);
        }
        Ok(false)
    }

    fn lease(&self, digest: &str) -> Option<Arc<Lease>> {
        let serving = || self.previous.and_then(|previous| previous.leases.get(digest));
        self.started.get(digest).or_else(serving).cloned()
    }

    /// Tries tasks on an encoder that is there.
    fn warm_up(&self, new: &[usize], lease: &Lease) -> Result<(), Fault> {
        for &at in new {
            if let Some(held) = &self.candidates[at].held {
                warm_up::run_through(held, lease.batcher())
                    .map_err(|error| Fault { of: vec![at], error: Box::new(error) })?;
            }
        }
        Ok(())
    }

    /// Makes workers for an encoder.
    fn start(&mut self, digest: &str, group: &[usize]) -> Result<(), Fault> {
        let held: Vec<&Held> =
            group.iter().filter_map(|&at| self.candidates[at].held.as_ref()).collect();
        let started = encoders::start(&held, self.config, &self.fleet, self.new_encoder);
        let lease = started.map_err(|StartError { checkpoint, error }| {
            let of = checkpoint.map_or_else(|| group.to_vec(), |at| vec![group[at]]);
            Fault { of, error }
        })?;
        // The encoder was read after it was verified.
        for (&at, held) in group.iter().zip(held) {
            held.check_unchanged()
                .map_err(|error| Fault { of: vec![at], error: Box::new(error) })?;
        }
        self.started.insert(digest.to_owned(), Arc::new(lease));
        Ok(())
    }

    fn finish(self) -> Loaded {
        let mut holders: BTreeMap<&str, Vec<Held>> = BTreeMap::new();
        for (_, held) in self.serving() {
            holders.entry(&held.model.encoder_digest).or_default().push(held.clone());
        }
        let mut leases = BTreeMap::new();
        for (digest, holders) in holders {
            if let Some(lease) = self.lease(digest) {
                lease.held_by(holders);
                leases.insert(digest.to_owned(), lease);
            }
        }
        let held = self.candidates.into_iter().filter_map(|candidate| candidate.held).collect();
        let left_out = LeftOut { refused: self.refused.clone(), passed_over: self.passed_over };
        let registry = Registry::new(held, leases, self.fleet, left_out);
        Loaded { registry, refused: self.refused }
    }
}
