//! `dynamar import`.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use anyhow::{Result, bail};

use super::{
    Global, output, progress,
    settings::{PrecisionArg, precision},
};
use crate::{
    checkpoint::{Checkpoint, MANIFEST, Manifest},
    config::Config,
    import::{self, GivenTask, Import, Written},
    inference::Runtime,
    prompt::TaskFile,
};

/// Makes a Hugging Face directory with an encoder (BERT, RoBERTa, DistilBERT, ELECTRA, ALBERT, MPNet,
/// ModernBERT, DeBERTa-v2 or -v3) an encoder checkpoint, with the masked-language-model head where the
/// directory has one
///
/// A directory without weights but with model.onnx or onnx/model.onnx, as torch.onnx.export and
/// optimum write it, is served by that graph as it is. With --task, the checkpoint answers that
/// task with a head that was trained elsewhere.
///
/// Of a checkpoint, tasks and all, it makes one whose encoder is stored otherwise.
///
/// Example: dynamar import ~/bert-base-uncased --out models/encoders/bert-base
///
/// Trained with PyTorch: dynamar import exported --task reviews.toml --head head.safetensors --out models/serving/reviews
///
/// In 8 bits: dynamar import models/serving/reviews --quantize int8 --out models/reviews-int8
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The Hugging Face or Sentence-Transformers directory (config.json, tokenizer.json, and weights in
    /// safetensors or pytorch_model.bin, whole or in shards, or model.onnx), or a checkpoint
    directory: PathBuf,
    /// Where the checkpoint goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the encoder is called [default: the name of --out]
    #[arg(long)]
    name: Option<String>,
    /// An ONNX graph in the directory to take instead of its weights, such as onnx/model_int8.onnx
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// The task file (TOML) that the encoder was trained for
    #[arg(long, value_name = "FILE")]
    task: Option<PathBuf>,
    /// The task's head (safetensors): linear or with a hidden layer; not for a graph with a classifier
    /// in it
    #[arg(long, value_name = "FILE", requires = "task")]
    head: Option<PathBuf>,
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

fn import(args: &Args, global: &Global) -> Result<Written> {
    let precision = precision(args.quantize);
    if args.directory.join(MANIFEST).exists() {
        if args.name.is_some() {
            bail!("--name is for a Hugging Face directory; a checkpoint's encoder keeps its name");
        }
        if args.graph.is_some() || args.task.is_some() {
            bail!(
                "--graph, --task and --head are for a Hugging Face directory, not for a checkpoint"
            );
        }
        let from = Checkpoint::open(&args.directory)?;
        return Ok(import::with_precision(&from, precision, &args.out, args.replace)?);
    }
    let name = match (&args.name, args.out.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => bail!("--out must end with a name"),
    };
    let path = args.task.as_ref().map(|path| path.display().to_string());
    let task = args.task.as_ref().zip(path.as_ref()).map(|(task, path)| {
        let file = Arc::new(TaskFile::read(task)?);
        Ok::<_, anyhow::Error>(GivenTask { file, path, head: args.head.as_deref() })
    });
    // Read before ONNX Runtime is looked for: weights are imported without it.
    let loaded = Config::load(global.config.as_deref(), &[])?;
    let library = loaded.config.onnxruntime.path;
    let import = Import {
        directory: &args.directory,
        name: &name,
        precision,
        out: &args.out,
        replace: args.replace,
        graph: args.graph.as_deref(),
        task: task.transpose()?,
        runtime: &|| Runtime::load(library.as_deref()),
    };
    Ok(import.run()?)
}

/// Imports.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let Written { manifest, notes } = import(args, global)?;
    for note in notes {
        progress::note(&format!("note: {note}"));
    }
    if args.json {
        return output::json(&manifest);
    }
    output::text(&format!("{}: {}", args.out.display(), described(&manifest)?))
}

fn described(manifest: &Manifest) -> Result<String> {
    let encoder = &manifest.encoder;
    let architecture = &encoder.architecture;
    let mut text = format!("encoder {}, ", encoder.name);
    match encoder.graph {
        Some(_) => text += "a graph of another exporter, ",
        None => {
            let (family, layers) = (architecture.family.name(), architecture.layers);
            write!(text, "{family}, {layers} layers, ")?;
        }
    }
    let (width, positions) = (architecture.hidden_size, architecture.max_positions);
    write!(text, "{width} wide, up to {positions} tokens, {}", encoder.precision.name())?;
    if encoder.language_head.is_some() {
        text += ", with its language head";
    }
    for task in &manifest.tasks {
        write!(text, ", with the task {}", task.name)?;
    }
    writeln!(text, " (checkpoint {})", manifest.id)?;
    Ok(text)
}
