//! A part of the rows, for several processes that share a file.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What in an output's name stands for the shard.
const PLACEHOLDER: &str = "{shard}";

/// One of `count` parts of a file's rows. In the order of their indices they are the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    pub count: u64,
}

impl Shard {
    /// # Errors
    ///
    /// If there is no such shard.
    pub fn new(index: u64, count: u64) -> Result<Self, String> {
        if index < count {
            return Ok(Self { index, count });
        }
        Err(format!("there is no shard {index} of {count}; they are counted from 0"))
    }

    /// Its rows, of so many: a stretch, at most one longer than those of the others.
    pub fn rows(&self, all: u64) -> Range<u64> {
        let border = |index: u64| {
            let border = u128::from(all) * u128::from(index) / u128::from(self.count);
            u64::try_from(border).unwrap_or(all)
        };
        border(self.index)..border(self.index + 1)
    }

    /// A name such as `00003-of-00016`, by which the parts sort in their order.
    pub fn name(&self) -> String {
        format!("{:05}-of-{:05}", self.index, self.count)
    }

    /// Where its part of the output goes: its name stands for `{shard}`, or before the extension.
    pub fn place(&self, out: &Path) -> PathBuf {
        let text = out.to_string_lossy();
        if text.contains(PLACEHOLDER) {
            return PathBuf::from(text.replace(PLACEHOLDER, &self.name()));
        }
        let stem = out.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = format!("{stem}-{}", self.name());
        if let Some(extension) = out.extension() {
            name = format!("{name}.{}", extension.to_string_lossy());
        }
        out.with_file_name(name)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `I/N`, such as `3/16`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            Some((index.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        });
        let (index, count) = parsed.ok_or("write INDEX/COUNT, such as 3/16")?;
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_are_read_and_named() {
        assert_eq!("3/16".parse(), Ok(Shard { index: 3, count: 16 }));
        for wrong in ["16/16", "1", "a/2", "0/0", "-1/2", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        let shard = Shard { index: 3, count: 16 };
        let check = |out: &str, expected: &str| {
            assert_eq!(shard.place(Path::new(out)), Path::new(expected));
        };
        check("a/out.csv", "a/out-00003-of-00016.csv");
        check("a/out", "a/out-00003-of-00016");
        check("a/{shard}/out.csv", "a/00003-of-00016/out.csv");
    }

    proptest! {
        #[test]
        fn shards_cover_all_rows_once_and_are_even(all in 0u64..10_000, count in 1u64..50) {
            let mut next = 0;
            for index in 0..count {
                let rows = Shard { index, count }.rows(all);
                prop_assert_eq!(rows.start, next);
                prop_assert!((rows.end - rows.start).abs_diff(all / count) <= 1);
                next = rows.end;
            }
            prop_assert_eq!(next, all);
        }
    }
}
