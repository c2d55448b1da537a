//! Why a configuration cannot be used.

use super::file::FileError;
use std::path::Path;

/// Why a configuration cannot be used: the location, and one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {what}")]
pub struct ConfigError {
    /// `FILE`, or `FILE:LINE:COLUMN`.
    pub location: String,
    /// What is wrong, and what would be right.
    pub what: String,
    /// The kind of mistake.
    pub problem: ConfigProblem,
}

/// The kind of mistake in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigProblem {
    /// The file was read, and has a mistake of syntax or value.
    Content,
    /// The file is missing or cannot be read.
    Unreadable,
    /// Users other than root and the daemon's user may change the file, so nothing in it counts.
    Untrusted,
}

impl ConfigError {
    pub(super) fn content(path: &Path, what: String) -> Self {
        Self { location: path.display().to_string(), what, problem: ConfigProblem::Content }
    }

    pub(super) fn of_file(path: &Path, error: FileError) -> Self {
        let (what, problem) = match error {
            FileError::NotText => ("is not UTF-8 text".to_owned(), ConfigProblem::Content),
            FileError::Unreadable(what) => (what, ConfigProblem::Unreadable),
            FileError::Untrusted(what) => (what, ConfigProblem::Untrusted),
        };
        Self { location: path.display().to_string(), what, problem }
    }
}
