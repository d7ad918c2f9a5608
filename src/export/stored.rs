//! An encoder graph as it is found in a file, and the matrices that it names in the file beside it.

use std::{
    ops::Range,
    path::{Component, Path, PathBuf},
};

use prost::Message;

use super::{
    ReadError,
    graph::FP16_SUFFIX,
    messages::{DataLocation, DataType, Model, Tensor},
};

/// What a stored matrix is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    F32,
    F16,
    I8,
}

impl Element {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
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
    path: PathBuf,
}

impl EncoderGraph {
    /// Reads a graph.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let name = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|source| ReadError::Read { path: name.clone(), source })?;
        let model = Model::decode(bytes.as_slice())
            .map_err(|source| ReadError::Decode { path: name, source })?;
        Ok(Self { model, path: path.to_owned() })
    }

    /// The file beside the graph that holds its matrices; none in a graph of an older version,
    /// which has them inside.
    pub fn weights_file(&self) -> Result<Option<PathBuf>, ReadError> {
        let mut locations = self.external().map(|tensor| entry(tensor, "location"));
        let Some(first) = locations.next() else { return Ok(None) };
        let first = first.unwrap_or_default();
        if locations.any(|other| other != Some(first)) {
            return Err(self.damaged("its matrices lie in more than one file"));
        }
        // A graph from elsewhere must not reach out of its directory.
        let mut parts = Path::new(first).components();
        let (Some(Component::Normal(file)), None) = (parts.next(), parts.next()) else {
            return Err(self.damaged("its matrices lie outside its directory"));
        };
        Ok(Some(self.path.with_file_name(file)))
    }

    /// The matrices in the file of so many bytes beside the graph.
    pub fn stored(&self, file_bytes: usize) -> Result<Vec<Stored>, ReadError> {
        self.external().map(|tensor| self.place(tensor, file_bytes)).collect()
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
        let shape = shape.ok_or_else(|| wrong("the shape"))?;
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
        all.filter(|tensor| tensor.data_location == DataLocation::External as i32)
    }

    fn damaged(&self, what: &str) -> ReadError {
        let path = self.path.display().to_string();
        ReadError::Graph { path, message: what.to_owned() }
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
        let directory = tempfile::tempdir().expect("a directory");
        let files = to_onnx(&small(), Precision::Fp32, location);
        let path = directory.path().join("encoder.onnx");
        std::fs::write(&path, &files.graph).expect("written");
        let graph = EncoderGraph::read(&path).expect("a graph");
        let file = graph.weights_file()?.expect("a file");
        assert_eq!(file.parent(), path.parent());
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
        for location in ["../w", "/etc/passwd", "a/w", "", ".", ".."] {
            let error = written(location, None).expect_err(location);
            assert!(error.to_string().contains("outside its directory"), "{location}: {error}");
        }
        let error = written("w", Some(100)).expect_err("a short file");
        assert!(error.to_string().contains("the place of the matrix"), "{error}");
    }
}
