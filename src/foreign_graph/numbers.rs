//! The matrices of a graph: out of the graph, or out of the files that it names, into one file beside it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Component, Path},
};

use prost::bytes::Bytes;

use super::{
    ForeignModel,
    error::{ForeignGraphError, shown},
    messages::{StringEntry, Tensor},
    tensor_type::{EXTERNAL, bits, element, is_external, values},
};
use crate::{
    export::{Element, Stored},
    weights::Precision,
};

/// Matrices begin at multiples of this many bytes, as those of our own graphs.
const ALIGNMENT: usize = 4096;

/// A matrix with fewer bytes stays in the graph: shapes may depend on such numbers.
const MIN_BYTES: usize = 1024;

/// Bytes of all matrices, as a checkpoint may have them.
const MAX_BYTES: u64 = 16 << 30;

/// A range of a file that a graph names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Path from the graph's directory; leads nowhere outside.
    pub file: String,
    pub offset: u64,
    pub bytes: u64,
}

impl ForeignModel {
    /// Moves all matrices, and every array that lies in another file, into `location`, the one file beside
    /// the graph, and gives its content. `read` gives the bytes of a range of another file, and
    /// `file_bytes` the size of one.
    pub fn gather<E: From<ForeignGraphError>>(
        &mut self,
        location: &str,
        file_bytes: impl Fn(&str) -> Result<u64, E>,
        read: impl Fn(&External) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        self.check_sizes(file_bytes)?;
        let path = self.path.clone();
        // Never empty, so that it can be mapped.
        let mut content = vec![0; 1];
        let graph = self.model.graph.iter_mut();
        for tensor in graph.flat_map(|graph| &mut graph.initializer) {
            let bytes = match external(tensor, &path)? {
                Some(range) => Bytes::from(read(&range)?),
                None if !tensor.raw_data.is_empty() => tensor.raw_data.clone(),
                None => tensor.float_data.clone(),
            };
            let moves = tensor.dims.len() > 1 && bytes.len() >= MIN_BYTES;
            if moves && element(tensor.data_type).is_some() {
                content.resize(content.len().next_multiple_of(ALIGNMENT), 0);
                name_place(tensor, location, content.len(), bytes.len());
                content.extend_from_slice(&bytes);
            } else if is_external(tensor) {
                tensor.raw_data = bytes;
                tensor.external_data.clear();
                tensor.data_location = 0;
            }
        }
        Ok(content)
    }

    /// Refuses a graph whose ranges of other files overlap so much that gathering them would make more of
    /// them than there is.
    fn check_sizes<E: From<ForeignGraphError>>(
        &self,
        file_bytes: impl Fn(&str) -> Result<u64, E>,
    ) -> Result<(), E> {
        let mut files = BTreeMap::new();
        let mut bytes = 0u64;
        for tensor in self.model.graph.iter().flat_map(|graph| &graph.initializer) {
            let Some(range) = external(tensor, &self.path)? else { continue };
            bytes = bytes.saturating_add(range.bytes);
            if let Entry::Vacant(new) = files.entry(range.file) {
                let size = file_bytes(new.key())?;
                new.insert(size);
            }
        }
        let limit = files.values().fold(0u64, |sum, size| sum.saturating_add(*size)).min(MAX_BYTES);
        if bytes > limit {
            let path = self.path.clone();
            return Err(ForeignGraphError::Repeated { path, bytes, limit }.into());
        }
        Ok(())
    }

    /// The matrices in `location`, the file of so many bytes beside the graph. No byte belongs to two.
    pub fn stored(
        &self,
        location: &str,
        file_bytes: usize,
    ) -> Result<Vec<Stored>, ForeignGraphError> {
        let mut all = Vec::new();
        for tensor in self.model.graph.iter().flat_map(|graph| &graph.initializer) {
            let Some(External { file, offset, bytes }) = external(tensor, &self.path)? else {
                continue;
            };
            let element = element(tensor.data_type);
            let start = usize::try_from(offset).ok();
            let end = start.zip(usize::try_from(bytes).ok()).and_then(|(a, b)| a.checked_add(b));
            let (Some(element), Some(start), Some(end)) = (element, start, end) else {
                return Err(self.misplaced(tensor));
            };
            // Where one ends, the next may begin: in the order in which they were gathered.
            let after = all.last().map_or(0, |last: &Stored| last.range.end);
            if file != location || start < after || end > file_bytes || tensor.dims.contains(&0) {
                return Err(self.misplaced(tensor));
            }
            let shape = tensor.dims.iter().map(|&size| size as usize).collect();
            all.push(Stored { name: tensor.name.clone(), element, shape, range: start..end });
        }
        Ok(all)
    }

    /// Names another file for all matrices, whatever it holds: for who gives them away otherwise.
    pub fn relocate(&mut self, file: &str) {
        let all = self.model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
        let entries = all.flat_map(|tensor| &mut tensor.external_data);
        for entry in entries.filter(|entry| entry.key == "location") {
            file.clone_into(&mut entry.value);
        }
    }

    /// The fewest bits in which it holds matrices.
    pub fn precision(&self) -> Precision {
        let all = self.model.graph.iter().flat_map(|graph| &graph.initializer);
        let matrices = all.filter(|tensor| tensor.dims.len() > 1);
        let elements = matrices.filter_map(|tensor| element(tensor.data_type));
        elements.fold(Precision::Fp32, |least, element| match (least, element) {
            (_, Element::I8 | Element::U8) | (Precision::Int8, _) => Precision::Int8,
            (_, Element::F16) => Precision::Fp16,
            (least, Element::F32) => least,
        })
    }

    fn misplaced(&self, tensor: &Tensor) -> ForeignGraphError {
        let (path, name) = (self.path.clone(), shown(&tensor.name));
        ForeignGraphError::Tensor { path, name, what: "wrong is the place" }
    }
}

/// The range of another file that holds a tensor; none of a tensor in the graph itself.
fn external(tensor: &Tensor, path: &str) -> Result<Option<External>, ForeignGraphError> {
    if !is_external(tensor) {
        return Ok(None);
    }
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key);
    let file = entry("location").map_or("", |entry| entry.value.as_str());
    // This also refuses the way in which ONNX Runtime writes addresses in memory ("*/_ORT_MEM_ADDR_/*").
    let is_plain = |part| matches!(part, Component::Normal(name) if name != "*");
    let relative = file.strip_prefix("./").unwrap_or(file);
    if relative.is_empty() || !Path::new(relative).components().all(is_plain) {
        let (path, file) = (path.to_owned(), shown(file));
        return Err(ForeignGraphError::Outside { path, file });
    }
    let wrong = |what| {
        let (path, name) = (path.to_owned(), shown(&tensor.name));
        ForeignGraphError::Tensor { path, name, what }
    };
    let bits = bits(tensor.data_type).ok_or_else(|| wrong("nothing here reads the type"))?;
    let values = values(tensor).ok_or_else(|| wrong("wrong is the shape"))?;
    let bytes = (values as u64).checked_mul(bits).ok_or_else(|| wrong("wrong is the shape"))?;
    let bytes = bytes.div_ceil(8);
    let number = |key: &str, default: u64| match entry(key) {
        None => Some(default),
        Some(entry) => entry.value.parse::<u64>().ok(),
    };
    match (number("offset", 0), number("length", bytes)) {
        (Some(offset), Some(length)) if length == bytes => {
            Ok(Some(External { file: relative.to_owned(), offset, bytes }))
        }
        _ => Err(wrong("wrong is the place")),
    }
}

fn name_place(tensor: &mut Tensor, location: &str, offset: usize, length: usize) {
    let entry = |key: &str, value: String| StringEntry { key: key.to_owned(), value };
    tensor.raw_data = Bytes::new();
    tensor.float_data = Bytes::new();
    tensor.data_location = EXTERNAL;
    tensor.external_data = vec![
        entry("location", location.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", length.to_string()),
    ];
}
