//! Parquet. The only module that names its library.

mod footer;
mod open;
mod read;
mod sizes;
mod text;
mod window;
mod write;

pub use open::{schema, survey};
pub use read::{ArrowRows, Stretch};
pub use write::{PartWriter, concatenate};
