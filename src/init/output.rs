//! Writes what `init` made: a directory that appears whole or not at all.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{InitError, Plan, split::Part, table::Table};
use crate::staging::Staging;

/// The task file of a directory of `init`.
pub const TASK_FILE: &str = "task.toml";

/// The files of the parts.
const SPLITS: [(Part, &str); 3] =
    [(Part::Train, "train.csv"), (Part::Dev, "dev.csv"), (Part::Test, "test.csv")];

/// The file of a part.
pub fn split_file(part: Part) -> &'static str {
    SPLITS.iter().find(|(other, _)| *other == part).map_or("", |(_, name)| name)
}

/// Refuses a place that holds what `init` did not write, or what it wrote before unless that is to
/// be replaced.
///
/// # Errors
///
/// `InitError` if the place is a file, cannot be read, or is taken.
pub fn check_place(out: &Path, replace: bool) -> Result<(), InitError> {
    let directory = out.display().to_string();
    let fault = |source| InitError::Write { path: directory.clone(), source };
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(error)),
        Ok(entries) => entries,
    };
    let is_ours = |name: &str| name == TASK_FILE || SPLITS.iter().any(|(_, file)| *file == name);
    let mut taken = false;
    for entry in entries {
        let name = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) {
            return Err(InitError::Foreign { directory, name });
        }
        taken = true;
    }
    if taken && !replace { Err(InitError::Exists { directory }) } else { Ok(()) }
}

/// Writes the task file and the splits; returns the paths of all files.
///
/// # Errors
///
/// `InitError` if the place is taken or cannot be written.
pub fn write(
    table: &Table,
    plan: &Plan,
    out: &Path,
    replace: bool,
) -> Result<Vec<PathBuf>, InitError> {
    check_place(out, replace)?;
    let fault = |source| InitError::Write { path: out.display().to_string(), source };
    let staging = Staging::beside(out).map_err(fault)?;
    staging.add(TASK_FILE, plan.task_file.as_bytes()).map_err(fault)?;
    let mut files = vec![out.join(TASK_FILE)];
    if let Some(split) = &plan.split {
        for (part, name) in SPLITS.into_iter().filter(|(part, _)| split.size(*part) > 0) {
            let bytes = csv_of(table, plan, |at| split.parts[at] == part).map_err(fault)?;
            staging.add(name, &bytes).map_err(fault)?;
            files.push(out.join(name));
        }
    }
    staging.publish(out).map_err(fault)?;
    Ok(files)
}

/// The kept rows of a part as CSV, with all columns that have a name of their own.
fn csv_of(table: &Table, plan: &Plan, is_in: impl Fn(usize) -> bool) -> std::io::Result<Vec<u8>> {
    let columns: Vec<usize> = (0..table.columns.len())
        .filter(|at| {
            let name = &table.columns[*at];
            !name.is_empty() && !table.columns[..*at].contains(name)
        })
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns.iter().map(|at| table.columns[*at].as_str()))?;
    for (_, row) in plan.clean.kept.iter().enumerate().filter(|(at, _)| is_in(*at)) {
        let cells = columns.iter().map(|column| match *column == plan.target.at {
            true => row.answer.as_str(),
            false => table.value(row.at, *column),
        });
        writer.write_record(cells)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_init_are_replaced() {
        let home = tempfile::tempdir().expect("a directory");
        let out = home.path().join("mine");
        let error = |replace| check_place(&out, replace).err().map(|error| error.to_string());
        assert_eq!(error(false), None);
        fs::create_dir(&out).expect("made");
        assert_eq!(error(false), None);
        fs::write(out.join(TASK_FILE), "").expect("written");
        assert!(error(false).is_some_and(|error| error.contains("--replace")));
        assert_eq!(error(true), None);
        fs::write(out.join("notes.txt"), "").expect("written");
        assert!(error(true).is_some_and(|error| error.contains("notes.txt")));
        fs::remove_dir_all(&out).expect("removed");
        fs::write(&out, "a file").expect("written");
        assert!(error(true).is_some());
    }
}
