//! Reads `pytorch_model.bin`: a zip archive of torch.save with a pickle and the bytes of the tensors.
//! The pickle's instructions are interpreted as far as a dictionary of tensors needs; nothing that it
//! names is run.

mod archive;
pub mod pickle;
mod state_dict;

pub use state_dict::read;
