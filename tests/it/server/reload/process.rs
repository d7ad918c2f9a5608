//! A server as a process: signals, and what it holds of the system.

use super::{super::process::Process, *};

/// Resident memory may grow by this in ten reloads, in KiB: half of what the encoders would take
/// that come and go in them.
const MAX_GROWTH_KIB: usize = 48 << 10;

/// What it holds: open files, workers, threads, and resident memory in KiB.
fn holds(process: &Process) -> [usize; 4] {
    let entries = |file| fs::read_dir(process.of_system(file)).expect("listed");
    let names = entries("task").map(|task| task.expect("an entry").path().join("comm"));
    // A thread may end in between.
    let names: Vec<String> = names.filter_map(|comm| fs::read_to_string(comm).ok()).collect();
    let is_worker = |name: &&String| {
        let number = name.trim().strip_prefix("encoder-");
        number.is_some_and(|number| number.parse::<usize>().is_ok())
    };
    let status = fs::read_to_string(process.of_system("status")).expect("read");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
    let workers = names.iter().filter(is_worker).count();
    [entries("fd").count(), workers, names.len(), resident.expect("told")]
}

#[test]
fn ten_reloads_by_sighup_leave_nothing_behind() {
    let models = home_with(&[("reviews", &[POLARITY], 1.0)]);
    let reviews = models.path().join("reviews");
    let home = tempfile::tempdir().expect("a directory");
    let other = other_encoder(home.path());
    let mut process = Process::start(models.path());
    let reload = |process: &mut Process, at: usize| {
        let encoder = at.is_multiple_of(2).then_some(&other);
        let variant = Variant { seed: at as f32, encoder };
        checkpoints::replace_as(&reviews, &[POLARITY], variant);
        process.signal("-HUP");
        assert_eq!(process.line("loaded and verified")["checkpoint"], id(&reviews));
        process.line("an encoder that serves no more has ended");
    };
    (0..2).for_each(|at| reload(&mut process, at));
    let before = holds(&process);
    (2..12).for_each(|at| reload(&mut process, at));
    let after = holds(&process);
    assert_eq!(after[..2], before[..2], "open files and workers");
    // The threads that load are kept for a while.
    assert!(after[2] <= before[2] + 2, "threads: {before:?} {after:?}");
    assert!(after[3] <= before[3] + MAX_GROWTH_KIB, "memory: {before:?} {after:?}");
    // A broken one is named, with the reason.
    let tokenizer = reviews.join("tokenizer.json");
    // Not into the file that all checkpoints of the tests share.
    fs::remove_file(&tokenizer).expect("removed");
    fs::write(&tokenizer, "{}").expect("written");
    process.signal("-HUP");
    let line = process.line("a checkpoint is refused, the one before it serves on");
    assert_eq!(line["directory"], reviews.display().to_string());
    assert!(line["reason"].as_str().expect("told").contains("tokenizer.json is damaged"));
    process.signal("-INT");
    assert_eq!(process.child.wait().expect("ended").code(), Some(0));
}

#[test]
fn sigterm_waits_for_those_who_send_calls_and_a_second_one_does_not() {
    let models = home_with(&[("reviews", &[POLARITY], 1.0)]);
    let mut process = Process::start(models.path());
    process.signal("-TERM");
    process.line("stopping: calls are answered until those who send them know");
    assert!(process.child.try_wait().expect("asked").is_none());
    process.signal("-TERM");
    process.line("stopping: calls under way are answered");
    assert_eq!(process.child.wait().expect("ended").code(), Some(0));
}
