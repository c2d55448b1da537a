//! The end of a store that has failed: everything is refused until a fresh process opens it.

use crate::store::Health;
use std::sync::{Arc, OnceLock};

/// Why a store refuses everything.
#[derive(Debug)]
struct FatalError {
    why: String,
    /// Whether what was written to the open files is whole.
    files_are_whole: bool,
}

/// Whether a store has failed. Everything that belongs to one store shares it; the first failure
/// stays.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<OnceLock<FatalError>>);

impl Failure {
    /// A write failed, and what is in the files is not known. Logs it, and returns the reason that
    /// stays.
    pub(super) fn write_failed(&self, why: String) -> String {
        self.set(why, false)
    }

    /// The files were moved away or replaced; what was written to them is whole where they are now.
    pub(super) fn files_moved(&self, why: String) {
        let _ = self.set(why, true);
    }

    fn set(&self, why: String, files_are_whole: bool) -> String {
        tracing::error!("{why}");
        self.0.get_or_init(|| FatalError { why, files_are_whole }).why.clone()
    }

    /// Why everything is refused, once it is.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.get().map(|error| error.why.clone())
    }

    /// Whether the files can be marked as complete: nothing failed while they were written.
    pub(super) fn files_are_whole(&self) -> bool {
        self.0.get().is_none_or(|error| error.files_are_whole)
    }

    /// The same as the store's health.
    pub(super) fn health(&self) -> Health {
        self.reason().map_or(Health::Serving, Health::Failed)
    }
}
