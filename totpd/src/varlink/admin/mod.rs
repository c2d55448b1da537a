//! `org.totpd.Admin`: each call is authorised, then done.

mod acted_on;
mod administrator;
pub(crate) mod clients;
pub(crate) mod daemon;
pub(crate) mod factors;
pub(crate) mod given;
pub(crate) mod history;
pub(crate) mod passcodes;

use crate::engine::Engine;
use crate::state::{DaemonState, ServiceState};
use crate::user_directory::UserDirectory;
use crate::varlink::peer::{Callers, Peer};
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::{Bytes, failed};
use administrator::Administrator;
use std::pin::Pin;
use std::sync::Arc;
use totp_wire::admin::STORE_UNAVAILABLE;
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
    pub(crate) rate_limit: &'a RateLimit,
    pub(crate) peer: Administrator,
}

/// A call of an administrator's to a daemon that serves.
#[derive(Debug)]
pub(crate) struct AdminCall<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) directory: &'a UserDirectory,
    rate_limit: &'a RateLimit,
    pub(crate) peer: Administrator,
}

/// Lets a peer make a call, if it is an administrator whose scope has the method.
///
/// # Errors
/// The reply that refuses the call. A peer that may not make it is logged.
pub(crate) async fn authorise<'a>(
    state: &'a DaemonState,
    rate_limit: &'a RateLimit,
    peer: Peer,
    callers: Callers,
) -> Result<Authorised<'a>, Bytes> {
    let service = state.service();
    let peer = Administrator::authorise(state, &service, rate_limit, peer, callers).await?;
    Ok(Authorised { state, service, rate_limit, peer })
}

/// Has `handler` answer, or says why the daemon refuses.
pub(crate) async fn call(
    authorised: &Authorised<'_>,
    handler: Handler,
    parameters: &[u8],
) -> Result<Bytes, Bytes> {
    let Authorised { state, service, rate_limit, peer } = authorised;
    match service {
        ServiceState::Serving(engine) => {
            let directory = &state.directory;
            handler(&AdminCall { engine, directory, rate_limit, peer: peer.clone() }, parameters).await
        }
        ServiceState::Refusing(why) => Err(failed(STORE_UNAVAILABLE, "why", why)),
    }
}

/// The reply for a parameter of the wrong value. `what` says which, and what it should be.
fn invalid(what: &str) -> Bytes {
    failed(service::INVALID_PARAMETER, "parameter", what)
}
