//! Faults of the models directory: checkpoints that change, are no good, or are not there.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{
    scene::Scene,
    spell::Active,
    spoil::SPOILERS,
    stage::Stage,
    tables::Dice,
    versions::{self, NAMES, Versions, copy, tasks_of},
};

/// Whoever changes the models directory. There is one, so it knows what lies there.
pub struct Disk {
    pub scene: Arc<Scene>,
    pub stage: Arc<Stage>,
    pub dice: Dice,
}

impl Disk {
    /// One fault after the other. Each is mended before the next.
    pub async fn run(mut self) {
        while self.scene.goes_on() {
            let name = NAMES[self.dice.roll(NAMES.len())];
            match self.dice.roll(10) {
                0..4 => self.swap(name).await,
                4 | 5 => self.spoil(name).await,
                6 => self.remove(name).await,
                7 => self.take_all_away().await,
                8 => self.bring_newcomer().await,
                _ => self.hurry().await,
            }
            self.wait(400).await;
        }
    }

    /// The first version again, without a word to the server.
    pub async fn heal(&mut self) {
        for name in NAMES {
            let fresh = self.fresh(0, name);
            self.put(name, &fresh);
            let id = versions::id(&self.place(name));
            for task in tasks_of(name) {
                let answers = self.scene.until_answers(task, &id).await;
                self.scene.tally.expect(answers, || {
                    format!("{task} is not answered by {id}, which lies there all in order")
                });
            }
        }
    }

    /// Where a checkpoint with this name lies.
    fn place(&self, name: &str) -> PathBuf {
        self.stage.models.path().join(name)
    }

    async fn wait(&mut self, max_ms: usize) {
        let ms = self.dice.roll(max_ms) as u64;
        self.scene.pass(Duration::from_millis(ms)).await;
    }

    /// Sometimes the server is told to look, as by SIGHUP, and sometimes it has to look by itself.
    fn maybe_reload(&mut self) {
        if self.dice.roll(2) == 0 {
            self.scene.tally.fault("reloads asked for");
            self.stage.operator.reload();
        }
    }

    /// A copy of a checkpoint, to be put in place.
    fn fresh(&self, version: usize, name: &str) -> PathBuf {
        let fresh = self.scene.versions.home().join("fresh");
        copy(&self.scene.versions.checkpoint(version, name), &fresh);
        fresh
    }

    /// Puts a directory in the place of a checkpoint at one stroke.
    fn put(&self, name: &str, new: &Path) {
        let place = self.place(name);
        renameat_with(CWD, new, CWD, &place, RenameFlags::EXCHANGE).expect("exchanged");
        fs::remove_dir_all(new).expect("removed");
    }

    async fn swap(&mut self, name: &str) {
        self.scene.tally.fault("checkpoints swapped");
        let version = self.dice.roll(Versions::COUNT);
        let fresh = self.fresh(version, name);
        self.put(name, &fresh);
        self.maybe_reload();
    }

    /// A checkpoint that is no good: what was there before serves on.
    async fn spoil(&mut self, name: &str) {
        let (kind, spoil) = SPOILERS[self.dice.roll(SPOILERS.len())];
        self.scene.tally.fault(kind);
        let version = self.dice.roll(Versions::COUNT);
        let fresh = self.fresh(version, name);
        spoil(&fresh);
        self.put(name, &fresh);
        self.maybe_reload();
        self.wait(1500).await;
        self.swap(name).await;
    }

    /// Nothing is there for a while: so long, and until the server has seen that it is back, its
    /// tasks may be unknown.
    async fn remove(&mut self, name: &str) {
        self.scene.tally.fault("checkpoints removed");
        let spells: Vec<Active> =
            tasks_of(name).iter().map(|task| self.scene.spells.removed[task].begin()).collect();
        let (place, away) = (self.place(name), self.scene.versions.home().join("removed"));
        fs::rename(&place, &away).expect("renamed");
        self.maybe_reload();
        self.wait(1500).await;
        match self.dice.roll(2) {
            0 => fs::rename(&away, &place).expect("renamed"),
            _ => {
                self.copy_slowly(&away, &place).await;
                fs::remove_dir_all(&away).expect("removed");
            }
        }
        self.maybe_reload();
        let id = versions::id(&place);
        for task in tasks_of(name) {
            let is_back = self.scene.until_answers(task, &id).await;
            self.scene
                .tally
                .expect(is_back, || format!("{task} is not answered though it is back"));
        }
        // A load that looked while it was away may still be at work, and would tell of it later: the
        // second from now has begun after it was back.
        for _ in 0..2 {
            self.stage.reload().await;
        }
        drop(spells);
    }

    /// File by file, the manifest first, so that it looks like a checkpoint all the time.
    async fn copy_slowly(&mut self, from: &Path, to: &Path) {
        self.scene.tally.fault("checkpoints copied slowly");
        fs::create_dir_all(to.join("tasks")).expect("made");
        for file in ["manifest.json", "tokenizer.json", "encoder.weights", "encoder.onnx"] {
            if from.join(file).exists() {
                fs::copy(from.join(file), to.join(file)).expect("copied");
            }
            self.wait(400).await;
        }
        copy(from, to);
    }

    /// As when a disk is unmounted and mounted again: nothing that serves may end.
    async fn take_all_away(&mut self) {
        self.scene.tally.fault("models directory gone");
        let models = self.stage.models.path().to_owned();
        let away = self.scene.versions.home().join("away");
        fs::rename(&models, &away).expect("renamed");
        let leaves_mount_point = self.dice.roll(2) == 0;
        if leaves_mount_point {
            fs::create_dir(&models).expect("made");
        }
        self.maybe_reload();
        self.wait(1500).await;
        if leaves_mount_point {
            renameat_with(CWD, &away, CWD, &models, RenameFlags::EXCHANGE).expect("exchanged");
            fs::remove_dir(&away).expect("removed");
        } else {
            fs::rename(&away, &models).expect("renamed");
        }
        self.maybe_reload();
    }

    /// Another checkpoint beside those that are there, which must not be taken: it is no good, or it
    /// holds tasks that are there.
    async fn bring_newcomer(&mut self) {
        let version = self.dice.roll(Versions::COUNT);
        let name = NAMES[self.dice.roll(NAMES.len())];
        let fresh = self.fresh(version, name);
        if self.dice.roll(2) == 0 {
            let (_, spoil) = SPOILERS[self.dice.roll(SPOILERS.len())];
            spoil(&fresh);
        }
        self.scene.tally.fault("newcomers to be refused");
        let place = self.place("zz-newcomer");
        fs::rename(fresh, &place).expect("renamed");
        self.maybe_reload();
        self.wait(1500).await;
        fs::remove_dir_all(&place).expect("removed");
        self.maybe_reload();
    }

    /// Told to look far more often than it can.
    async fn hurry(&mut self) {
        for _ in 0..1 + self.dice.roll(30) {
            self.scene.tally.fault("reloads asked for");
            self.stage.operator.reload();
            self.wait(20).await;
        }
    }
}
