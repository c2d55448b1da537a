//! Counts of lines that the log lacks.

use serde::Serialize;

/// Lines that were dropped, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Grants, acts of administrators and break-glass.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) grants: u64,
    /// Refusals of attempts from other hosts.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) sources: u64,
    /// Of applications.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) applications: u64,
    /// Of attempts that started at this host.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) local: u64,
    /// Warnings and errors.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) daemon: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Dropped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.grants + self.sources + self.applications + self.local + self.daemon
    }

    /// One line of each kind, for the test that each field is documented.
    #[cfg(test)]
    pub(crate) const fn one_of_each() -> Self {
        Self { grants: 1, sources: 1, applications: 1, local: 1, daemon: 1 }
    }
}
