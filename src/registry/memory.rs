//! What loading took and freed goes back to the system.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::Once;

/// Bytes from which what is allocated lies in a mapping of its own, which goes back when it is freed:
/// the weights of an encoder, but hardly anything that a request takes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 256 << 10;

/// Bytes at the end of a heap that are kept for what comes next.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 16 << 20;

/// Lets what is large lie apart from now on. The C library does so by itself only until the first of a
/// size is freed, and then puts the next one among what is small: an encoder that serves no more leaves
/// gaps between what is still in use, and a server that changes its checkpoints often takes ever more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn keep_large_apart() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        // SAFETY: any values do. Each is a word that the C library writes under the lock of its main heap
        // and reads without; other threads that allocate meanwhile go by the old one or the new one.
        #[allow(unsafe_code)] // there is no safe way to tell the C library
        let is_set = unsafe {
            // Setting one of them ends that the C library adapts both.
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) == 1
                && libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT) == 1
        };
        if !is_set {
            tracing::debug!("the C library does not let itself be told where to put what is large");
        }
    });
}

/// Other C libraries do as they like.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn keep_large_apart() {}

/// Gives freed memory back. Loading parses, hashes and packs the weights, and the C library keeps
/// what that freed for itself: a sixth of what a small server takes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn give_back() {
    // SAFETY: the call has no arguments to get wrong and may be made at any time from any thread.
    #[allow(unsafe_code)] // there is no safe way to ask the C library
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_back() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Bytes of a page, and where in its first one the C library begins what has a mapping of its own.
    const PAGE: usize = 4096;
    const BEGINS: usize = 16;

    /// Set where the test runs alone.
    const ALONE: &str = "DYNAMAR_TEST_OF_MEMORY_ALONE";

    /// In a process of its own: what other tests have freed would be used.
    #[test]
    fn what_is_large_lies_apart_however_often_its_like_was_freed() {
        if std::env::var_os(ALONE).is_some() {
            return is_apart();
        }
        let own = std::env::current_exe().expect("this program");
        let name = "what_is_large_lies_apart_however_often_its_like_was_freed";
        let mut alone = std::process::Command::new(own);
        let tried = alone.arg(name).env(ALONE, "1").output().expect("started");
        let said = String::from_utf8_lossy(&tried.stdout);
        assert!(tried.status.success() && said.contains("1 passed"), "{said}");
    }

    fn is_apart() {
        keep_large_apart();
        for _ in 0..8 {
            let large = vec![1u8; 4 << 20];
            assert_eq!(large.as_ptr() as usize % PAGE, BEGINS);
        }
    }
}
