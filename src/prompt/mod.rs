//! Templates, the pool they form, and the task file that declares both.

mod filter;
pub mod pool;
mod task_file;
pub mod template;

pub use task_file::{
    ClassWeights, InferenceMode, PromptPool, Sampling, SlidingWindow, TargetColumn, TaskFile,
    TaskFileError, TaskFileFault,
};
pub use template::{Segment, Slot, Template};
