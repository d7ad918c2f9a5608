//! Mask vectors of prompts that were encoded before, bounded in bytes.

use std::{
    hash::RandomState,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Lifecycle, Weighter, sync::Cache as Store};

use crate::tokenization::Prompt;

/// What an entry takes besides its numbers: the heads of three allocations, its place in the list
/// and in the index, and its share of the keys that are remembered a while longer than their
/// vectors.
const ENTRY_BYTES: u64 = 256;

/// Bytes of an entry of 64 tokens and 384 numbers, from which the size of the index is estimated.
const USUAL_ENTRY_BYTES: u64 = 2048 + ENTRY_BYTES;

/// The input of a prompt, compared as a whole.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    input_ids: Box<[u32]>,
    segment_ids: Box<[u32]>,
    mask_position: usize,
}

impl Key {
    pub(super) fn of(prompt: &Prompt) -> Self {
        let (input_ids, segment_ids, mask_position) = prompt.input();
        Self { input_ids: input_ids.into(), segment_ids: segment_ids.into(), mask_position }
    }

    pub(super) fn tokens(&self) -> usize {
        self.input_ids.len()
    }
}

/// What a cache has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Prompts that were answered from memory.
    pub hits: u64,
    /// Prompts that had to be encoded.
    pub misses: u64,
    /// Prompts that were on their way to the encoder already when they were asked.
    pub joined: u64,
    /// Vectors that gave way to others, or were too large themselves.
    pub evictions: u64,
    /// Bytes that keys and vectors take now.
    pub bytes: u64,
}

/// The vectors of one encoder. Those that are asked seldom or were not asked for long give way.
pub(super) struct Cache {
    vectors: Store<Arc<Key>, Arc<[f32]>, EntryBytes, RandomState, CountEvictions>,
    evictions: Arc<AtomicU64>,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) joined: AtomicU64,
}

impl Cache {
    /// With keys, vectors and what they need to be found, never larger than `max_bytes`.
    pub(super) fn new(max_bytes: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let items = usize::try_from(max_bytes / USUAL_ENTRY_BYTES).unwrap_or(usize::MAX).max(1);
        let vectors = Store::with(
            items,
            max_bytes,
            EntryBytes,
            RandomState::new(),
            CountEvictions(Arc::clone(&evictions)),
        );
        let zero = || AtomicU64::new(0);
        Self { vectors, evictions, hits: zero(), misses: zero(), joined: zero() }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<[f32]>> {
        self.vectors.get(key)
    }

    pub(super) fn insert(&self, key: Arc<Key>, vector: Arc<[f32]>) {
        self.vectors.insert(key, vector);
    }

    pub(super) fn counters(&self) -> CacheCounters {
        CacheCounters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            joined: self.joined.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            bytes: self.vectors.weight(),
        }
    }
}

#[derive(Clone)]
struct EntryBytes;

impl Weighter<Arc<Key>, Arc<[f32]>> for EntryBytes {
    fn weight(&self, key: &Arc<Key>, vector: &Arc<[f32]>) -> u64 {
        let numbers = key.input_ids.len() + key.segment_ids.len() + vector.len();
        (numbers * size_of::<f32>()) as u64 + ENTRY_BYTES
    }
}

#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<Arc<Key>, Arc<[f32]>> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Arc<Key>, _: Arc<[f32]>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u32, mask_position: usize) -> Arc<Key> {
        Arc::new(Key { input_ids: [first; 20].into(), segment_ids: [0; 20].into(), mask_position })
    }

    #[test]
    fn keys_are_compared_as_a_whole() {
        let cache = Cache::new(1 << 20);
        cache.insert(key(1, 2), [0.5].into());
        assert_eq!(cache.get(&key(1, 2)).as_deref(), Some(&[0.5][..]));
        let other_segment = Key { segment_ids: [1; 20].into(), ..Key::clone_of(&key(1, 2)) };
        for other in [&*key(2, 2), &*key(1, 3), &other_segment] {
            assert_eq!(cache.get(other), None, "{other:?}");
        }
    }

    impl Key {
        fn clone_of(key: &Self) -> Self {
            let (input_ids, segment_ids) = (key.input_ids.clone(), key.segment_ids.clone());
            Self { input_ids, segment_ids, mask_position: key.mask_position }
        }
    }

    #[test]
    fn it_never_grows_beyond_its_bytes_whatever_comes() {
        for max_bytes in [1_000, 50_000, 1_000_000] {
            let cache = Cache::new(max_bytes);
            for at in 0..5_000 {
                cache.insert(key(at, 0), vec![0.0; at as usize % 400].into());
                assert!(cache.counters().bytes <= max_bytes);
            }
            let CacheCounters { bytes, evictions, .. } = cache.counters();
            assert!(bytes > max_bytes / 2 && evictions > 3_000, "{bytes} {evictions}");
        }
    }

    #[test]
    fn what_is_asked_again_and_again_stays() {
        let cache = Cache::new(100_000);
        cache.insert(key(0, 0), [1.0].into());
        for at in 1..5_000 {
            assert!(cache.get(&key(0, 0)).is_some(), "before {at}");
            cache.insert(key(at, 0), [1.0].into());
        }
    }
}
