//! Interprets the pickle of a dictionary of tensors.
//!
//! A pickle is a program for a stack machine that can call any function by name. This machine knows
//! the instructions that torch.save emits for dictionaries of tensors, and of the functions only those
//! that rebuild tensors and dictionaries, which it does itself. Everything else is refused by its name
//! or place.

#[cfg(test)]
pub mod assembler;
mod cursor;
mod globals;
mod machine;
mod values;

pub use machine::read;
pub use values::Tensor;

#[cfg(test)]
mod tests;
