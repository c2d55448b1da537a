//! The credentials of the applications that use the HTTP API.

use crate::text::SecretText;
use serde::{Deserialize, Serialize};

/// `AddClient`: creates a secret for an application. An application can have several, so that they
/// can be rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddClient {
    /// The name of the application.
    pub name: String,
    /// What the secret allows: `verify`, `enroll` or `admin`.
    pub scope: String,
}

/// The reply to [`AddClient`]: the credentials of HTTP Basic authentication (RFC 7617), which the
/// daemon shows only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddClientReply {
    /// The user name.
    pub project_id: String,
    /// The password.
    pub secret: SecretText,
    /// The id of the secret.
    pub secret_id: String,
}

/// `ListClients`: asks for a page of the secrets of all applications, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListClients {
    /// The [`next`](ListClientsReply::next) of the previous page. `None`: the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A secret of an application, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// The name of the application.
    pub name: String,
    /// What the secret allows: `verify`, `enroll` or `admin`.
    pub scope: String,
    /// The id of the secret.
    pub secret_id: String,
    /// When the secret was created.
    pub created_at: u64,
    /// When the secret was last used, if it was used since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
}

/// The reply to [`ListClients`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListClientsReply {
    /// The user name of HTTP Basic authentication, which is the same for all secrets.
    pub project_id: String,
    /// The secrets.
    pub clients: Vec<ClientSecret>,
    /// The value of [`after`](ListClients::after) for the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `RevokeClient`: deletes secrets of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeClient {
    /// The name of the application.
    pub name: String,
    /// The id of the secret to delete. `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
}

/// The reply to [`RevokeClient`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeClientReply {
    /// How many secrets were deleted.
    pub revoked: u64,
}
