//! Parquet. The only module that names its library.

mod read;
mod window;
mod write;

pub use read::{ArrowRows, schema, survey};
pub use write::{PartWriter, concatenate};
