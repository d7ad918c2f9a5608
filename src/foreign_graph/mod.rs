//! Encoder graphs that another program exported, such as `torch.onnx.export` or optimum.
//!
//! Such a graph is a program of its author's. It may consist of known operators alone, holds no other graph
//! and no function, and names no file outside its directory. What ONNX Runtime is given is what was decoded
//! and checked, encoded anew. In a checkpoint its matrices lie where our own graphs have theirs: in one
//! file beside the graph, each at a page boundary.

mod checked;
mod error;
mod messages;
mod numbers;
mod operators;
mod signature;
mod tensor_type;

use std::path::Path;

use prost::{Message, bytes::Bytes};

pub use error::ForeignGraphError;
use messages::{Graph, Model};
pub use numbers::External;
pub use signature::Signature;

use crate::export::{MAX_FIELDS, is_small};

/// A graph of another exporter, decoded and checked.
#[derive(Debug, Clone)]
pub struct ForeignModel {
    model: Model,
    /// Place that it was read from, for messages.
    path: String,
}

impl ForeignModel {
    /// Takes the bytes of a graph's file; `path` is for messages. Arrays are not copied.
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, ForeignGraphError> {
        let path = path.display().to_string();
        if !is_small(&bytes) {
            return Err(ForeignGraphError::Size { path, limit: MAX_FIELDS });
        }
        let mut model = match Model::decode(Bytes::from(bytes)) {
            Ok(model) => model,
            Err(source) => return Err(ForeignGraphError::Decode { path, source }),
        };
        if model.graph.is_none() {
            return Err(ForeignGraphError::Size { path, limit: MAX_FIELDS });
        }
        checked::check(&model, &path)?;
        // Exporters list the sets of operators that they know, not those that they use.
        model.opset_import.retain(|one| operators::DOMAINS.contains(&one.domain.as_str()));
        Ok(Self { model, path })
    }

    /// Inputs and output, where they are those of an encoder.
    pub fn signature(&self) -> Result<Signature, ForeignGraphError> {
        match &self.model.graph {
            Some(graph) => signature::read(graph, &self.path),
            None => signature::read(&Graph::default(), &self.path),
        }
    }

    /// Takes away all outputs but this one.
    pub fn keep_output(&mut self, name: &str) {
        if let Some(graph) = &mut self.model.graph {
            graph.output.retain(|output| output.name == name);
        }
    }

    /// Tells whether some numbers depend on what else is in a batch.
    pub fn is_scaled_together(&self) -> bool {
        let mut nodes = self.model.graph.iter().flat_map(|graph| &graph.node);
        nodes.any(|node| operators::is_scaled_together(&node.op_type))
    }

    /// The graph as bytes: what was checked and nothing else.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

#[cfg(test)]
mod tests;
