//! Inputs and outputs of a graph: what an encoder that is fed padded prompts must have.

use super::{
    error::{ForeignGraphError, listed, shown},
    messages::{DimensionValue, Graph, TensorType, ValueInfo},
    tensor_type::{self, FLOAT, FLOAT16, INT64},
};
use crate::checkpoint::{ForeignInput, GraphOutput};

/// Names that exporters give to the output of encoders (the second one where they have a
/// Sentence-Transformers model before them), and that of classifiers.
const HIDDEN_STATES: [&str; 2] = ["last_hidden_state", "token_embeddings"];
const LOGITS: &str = "logits";

/// Inputs and output of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<ForeignInput>,
    pub output: String,
    pub gives: GraphOutput,
}

/// Finds inputs and output of a graph, and refuses what prompts of any number and length cannot be given
/// to.
pub fn read(graph: &Graph, path: &str) -> Result<Signature, ForeignGraphError> {
    let is_stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    // Older versions of the format list weights among the inputs.
    let fed: Vec<&ValueInfo> = graph.input.iter().filter(|input| !is_stored(&input.name)).collect();
    let mut inputs =
        fed.iter().map(|input| read_input(input, path)).collect::<Result<Vec<_>, _>>()?;
    for needed in [ForeignInput::InputIds, ForeignInput::AttentionMask] {
        if !inputs.contains(&needed) {
            let found = listed(fed.iter().map(|input| input.name.as_str()));
            let (path, name) = (path.to_owned(), needed.name());
            return Err(ForeignGraphError::NoInput { path, name, found });
        }
    }
    inputs.sort_unstable();
    inputs.dedup();
    let (output, gives) = read_output(&graph.output, path)?;
    Ok(Signature { inputs, output, gives })
}

fn read_input(input: &ValueInfo, path: &str) -> Result<ForeignInput, ForeignGraphError> {
    let wrong = |what: String| {
        let (path, name) = (path.to_owned(), shown(&input.name));
        Err(ForeignGraphError::Input { path, name, what })
    };
    let known = ForeignInput::ALL.into_iter().find(|known| known.name() == input.name);
    let Some(tensor) = tensor_type_of(input) else {
        return wrong("which is no tensor".to_owned());
    };
    if tensor.elem_type != INT64 {
        let found = tensor_type::name(tensor.elem_type);
        return wrong(format!("of {found}, expected ids: 64-bit integers"));
    }
    let Some(known) = known else {
        return wrong("which nothing here can be given to".to_owned());
    };
    let Some(shape) = &tensor.shape else { return Ok(known) };
    if shape.dim.len() != 2 {
        return wrong(format!("of {} dimensions, expected [batch, sequence]", shape.dim.len()));
    }
    for (dimension, what) in shape.dim.iter().zip(["batch size", "sequence length"]) {
        if let Some(DimensionValue::DimValue(size)) = dimension.value
            && size > 0
        {
            return wrong(format!("with a fixed {what} of {size}, expected any"));
        }
    }
    Ok(known)
}

/// Finds the output to read: the first of `HIDDEN_STATES` that there is, or else the only one.
fn read_output(
    outputs: &[ValueInfo],
    path: &str,
) -> Result<(String, GraphOutput), ForeignGraphError> {
    let of_name = |name: &&str| outputs.iter().find(|output| output.name == *name);
    let named = HIDDEN_STATES.iter().find_map(of_name);
    let output = match (named, outputs) {
        (Some(output), _) => output,
        (None, [output]) => output,
        (None, _) => {
            let found = listed(outputs.iter().map(|output| output.name.as_str()));
            return Err(ForeignGraphError::Outputs { path: path.to_owned(), found });
        }
    };
    let wrong = |what: String| {
        let (path, name) = (path.to_owned(), shown(&output.name));
        Err(ForeignGraphError::Output { path, name, what })
    };
    let tensor = tensor_type_of(output);
    let element = tensor.map_or(FLOAT, |tensor| tensor.elem_type);
    if element != FLOAT && element != FLOAT16 {
        return wrong(format!("of {}, expected floats", tensor_type::name(element)));
    }
    let gives = if output.name == LOGITS { GraphOutput::Logits } else { GraphOutput::HiddenStates };
    let (expected, shape) = match gives {
        GraphOutput::Logits => (2, "[batch, labels]"),
        GraphOutput::HiddenStates => (3, "[batch, sequence, hidden]"),
    };
    let found = tensor.and_then(|tensor| Some(tensor.shape.as_ref()?.dim.len()));
    match found {
        Some(found) if found != expected => {
            wrong(format!("of {found} dimensions, expected {shape}"))
        }
        _ => Ok((output.name.clone(), gives)),
    }
}

fn tensor_type_of(value: &ValueInfo) -> Option<&TensorType> {
    value.r#type.as_ref()?.tensor_type.as_ref()
}
