//! Faults of encoders and of the network, at random.

use std::{sync::Arc, time::Duration};

use crate::{
    encoder::Mode,
    proxy::{Flow, Line},
    scene::{STALL_TIMEOUT_MS, Scene},
    tables::Dice,
};

/// Milliseconds at most for which a line is cut, stalled or slow.
const MAX_NETWORK_FAULT_MS: usize = 1500;

/// Encoders that fail, panic and hang. What is on is mended before the next.
pub async fn encoders(scene: Arc<Scene>, mut dice: Dice) {
    while scene.goes_on() {
        scene.pass(Duration::from_millis(300 + dice.roll(2500) as u64)).await;
        let spell = scene.spells.encoders.begin();
        let brief = Duration::from_millis(50 + dice.roll(500) as u64);
        let long = Duration::from_millis(STALL_TIMEOUT_MS + 500 + dice.roll(2500) as u64);
        match dice.roll(8) {
            0 => all(&scene, "encoders all failing", Mode::Fail, brief).await,
            1 => all(&scene, "encoders all panicking", Mode::Panic, brief).await,
            2 => all(&scene, "encoders all held up", Mode::Hold, brief).await,
            3 => all(&scene, "encoders all hanging past the stall timeout", Mode::Hold, long).await,
            4 => one(&scene, "one batch fails", Mode::Fail, brief).await,
            5 | 6 => one(&scene, "one batch panics", Mode::Panic, brief).await,
            _ => one(&scene, "one worker hangs past the stall timeout", Mode::Hold, long).await,
        }
        // A place stays empty until the files of an encoder are there to fill it.
        let serves = scene.until_serving().await;
        scene.tally.expect(serves, || "not SERVING again after a fault of encoders".to_owned());
        drop(spell);
    }
}

async fn all(scene: &Scene, kind: &'static str, mode: Mode, time: Duration) {
    scene.tally.fault(kind);
    scene.control.set(mode);
    scene.pass(time).await;
    scene.control.set(Mode::Work);
}

async fn one(scene: &Scene, kind: &'static str, mode: Mode, time: Duration) {
    scene.tally.fault(kind);
    scene.control.trip_next(mode);
    scene.pass(time).await;
    scene.control.set(Mode::Work);
}

/// A line that is cut, stalled or slow for a while.
pub async fn network(scene: Arc<Scene>, line: Arc<Line>, mut dice: Dice) {
    while scene.goes_on() {
        scene.pass(Duration::from_millis(dice.roll(3000) as u64)).await;
        let (kind, flow) = match dice.roll(4) {
            0 => ("connections cut", Flow::Down),
            1 => ("connections reset", Flow::Reset),
            2 => ("lines stalled", Flow::Stalled),
            _ => ("lines dripping", Flow::Dripping),
        };
        scene.tally.fault(kind);
        let cut = line.set(flow);
        scene.pass(Duration::from_millis(dice.roll(MAX_NETWORK_FAULT_MS) as u64)).await;
        line.set(Flow::Clear);
        drop(cut);
    }
    line.set(Flow::Clear);
}
