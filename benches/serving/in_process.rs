//! What the encoder alone can do, without a server: the ceiling, and two ways that others batch.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use dynamar::{
    inference::{Encoder, MaskEncoder, Model, Runtime},
    tokenization::Prompt,
};

use crate::{clocks, mixes::Mix, random::Random, rate::Rate};

/// Tokens of a batch, padding included, among which the ceiling may choose.
const BUDGETS: [usize; 4] = [128, 256, 512, 1024];

/// Blocks for each budget, and how long one takes, in parts of a block that counts.
const TRIALS: usize = 2;
const TRIAL_SHARE: u32 = 4;

/// Prompts of a batch where the oldest few make one: the hard limit of a server that pads.
const FIFO_BATCH: usize = 8;

/// The id of `[PAD]` in the vocabularies of the BERT family.
const PADDING: u32 = 0;

/// Sessions of the encoder in this process.
pub struct InProcess {
    /// One for each worker that the server has, with one thread each.
    workers: Vec<Encoder>,
    /// One with all threads.
    shared: Encoder,
}

/// Prompts that go through the encoder together, and their work.
struct Batch<'a> {
    prompts: Vec<&'a Prompt>,
    work: f64,
}

/// The batches of a mix in an order in which each stretch is like the whole.
pub struct Ceiling<'a> {
    pub budget: usize,
    batches: Vec<Batch<'a>>,
    next: AtomicUsize,
}

impl<'a> Ceiling<'a> {
    /// Sorts all prompts by length and cuts them into batches: no server that answers in time
    /// could choose so freely.
    fn new(mix: &'a Mix, budget: usize) -> Self {
        let mut items: Vec<_> = mix.items.iter().collect();
        items.sort_by_key(|item| item.prompt.input_ids.len());
        let mut batches: Vec<Batch> = Vec::new();
        for item in items {
            // Sorted, so this one is the longest so far.
            let longest = item.prompt.input_ids.len();
            match batches.last_mut() {
                Some(batch) if (batch.prompts.len() + 1) * longest <= budget => {
                    batch.prompts.push(&item.prompt);
                    batch.work += item.work;
                }
                _ => batches.push(Batch { prompts: vec![&item.prompt], work: item.work }),
            }
        }
        Random::new(2).shuffle(&mut batches);
        Self { budget, batches, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> &Batch<'a> {
        &self.batches[self.next.fetch_add(1, Ordering::Relaxed) % self.batches.len()]
    }
}

impl InProcess {
    pub fn new(model: &Model, runtime: &Runtime, workers: usize) -> Result<Self> {
        // One copy of the weights, as in the server.
        let source = model.encoder_source(runtime)?;
        let all = (0..workers).map(|_| source.session(1)).collect::<Result<_, _>>()?;
        Ok(Self { workers: all, shared: source.session(workers)? })
    }

    /// The batches of the budget that is fastest for the mix.
    pub fn best_ceiling<'a>(&mut self, mix: &'a Mix, block: Duration) -> Result<Ceiling<'a>> {
        let mut ceilings: Vec<(f64, Ceiling)> =
            BUDGETS.iter().map(|&budget| (0.0, Ceiling::new(mix, budget))).collect();
        for _ in 0..TRIALS {
            for (fastest, ceiling) in &mut ceilings {
                let rate = self.ceiling(ceiling, block / TRIAL_SHARE)?;
                *fastest = fastest.max(rate.per_second());
            }
        }
        let best = ceilings.into_iter().max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.map(|(_, ceiling)| ceiling).context("there is a budget")
    }

    /// All workers at once, each taking the next batch when it is done with one.
    pub fn ceiling(&mut self, ceiling: &Ceiling<'_>, block: Duration) -> Result<Rate> {
        let rates = thread::scope(|scope| {
            let start = |encoder| scope.spawn(move || alone(encoder, block, || ceiling.next()));
            let started: Vec<_> = self.workers.iter_mut().map(start).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Result<Rate>>| {
                thread.join().map_err(|_| anyhow!("a thread panicked"))?
            };
            started.into_iter().map(join).collect::<Result<Vec<Rate>>>()
        })?;
        // Each thread ends with a batch of its own, so they add up as speeds.
        let per_second: f64 = rates.iter().map(Rate::per_second).sum();
        let work: f64 = rates.iter().map(|rate| rate.work).sum();
        let cpu_seconds = rates.iter().map(|rate| rate.cpu_seconds).sum();
        Ok(Rate { work, seconds: work / per_second, cpu_seconds })
    }

    /// One request at a time with all threads: a mutex round one session, which lets nothing else in.
    /// Padding would only slow it down: a prompt alone needs none, so this is the naive way at its
    /// best. Its threads sleep when idle, as the server's do.
    pub fn naive(&mut self, mix: &Mix, block: Duration, next: &mut usize) -> Result<Rate> {
        let (begin, cpu) = (Instant::now(), clocks::own_threads()?);
        let mut work = 0.0;
        while begin.elapsed() < block {
            let item = mix.item(*next);
            self.shared.mask_vectors(&[&item.prompt])?;
            work += item.work;
            *next += 1;
        }
        Ok(Rate::new(work, begin.elapsed(), clocks::own_threads()?.saturating_sub(cpu)))
    }

    /// The oldest eight make a batch, padded to the longest, on one thread: for its CPU time alone.
    pub fn fifo(&mut self, padded: &Padded, block: Duration, next: &mut usize) -> Result<Rate> {
        let encoder = self.workers.first_mut().context("there is a worker")?;
        let batches: Vec<Batch> = padded.batches.iter().map(PaddedBatch::batch).collect();
        alone(encoder, block, || {
            *next += 1;
            &batches[*next % batches.len()]
        })
    }

    /// The time that the encoder takes for one prompt, with all threads, as a server that has nothing
    /// else to do computes it.
    pub fn one(&mut self, prompt: &Prompt) -> Result<Duration> {
        let begin = Instant::now();
        self.shared.mask_vectors(&[prompt])?;
        Ok(begin.elapsed())
    }
}

/// Batch after batch on the calling thread.
fn alone<'b, 'p: 'b>(
    encoder: &mut Encoder,
    block: Duration,
    mut next: impl FnMut() -> &'b Batch<'p>,
) -> Result<Rate> {
    let (begin, cpu) = (Instant::now(), clocks::this_thread()?);
    let mut work = 0.0;
    while begin.elapsed() < block {
        let batch = next();
        encoder.mask_vectors(&batch.prompts)?;
        work += batch.work;
    }
    Ok(Rate::new(work, begin.elapsed(), clocks::this_thread()?.saturating_sub(cpu)))
}

/// The mix in order of arrival, eight a batch, padded.
pub struct Padded {
    batches: Vec<PaddedBatch>,
}

struct PaddedBatch {
    prompts: Vec<Prompt>,
    work: f64,
}

impl PaddedBatch {
    fn batch(&self) -> Batch<'_> {
        Batch { prompts: self.prompts.iter().collect(), work: self.work }
    }
}

impl Padded {
    /// Padding is written out as tokens. Ours is a packed graph, which would leave it out; like
    /// this every product runs over it, as in a graph that pads. The last layer still computes the
    /// mask rows alone, which no other server's does: the real thing is slower than this.
    pub fn new(mix: &Mix) -> Self {
        let batch = |items: &[crate::mixes::Item]| {
            let tokens = items.iter().map(|item| item.prompt.input_ids.len()).max().unwrap_or(0);
            let pad = |prompt: &Prompt| {
                let mut prompt = prompt.clone();
                prompt.input_ids.resize(tokens, PADDING);
                prompt.segment_ids.resize(tokens, 0);
                prompt
            };
            let prompts = items.iter().map(|item| pad(&item.prompt)).collect();
            PaddedBatch { prompts, work: items.iter().map(|item| item.work).sum() }
        };
        Self { batches: mix.items.chunks(FIFO_BATCH).map(batch).collect() }
    }
}
