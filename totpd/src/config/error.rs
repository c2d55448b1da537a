//! Why a configuration cannot be used.

use super::file::FileError;
use std::path::Path;

/// Why a configuration cannot be used: one sentence with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    /// `FILE`, or `FILE:LINE:COLUMN`.
    pub place: String,
    /// What is wrong and what would be right.
    pub what: String,
    /// What kind of mistake it is.
    pub problem: ConfigProblem,
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigProblem {
    /// The file was read, and what it says has a mistake of syntax or value.
    Content,
    /// The file is missing or cannot be read.
    Unreadable,
    /// Somebody else than root and the daemon's user may change the file: nothing in it counts.
    Untrusted,
}

impl ConfigError {
    pub(super) fn content(path: &Path, what: String) -> Self {
        Self { place: path.display().to_string(), what, problem: ConfigProblem::Content }
    }

    pub(super) fn of_file(path: &Path, error: FileError) -> Self {
        let (what, problem) = match error {
            FileError::NotText => ("is not UTF-8 text".to_owned(), ConfigProblem::Content),
            FileError::Unreadable(what) => (what, ConfigProblem::Unreadable),
            FileError::Untrusted(what) => (what, ConfigProblem::Untrusted),
        };
        Self { place: path.display().to_string(), what, problem }
    }
}
