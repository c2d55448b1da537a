//! Backups: an age file that holds a tar archive of manifest, configuration, key and store.
//! `age -d FILE | tar x` opens one without totpd.

mod archive;
mod create;
mod restore;

pub use archive::{Lock, Manifest, Opener};
pub use create::{Created, Source, create};
pub use restore::{Plan, Target, plan};

use crate::init::InitError;
use crate::store::OpenError;

/// Why no backup was made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is not an age file, was cut off, or was changed.
    #[error("{0} cannot be decrypted: {1}")]
    Decrypt(String, age::DecryptError),
    /// It is an age file, and holds something else.
    #[error("{0} is not a backup of totpd: {1}")]
    NotOurs(String, String),
    /// It holds no key, and this host has none.
    #[error(
        "the backup was made with --without-key, and this host has no key of store {0}. Put the key file back first"
    )]
    NoKey(String),
    /// This host has another store.
    #[error("{0} belongs to another store than the backup. {1}")]
    OtherStore(String, &'static str),
    /// The store in it cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Files cannot be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The clock would make used codes fresh.
    #[error(
        "this host's clock is behind the release of totpd or the backup. Set it first: used codes would be fresh again"
    )]
    Clock,
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

fn io(path: &std::path::Path) -> impl Fn(std::io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Io(path.clone(), error)
}
