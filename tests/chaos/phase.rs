//! From the first call to the last: two phases with the same faults, a rest after each, and a
//! comparison of what the process takes then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time};

use crate::{
    Options,
    callers::{self, Caller},
    disk::Disk,
    hostile, monkey, panics, probe,
    proxy::Line,
    scene::{self, PATIENCE, RECOVERY, Scene},
    stage::Stage,
    tables::Dice,
    verdict::Rests,
    versions::Versions,
    vitals::Vitals,
};

/// Bad lines, and callers on each.
const LINES: usize = 4;
const CALLERS_PER_LINE: usize = 2;

/// Callers that go to the server directly.
const DIRECT_CALLERS: usize = 4;

/// Of hostile connections, one after the other.
const ENEMIES: usize = 2;

/// Of the time, for warming up: memory grows to what the same load takes.
const WARM_UP_SHARE: u64 = 3;

/// Questions after a phase, directly and by each line.
const LAST_QUESTIONS: usize = 100;

/// The server on its stage, and the lines to it.
struct Play {
    scene: Arc<Scene>,
    stage: Arc<Stage>,
    lines: Vec<Arc<Line>>,
    seed: u64,
}

/// Everything, in its order; whether all of it held.
pub async fn all(options: Options) -> bool {
    let versions = Versions::prepare();
    let before = Vitals::at_rest().await;
    println!("chaos: before the server: {before}");
    let (scene, stage) = scene::set(versions).await;
    panics::count_in(Arc::clone(&scene.tally));
    let mut lines = Vec::new();
    for _ in 0..LINES {
        lines.push(Arc::new(Line::to(scene.address).await));
    }
    let play = Play { scene, stage: Arc::new(stage), lines, seed: options.seed };
    let warm_up = options.seconds / WARM_UP_SHARE;
    let warm = play.phase("warm-up", warm_up, 0).await;
    let main = play.phase("main phase", options.seconds - warm_up, 1).await;
    let Play { scene, stage, lines, .. } = play;
    drop(lines);
    let reloads = stage.operator.reloads().borrow().clone();
    println!("chaos: reloads: {} went well, {} did not", reloads.succeeded, reloads.failed);
    match Arc::into_inner(stage) {
        Some(stage) => stop(&scene, stage).await,
        None => scene.tally.failed("the stage is still held by somebody".to_owned()),
    }
    let after = Vitals::at_rest().await;
    println!("chaos: after the server: {after}");
    Rests { before, warm, main, after }.verdict(&scene.tally)
}

/// The server ends when it is told to, and well.
async fn stop(scene: &Scene, stage: Stage) {
    stage.begin_stop();
    match time::timeout(PATIENCE, stage.ended()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => scene.tally.failed(format!("the server ended with: {error}")),
        Err(_) => scene.tally.failed(format!("the server does not end within {PATIENCE:?}")),
    }
}

impl Play {
    /// Faults for so long, then everything mended and checked; what the process takes at rest.
    async fn phase(&self, name: &str, seconds: u64, number: u64) -> Vitals {
        self.scene.over.send_replace(false);
        let mut actors = self.actors(Dice(self.seed.wrapping_add(number << 32)));
        self.scene.pass(Duration::from_secs(seconds)).await;
        self.scene.over.send_replace(true);
        let ended = time::timeout(PATIENCE + RECOVERY, async {
            while let Some(ended) = actors.join_next().await {
                let tally = &self.scene.tally;
                tally.expect(ended.is_ok(), || format!("an actor did not end well: {ended:?}"));
            }
        });
        let (ending, ended) = (Instant::now(), ended.await);
        self.scene.tally.expect(ended.is_ok(), || "not every call has ended".to_owned());
        drop(actors);
        let (last, mending) = (ending.elapsed(), Instant::now());
        self.mend(number).await;
        let mended = mending.elapsed();
        let vitals = Vitals::at_rest().await;
        println!(
            "chaos: {name} of {seconds} s over, the last calls ended within {last:.1?}, all was right \
             again within {mended:.1?}; at rest: {vitals}"
        );
        vitals
    }

    fn actors(&self, mut seeds: Dice) -> JoinSet<()> {
        let mut actors = JoinSet::new();
        let mut dice = || Dice(seeds.roll(1 << 30) as u64);
        let scene = || Arc::clone(&self.scene);
        for _ in 0..DIRECT_CALLERS {
            actors.spawn(Caller { scene: scene(), line: None, dice: dice() }.run());
        }
        for line in &self.lines {
            actors.spawn(monkey::network(scene(), Arc::clone(line), dice()));
            for _ in 0..CALLERS_PER_LINE {
                let line = Some(Arc::clone(line));
                actors.spawn(Caller { scene: scene(), line, dice: dice() }.run());
            }
        }
        for _ in 0..ENEMIES {
            actors.spawn(hostile::run(scene(), dice()));
        }
        actors.spawn(monkey::encoders(scene(), dice()));
        actors.spawn(probe::watch(scene()));
        actors.spawn(self.disk(dice()).run());
        actors
    }

    fn disk(&self, dice: Dice) -> Disk {
        Disk { scene: Arc::clone(&self.scene), stage: Arc::clone(&self.stage), dice }
    }

    /// After all faults everything is right again.
    async fn mend(&self, number: u64) {
        let serves = self.scene.until_serving().await;
        self.scene.tally.expect(serves, || "not SERVING again after the last fault".to_owned());
        self.disk(Dice(number)).heal().await;
        callers::ask_all(&self.scene, None, LAST_QUESTIONS).await;
        for line in &self.lines {
            callers::ask_all(&self.scene, Some(line), LAST_QUESTIONS / LINES).await;
        }
        // What loading has taken goes back to the system when nothing is left to load.
        self.stage.reload().await;
    }
}
