//! Why a store was not copied.

use crate::store::error::OpenError;

/// Why a store was not copied. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is neither a folder nor a URL that can be used.
    #[error("{0}")]
    Place(String),
    /// Both ends are databases of one kind.
    #[error("FROM and TO are both {0}. One is a state folder, and the other a URL postgresql://…")]
    SameKind(&'static str),
    /// A daemon serves it.
    #[error(
        "{0} is in use. Stop every daemon that serves it first: systemctl stop 'totpd*.socket' totpd.service"
    )]
    Running(String),
    /// The source holds no store.
    #[error("{0} holds no store, so there is nothing to copy")]
    NoStore(String),
    /// The source is an unfinished copy.
    #[error("{0} is an unfinished copy. Run the copy that was interrupted again, from its own source")]
    Unfinished(String),
    /// The source was copied before.
    #[error("{0} was copied before, and is closed; {1} is not an unfinished copy of it. Serve the copy")]
    Closed(String, String),
    /// The target holds a store already.
    #[error("{0} holds a store already, and is not overwritten. Name an empty folder or database")]
    NotEmpty(String),
    /// The source is another store than the key's.
    #[error("{0} is store {1}, but the key belongs to store {2}. Is --config the one of this store?")]
    OtherStore(String, String, String),
    /// The key has the source's id and does not open it.
    #[error("the key does not open {0}: it was sealed with another key")]
    OtherKey(String),
    /// The user has interrupted it.
    #[error("interrupted. The same command goes on; until then no daemon serves the unfinished copy")]
    Interrupted,
    /// A row is not as it was written.
    #[error(
        "{0}: a row of table {1} is not that of the source. Nothing was closed; empty the target, and copy again"
    )]
    Differs(String, &'static str),
    /// A store cannot be opened or made.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database returned an error.
    #[error("{0}: {1}")]
    Database(String, String),
    /// The kernel's random source failed.
    #[error("{0}")]
    Random(#[from] totp_core::RandomFailed),
}
