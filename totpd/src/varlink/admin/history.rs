//! What happened, and what would happen.

use super::AdminCall;
use crate::user_directory::DirectoryUnavailable;
use crate::varlink::account_error::to_admin;
use crate::varlink::peer::{self, Peer};
use crate::varlink::reply::{Bytes, done, failed, read};
use crate::varlink::views::{explained, history_page, history_query};
use totp_core::{Time, UserName};
use totp_wire::admin::{Explain, History, NO_SUCH_USER, STORE_UNAVAILABLE};
use totp_wire::login::Attempt;

/// `History`: a page of events, the latest first.
pub(crate) async fn history(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let History { user, before, since, limit } = read(parameters)?;
    let query = history_query(user, before, since, limit);
    let limit = query.limit;
    let rows = call.engine.history(query).await.map_err(|e| to_admin(e, ""))?;
    Ok(done(&history_page(rows, limit)))
}

/// `Explain`: what the rules would do with an attempt.
pub(crate) async fn explain(call: &AdminCall<'_>, parameters: &[u8]) -> Result<Bytes, Bytes> {
    let asked: Explain = read(parameters)?;
    let real_uid = supposed_caller(call, &asked).await?;
    let attempt = Attempt {
        real_uid,
        user: asked.user.clone(),
        service: Some(asked.service),
        ruser: asked.ruser,
        rhost: asked.rhost,
        ssh_auth: asked.ssh_auth,
        first_factor: asked.first_factor,
        ..Attempt::default()
    };
    let peer = Peer { uid: asked.peer_uid.unwrap_or(0), pid: None };
    let request = peer::simulate(peer, &attempt, call.engine.config());
    let request = request.ok_or_else(|| failed(NO_SUCH_USER, "user", &asked.user))?;
    let explanation = call.engine.explain(request, asked.at.map(Time::from_unix)).await;
    Ok(done(&explained(explanation.map_err(|e| to_admin(e, &asked.user))?)))
}

/// The user who would start the program that asks: the one named, or for a program of this machine
/// that is not a console's the user themselves, as with sudo.
async fn supposed_caller(call: &AdminCall<'_>, asked: &Explain) -> Result<Option<u32>, Bytes> {
    let local = asked.rhost.is_none() && !call.engine.config().console_services.contains(&asked.service);
    let Some(name) = asked.ruser.as_ref().or(Some(&asked.user).filter(|_| local)) else { return Ok(None) };
    let nobody = || failed(NO_SUCH_USER, "user", name);
    let parsed = UserName::parse(name).map_err(|_| nobody())?;
    let unavailable = |error: DirectoryUnavailable| failed(STORE_UNAVAILABLE, "why", &error.to_string());
    match call.directory.find(&parsed).await.map_err(unavailable)? {
        Some(found) => Ok(Some(found.uid)),
        None if asked.ruser.is_some() => Err(nobody()),
        None => Ok(None),
    }
}
