//! What administrators do with the credentials of applications.

use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// Makes a secret for a client of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddClient {
    /// The client's name.
    pub name: String,
    /// `verify`, `enroll` or `admin`.
    pub scope: String,
}

/// What the application needs, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddClientReply {
    /// The user of HTTP's Basic scheme.
    pub project_id: String,
    /// Its password.
    pub secret: SecretText,
    /// Names the secret.
    pub secret_id: String,
}

/// Asks for every secret of every client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListClients {
    /// After this secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A secret of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// The client's name.
    pub name: String,
    /// `verify`, `enroll` or `admin`.
    pub scope: String,
    /// Names the secret.
    pub secret_id: String,
    /// When it was made.
    pub created_at: u64,
    /// When it was last used, since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
}

/// A page of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListClientsReply {
    /// The project that all of them belong to.
    pub project_id: String,
    /// The secrets.
    pub clients: Vec<ClientSecret>,
    /// Where the next page starts, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Takes secrets away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeClient {
    /// The client's name.
    pub name: String,
    /// This secret alone; otherwise all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
}

/// How many there were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeClientReply {
    /// Secrets that are worth nothing any more.
    pub revoked: u64,
}
