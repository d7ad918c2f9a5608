//! The server with the encoder in int8 beside the one in fp32.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    load::{closed, in_time},
    measure::{Bench, Blocks, SATURATED},
    mixes::Mix,
    server::Server,
    setup::Served,
};

/// Both servers, saturated.
#[derive(Default)]
pub struct Quantised {
    fp32: Blocks,
    int8: Blocks,
}

impl Quantised {
    /// In turns: the server that is not asked is idle.
    pub fn measure(
        bench: &Bench<'_>,
        dynamar: &Path,
        served: &Served,
        fp32: &Server,
        mix: &Arc<Mix>,
    ) -> Result<Self> {
        let int8 = bench.tokio.block_on(Server::start(dynamar, &served.models))?;
        let next: [Arc<AtomicUsize>; 2] = Default::default();
        let mut measured = Self::default();
        for _ in 0..bench.blocks {
            let block = |server, next| {
                let block = closed::run(server, mix, next, SATURATED, bench.block);
                bench.tokio.block_on(in_time(block))
            };
            measured.fp32.push(block(fp32, &next[0])?);
            measured.int8.push(block(&int8, &next[1])?);
        }
        Ok(measured)
    }

    /// Requests in a second with int8 by those with fp32.
    pub fn speedup(&self) -> f64 {
        self.int8.rates.per_second() / self.fp32.rates.per_second()
    }

    pub fn json(&self) -> Value {
        json!({"fp32": self.fp32.rates.json(), "int8": self.int8.rates.json()})
    }
}
