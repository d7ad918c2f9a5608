//! Parquet. The only module that names its library.

mod footer;
mod read;
mod sizes;
mod text;
mod window;
mod write;

pub use read::{ArrowRows, Stretch, schema, survey};
pub use write::{PartWriter, concatenate};
