//! The adaptation of an encoder before its heads are trained.

use super::{Interrupt, TrainingError, job::Job, pretrain, recipe::Adaptation, saving::Saving};
use crate::weights::EncoderWeights;

/// Runs the recipe's adaptation, if it has one and the run does not go on from a later state.
/// Returns the weights that [`Job::adapted`] takes.
///
/// # Errors
///
/// If the adaptation fails or is interrupted, or the job cannot be run.
pub fn adapt(
    job: &Job<'_>,
    observer: &mut dyn pretrain::Observer,
    interrupt: &Interrupt,
) -> Result<Option<EncoderWeights>, TrainingError> {
    let Some(adaptation) = job.adaptation() else { return Ok(None) };
    job.check()?;
    job.draft()?;
    let saving = Saving::begin(job.out, job.identity(), job.unfinished, job.save_every)?;
    // A state of the training holds the encoder as it is by then.
    if saving.file.exists() {
        return Ok(None);
    }
    let course = adaptation.course(job.encoder);
    let (unfinished, every) = (job.unfinished, job.save_every);
    pretrain::adapt(&course, job.out, unfinished, every, observer, interrupt).map(Some)
}

impl<'a> Job<'a> {
    /// The adaptation of the job's recipe.
    pub(super) fn adaptation(&self) -> Option<&'a Adaptation> {
        self.recipe.and_then(|recipe| recipe.adaptation.as_ref())
    }
}
