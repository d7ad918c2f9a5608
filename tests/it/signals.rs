//! What a training does when its terminal goes away or somebody kills it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::fixtures::{self, EncoderFixture};

/// A training that has begun.
struct Training {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Which the training reads.
    _encoder: Arc<EncoderFixture>,
}

fn data() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let rows = "good,1\nbad,-1\n".repeat(50);
    fs::write(home.path().join("data.csv"), format!("text,rating\n{rows}")).expect("written");
    home
}

impl Training {
    /// Trains into `home`/out, started by this line of a shell, in which `"$@"` is the training.
    fn start(home: &Path, shell: &str, steps: &str) -> Self {
        let encoder = fixtures::encoder("bert-tiny");
        let mut child = Command::new("sh")
            .args(["-c", shell, "sh", env!("CARGO_BIN_EXE_dynamar"), "train"])
            .args(["--task", "models/tasks/review-intensity.toml", "--steps", steps])
            .args(["--restart", "--train"])
            .arg(home.join("data.csv"))
            .arg("--encoder")
            .arg(encoder.path())
            .arg("--out")
            .arg(home.join("out"))
            .current_dir(fixtures::root())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        // From here on it follows signals.
        while !line.starts_with("templates:") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).expect("read"), 0, "it says what it trains on");
        }
        Self { child, stderr, _encoder: encoder }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args([name, &id]).status().expect("kill runs");
        assert!(killed.success());
    }

    /// Its exit code, `None` if a signal ended it, and the rest of what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("read");
        (self.child.wait().expect("ended").code(), rest)
    }
}

/// Waits for a directory that is put together, and its lock, beside these; their names.
fn begun(home: &Path, others: &[String]) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let names = hidden(home);
        let new: Vec<String> = names.into_iter().filter(|name| !others.contains(name)).collect();
        if new.len() == 2 {
            return new;
        }
        assert!(Instant::now() < end, "{new:?}");
        thread::yield_now();
    }
}

fn hidden(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(home).expect("listed").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".new-")).collect()
}

#[test]
fn a_terminal_that_goes_away_ends_a_training_as_sigterm_does() {
    let home = data();
    let training = Training::start(home.path(), "exec \"$@\"", "99999");
    training.signal("-HUP");
    // A shell and the system each send one.
    training.signal("-HUP");
    let (code, rest) = training.end();
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("error: interrupted"), "{rest}");
    assert_eq!(hidden(home.path()), [""; 0]);
}

#[test]
fn a_training_that_was_told_to_ignore_it_goes_on() {
    let home = data();
    let training = Training::start(home.path(), "trap '' HUP; exec \"$@\"", "3");
    training.signal("-HUP");
    let (code, rest) = training.end();
    assert_eq!(code, Some(0), "{rest}");
    assert!(home.path().join("out/manifest.json").exists());
}

#[test]
fn what_a_killed_training_left_is_cleared_by_the_next_and_what_a_living_one_has_is_not() {
    let home = data();
    let killed = Training::start(home.path(), "exec \"$@\"", "99999");
    let of_killed = begun(home.path(), &[]);
    killed.signal("-KILL");
    assert_eq!(killed.end().0, None);
    assert_eq!(hidden(home.path()).len(), 2, "nobody was there to clear up");
    let living = Training::start(home.path(), "exec \"$@\"", "99999");
    let of_living = begun(home.path(), &of_killed);
    assert_eq!(hidden(home.path()).len(), 2, "what the killed one left is cleared");
    let next = Training::start(home.path(), "exec \"$@\"", "2");
    begun(home.path(), &of_living);
    assert_eq!(hidden(home.path()).len(), 4, "each has its own");
    let (code, rest) = next.end();
    assert_eq!(code, Some(0), "{rest}");
    let mut left = hidden(home.path());
    left.sort();
    let mut expected = of_living;
    expected.sort();
    assert_eq!(left, expected);
    living.signal("-INT");
    assert_eq!(living.end().0, Some(1));
    assert_eq!(hidden(home.path()), [""; 0]);
}
