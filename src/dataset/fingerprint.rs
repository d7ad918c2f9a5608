//! Hashes that tell texts apart, and draws that depend on nothing but what they are for.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Half of a SHA-256: two texts with the same one are the same text.
pub type Fingerprint = [u8; 16];

/// Of a list of texts, which counts as another one when the same letters are cut elsewhere.
pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Fingerprint {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let digest = hasher.finalize();
    std::array::from_fn(|at| digest[at])
}

/// A number that depends on these two alone, uniform over all 64 bits.
pub fn draw(seed: u64, index: usize) -> u64 {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(text, "{seed} {index}");
    leading(&of([text.as_str()]))
}

/// The first 64 bits.
pub fn leading(fingerprint: &Fingerprint) -> u64 {
    fingerprint.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_depend_on_every_text_and_its_borders() {
        let all = [of(["ab", "c"]), of(["a", "bc"]), of(["abc"]), of(["abc", ""]), of([])];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(of(["ab", "c"]), all[0]);
    }

    #[test]
    fn draws_depend_on_seed_and_index() {
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 1));
        assert_ne!(draw(1, 11), draw(11, 1));
        let upper = (0..1000).filter(|at| draw(7, *at) >= 1 << 63).count();
        assert!((400..600).contains(&upper), "{upper} of 1000 lie in the upper half");
    }
}
