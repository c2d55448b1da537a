//! `org.totpd.Admin`: each call is authorised, then done.

pub(crate) mod clients;
pub(crate) mod daemon;
pub(crate) mod factors;
pub(crate) mod given;
pub(crate) mod history;
pub(crate) mod passcodes;

use crate::audit::{Event, EventKind, UnjudgedReason};
use crate::clock;
use crate::engine::Engine;
use crate::state::{DaemonState, ServiceState};
use crate::user_directory::UserDirectory;
use crate::varlink::peer::{Callers, Peer};
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::{Bytes, failed, failed_plainly};
use std::pin::Pin;
use std::sync::Arc;
use totp_core::UserName;
use totp_wire::admin::{BUSY, NO_SUCH_USER, STORE_UNAVAILABLE};
use totp_wire::service;

/// A reply on its way. `Err` is an error of the interface.
pub(crate) type Reply<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Bytes>> + Send + 'a>>;

/// Answers an administrator's call while the daemon serves.
pub(crate) type Handler = for<'a> fn(&'a AdminCall<'a>, &'a [u8]) -> Reply<'a>;

/// Answers an administrator's call, also while the daemon refuses.
pub(crate) type StateHandler = for<'a> fn(&'a Authorised<'a>, &'a [u8]) -> Reply<'a>;

/// A peer that may administer, and the daemon that it asks.
#[derive(Debug)]
pub(crate) struct Authorised<'a> {
    pub(crate) state: &'a DaemonState,
    pub(crate) service: ServiceState,
    pub(crate) peer: Peer,
}

/// A call of an administrator's to a daemon that serves.
#[derive(Debug)]
pub(crate) struct AdminCall<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) directory: &'a UserDirectory,
    pub(crate) peer: Peer,
}

/// Lets root administer, and members of `admin_group` while there is a configuration that names it.
/// A method for [`Callers::Root`] is for root alone.
///
/// # Errors
/// The reply that refuses the call. A peer that is not an administrator is logged.
pub(crate) async fn authorise<'a>(
    state: &'a DaemonState,
    rate_limit: &RateLimit,
    peer: Peer,
    callers: Callers,
) -> Result<Authorised<'a>, Bytes> {
    let service = state.service();
    if !is_administrator(state, &service, peer).await {
        if !rate_limit.allows_attempt(peer.uid) {
            return Err(failed_plainly(BUSY));
        }
        let event = Event::new(EventKind::Admin, "", clock::now(), peer.from());
        event.refused(UnjudgedReason::NotAnAdministrator).log();
        return Err(failed_plainly(service::PERMISSION_DENIED));
    }
    if callers == Callers::Root && peer.uid != 0 {
        return Err(failed_plainly(service::PERMISSION_DENIED));
    }
    Ok(Authorised { state, service, peer })
}

async fn is_administrator(state: &DaemonState, service: &ServiceState, peer: Peer) -> bool {
    if peer.uid == 0 {
        return true;
    }
    let ServiceState::Serving(engine) = service else { return false };
    match &engine.config().admin_group {
        // A directory that hangs is no proof of membership.
        Some(group) => state.directory.is_member(peer.uid, group).await.unwrap_or(false),
        None => false,
    }
}

/// Has `handler` answer, or says why the daemon refuses.
pub(crate) async fn call(
    authorised: &Authorised<'_>,
    handler: Handler,
    parameters: &[u8],
) -> Result<Bytes, Bytes> {
    let Authorised { state, service, peer } = authorised;
    match service {
        ServiceState::Serving(engine) => {
            handler(&AdminCall { engine, directory: &state.directory, peer: *peer }, parameters).await
        }
        ServiceState::Refusing(why) => Err(failed(STORE_UNAVAILABLE, "why", why)),
    }
}

impl AdminCall<'_> {
    /// The user of a call, by the name that the system calls them.
    ///
    /// # Errors
    /// The reply that says that nobody has the name.
    async fn user(&self, user: &str) -> Result<UserName, Bytes> {
        let name = UserName::parse(user).map_err(|_| failed(NO_SUCH_USER, "user", user))?;
        Ok(self.engine.name_of(name).await)
    }
}

/// The reply for a parameter of the wrong value. `what` says which, and what it should be.
fn invalid(what: &str) -> Bytes {
    failed(service::INVALID_PARAMETER, "parameter", what)
}
