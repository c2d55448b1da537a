//! Which attempts reach an authority: those that the peer may make, that have room, and that do
//! not come too often.

use crate::audit::UnjudgedReason;
use crate::config::Config;
use crate::engine::LoginRequest;
use crate::os_random::Kernel;
use crate::varlink::connection::Connection;
use crate::varlink::login::refusal::{Attempted, log_refusal};
use crate::varlink::peer::{self, NotAuthorised};
use crate::varlink::reply::{Bytes, failed_plainly};
use crate::varlink::server::{Server, ServerState};
use data_encoding::BASE32_NOPAD;
use totp_core::policy::Peer as Speaker;
use totp_core::random;
use totp_wire::login::{self, Attempt};
use totp_wire::service;

/// What is believed of an attempt, if its peer may make it, has room for it, and does not ask too
/// often.
///
/// # Errors
/// The reply that refuses it.
pub(super) async fn admit<S: ServerState>(
    server: &Server<S>,
    connection: &Connection,
    attempt: &Attempt,
    config: &Config,
) -> Result<LoginRequest, Bytes> {
    let (peer, directory) = (connection.peer, server.state.directory());
    if !peer::speaks_for_others(peer.uid, Some(config)) && !server.rate_limit.allows_attempt(peer.uid) {
        return Err(failed_plainly(login::BUSY));
    }
    let request = match peer::authorise(peer, attempt, new_id(), config, directory).await {
        Ok(request) => request,
        Err(NotAuthorised::Denied) => {
            log_refusal(server, connection, Attempted::of(&attempt.user), UnjudgedReason::NotYours);
            return Err(failed_plainly(service::PERMISSION_DENIED));
        }
        Err(NotAuthorised::DirectoryUnavailable) => {
            log_refusal(server, connection, Attempted::of(&attempt.user), UnjudgedReason::DirectoryStuck);
            return Err(failed_plainly(login::BUSY));
        }
    };
    if request.facts.peer != Speaker::SelfService
        && connection.slot.begin(&peer::cause(&request.user, &request.from)).is_err()
    {
        log_refusal(server, connection, Attempted::of(&attempt.user), UnjudgedReason::Busy);
        return Err(failed_plainly(login::BUSY));
    }
    // Not even a line of the log for each: filling the log is what a caller that asks so often
    // wants.
    if let Some(caller) = request.facts.caller
        && !server.rate_limit.allows_stranger(caller)
        && !peer::is_oneself(&request, caller, directory).await
    {
        return Err(failed_plainly(login::BUSY));
    }
    Ok(request)
}

/// A random name for an attempt. It is in the attempt's steps and events.
fn new_id() -> String {
    let bytes: [u8; 5] = random::bytes(&mut Kernel).unwrap_or_default();
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}
