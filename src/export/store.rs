//! Where the numbers of a graph go: vectors into the graph itself, matrices into a file beside it,
//! where they can be mapped and shared instead of being read once for each session.

use half::f16;

use super::{
    messages::{DataLocation, DataType, StringEntry, Tensor},
    quantize,
};
use crate::weights::Array;

/// Matrices begin at multiples of this many bytes, as the ONNX specification recommends for
/// mapping them.
const ALIGNMENT: usize = 4096;

/// The two files of an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderFiles {
    /// The ONNX model.
    pub graph: Vec<u8>,
    /// The matrices that it names.
    pub weights: Vec<u8>,
}

/// Initialisers in the making.
pub(super) struct Store<'a> {
    /// The name of the file beside the graph.
    location: &'a str,
    pub weights: Vec<u8>,
    pub tensors: Vec<Tensor>,
}

impl<'a> Store<'a> {
    pub fn new(location: &'a str) -> Self {
        Self { location, weights: Vec::new(), tensors: Vec::new() }
    }

    /// Whether there is an initialiser with this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.iter().any(|tensor| tensor.name == name)
    }

    /// A tensor in the graph itself.
    pub fn inline(&mut self, name: &str, dims: Vec<i64>, data_type: DataType, raw_data: Vec<u8>) {
        let (name, data_type) = (name.to_owned(), data_type as i32);
        self.tensors.push(Tensor { dims, data_type, name, raw_data, ..Tensor::default() });
    }

    /// An array of 32-bit floats: in the graph if it is a vector, else beside it.
    pub fn fp32(&mut self, name: &str, array: &Array) {
        let bytes = bytes_of(&array.data, |value| value.to_le_bytes());
        match array.shape.len() {
            0 | 1 => self.inline(name, dims(&array.shape), DataType::Float, bytes),
            _ => self.beside(name, &array.shape, DataType::Float, &bytes),
        }
    }

    /// A matrix as 16-bit floats. Values beyond their range become the largest of them.
    pub fn fp16(&mut self, name: &str, array: &Array) {
        let (low, high) = (f16::MIN.to_f32(), f16::MAX.to_f32());
        let half = |value: f32| f16::from_f32(value.clamp(low, high)).to_le_bytes();
        self.beside(name, &array.shape, DataType::Float16, &bytes_of(&array.data, half));
    }

    /// A matrix as 8-bit integers under `name`, and their scales under `scale`: one for each
    /// column, or for each row.
    pub fn int8(&mut self, name: &str, scale: &str, array: &Array, scales: quantize::Scales) {
        let quantized = quantize::symmetric(array, scales);
        let bytes: Vec<u8> = bytes_of(&quantized.values, |value| value.to_le_bytes());
        self.beside(name, &array.shape, DataType::Int8, &bytes);
        let shape = match scales {
            quantize::Scales::Columns => vec![quantized.scales.len()],
            // As a column, so that it multiplies rows.
            quantize::Scales::Rows => vec![quantized.scales.len(), 1],
        };
        self.fp32(scale, &Array { shape, data: quantized.scales });
    }

    fn beside(&mut self, name: &str, shape: &[usize], data_type: DataType, bytes: &[u8]) {
        self.weights.resize(self.weights.len().next_multiple_of(ALIGNMENT), 0);
        let entry = |key: &str, value: String| StringEntry { key: key.to_owned(), value };
        self.tensors.push(Tensor {
            dims: dims(shape),
            data_type: data_type as i32,
            name: name.to_owned(),
            raw_data: Vec::new(),
            external_data: vec![
                entry("location", self.location.to_owned()),
                entry("offset", self.weights.len().to_string()),
                entry("length", bytes.len().to_string()),
            ],
            data_location: DataLocation::External as i32,
        });
        self.weights.extend_from_slice(bytes);
    }
}

fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&dimension| dimension as i64).collect()
}

fn bytes_of<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}
