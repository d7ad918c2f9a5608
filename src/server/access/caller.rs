//! Who calls, and what they may ask.

use std::collections::BTreeSet;

/// Who calls. Every request has its own among its extensions, as `Arc<Caller>`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Caller {
    /// As the log names it; empty if nobody asks who calls.
    name: String,
    tasks: Scope,
}

/// The tasks that a caller may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    These(BTreeSet<String>),
}

impl Caller {
    pub(super) fn new(name: impl Into<String>, tasks: Scope) -> Self {
        Self { name: name.into(), tasks }
    }

    /// Somebody who is not asked who they are, and may ask everything.
    pub(super) fn anyone(name: &str) -> Self {
        Self::new(name, Scope::All)
    }

    /// Somebody who may ask nothing.
    pub(in crate::server) fn nobody() -> Self {
        Self::new("", Scope::These(BTreeSet::new()))
    }

    pub(in crate::server) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this task may be asked; with it all of its versions may, as `TASK@VERSION`.
    pub(in crate::server) fn may_ask(&self, task: &str) -> bool {
        let task = task.split_once('@').map_or(task, |(task, _)| task);
        match &self.tasks {
            Scope::All => true,
            Scope::These(tasks) => tasks.contains(task),
        }
    }
}
