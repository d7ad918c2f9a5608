//! How much CPU time and memory Linux says was taken.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// `USER_HZ`, in which Linux counts CPU time for user space, on every platform that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of the calling thread; exact to a tick of the scheduler, some milliseconds.
pub fn this_thread() -> Result<Duration> {
    on_cpu(Path::new("/proc/thread-self/schedstat"))
}

/// CPU time of the threads of this process that have not ended.
pub fn own_threads() -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").context("this needs Linux")? {
        sum += on_cpu(&task?.path().join("schedstat"))?;
    }
    Ok(sum)
}

/// The first number of a schedstat file: nanoseconds on a CPU.
fn on_cpu(path: &Path) -> Result<Duration> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let nanoseconds = text.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// CPU time of another process with all its threads, those that have ended included, which is why
/// this reads `utime + stime` of `/proc/PID/stat` and not each thread's schedstat. It comes in
/// steps of 10 ms: measure over seconds.
pub fn process(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is the program's name in brackets and may hold anything.
    let (_, fields) = text.rsplit_once(')').context("a process has a name")?;
    // utime and stime are the 14th and 15th field, and these begin with the third.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks = ticks.sum::<Result<f64, _>>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// CPU time that the whole machine has spent, and what its host has taken from it: all that is in
/// the first line of `/proc/stat` but the times idle (the fourth and fifth) and those of guests,
/// which are in others already.
pub fn machine() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("this needs Linux")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let fields = line.split_whitespace().skip(1).take(8).enumerate();
    let busy = fields.filter(|(at, _)| ![3, 4].contains(at)).map(|(_, field)| field.parse::<f64>());
    Ok(Duration::from_secs_f64(busy.sum::<Result<f64, _>>()? / TICKS_PER_SECOND))
}

/// Bytes of another process that are resident.
pub fn resident_bytes(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.with_context(|| format!("no VmRSS in {path}"))?.parse()?;
    Ok(kilobytes * 1024.0)
}
