//! A real server on a port of its own, real encoders, and clients that speak gRPC to it.

mod answers;
mod cache;
mod checkpoints;
mod compression;
mod encoder;
mod faults;
mod health;
mod lifecycle;
mod load;
mod overload;
mod predict;
mod reference;
mod refusals;
mod reload;
mod stage;
mod streams;
mod tools;
