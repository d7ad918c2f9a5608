//! In what a call may end, given what went on during it.

use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{proxy::Line, scene::Scene};

/// How a call was made.
pub struct Circumstances<'a> {
    pub begun: Instant,
    pub tasks: Vec<&'static str>,
    pub deadline: Option<Duration>,
    /// `None` if it went to the server directly.
    pub line: Option<&'a Line>,
}

/// The reason that the server gives; empty if the status was made elsewhere, as a client does when
/// its connection is lost.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(String::new, |info| info.reason.clone())
}

impl Circumstances<'_> {
    /// What it is counted as; an error if a call must not end like this.
    pub fn judge(&self, scene: &Scene, status: &Status) -> Result<&'static str, String> {
        let (spells, reason) = (&scene.spells, reason(status));
        let has_deadline = self.deadline.is_some();
        let (counted, is_legitimate) = match (status.code(), reason.as_str()) {
            (Code::ResourceExhausted, "QUEUE_FULL" | "CONNECTION_FULL" | "OVERLOADED") => {
                ("RESOURCE_EXHAUSTED", true)
            }
            (Code::ResourceExhausted, "DEADLINE_TOO_SHORT") => ("RESOURCE_EXHAUSTED", has_deadline),
            (Code::DeadlineExceeded, "DEADLINE") => ("DEADLINE_EXCEEDED", has_deadline),
            // The client's own clock was first.
            (Code::DeadlineExceeded | Code::Cancelled, "") if has_deadline => {
                ("DEADLINE_EXCEEDED by the client", true)
            }
            (Code::Internal, "INTERNAL") => {
                ("INTERNAL while encoders fail", spells.encoders.was_on_since(self.begun))
            }
            (Code::NotFound, "UNKNOWN_TASK") => {
                ("NOT_FOUND while removed", self.was_removed(scene))
            }
            // HTTP/2 has several words for a connection that is gone.
            (Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled, "") => {
                ("cut off", self.line.is_some_and(|line| line.was_cut_since(self.begun)))
            }
            _ => ("", false),
        };
        match is_legitimate {
            true => Ok(counted),
            false => Err(self.describe(scene, status, &reason)),
        }
    }

    fn was_removed(&self, scene: &Scene) -> bool {
        let was_removed =
            |task| scene.spells.removed.get(task).is_some_and(|one| one.was_on_since(self.begun));
        self.tasks.iter().any(was_removed)
    }

    fn describe(&self, scene: &Scene, status: &Status, reason: &str) -> String {
        let line = self.line.map_or("direct", |line| match line.was_cut_since(self.begun) {
            true => "through a line that was cut",
            false => "through a line that was not cut",
        });
        let encoders = match scene.spells.encoders.was_on_since(self.begun) {
            true => "an encoder fault was on",
            false => "no encoder fault was on",
        };
        let took = self.begun.elapsed();
        let (tasks, deadline) = (&self.tasks, self.deadline);
        format!(
            "a call of {tasks:?}, {line}, deadline {deadline:?}, {encoders}, ended after {took:?} \
             with {:?} {reason:?}: {:?} {:?}",
            status.code(),
            status.message(),
            std::error::Error::source(status).map(ToString::to_string),
        )
    }
}
