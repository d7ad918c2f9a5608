//! `dynamar import`.

use std::path::PathBuf;

use anyhow::Result;

use super::output;
use crate::import::{self, Written};

/// Makes a Hugging Face directory with a BERT encoder an encoder checkpoint, with the
/// masked-language-model head where the directory has one
///
/// Example: dynamar import ~/bert-base-uncased --out models/encoders/bert-base
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The Hugging Face directory (config.json, model.safetensors, tokenizer.json)
    directory: PathBuf,
    /// Where the checkpoint goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the encoder is called [default: the name of --out]
    #[arg(long)]
    name: Option<String>,
    /// Replace a checkpoint that stands there
    #[arg(long)]
    replace: bool,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

/// Imports.
pub fn run(args: &Args) -> Result<()> {
    let name = match (&args.name, args.out.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => return Err(anyhow::anyhow!("--out must end with a name")),
    };
    let Written { manifest, note } =
        import::to_checkpoint(&args.directory, &name, &args.out, args.replace)?;
    if let Some(note) = note {
        eprintln!("note: {note}");
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
        "{}: encoder {name}, {} layers, {} wide, up to {} tokens{language_head} (checkpoint {})\n",
        args.out.display(),
        architecture.layers,
        architecture.hidden_size,
        architecture.max_positions,
        manifest.id
    ))
}
