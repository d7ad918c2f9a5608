//! Where a verb's rows come from.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::RowsError;

/// What a message calls the stream that `-` stands for.
pub const STANDARD_INPUT: &str = "standard input";

/// A path as it was given; `-` is standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(PathBuf);

impl Origin {
    /// Of a path that was given on the command line.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self.is_standard_input() {
            true => STANDARD_INPUT.to_owned(),
            false => self.0.display().to_string(),
        }
    }

    /// Whether it is standard input.
    pub fn is_standard_input(&self) -> bool {
        self.0.as_os_str() == "-"
    }

    /// The path, if it is a file that can be read twice: no pipe, device or standard input.
    ///
    /// # Errors
    ///
    /// If there is nothing at the path.
    pub fn regular(&self) -> Result<Option<&Path>, RowsError> {
        if self.is_standard_input() {
            return Ok(None);
        }
        let metadata = fs::metadata(&self.0).map_err(RowsError::read(&self.name()))?;
        if metadata.is_dir() {
            let source = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(RowsError::Read { path: self.name(), source });
        }
        Ok(metadata.is_file().then_some(self.0.as_path()))
    }

    /// Its bytes, from the beginning.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn bytes(&self) -> Result<Box<dyn Read + Send>, RowsError> {
        if self.is_standard_input() {
            return Ok(Box::new(io::stdin()));
        }
        self.regular()?;
        let file = File::open(&self.0).map_err(RowsError::read(&self.name()))?;
        Ok(Box::new(file))
    }
}
