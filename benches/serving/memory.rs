//! How much memory a server holds that has answered many requests.

use std::sync::{Arc, atomic::AtomicUsize};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    clocks,
    load::{closed, in_time},
    measure::BUSY,
    mixes::Mix,
    server::Server,
};

/// Looks at the memory.
const LOOKS: usize = 10;

/// Resident memory over time.
pub struct Memory {
    encoder_bytes: f64,
    requests: usize,
    /// Bytes before the first request, and after each tenth of them.
    resident: Vec<f64>,
}

impl Memory {
    pub fn measure(
        tokio: &Runtime,
        server: &Server,
        mix: &Arc<Mix>,
        encoder_bytes: u64,
        requests: usize,
    ) -> Result<Self> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut resident = vec![clocks::resident_bytes(server.pid())?];
        let share = requests.div_ceil(LOOKS);
        for _ in 0..LOOKS {
            tokio.block_on(in_time(closed::mixed(server, mix, &next, BUSY, share)))?;
            resident.push(clocks::resident_bytes(server.pid())?);
        }
        let encoder_bytes = encoder_bytes as f64;
        Ok(Self { encoder_bytes, requests: share * LOOKS, resident })
    }

    /// What is resident at the end by what the weights take on disk.
    pub fn over_weights(&self) -> f64 {
        self.resident.last().map_or(f64::NAN, |bytes| bytes / self.encoder_bytes)
    }

    pub fn json(&self) -> Value {
        json!({
            "requests": self.requests,
            "encoder_mb": self.encoder_bytes / 1e6,
            "resident_mb": self.resident.iter().map(|bytes| bytes / 1e6).collect::<Vec<_>>(),
        })
    }

    /// Megabytes in the beginning, after the first tenth and at the end: growth from the second to
    /// the third would be a leak.
    pub fn sentence(&self) -> String {
        let mb = |at: usize| self.resident.get(at).map_or(f64::NAN, |bytes| bytes / 1e6);
        format!(
            "resident: {:.0} MB before the first request, {:.0} MB after {}, {:.0} MB after {}; \
             encoder on disk: {:.0} MB",
            mb(0),
            mb(1),
            self.requests / LOOKS,
            mb(LOOKS),
            self.requests,
            self.encoder_bytes / 1e6
        )
    }
}
