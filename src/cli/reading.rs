//! How files of rows are read: flags that all verbs share, and which file is whose.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};

use super::progress::note;
use crate::{
    dataset::{Dataset, Reading, check_overlap, drop_overlap, read_labelled},
    prompt::TaskFile,
    rows::{Encoding, Format, Origin, ReadOptions},
};

/// Faulty rows that --skip-faulty leaves out where it does not say how many.
const SKIPPED_ROWS: &str = "100";

/// How files are written, where it is not to be found out.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ReadArgs {
    /// The format of what is read [default: by its extension, or else by its content]
    #[arg(long, value_enum, value_name = "FORMAT")]
    in_format: Option<InFormat>,
    /// What separates the values of a row: a character, or "tab" [default: the one that the header
    /// has most of , tab ; |]
    #[arg(long, value_name = "CHARACTER", value_parser = character)]
    separator: Option<u8>,
    /// How characters are written [default: UTF-8, or UTF-16 where a byte order mark says so]
    #[arg(long, value_enum, value_name = "ENCODING")]
    encoding: Option<EncodingArg>,
    /// What stands before a quote within quotes, besides another quote: '\' for files of Spark
    #[arg(long, value_name = "CHARACTER", value_parser = character)]
    escape: Option<u8>,
    /// Read quotes as characters like any others, as in tab-separated files that have no quoting
    #[arg(long, conflicts_with = "escape")]
    no_quotes: bool,
}

/// What happens to rows that cannot be read.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FaultArgs {
    /// Leave out rows that cannot be read, and list them, instead of refusing the file; more than so
    /// many in the files of one flag are refused all the same
    #[arg(long, value_name = "ROWS", num_args = 0..=1, default_missing_value = SKIPPED_ROWS)]
    skip_faulty: Option<usize>,
}

/// What happens to examples that are in the training set too.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OverlapArgs {
    /// Take files of a task that share examples
    #[arg(long)]
    allow_overlap: bool,
    /// Leave out examples for development and test that a file before it has too, and count them
    #[arg(long, conflicts_with = "allow_overlap")]
    drop_overlap: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum InFormat {
    Csv,
    Tsv,
    Jsonl,
    Json,
    Parquet,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EncodingArg {
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    #[value(name = "utf-16", alias = "utf16")]
    Utf16,
    /// As windows-1252, which has all its characters
    #[value(name = "latin-1", aliases = ["latin1", "iso-8859-1"])]
    Latin1,
    #[value(name = "windows-1252", alias = "cp1252")]
    Windows1252,
}

impl ReadArgs {
    /// What was asked for.
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            format: self.in_format.map(|format| match format {
                InFormat::Csv => Format::Csv,
                InFormat::Tsv => Format::Tsv,
                InFormat::Jsonl => Format::Jsonl,
                InFormat::Json => Format::Json,
                InFormat::Parquet => Format::Parquet,
            }),
            separator: self.separator,
            encoding: self.encoding.map(|encoding| match encoding {
                EncodingArg::Utf8 => Encoding::Utf8,
                // A byte order mark says which, or the text itself.
                EncodingArg::Utf16 => Encoding::Utf16Le,
                EncodingArg::Latin1 | EncodingArg::Windows1252 => Encoding::Windows1252,
            }),
            escape: self.escape,
            no_quotes: self.no_quotes,
            fallback: Format::Csv,
        }
    }

    /// The same for labelled examples and texts.
    pub fn reading(&self, faults: &FaultArgs) -> Reading {
        Reading { options: self.options(), skip_faulty: faults.skip_faulty }
    }
}

impl OverlapArgs {
    /// Sees to it that `scored` has no example of `seen`, or that this is meant.
    pub fn settle(&self, seen: &Dataset, scored: &mut Dataset) -> Result<()> {
        if self.allow_overlap {
            return Ok(());
        }
        if !self.drop_overlap {
            return check_overlap(seen, scored).map_err(|error| {
                anyhow!("{error}; pass --drop-overlap to leave them out, or --allow-overlap if that is meant")
            });
        }
        let (all, shared) = (scored.examples.len(), drop_overlap(seen, scored));
        let (of, path) = (&seen.path, &scored.path);
        ensure!(shared < all, "{path}: all of its {all} examples are in {of} too");
        if shared > 0 {
            note(&format!("{path}: {shared} of its {all} examples are in {of} too and left out"));
        }
        Ok(())
    }
}

/// One character of ASCII, or the name of one that is hard to type.
fn character(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        "\n" | "\r" | "\"" => Err("no line end and no quote".to_owned()),
        _ => match text.as_bytes() {
            [one] if one.is_ascii() => Ok(*one),
            _ => Err("one character such as ; or |, or tab".to_owned()),
        },
    }
}

/// Reads the examples of some files, and tells what is to be told of them.
pub fn labelled(paths: &[PathBuf], task: &TaskFile, reading: &Reading) -> Result<Dataset> {
    let labelled = read_labelled(&origins(paths), task, reading)?;
    labelled.notes.iter().for_each(|text| note(text));
    Ok(labelled.data)
}

/// Paths as places to read from.
pub fn origins(paths: &[PathBuf]) -> Vec<Origin> {
    paths.iter().map(|path| Origin::new(path)).collect()
}

/// Refuses to read standard input twice.
pub fn check_read_once(paths: &[&[PathBuf]]) -> Result<()> {
    let origins = paths.iter().flat_map(|paths| origins(paths));
    let streams = origins.filter(Origin::is_standard_input).count();
    ensure!(streams < 2, "- is standard input, which can be read once: name files for the others");
    Ok(())
}

/// The files of each task, which is called by its name. All files of the only task are its own. Of
/// several tasks each has one file, in their order, or all files say whose they are: TASK=FILE.
pub fn files_of_tasks(names: &[&str], paths: &[PathBuf], flag: &str) -> Result<Vec<Vec<PathBuf>>> {
    let task_of = |path: &PathBuf| {
        let (name, file) = path.to_str()?.split_once('=')?;
        Some((names.iter().position(|known| *known == name)?, PathBuf::from(file)))
    };
    let told: Vec<Option<(usize, PathBuf)>> = paths.iter().map(task_of).collect();
    if !told.is_empty() && told.iter().all(Option::is_some) {
        let mut files = vec![Vec::new(); names.len()];
        told.into_iter().flatten().for_each(|(task, file)| files[task].push(file));
        return Ok(files);
    }
    match names.len() {
        1 => Ok(vec![paths.to_vec()]),
        count if count == paths.len() => Ok(paths.iter().map(|path| vec![path.clone()]).collect()),
        count if paths.is_empty() => Ok(vec![Vec::new(); count]),
        count => bail!(
            "{count} --task and {} --{flag}: give one of each for every task, or say of all files \
             whose they are, as in --{flag} {}=FILE",
            paths.len(),
            names[0]
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_to_their_tasks() {
        let check = |names: &[&str], paths: &[&str], expected: Option<&[&[&str]]>| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            let found = files_of_tasks(names, &paths, "train").ok();
            let path = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
            assert_eq!(found, expected.map(|all| all.iter().map(|one| path(one)).collect()));
        };
        check(&["a"], &["1.csv", "2.csv"], Some(&[&["1.csv", "2.csv"]]));
        check(&["a"], &["x=1.csv"], Some(&[&["x=1.csv"]]));
        check(&["a"], &["a=1.csv"], Some(&[&["1.csv"]]));
        check(&["a", "b"], &["1.csv", "2.csv"], Some(&[&["1.csv"], &["2.csv"]]));
        check(&["a", "b"], &["b=1", "a=2", "b=3"], Some(&[&["2"], &["1", "3"]]));
        check(&["a", "b"], &["b=1"], Some(&[&[], &["1"]]));
        check(&["a", "b"], &[], Some(&[&[], &[]]));
        check(&["a", "b"], &["1", "2", "3"], None);
        check(&["a", "b"], &["a=1", "2", "b=3"], None);
    }

    #[test]
    fn separators_are_typed_or_named() {
        assert_eq!(character("tab"), Ok(b'\t'));
        assert_eq!(character(";"), Ok(b';'));
        assert_eq!(character("\\"), Ok(b'\\'));
        assert!(character(";;").is_err() && character("\"").is_err() && character("é").is_err());
    }
}
