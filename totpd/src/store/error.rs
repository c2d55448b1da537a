//! Why a store was not opened, not read, or not changed.

use std::io::Error as IoError;

/// Why a store cannot be opened or made. The text says what to check.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state folder holds no store.
    #[error(
        "{0} holds no store (totpd.db). Is the state folder mounted? Nobody is let in without it. If this \
         host was never set up, run `{1}`"
    )]
    Missing(String, String),
    /// The database of a server holds no store.
    #[error(
        "{0} holds no store. Is it the right database? Nobody is let in without the store. If this site was never \
         set up, run `{1}`; a further server needs key and store.id of the first one"
    )]
    NoStore(String, String),
    /// The database holds a store already.
    #[error(
        "{0} holds a store already; `totpd init` never overwrites one. A further server of the site needs totpd.key and \
         store.id of the first one"
    )]
    HoldsStore(String),
    /// No server of the store can be used. The text says why for each of them.
    #[error("the store's server cannot be used: {0}")]
    Server(String),
    /// The store's file is empty.
    #[error("{0} is empty. Put the store back from its backup; totpd never starts over by itself")]
    Empty(String),
    /// The store was in use, and its log is gone.
    #[error(
        "{0} was in use when it was last written, and its log ({0}-wal) is missing: without it used codes \
         would be fresh again. Put the whole state folder back as it was, or a backup from an orderly stop"
    )]
    LogMissing(String),
    /// This process may not use it. The text says why and what to do.
    #[error("{0}")]
    Denied(String),
    /// It is not a store of totpd, or it is damaged.
    #[error("{0} is damaged or no store of totpd ({1}). It was left as it is; put it back from its backup")]
    Damaged(String, String),
    /// The key belongs to another store.
    #[error(
        "{0} is store {1}, but the key belongs to store {2}. Is another state folder mounted, or an old key \
         in place?"
    )]
    OtherStore(String, String, String),
    /// The store was copied, and the copy is not complete.
    #[error(
        "{0} is an unfinished copy of this host's store. Run the `totpd store copy` that was interrupted again"
    )]
    UnfinishedCopy(String),
    /// The store was copied to another place, and is closed.
    #[error(
        "{0} was copied to {1}, and is closed: codes that were used there would be fresh here. Set [store] url, or \
         state_dir without [store], to the copy"
    )]
    Copied(String, String),
    /// The key has the store's id and does not open it.
    #[error("the key does not open {0}: it was sealed with another key")]
    OtherKey(String),
    /// A newer release wrote it.
    #[error("{0} was written by a newer totpd (schema {1}, this one knows {2}). Install that release again")]
    Newer(String, i64, i64),
    /// It is older than its witness says, and not everything that it lacks is known.
    #[error(
        "{0} is older than this host's store was: {1}. Put the newer store back, or take this one as it is: \
         `totpd restore --accept`"
    )]
    Older(String, String),
    /// There is a store already.
    #[error("{0} exists already; `totpd init` never overwrites a store")]
    Exists(String),
    /// The file system returned an error.
    #[error("{0}: {1}")]
    Io(String, IoError),
    /// The database returned an error.
    #[error("{0}: {1}")]
    Database(String, String),
    /// No thread could be started.
    #[error("a thread cannot be started: {0}")]
    Thread(IoError),
}

/// Why a change set was not acknowledged.
///
/// Each of these but [`InDoubt`](Self::InDoubt) means that nothing of the change set was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another change came first: a record that the change set names is at another version, or
    /// gone.
    ///
    /// A database that aborts one of several transactions (SQLSTATE 40001, 40P01) reports this,
    /// too. Read again and decide again.
    #[error("the record changed meanwhile")]
    Conflict,
    /// Another account has the value that no two may share.
    #[error("the {0} belongs to another user")]
    Duplicate(UniqueField),
    /// The guard was cancelled, or its deadline passed, before the commit began; or too many wait.
    #[error("too late")]
    Cancelled,
    /// Storage is full, or runs low and the change set grows the store.
    #[error("{0}")]
    StorageFull(String),
    /// The store cannot be reached, or refuses everything.
    #[error("{0}")]
    Unavailable(String),
    /// The commit may have begun, alone or with others, and it is not known whether it is durable:
    /// the disk failed, the connection was lost, or the wait for a standby ended early.
    ///
    /// The change set is either there as a whole or not at all. Never grant on it: a code in it may
    /// be used. A later read says what became of it, once the store serves again.
    #[error("{0}")]
    InDoubt(String),
}

/// A value that no two accounts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueField {
    /// The login name.
    Name,
    /// The mail address, in any case.
    Email,
    /// The phone number.
    Phone,
}

impl std::fmt::Display for UniqueField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Email => "mail address",
            Self::Phone => "phone number",
        })
    }
}

/// Why nothing was read. The text quotes no data of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);
