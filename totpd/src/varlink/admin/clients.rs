//! Credentials of applications.

use super::{AdminCall, invalid};
use crate::engine::api::{AddedClient, Scope};
use crate::varlink::account_error::to_admin;
use crate::varlink::reply::{Bytes, done, read};
use crate::varlink::views::client_page;
use totp_wire::SecretText;
use totp_wire::admin::{AddClient, AddClientReply, ListClients, RevokeClient, RevokeClientReply};

/// `AddClient`: makes credentials, whose secret is shown once.
pub(crate) async fn add(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let AddClient { name, scope } = read(parameters)?;
    let scope = Scope::of(&scope).ok_or_else(|| invalid("a scope is verify, enroll or admin"))?;
    let added =
        call.engine.add_client(&name, scope, call.peer.from()).await.map_err(|e| to_admin(e, &name))?;
    let AddedClient { project_id, secret, secret_id } = added;
    Ok(done(&AddClientReply { project_id, secret: SecretText::new(secret), secret_id }))
}

/// `ListClients`: a page of the credentials, without their secrets.
pub(crate) async fn list(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let ListClients { after } = read(parameters)?;
    let clients = call.engine.clients().await.map_err(|e| to_admin(e, ""))?;
    Ok(done(&client_page(call.engine.project_id(), &clients, after.as_deref())))
}

/// `RevokeClient`: one secret of an application, or all of them.
pub(crate) async fn revoke(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let RevokeClient { name, secret_id } = read(parameters)?;
    let revoked = call.engine.revoke_client(&name, secret_id.as_deref(), call.peer.from()).await;
    let revoked = revoked.map_err(|e| to_admin(e, &name))?;
    Ok(done(&RevokeClientReply { revoked: u64::try_from(revoked).unwrap_or(u64::MAX) }))
}
