//! What doctor finds: one sentence each for what happened, why it matters, and what cures it.

use super::fix::Fix;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How bad it is. The order is that of the report's end: errors come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; the host is healthy.
    Note,
    /// Something works differently from how it seems to, or will stop.
    Warning,
    /// A login works without its code, or does not work with it.
    Error,
}

impl Severity {
    /// The word in reports and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a kind of finding always says. [`super::catalogue`] has all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The stable name, in kebab-case.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Why it matters: a sentence.
    pub why: &'static str,
    /// The controls of STIG, SRG, CIS and lynis that an auditor ticks or does not.
    pub controls: &'static [&'static str],
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the host calls it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
}

impl std::fmt::Display for Place {
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
    /// What it is about: a service, a unit, a user, a file. With the id it names the finding.
    pub subject: String,
    /// What happened: a sentence.
    pub what: String,
    /// The command, or the line to write, that cures it.
    pub cure: String,
    /// Where it stands.
    pub place: Option<Place>,
    /// What `--fix` does. None: another program's file, or a person has to decide.
    pub fix: Option<Fix>,
}

impl Finding {
    /// A finding about `subject`.
    pub fn new(kind: &'static Kind, subject: impl Into<String>, what: impl Into<String>) -> Self {
        let (subject, mut what) = (subject.into(), what.into());
        // What a program or the daemon said may end as a sentence; the reports put the full stop.
        while what.ends_with(['.', ' ']) {
            what.pop();
        }
        Self { kind, subject, what, cure: String::new(), place: None, fix: None }
    }

    /// What cures it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn at(mut self, file: &Path, line: impl Into<Option<usize>>) -> Self {
        self.place = Some(Place { file: file.to_owned(), line: line.into() });
        self
    }

    /// What `--fix` does, which is also what cures it.
    #[must_use]
    pub fn fixed_by(mut self, fix: Fix) -> Self {
        if self.cure.is_empty() {
            self.cure = format!("Run: {fix}");
        }
        self.fix = Some(fix);
        self
    }
}

/// Names that are listed in one sentence.
const MOST_NAMES: usize = 10;

/// The first of these names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST_NAMES).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
