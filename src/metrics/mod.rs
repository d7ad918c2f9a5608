//! What the server counts of itself, in the words of Prometheus.
//!
//! Nothing is global but the lines that stderr did not take: whoever counts has its own counters, and [`Page`] puts them together when
//! they are asked for. What belongs to an encoder or to a checkpoint goes with it, and so do its
//! lines on the page. Label values come from the service definitions and from checkpoints that
//! serve, never from a caller's words, so a page cannot grow by calls.

mod batches;
mod calls;
mod connections;
mod instruments;
mod log_lines;
mod page;
mod predictions;
mod process;

pub use batches::{BatchMetrics, BatchOutcome};
pub use calls::{Call, CallMetrics};
pub use connections::ConnectionMetrics;
pub use log_lines::{count_lost_log_line, show_log_lines};
pub use page::Page;
pub use predictions::{PredictionMetrics, TaskMetrics};
pub use process::show_process;

/// The content type of a page: the text format of Prometheus.
pub use prometheus::TEXT_FORMAT;
