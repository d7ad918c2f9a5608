//! `dynamar import`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{
    output, progress,
    settings::{PrecisionArg, precision},
};
use crate::{
    checkpoint::{Checkpoint, MANIFEST},
    import::{self, Written},
};

/// Makes a Hugging Face directory with an encoder (BERT, RoBERTa, DistilBERT, ELECTRA, ALBERT, MPNet,
/// ModernBERT, DeBERTa-v2 or -v3) an encoder checkpoint, with the masked-language-model head where the
/// directory has one
///
/// Of a checkpoint, tasks and all, it makes one whose encoder is stored otherwise.
///
/// Example: dynamar import ~/bert-base-uncased --out models/encoders/bert-base
///
/// In 8 bits: dynamar import models/serving/reviews --quantize int8 --out models/reviews-int8
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The Hugging Face or Sentence-Transformers directory (config.json, weights in safetensors or
    /// pytorch_model.bin, whole or in shards, tokenizer.json), or a checkpoint
    directory: PathBuf,
    /// Where the checkpoint goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the encoder is called [default: the name of --out]
    #[arg(long)]
    name: Option<String>,
    /// Store the encoder's matrices with fewer bits: fp16 for half the disk, int8 for a quarter of
    /// it and about twice the speed
    #[arg(long, value_enum, value_name = "PRECISION")]
    quantize: Option<PrecisionArg>,
    /// Replace a checkpoint that stands there
    #[arg(long)]
    replace: bool,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

fn import(args: &Args) -> Result<Written> {
    let precision = precision(args.quantize);
    if args.directory.join(MANIFEST).exists() {
        if args.name.is_some() {
            bail!("--name is for a Hugging Face directory; a checkpoint's encoder keeps its name");
        }
        let from = Checkpoint::open(&args.directory)?;
        return Ok(import::with_precision(&from, precision, &args.out, args.replace)?);
    }
    let name = match (&args.name, args.out.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => bail!("--out must end with a name"),
    };
    Ok(import::to_checkpoint(&args.directory, &name, precision, &args.out, args.replace)?)
}

/// Imports.
pub fn run(args: &Args) -> Result<()> {
    let Written { manifest, notes } = import(args)?;
    for note in notes {
        progress::note(&format!("note: {note}"));
    }
    if args.json {
        return output::json(&manifest);
    }
    let language_head = match manifest.encoder.language_head {
        Some(_) => ", with its language head",
        None => "",
    };
    let architecture = &manifest.encoder.architecture;
    output::text(&format!(
        "{}: encoder {}, {}, {} layers, {} wide, up to {} tokens, {}{language_head} (checkpoint {})\n",
        args.out.display(),
        manifest.encoder.name,
        architecture.family.name(),
        architecture.layers,
        architecture.hidden_size,
        architecture.max_positions,
        manifest.encoder.precision.name(),
        manifest.id
    ))
}
