//! A short course before the training of heads, for encoders whose vector at the mask says little.

use std::path::Path;

use super::{
    super::{
        Interrupt, TrainingError,
        saving::{Saving, Unfinished},
    },
    Course, Observer,
    held_back::HeldBack,
    language_model::LanguageModel,
};
use crate::{export, inference::load_tokenizer, weights::EncoderWeights};

/// Texts on which the vector at the mask is looked at.
const PROBED: usize = 64;

/// Runs a course whose result no checkpoint keeps. Its state lies beside `out` while it lasts, so
/// that an interrupted run can go on.
///
/// # Errors
///
/// If the course fails or is interrupted.
pub fn adapt(
    course: &Course<'_>,
    out: &Path,
    unfinished: Unfinished,
    save_every: usize,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<EncoderWeights, TrainingError> {
    course.check()?;
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let beside = out.with_file_name(format!("{name}.adaptation"));
    let saving = Saving::begin(&beside, course.identity(), unfinished, save_every)?;
    let learned = course.run(&saving, observer, interrupt)?;
    let (weights, _) = learned.model.weights()?;
    saving.file.remove()?;
    Ok(weights)
}

/// The mean cosine between the vector at a prompt's mask and the mean token vector of its bare
/// text: near 0 for an encoder that was tuned for the similarity of sentences, and never for masks.
/// `None` if the texts hold no word. The course has the similarity alone.
///
/// # Errors
///
/// If the encoder cannot be read or computed with.
pub fn mask_similarity(
    course: &Course<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Option<f64>, TrainingError> {
    let weights = export::read_weights(course.encoder)?;
    let tokenizer = load_tokenizer(course.encoder)?;
    let pieces = tokenizer.pieces();
    let texts = course.texts.texts.iter().take(PROBED).map(String::as_str).collect();
    let corpus = course.corpus(texts, &tokenizer, &pieces)?;
    let Some((pull, _)) = course.pull(&corpus, tokenizer, &weights, observer, interrupt)? else {
        return Ok(None);
    };
    let meanings = pull.meanings.clone();
    let probe = HeldBack::new(&corpus, course.settings, &pieces, Some((&pull, meanings)))?;
    Ok(probe.measure(&mut LanguageModel::new(&weights, None)?)?.similarity)
}
