//! An encoder as a value: its sizes, the variations that it makes use of, the parameters and the graph
//! inputs that follow from them, and the families of encoders that Hugging Face directories hold.
//!
//! An encoder is described once, here. The exporter and the trainer each have one `match` on every axis;
//! import, limits, session inputs and the optimiser follow from [`Architecture::parameters`] and
//! [`Architecture::inputs`].

mod axes;
mod description;
mod distance;
mod families;
mod family;
mod inputs;
mod parameters;
mod source;

pub use axes::{Activation, Biases, Convolution, Distances, Norms, Window};
pub use description::{Architecture, ArchitectureError};
pub use distance::DistanceRows;
pub use families::ALL;
pub use family::{Config, ConfigError, Family, FamilyName, family_of};
pub use inputs::{Element, GraphInput};
pub use parameters::{ParameterSpec, Role};
pub use source::{LanguageHeadNames, Piece, Rows, Source};

#[cfg(test)]
mod tests;
