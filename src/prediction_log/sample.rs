//! Which examples are logged.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering},
};

/// One example in so many, at random, so that no rhythm of the callers picks the same ones.
pub(super) struct Sample {
    one_in: NonZeroU64,
    random: RandomState,
    next: AtomicU64,
}

impl Sample {
    pub fn one_in(one_in: NonZeroU64) -> Self {
        Self { one_in, random: RandomState::new(), next: AtomicU64::new(0) }
    }

    /// Whether the next one is.
    pub fn takes(&self) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        // Within 64 bits no remainder comes up more often than others to a degree that matters.
        self.random.hash_one(at).is_multiple_of(self.one_in.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_so_many_is_taken() {
        let taken = |one_in: u64| {
            let sample = Sample::one_in(NonZeroU64::new(one_in).expect("not 0"));
            (0..100_000).filter(|_| sample.takes()).count()
        };
        assert_eq!(taken(1), 100_000);
        // Twenty standard deviations to each side.
        assert!((8_000..12_000).contains(&taken(10)));
        assert!(taken(u64::MAX) <= 1);
    }
}
