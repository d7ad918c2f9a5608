//! A real server on a port of its own, real encoders, and clients that speak gRPC to it.

mod access;
mod answers;
mod bulk;
mod cache;
mod certificates;
pub mod checkpoints;
mod compression;
mod connections;
mod decisions;
mod encoder;
mod faults;
mod health;
mod lifecycle;
mod load;
mod metrics;
mod open_inference;
mod overload;
mod predict;
mod prediction_log;
mod probes;
mod process;
mod questions;
mod reference;
mod refusals;
mod reload;
mod slow_clients;
mod stage;
mod streams;
mod tables;
mod tls;
mod tools;
mod traces;
mod undecodable;
mod windows;

pub use stage::config;
