//! Between what travels on the wire and what the program thinks in. The only place that knows
//! both.

mod description;
mod request;
mod response;

pub(super) use description::task;
pub(super) use request::{Limits, question};
pub(super) use response::{classify_response, predict_response, regress_response};
