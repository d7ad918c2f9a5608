//! An encoder graph as it is found in a file, and the matrices that it names in the file beside it.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Component, Path},
};

use prost::Message;

use super::{
    ReadError, checked,
    graph::FP16_SUFFIX,
    messages::{DataLocation, DataType, Graph, Model, Tensor},
    wire,
};
use crate::{architecture::Architecture, checkpoint::Checkpoint};

/// What a stored matrix is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    F32,
    F16,
    I8,
    /// Bytes without a sign, in graphs of other exporters alone.
    U8,
}

impl Element {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}

/// A matrix in the file beside a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What the graph calls it.
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    /// Where its bytes lie in the file; as many as the shape says.
    pub range: Range<usize>,
}

/// An encoder graph in memory, without its matrices.
#[derive(Debug, Clone)]
pub struct EncoderGraph {
    model: Model,
    /// Where it was read, for messages.
    path: String,
}

impl EncoderGraph {
    /// Takes the bytes of a graph, which must hold nothing but what `to_onnx` writes; `path` is for
    /// messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ReadError> {
        let path = path.display().to_string();
        if !wire::is_small(bytes) {
            let message = format!("that it has more than {} parts", wire::MAX_FIELDS);
            return Err(ReadError::Graph { path, message });
        }
        let model = match Model::decode(bytes) {
            Ok(model) => model,
            Err(source) => return Err(ReadError::Decode { path, source }),
        };
        let fault = model.graph.as_ref().and_then(checked::fault);
        let graph = Self { model, path };
        match fault {
            Some(fault) => Err(graph.damaged(&fault)),
            None => Ok(graph),
        }
    }

    /// Compares the shapes of the parameters with those of an architecture.
    pub fn check_shapes(&self, architecture: &Architecture) -> Result<(), ReadError> {
        let none = Graph::default();
        let graph = self.model.graph.as_ref().unwrap_or(&none);
        checked::shape_fault(graph, architecture).map_or(Ok(()), |fault| Err(self.damaged(&fault)))
    }

    /// The name of the file beside the graph that holds its matrices; none in a graph of an older
    /// version, which has them inside.
    pub fn weights_file(&self) -> Result<Option<&str>, ReadError> {
        let mut locations = self.external().map(|tensor| entry(tensor, "location"));
        let Some(first) = locations.next() else { return Ok(None) };
        let first = first.unwrap_or_default();
        if locations.any(|other| other != Some(first)) {
            return Err(self.damaged("that its matrices lie in more than one file"));
        }
        // A graph from elsewhere must not reach out of its directory. This also refuses the way in
        // which ONNX Runtime writes addresses in memory ("*/_ORT_MEM_ADDR_/*").
        let mut parts = Path::new(first).components();
        let (Some(Component::Normal(file)), None) = (parts.next(), parts.next()) else {
            return Err(self.damaged("that its matrices lie outside its directory"));
        };
        // "w/" and "w/." have one part too.
        if file != first {
            return Err(self.damaged("that its matrices lie outside its directory"));
        }
        Ok(Some(first))
    }

    /// As [`EncoderGraph::weights_file`]; it must be the one that the manifest names, and compares.
    pub fn listed_weights_file<'c>(
        &self,
        checkpoint: &'c Checkpoint,
    ) -> Result<Option<&'c str>, ReadError> {
        let listed = checkpoint.manifest.encoder.weights.as_deref();
        if self.weights_file()? != listed {
            return Err(self.damaged("that its matrices lie elsewhere than the manifest says"));
        }
        Ok(listed)
    }

    /// The matrices in the file of so many bytes beside the graph. No byte belongs to two.
    pub fn stored(&self, file_bytes: usize) -> Result<Vec<Stored>, ReadError> {
        let all: Result<Vec<Stored>, ReadError> =
            self.external().map(|tensor| self.place(tensor, file_bytes)).collect();
        let all = all?;
        let mut in_order: Vec<&Stored> = all.iter().collect();
        in_order.sort_by_key(|one| one.range.start);
        let overlap = in_order.windows(2).find(|pair| pair[0].range.end > pair[1].range.start);
        match overlap {
            Some(pair) => Err(self.damaged(&format!("the place of the matrix {:?}", pair[1].name))),
            None => Ok(all),
        }
    }

    fn place(&self, tensor: &Tensor, file_bytes: usize) -> Result<Stored, ReadError> {
        let wrong = |what| self.damaged(&format!("{} of the matrix {:?}", what, tensor.name));
        let element = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) => Element::F32,
            Ok(DataType::Float16) => Element::F16,
            Ok(DataType::Int8) => Element::I8,
            _ => return Err(wrong("the type")),
        };
        let size = |d: &i64| usize::try_from(*d).ok();
        let shape = tensor.dims.iter().map(size).collect::<Option<Vec<usize>>>();
        let shape = shape.filter(|shape| !shape.contains(&0)).ok_or_else(|| wrong("the shape"))?;
        let bytes = shape.iter().try_fold(element.bytes(), |n, d| n.checked_mul(*d));
        let number = |key| entry(tensor, key).and_then(|text| text.parse::<usize>().ok());
        let (offset, length) = (number("offset").unwrap_or(0), number("length"));
        let end = length.and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end <= file_bytes && length == bytes => {
                Ok(Stored { name: tensor.name.clone(), element, shape, range: offset..end })
            }
            _ => Err(wrong("the place")),
        }
    }

    /// Makes the casts of stored 16-bit matrices to 32 bits part of loading: the graph then asks
    /// for the 32-bit matrices themselves. Tells their names, each with the stored matrix's.
    pub fn widen(&mut self) -> Vec<(String, String)> {
        let Some(graph) = &mut self.model.graph else { return Vec::new() };
        let mut widened = Vec::new();
        graph.node.retain(|node| {
            let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
                return true;
            };
            let is_ours = node.op_type == "Cast"
                && input.strip_suffix(FP16_SUFFIX) == Some(output.as_str())
                && graph.initializer.iter().any(|tensor| tensor.name == *input);
            if is_ours {
                widened.push((input.clone(), output.clone()));
            }
            !is_ours
        });
        for (stored, name) in &widened {
            for tensor in graph.initializer.iter_mut().filter(|tensor| tensor.name == *stored) {
                tensor.name.clone_from(name);
                tensor.data_type = DataType::Float as i32;
            }
        }
        widened
    }

    /// Leaves out the initialisers that no node reads: training goes on from them, but they would be in
    /// memory for nothing while a session computes.
    pub fn drop_unread(&mut self) {
        let Some(graph) = &mut self.model.graph else { return };
        let read: BTreeSet<&str> =
            graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
        graph.initializer.retain(|tensor| read.contains(tensor.name.as_str()));
    }

    /// Puts a matrix into the graph itself.
    pub fn put_inside(&mut self, name: &str, bytes: &[u8]) {
        let mut all = self.model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        if let Some(tensor) = all.find(|tensor| tensor.name == name) {
            tensor.raw_data = bytes.to_vec();
            tensor.external_data.clear();
            tensor.data_location = DataLocation::Default as i32;
        }
    }

    /// Names another file for the matrices, whatever it holds: for who gives them away otherwise.
    pub fn relocate(&mut self, file: &str) {
        let all = self.model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        let entries = all.flat_map(|tensor| &mut tensor.external_data);
        for entry in entries.filter(|entry| entry.key == "location") {
            file.clone_into(&mut entry.value);
        }
    }

    /// The graph as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// All initialisers, those inside too.
    pub(super) fn initializers(self) -> Vec<Tensor> {
        self.model.graph.unwrap_or_default().initializer
    }

    fn external(&self) -> impl Iterator<Item = &Tensor> {
        let all = self.model.graph.iter().flat_map(|graph| &graph.initializer);
        all.filter(|tensor| checked::is_external(tensor))
    }

    fn damaged(&self, what: &str) -> ReadError {
        ReadError::Graph { path: self.path.clone(), message: what.to_owned() }
    }
}

fn entry<'t>(tensor: &'t Tensor, key: &str) -> Option<&'t str> {
    let found = tensor.external_data.iter().find(|entry| entry.key == key);
    found.map(|entry| entry.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::to_onnx,
        weights::{Precision, tests::small},
    };

    fn written(location: &str, weights_bytes: Option<usize>) -> Result<Vec<Stored>, ReadError> {
        let files = to_onnx(&small(), Precision::Fp32, location);
        let graph = EncoderGraph::from_bytes(&files.graph, Path::new("encoder.onnx"))?;
        assert_eq!(graph.weights_file()?, Some(location));
        graph.stored(weights_bytes.unwrap_or(files.weights.len()))
    }

    #[test]
    fn matrices_are_found_where_they_were_put() {
        let stored = written("w", None).expect("all there");
        let word = &stored[0];
        assert_eq!((word.name.as_str(), word.shape.as_slice()), ("embeddings.word", &[20, 8][..]));
        assert!(stored.iter().all(|one| one.range.start % 4096 == 0 && one.shape.len() == 2));
    }

    #[test]
    fn a_graph_cannot_reach_out_of_its_directory_or_its_file() {
        let locations =
            ["../w", "/etc/passwd", "a/w", "", ".", "..", "w/", "./w", "*/_ORT_MEM_ADDR_/*"];
        for location in locations {
            let error = written(location, None).expect_err(location);
            assert!(error.to_string().contains("outside its directory"), "{location}: {error}");
        }
        let error = written("w", Some(100)).expect_err("a short file");
        assert!(error.to_string().contains("the place of the matrix"), "{error}");
    }
}
