//! What loading took and freed goes back to the system.

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
