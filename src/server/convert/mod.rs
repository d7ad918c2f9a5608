//! Between what travels on the wire and what the program thinks in. The only place that knows
//! both, but for the tensors of `open_inference`, which come through here as examples.

mod description;
mod paths;
mod request;
mod response;

pub(super) use description::task;
pub(super) use paths::Protocol;
pub(super) use request::{Limits, question};
pub(super) use response::{
    Wanted, best_first, classify_response, predict_response, regress_response,
};
