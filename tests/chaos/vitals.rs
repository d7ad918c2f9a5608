//! What this process takes of the system, by `/proc/self`. The server and all that call it are
//! in it.

use std::{fmt, fs, time::Duration};

use tokio::time;

/// What `main.rs` calls threads of the runtime.
pub const RUNTIME_THREAD: &str = "runtime";

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Looks until whatever ends by itself has ended: connections are noticed to be closed, and threads
/// for blocking work end after a second without any, which `main.rs` configures.
const SETTLING_LOOKS: usize = 40;

/// Looks of which the least counts: the server looks after itself also at rest, and has a thread
/// more or less for it.
const LOOKS: usize = 40;

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory, in KiB.
    pub rss: u64,
    /// What is allocated of the C library and not freed, in KiB; 0 with a C library that does not tell.
    pub in_use: u64,
    /// But for those of the runtime: its threads for blocking work take turns, so that none of them
    /// is idle long enough to end, and how many there are is what was needed at once some time ago.
    pub threads: u64,
    /// Open file descriptors.
    pub files: u64,
}

impl Vitals {
    /// Now.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("Linux");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).expect("a number")
        };
        let threads = thread_names().iter().filter(|name| *name != RUNTIME_THREAD).count() as u64;
        // The one of reading the directory is not counted.
        let files = fs::read_dir("/proc/self/fd").expect("Linux").count() as u64 - 1;
        Self { rss: number("VmRSS:"), in_use: in_use() >> 10, threads, files }
    }

    /// What is taken when nothing is asked of the server: the least of a few seconds.
    pub async fn at_rest() -> Self {
        let mut looks = time::interval(LOOK);
        for _ in 0..SETTLING_LOOKS {
            looks.tick().await;
        }
        give_back();
        let mut least = Self::read();
        for _ in 0..LOOKS {
            looks.tick().await;
            let Self { rss, in_use, threads, files } = Self::read();
            least.rss = least.rss.min(rss);
            least.in_use = least.in_use.min(in_use);
            least.threads = least.threads.min(threads);
            least.files = least.files.min(files);
        }
        least
    }
}

/// Gives freed memory back, so that what is counted is in use, or on a page with something that is.
/// What the C library keeps depends on which of its arenas met which load.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: the call has no arguments to get wrong and may be made at any time from any thread.
    #[allow(unsafe_code)] // there is no safe way to ask the C library
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

/// Bytes that are allocated and not freed, in the heaps and in mappings of their own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn in_use() -> u64 {
    // SAFETY: the call has no arguments to get wrong, and counts each heap under its lock.
    #[allow(unsafe_code)] // there is no safe way to ask the C library
    let told = unsafe { libc::mallinfo2() };
    (told.uordblks + told.hblkhd) as u64
}

/// Other C libraries do not tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn in_use() -> u64 {
    0
}

/// The threads that there are, by their names.
fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").flatten();
    // One that ends meanwhile has no name.
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

impl fmt::Display for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rss, in_use, threads, files } = self;
        let mib = |kib: &u64| *kib as f64 / 1024.0;
        let (rss, in_use) = (mib(rss), mib(in_use));
        write!(f, "{rss:.1} MiB, {in_use:.1} MiB in use, {threads} threads, {files} files")
    }
}
