//! Both sides in turns.

use std::{ops::Range, thread, time::Duration};

use anyhow::{Result, ensure};
use dynamar::weights::EncoderWeights;

use crate::{
    data::{BATCH_SIZE, Scenario},
    ours::Ours,
    peer::{Choice, Command, Peer, Versions},
};

/// Chance of a value being dropped, on hidden states and before the head.
pub const DROPOUT: f32 = 0.1;

/// Steps of each side before the first block.
const WARM_UP_STEPS: usize = 2;

/// Steps with dropout off over which the losses are compared.
const CHECKED_STEPS: usize = 8;

/// The losses of both sides may differ by this share of their mean.
const LOSS_TOLERANCE: f64 = 0.02;

/// Time for the threads of the side that has just run to fall asleep.
const SETTLING: Duration = Duration::from_millis(50);

/// How much is measured.
pub struct Plan {
    pub blocks: usize,
    pub steps: usize,
}

impl Plan {
    /// Batches that a scenario needs.
    pub fn batches(&self) -> usize {
        self.steps_in_all().max(CHECKED_STEPS)
    }

    fn steps_in_all(&self) -> usize {
        WARM_UP_STEPS + self.blocks * self.steps
    }

    fn block(&self, block: usize) -> Range<usize> {
        let begin = WARM_UP_STEPS + block * self.steps;
        begin..begin + self.steps
    }
}

/// What one scenario gave.
pub struct Measured {
    /// Seconds for an example, of each block.
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
    pub choice: Choice,
    pub versions: Versions,
    /// Mean difference of the losses by their mean, with dropout off.
    pub loss_difference: f64,
}

impl Measured {
    /// Compares the losses, then the times.
    pub fn take(
        scenario: &Scenario,
        plan: &Plan,
        weights: &EncoderWeights,
        command: &Command<'_>,
    ) -> Result<Self> {
        let mut peer = Peer::start(command, scenario)?;
        let choice = peer.choose()?;
        let loss_difference = compare_losses(scenario, weights, &mut peer)?;
        let steps = plan.steps_in_all();
        let mut ours = Ours::begin(weights, scenario, DROPOUT, steps)?;
        peer.begin(DROPOUT, steps, Some(&ours.head()))?;
        ours.run(&scenario.batches[..WARM_UP_STEPS])?;
        peer.run(0..WARM_UP_STEPS)?;
        let mut measured = Self {
            ours: vec![],
            theirs: vec![],
            choice,
            versions: peer.versions.clone(),
            loss_difference,
        };
        let per_example = |taken: Duration| taken.as_secs_f64() / (plan.steps * BATCH_SIZE) as f64;
        for block in (0..plan.blocks).map(|block| plan.block(block)) {
            settle();
            measured.ours.push(per_example(ours.run(&scenario.batches[block.clone()])?.0));
            settle();
            measured.theirs.push(per_example(peer.run(block)?.0));
        }
        Ok(measured)
    }

    /// Of each block, PyTorch's time by ours.
    pub fn speedups(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours).collect()
    }
}

/// Waits until the side that has just run is idle.
#[allow(clippy::disallowed_methods)] // another process's threads give no sign when they sleep
fn settle() {
    thread::sleep(SETTLING);
}

/// With dropout off and the same beginning, both sides must report the same losses.
fn compare_losses(scenario: &Scenario, weights: &EncoderWeights, peer: &mut Peer) -> Result<f64> {
    let mut ours = Ours::begin(weights, scenario, 0.0, CHECKED_STEPS)?;
    peer.begin(0.0, CHECKED_STEPS, Some(&ours.head()))?;
    let (_, losses) = ours.run(&scenario.batches[..CHECKED_STEPS])?;
    let (_, expected) = peer.run(0..CHECKED_STEPS)?;
    let sum = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>();
    let pairs = || losses.iter().zip(&expected).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let difference = sum(&mut pairs().map(|(a, b)| (a - b).abs()));
    let difference = difference / sum(&mut pairs().map(|(_, b)| b));
    ensure!(
        difference <= LOSS_TOLERANCE,
        "the sides do not compute the same: losses {losses:?}, PyTorch's {expected:?}"
    );
    Ok(difference)
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
