//! Imports a directory with a graph that another program exported (optimum's layout: `model.onnx` or
//! `onnx/model.onnx` with config.json and tokenizer.json) to a checkpoint that serves it as it is.

mod config;
mod lengths;
mod trial;

use std::path::Path;

use super::{
    Import, ImportError, MAX_CONFIG_BYTES, Written, model_files::ModelDirectory, read_tokenizer,
    task,
};
use crate::{
    checkpoint::{
        Draft, ENCODER_WEIGHTS_FILE, EncoderEntry, ForeignGraph, GraphOutput, Provenance,
        TOKENIZER_FILE,
    },
    foreign_graph::{External, ForeignModel},
    weights::Precision,
};
use trial::{Given, Trial};

/// Bytes of a graph's file, matrices and all: the format's own limit.
const MAX_GRAPH_BYTES: u64 = 2 << 30;

/// Makes the graph at `path` a checkpoint.
pub(super) fn to_checkpoint(
    import: &Import<'_>,
    directory: &ModelDirectory,
    path: &Path,
) -> Result<Written, ImportError> {
    if import.precision != Precision::Fp32 {
        return Err(ImportError::ForeignPrecision { path: path.display().to_string() });
    }
    // Before the work, so that a mistake in `out` costs no time.
    let mut draft = Draft::new(import.out, import.replace)?;
    let sizes = sizes(directory)?;
    let tokenizer = read_tokenizer(directory, sizes.vocabulary_size)?;
    let bytes = directory.read(path, MAX_GRAPH_BYTES)?;
    let mut model = ForeignModel::from_bytes(bytes, path)?;
    let signature = model.signature()?;
    task::check_head(import.task.as_ref(), signature.gives, path)?;
    model.keep_output(&signature.output);
    let weights = gather(&mut model, directory, path)?;
    let precision = model.precision();
    draft.add_encoder(&model.to_bytes(), &weights)?;
    drop(weights);
    draft.add(TOKENIZER_FILE, &tokenizer)?;
    let graph = ForeignGraph {
        inputs: signature.inputs,
        output: signature.output,
        gives: signature.gives,
        padding_id: sizes.padding_id,
        first_position: sizes.first_position,
        one_at_a_time: false,
    };
    let given = Given { sizes: &sizes, precision, is_scaled_together: model.is_scaled_together() };
    let runtime = (import.runtime)()?;
    let found = Trial::new(&runtime, &draft, path, given).run(graph, directory)?;
    let mut encoder = EncoderEntry::new(import.name, found.architecture, precision);
    let is_classifier = found.graph.gives == GraphOutput::Logits;
    let note = found.graph.one_at_a_time.then(|| {
        "this 8-bit graph has one scale for a whole batch, which would let prompts change each other's \
         answers: each is computed alone"
            .to_owned()
    });
    encoder.graph = Some(found.graph);
    if let Some(given) = &import.task {
        task::add(&mut draft, given, &tokenizer, &encoder.architecture, is_classifier)?;
    }
    let provenance = Provenance::new(format!("ONNX graph {}", import.name));
    let manifest = draft.publish(encoder, TOKENIZER_FILE, provenance)?;
    Ok(Written { manifest, notes: note.into_iter().collect() })
}

fn sizes(directory: &ModelDirectory) -> Result<config::Sizes, ImportError> {
    let path = directory.config();
    let bytes = directory.read(&path, MAX_CONFIG_BYTES)?;
    let wrong = |message| ImportError::Config { path: path.display().to_string(), message };
    let json = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    config::read(json).map_err(|error| wrong(error.to_string()))
}

/// All matrices in one array of bytes, out of the graph and of the files beside it.
fn gather(
    model: &mut ForeignModel,
    directory: &ModelDirectory,
    path: &Path,
) -> Result<Vec<u8>, ImportError> {
    let open = |file: &str| Ok::<_, ImportError>(directory.open(&path.with_file_name(file))?);
    model.gather(
        ENCODER_WEIGHTS_FILE,
        |file| Ok(open(file)?.bytes()),
        |External { file, offset, bytes }| Ok(open(file)?.read_range(*offset, *bytes)?),
    )
}
