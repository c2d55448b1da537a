//! Why the database did not do something, by its SQLSTATE (PostgreSQL's documentation, appendix A).
//! No text quotes data: the server's own messages may.

use crate::store::error::ReadError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why a statement, or a connection, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The connection is of no use any more; another one may be.
    #[error("{0}")]
    Lost(String),
    /// The server accepts no writes: it is a standby, or was demoted to one.
    #[error("PostgreSQL accepts no writes where totpd was connected (SQLSTATE 25006)")]
    ReadOnly,
    /// This transaction was aborted in favour of another one.
    #[error("another transaction came first")]
    Conflict,
    /// Another transaction holds a row for longer than `lock_timeout`.
    #[error("another transaction holds the record for too long")]
    Locked,
    /// There is no room on the server's disk.
    #[error(
        "there was no room on the disk of the PostgreSQL server (SQLSTATE 53100), so the last change was refused. Make room there"
    )]
    Full,
    /// A value exists that no two rows may share; the name of its index.
    #[error("a value that no two rows share exists already")]
    Unique(String),
    /// A row that is referred to does not exist.
    #[error("a row that is referred to does not exist")]
    Missing,
    /// The database cannot hold a value.
    #[error("PostgreSQL refuses a value ({0})")]
    Value(String),
    /// A table does not exist.
    #[error("the tables of the store are missing")]
    NoTables,
    /// A table exists that was to be made.
    #[error("the tables of a store are there already")]
    TableExists,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self::Lost(format!("the connection to PostgreSQL was lost ({})", without_data(&error)));
        };
        let code = said.code();
        match *code {
            SqlState::READ_ONLY_SQL_TRANSACTION => return Self::ReadOnly,
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => return Self::Conflict,
            SqlState::LOCK_NOT_AVAILABLE => return Self::Locked,
            SqlState::DISK_FULL => return Self::Full,
            SqlState::UNIQUE_VIOLATION => {
                return Self::Unique(said.constraint().unwrap_or_default().to_owned());
            }
            SqlState::FOREIGN_KEY_VIOLATION => return Self::Missing,
            SqlState::UNDEFINED_TABLE => return Self::NoTables,
            SqlState::DUPLICATE_TABLE => return Self::TableExists,
            _ => {}
        }
        let why = format!("PostgreSQL answers SQLSTATE {}", code.code());
        if *code == SqlState::QUERY_CANCELED {
            return Self::Other("it took too long".to_owned());
        }
        // 08: connection; 53: resources; 57: an administrator, a crash, a start; 25P03: idle for
        // too long within a transaction.
        match code.code() {
            "25P03" => Self::Lost(why),
            code if code.starts_with("22") => Self::Value(why),
            code if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => Self::Lost(why),
            _ => Self::Other(why),
        }
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl Fault {
    /// A record that cannot be written as JSON.
    pub(super) fn of_json(_: &serde_json::Error) -> Self {
        Self::Other("a record cannot be written as JSON".to_owned())
    }

    /// Whether another connection may do it.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::ReadOnly)
    }
}

/// What the network, TLS or the protocol said: the error and what is below it. No data is in it,
/// since no row was read.
pub(super) fn without_data(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(below) = source {
        let below_text = below.to_string();
        if !text.contains(&below_text) {
            text = format!("{text}: {below_text}");
        }
        source = below.source();
    }
    totp_wire::text::printable(&text, 300)
}
