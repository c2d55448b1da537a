//! A finding of doctor: what happened, why it matters, and what fixes it.

use super::fix::Fix;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How serious a finding is, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; the host is healthy.
    Note,
    /// Something works differently from how it looks, or will fail.
    Warning,
    /// A login works without its code, or does not work with it.
    Error,
}

impl Severity {
    /// The severity as it is written in reports and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of finding. [`super::catalogue`] has every kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The stable name, in kebab-case.
    pub id: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// Why it matters, as a sentence.
    pub why: &'static str,
    /// The controls of STIG, SRG, CIS and lynis that it violates.
    pub controls: &'static [&'static str],
}

/// The file and line of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, by its path on the host.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Something that doctor found.
#[derive(Debug)]
pub struct Finding {
    /// Its kind.
    pub kind: &'static Kind,
    /// The service, unit, user or file that it is about. Together with the id it identifies the
    /// finding.
    pub subject: String,
    /// What happened, as a sentence without a full stop.
    pub what: String,
    /// The command or the line that fixes it.
    pub cure: String,
    /// The file and line that it is about.
    pub location: Option<Location>,
    /// What `--fix` does. `None` if it concerns another program's file, or a person has to decide.
    pub fix: Option<Fix>,
}

impl Finding {
    /// A finding about `subject`.
    pub fn new(kind: &'static Kind, subject: impl Into<String>, what: impl Into<String>) -> Self {
        let (subject, mut what) = (subject.into(), what.into());
        // Reports add the full stop, and the text of a program or the daemon may end with one.
        while what.ends_with(['.', ' ']) {
            what.pop();
        }
        Self { kind, subject, what, cure: String::new(), location: None, fix: None }
    }

    /// Sets the command or the line that fixes it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }

    /// Sets its file and line.
    #[must_use]
    pub fn at(mut self, file: &Path, line: impl Into<Option<usize>>) -> Self {
        self.location = Some(Location { file: file.to_owned(), line: line.into() });
        self
    }

    /// Sets what `--fix` does, which is also the cure if none is set.
    #[must_use]
    pub fn fixed_by(mut self, fix: Fix) -> Self {
        if self.cure.is_empty() {
            self.cure = format!("Run: {fix}");
        }
        self.fix = Some(fix);
        self
    }
}

/// The most names to list in one sentence.
const MAX_NAMES: usize = 10;

/// The first of these names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MAX_NAMES).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
