//! The memory that sessions compute in: one arena for all of them.
//!
//! Left alone, each session has an arena of its own, which keeps the most that any batch ever took
//! and rounds it up by doubling: 15 MB for each worker of a small encoder. No arena at all takes
//! little but asks the system for pages anew for every batch. One that is shared, and grows by what
//! is asked for, is as fast as the first and near to the second in memory.

// Three calls of ONNX Runtime's interface for which `ort` has none, each with its reason.
#![allow(unsafe_code)]

use std::ptr;

use ort::{
    AsPointer,
    environment::Environment,
    memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType},
    sys::OrtArenaCfg,
};

/// Bytes of the arena in the beginning.
const INITIAL_BYTES: usize = 1 << 20;

/// Bytes of a free block that may lie idle in a used one before it is divided.
const IDLE_BYTES: usize = 64 << 10;

/// Makes the arena that sessions with `with_env_allocators` compute in. Once for an environment.
pub(super) fn register(environment: &Environment) -> ort::Result<()> {
    let memory =
        MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default)?;
    let keys = [
        // 1: by what is asked for.
        (c"arena_extend_strategy", 1usize),
        (c"initial_chunk_size_bytes", INITIAL_BYTES),
        (c"max_dead_bytes_per_chunk", IDLE_BYTES),
    ];
    let names = keys.map(|(name, _)| name.as_ptr());
    let values = keys.map(|(_, value)| value);
    let mut config: *mut OrtArenaCfg = ptr::null_mut();
    let api = ort::api();
    // SAFETY: names and values are as many as said and live through the call.
    let status = unsafe {
        (api.CreateArenaCfgV2)(names.as_ptr(), values.as_ptr(), keys.len(), &raw mut config)
    };
    // SAFETY: the status was just returned by the API, and is used once.
    unsafe { ort::Error::result_from_status(status)? };
    let environment = environment.ptr().cast_mut();
    // SAFETY: all three are valid. The environment is changed under a lock of its own.
    let status = unsafe { (api.CreateAndRegisterAllocator)(environment, memory.ptr(), config) };
    // SAFETY: made above, copied by the call before this one, and used by nobody after it.
    unsafe { (api.ReleaseArenaCfg)(config) };
    // SAFETY: as above.
    unsafe { ort::Error::result_from_status(status) }
}
