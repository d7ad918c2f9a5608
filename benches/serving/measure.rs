//! One mix, measured in every way, in blocks that take turns: the machine's mood changes over
//! minutes, and a ratio is only worth something between neighbours.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    in_process::{InProcess, Padded},
    load::{
        closed::{self, Block},
        in_time,
        open::{self, Open},
    },
    mixes::{Mix, SKEWED, UNIFORM},
    multiply::Multiplier,
    rate::{Rate, Rates},
    server::Server,
    statistics::{Latencies, median},
};

/// Callers of the blocks that take turns with the ceiling; the server has all it can do with the most.
pub const BUSY: usize = 32;
pub const SATURATED: usize = 128;

/// Callers that are measured once beside them.
const FEW: [usize; 3] = [1, 2, 8];

/// Open loops: percent of what the saturated server does.
const LOADS: [u32; 3] = [50, 80, 95];

/// The open loop of the mix whose tail is a figure takes so many times as long as the others.
const LONG_OPEN: u32 = 3;

/// A block of the naive way, in parts of another block.
const NAIVE_SHARE: u32 = 2;

/// What measurements are made with.
pub struct Bench<'a> {
    pub tokio: &'a tokio::runtime::Runtime,
    pub in_process: InProcess,
    pub multiplier: Multiplier,
    pub block: Duration,
    pub blocks: usize,
    pub open: Duration,
}

/// What one mix gave.
pub struct Measured {
    pub mix: Arc<Mix>,
    /// Tokens of a batch of the ceiling.
    budget: usize,
    pub ceiling: Rates,
    pub naive: Rates,
    /// Only of the skewed mix.
    pub fifo: Rates,
    /// By the number of callers.
    pub server: BTreeMap<usize, Blocks>,
    /// Floating-point operations in a second of a plain product.
    products: Vec<f64>,
    /// By the load in percent.
    pub open: BTreeMap<u32, Open>,
    /// Goes on from block to block.
    next: Arc<AtomicUsize>,
}

/// Blocks of a closed loop with the same number of callers.
#[derive(Default)]
pub struct Blocks {
    pub rates: Rates,
    latencies: Vec<Latencies>,
    client_cpu_us: Vec<f64>,
    others: Vec<f64>,
}

impl Blocks {
    pub fn push(&mut self, block: Block) {
        self.rates.0.push(block.rate);
        self.latencies.push(block.latencies);
        self.client_cpu_us.push(block.client_cpu_us);
        self.others.push(block.others);
    }

    fn json(&self) -> Value {
        let mut json = self.rates.json();
        json["latency"] = Latencies::joined(&self.latencies).json();
        json["client_cpu_us_per_call"] = json!(self.client_cpu_us());
        json["cpus_of_others_of_blocks"] = json!(self.others);
        json
    }

    pub fn latencies(&self) -> Latencies {
        Latencies::joined(&self.latencies)
    }

    pub fn client_cpu_us(&self) -> f64 {
        median(self.client_cpu_us.iter().copied())
    }
}

impl Measured {
    pub fn new(mix: &Arc<Mix>) -> Self {
        Self {
            mix: Arc::clone(mix),
            budget: 0,
            ceiling: Rates::default(),
            naive: Rates::default(),
            fifo: Rates::default(),
            server: BTreeMap::new(),
            products: Vec::new(),
            open: BTreeMap::new(),
            next: Arc::default(),
        }
    }

    /// Ceiling, server and the other ways in turns; then the server with few callers.
    pub fn closed(&mut self, bench: &mut Bench<'_>, server: &Server) -> Result<()> {
        let mix = Arc::clone(&self.mix);
        let block = bench.block;
        let ceiling = bench.in_process.best_ceiling(&mix, block)?;
        self.budget = ceiling.budget;
        let padded = (mix.name == SKEWED).then(|| Padded::new(&mix));
        let (mut next_naive, mut next_padded) = (0, 0);
        for _ in 0..bench.blocks {
            self.ceiling.0.push(bench.in_process.ceiling(&ceiling, block)?);
            self.serve(bench, server, BUSY)?;
            self.serve(bench, server, SATURATED)?;
            if let Some(padded) = &padded {
                self.fifo.0.push(bench.in_process.fifo(padded, block, &mut next_padded)?);
            }
            if [SKEWED, UNIFORM].contains(&mix.name.as_str()) {
                self.products.push(bench.multiplier.burst()?);
            }
            let naive = bench.in_process.naive(&mix, block / NAIVE_SHARE, &mut next_naive)?;
            self.naive.0.push(naive);
        }
        for callers in FEW {
            self.serve(bench, server, callers)?;
        }
        Ok(())
    }

    fn serve(&mut self, bench: &Bench<'_>, server: &Server, callers: usize) -> Result<()> {
        let block = closed::run(server, &self.mix, &self.next, callers, bench.block);
        let block = bench.tokio.block_on(in_time(block))?;
        self.server.entry(callers).or_default().push(block);
        Ok(())
    }

    /// Loads in percent of what the saturated server did.
    pub fn open(&mut self, bench: &Bench<'_>, server: &Server) -> Result<()> {
        if !self.server.contains_key(&SATURATED) {
            self.serve(bench, server, SATURATED)?;
        }
        let most = self.server.get(&SATURATED).map_or(f64::NAN, |blocks| blocks.rates.per_second());
        let length = if self.mix.name == SKEWED { LONG_OPEN * bench.open } else { bench.open };
        for load in LOADS {
            let rate = most * f64::from(load) / 100.0;
            let open = in_time(open::run(server, &self.mix, rate, length));
            let open = bench.tokio.block_on(open)?;
            self.open.insert(load, open);
        }
        Ok(())
    }

    /// CPUs that others had during the server's blocks.
    pub fn others(&self) -> impl Iterator<Item = f64> {
        self.server.values().flat_map(|blocks| blocks.others.iter().copied())
    }

    /// Whether anything was measured.
    pub fn is_something(&self) -> bool {
        !self.server.is_empty()
    }

    fn ratio(&self, callers: usize, of: impl Fn(&Rates) -> f64) -> Option<f64> {
        let server = self.server.get(&callers)?;
        (!self.ceiling.0.is_empty()).then(|| of(&server.rates) / of(&self.ceiling))
    }

    /// The saturated server's CPU time for a request by the ceiling's.
    pub fn cpu_ratio(&self) -> Option<f64> {
        self.ratio(SATURATED, Rates::cpu_ms)
    }

    /// The server's requests in a second by the ceiling's.
    pub fn throughput_ratio(&self, callers: usize) -> Option<f64> {
        self.ratio(callers, Rates::per_second)
    }

    /// CPU time for a request of padded batches of the oldest eight by the saturated server's.
    pub fn gain_over_fifo(&self) -> Option<f64> {
        let server = self.server.get(&SATURATED)?;
        (!self.fifo.0.is_empty()).then(|| self.fifo.cpu_ms() / server.rates.cpu_ms())
    }

    /// The saturated server's arithmetic in a second by that of a plain product.
    pub fn matmul_share(&self) -> Option<f64> {
        let server = self.server.get(&SATURATED)?;
        let flops = server.rates.per_second() * self.mix.mean_flops();
        (!self.products.is_empty()).then(|| flops / median(self.products.iter().copied()))
    }

    /// The 99th percentile by the median at this load.
    pub fn tail(&self, load: u32) -> Option<f64> {
        let latencies = &self.open.get(&load)?.latencies;
        Some(latencies.ms(0.99) / latencies.ms(0.5))
    }

    pub fn json(&self) -> Value {
        let rates = |rates: &Rates| if rates.0.is_empty() { Value::Null } else { rates.json() };
        let server =
            self.server.iter().map(|(callers, blocks)| (callers.to_string(), blocks.json()));
        let open = self.open.iter().map(|(load, open)| (load.to_string(), open.json()));
        let mut ceiling = rates(&self.ceiling);
        if !ceiling.is_null() {
            ceiling["batch_tokens"] = json!(self.budget);
        }
        json!({
            "mean_tokens": self.mix.mean_tokens(),
            "mean_mflop": self.mix.mean_flops() / 1e6,
            "ceiling": ceiling,
            "server_by_callers": server.collect::<serde_json::Map<_, _>>(),
            "open_loop_by_load_percent": open.collect::<serde_json::Map<_, _>>(),
            "naive": rates(&self.naive),
            "fifo8_padded": rates(&self.fifo),
            "matrix_product_gflop_per_second":
                self.products.iter().map(|flops| flops / 1e9).collect::<Vec<_>>(),
            "cpu_ratio_to_ceiling_of_blocks": self.of_blocks(Rate::cpu_ms),
            "throughput_ratio_to_ceiling_of_blocks": self.of_blocks(Rate::per_second),
        })
    }

    /// Of each block, the saturated server by the ceiling beside it: how far the ratio can be trusted.
    fn of_blocks(&self, of: impl Fn(&Rate) -> f64) -> Vec<f64> {
        let server = self.server.get(&SATURATED).map_or(&[][..], |blocks| &blocks.rates.0);
        server
            .iter()
            .zip(&self.ceiling.0)
            .map(|(server, ceiling)| of(server) / of(ceiling))
            .collect()
    }
}
