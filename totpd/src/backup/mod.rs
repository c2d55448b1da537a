//! Backups. A backup is an age file that contains a tar archive of manifest, configuration, key and
//! store; `age -d FILE | tar x` unpacks it without totpd.

mod archive;
mod create;
mod restore;

pub use archive::{Lock, Manifest, Opener, StoreCopy};
pub use create::{Created, Source, create};
pub use restore::{Plan, Replaced, Target, plan};

use crate::init::InitError;
use crate::store::OpenError;

/// Why a backup was not created or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is not an age file, the passphrase or identity is wrong, or the file was changed.
    #[error("{0} cannot be decrypted: {1}")]
    Decrypt(String, age::DecryptError),
    /// The file decrypts, but is not a backup that this release can read.
    #[error("{0} is not a backup of totpd: {1}")]
    NotOurs(String, String),
    /// The backup contains no key, and this host has no key of its store.
    #[error(
        "the backup was made with --without-key, and this host has no key of store {0}. Put the key file back first"
    )]
    NoKey(String),
    /// This host has the key of another store than the backup's.
    #[error("{0} belongs to another store than the backup. {1}")]
    OtherStore(String, &'static str),
    /// The store in the backup is damaged or cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The configuration or the key cannot be read, or a file cannot be created.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The clock is behind, so codes that were used already could be accepted again.
    #[error(
        "this host's clock is behind the release of totpd or the backup. Set it first: used codes would be fresh again"
    )]
    Clock,
    /// The file system returned an error for this path.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// Returns a function that turns an error of the file system into one about `path`.
fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Io(path.clone(), error)
}
