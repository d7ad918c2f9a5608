//! Reads the files of a Hugging Face or Sentence-Transformers directory: finds config, tokenizer and
//! weights, and reads tensors one at a time, each from its range of its file.
//!
//! A directory may come from anywhere. Nothing outside it is read, nothing in it is executed, and
//! whatever a file can make grow has a limit.

mod confined;
mod directory;
mod element;
mod error;
mod index;
mod other_weights;
mod python;
mod safetensors;
mod slow_tokenizer;
mod stored_tensor;
mod tensor_files;
mod torch;

pub use error::FileError;

pub(super) use self::safetensors::element;
pub(super) use confined::read_file;
pub(super) use directory::ModelDirectory;
pub(super) use element::Element;
pub(super) use tensor_files::TensorFiles;
#[cfg(fuzzing)]
pub(super) use torch::pickle;

#[cfg(test)]
mod tests;
