//! The rows that a store keeps for applications beside the accounts: sessions, clients, signing
//! keys.
//!
//! A row's `record` is text of the engine's, which vouches for it with the key. A store returns it
//! as it was written and does not interpret it.

use totp_core::Time;

/// A session as it is stored.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// The hash of its token. No two sessions share one.
    pub token: String,
    /// When it expires.
    pub expires: Time,
    /// Everything else, as JSON.
    pub record: String,
}

/// A session and the version that a change of it has to name.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// The row.
    pub row: SessionRow,
    /// Its version.
    pub version: u64,
}

/// The key by which a session is found.
#[derive(Clone, Debug)]
pub enum SessionKey {
    /// Its id.
    Id(String),
    /// The hash of its token.
    Token(String),
}

/// A secret of a client.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// The id of the secret. No two secrets share one.
    pub secret_id: String,
    /// The name of the client. A client may have several secrets.
    pub name: String,
    /// Everything else, as JSON.
    pub record: String,
}

/// A key that signs or derives tokens, sealed.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: Time,
    /// Everything else, as JSON.
    pub record: String,
}
