//! The figures, as tables and as JSON.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::{
    measure::{BUSY, Measured, SATURATED},
    mixes::SKEWED,
    statistics::{Latencies, median},
    targets::Target,
};

/// The load at which the tail is a figure, in percent.
const TAIL_LOAD: u32 = 80;

/// CPUs that others may have while this measures.
const IDLE: f64 = 0.05;

/// Everything that was found out.
pub struct Report {
    figures: Map<String, Value>,
    mixes: Vec<Measured>,
    /// What was said beside the tables.
    sentences: Vec<String>,
    load_before: f64,
}

impl Report {
    /// Looks at the machine.
    pub fn begin(workers: usize, left_out: Vec<String>) -> Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").context("this needs Linux")?;
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cpu = cpu.map_or("unknown", |(_, name)| name).to_owned();
        let load = fs::read_to_string("/proc/loadavg")?;
        let load_before = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
        println!("{cpu}, {workers} workers");
        let (figures, mixes, sentences) = Default::default();
        let mut report = Self { figures, mixes, sentences, load_before };
        left_out.into_iter().for_each(|sentence| report.say(sentence));
        report.set("cpu", json!(cpu));
        report.set("workers", json!(workers));
        report.set("load_before", json!(load_before));
        report.set("version", json!(env!("CARGO_PKG_VERSION")));
        // Whoever reads the file finds every figure, if only to see that it was not measured.
        for target in Target::all(std::iter::empty()) {
            report.set(&target.key, Value::Null);
        }
        Ok(report)
    }

    pub fn set(&mut self, key: &str, value: Value) {
        self.figures.insert(key.to_owned(), value);
    }

    /// Prints a sentence now, for whoever waits, and keeps it.
    pub fn say(&mut self, sentence: String) {
        println!("{sentence}");
        self.sentences.push(sentence);
    }

    /// Prints a mix's rows and keeps it.
    pub fn add(&mut self, measured: Measured) {
        if self.mixes.is_empty() {
            println!(
                "\n{:18}{:>12}{:>12}{:>10}{:>10}{:>10}{:>16}",
                "", "requests/s", "CPU ms", "p50 ms", "p99 ms", "p99.9 ms", "caller's CPU us"
            );
        }
        println!("{}: {:.1} tokens on average", measured.mix.name, measured.mix.mean_tokens());
        for (name, rates) in [
            ("ceiling", &measured.ceiling),
            ("naive", &measured.naive),
            ("FIFO, 8, padded", &measured.fifo),
        ] {
            if !rates.0.is_empty() {
                println!("  {name:16}{:12.1}{:12.3}", rates.per_second(), rates.cpu_ms());
            }
        }
        for (callers, blocks) in &measured.server {
            let (rates, client_cpu_us) = (&blocks.rates, blocks.client_cpu_us());
            let (name, tail) = (format!("callers: {callers}"), tail(&blocks.latencies()));
            let (per_second, cpu_ms) = (rates.per_second(), rates.cpu_ms());
            println!("  {name:16}{per_second:12.1}{cpu_ms:12.3}{tail}{client_cpu_us:16.0}");
        }
        for (load, open) in &measured.open {
            let (name, tail) = (format!("open, {load} %"), tail(&open.latencies));
            println!("  {name:16}{:12.1}{:12}{tail}", open.rate, "");
        }
        self.mixes.push(measured);
    }

    /// What follows from the mixes: nested for readers, and flat under dotted keys for machines.
    fn derive(&mut self) {
        let (mut cpu, mut throughput, mut products) = (Map::new(), Map::new(), Map::new());
        for measured in std::mem::take(&mut self.mixes) {
            let name = measured.mix.name.clone();
            if let Some(ratio) = measured.cpu_ratio() {
                cpu.insert(name.clone(), json!(ratio));
                self.set(&format!("cpu_ratio_to_ceiling.{name}"), json!(ratio));
            }
            let ratios = [BUSY, SATURATED].map(|callers| measured.throughput_ratio(callers));
            if let [Some(busy), Some(saturated)] = ratios {
                let both = json!({BUSY.to_string(): busy, SATURATED.to_string(): saturated});
                throughput.insert(name.clone(), both);
                let key = format!("throughput_ratio_to_ceiling.{name}");
                self.set(&key, json!(busy.min(saturated)));
            }
            if let Some(share) = measured.matmul_share() {
                products.insert(name.clone(), json!(share));
            }
            if name == SKEWED {
                self.set("cpu_gain_over_fifo8", json!(measured.gain_over_fifo()));
                self.set("p99_over_p50_at_80", json!(measured.tail(TAIL_LOAD)));
            }
            self.mixes.push(measured);
        }
        self.set("cpu_ratio_to_ceiling", Value::Object(cpu));
        self.set("throughput_ratio_to_ceiling", Value::Object(throughput));
        self.set("matmul_share", Value::Object(products));
        let mixes = self.mixes.iter().map(|one| (one.mix.name.clone(), one.json()));
        let mixes = Value::Object(mixes.collect());
        self.set("mixes", mixes);
        let others = median(self.mixes.iter().flat_map(Measured::others));
        self.set("cpus_of_others", json!(others));
        self.set("notes", json!(self.sentences));
    }

    /// Writes the JSON file, whole or not at all, and prints the targets; the summary comes last.
    pub fn end(mut self, out: &Path) -> Result<()> {
        self.derive();
        write(out, &(serde_json::to_string_pretty(&self.figures)? + "\n"))?;
        let (reached, measured) = self.print_targets();
        for (mix, share) in self.figures["matmul_share"].as_object().into_iter().flatten() {
            let percent = 100.0 * share.as_f64().unwrap_or(f64::NAN);
            println!("{mix}: {percent:.0} % of the speed of a plain matrix product");
        }
        self.print_others();
        println!("bench: {reached} of {measured} targets reached; {}", self.summary());
        Ok(())
    }

    /// Says how idle the machine was but for what was measured.
    fn print_others(&self) {
        let others: Vec<f64> = self.mixes.iter().flat_map(Measured::others).collect();
        let most = others.iter().copied().fold(0.0, f64::max);
        let (others, load) = (median(others), self.load_before);
        if others > IDLE {
            println!(
                "others had {others:.2} CPUs (median of the blocks; most {most:.2}; load before \
                 {load}): do not trust this"
            );
        }
    }

    /// The number of targets that were reached, and of those that were measured.
    fn print_targets(&self) -> (usize, usize) {
        let names = self.mixes.iter().map(|measured| measured.mix.name.as_str());
        let (mut reached, mut measured) = (0, 0);
        println!();
        for target in Target::all(names) {
            match target.line(&self.figures) {
                Some((line, is_reached)) => {
                    println!("{line}");
                    measured += 1;
                    reached += usize::from(is_reached);
                }
                None => println!("{:46}not measured", target.key),
            }
        }
        println!();
        (reached, measured)
    }

    fn summary(&self) -> String {
        let extreme = |key: &str, better: fn(f64, f64) -> f64| {
            let dotted = format!("{key}.");
            let of_mixes = self.figures.iter().filter(|(name, _)| name.starts_with(&dotted));
            of_mixes.filter_map(|(_, figure)| figure.as_f64()).reduce(better)
        };
        let figure = |key: &str| self.figures.get(key).and_then(Value::as_f64);
        let figures = [
            ("CPU x ceiling, worst", extreme("cpu_ratio_to_ceiling", f64::max)),
            ("throughput x ceiling, worst", extreme("throughput_ratio_to_ceiling", f64::min)),
            ("added ms", figure("added_latency_ms")),
            ("x FIFO 8", figure("cpu_gain_over_fifo8")),
            ("int8 x", figure("int8_speedup")),
            ("p99/p50", figure("p99_over_p50_at_80")),
            ("RSS x weights", figure("rss_over_weights")),
            ("start s", figure("start_seconds")),
        ];
        let known = figures.into_iter().filter_map(|(name, figure)| Some((name, figure?)));
        let known: Vec<String> =
            known.map(|(name, figure)| format!("{name} {figure:.2}")).collect();
        known.join(", ")
    }
}

/// The columns of a row that tell how long calls took.
fn tail(latencies: &Latencies) -> String {
    [0.5, 0.99, 0.999].map(|quantile| format!("{:10.2}", latencies.ms(quantile))).concat()
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let beside = path.with_extension("json.part");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
