//! Who administers: each call is authorised by itself.

use crate::audit::{self, Event, EventKind, EventSource, UnjudgedReason};
use crate::clock;
use crate::config::AdminScope;
use crate::state::{DaemonState, ServiceState};
use crate::user_directory::Member;
use crate::varlink::peer::{Callers, Peer};
use crate::varlink::rate_limit::RateLimit;
use crate::varlink::reply::{Bytes, failed_plainly};
use totp_wire::admin::BUSY;
use totp_wire::service;

/// A peer that may administer.
#[derive(Clone, Debug)]
pub(crate) struct Administrator {
    peer: Peer,
    /// The login name of a member of a group.
    name: Option<String>,
    scope: Scope,
}

/// What an administrator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Look, unlock, and make passcodes and tickets, for users who are not protected.
    Helpdesk,
    /// Everything but what is root's alone.
    Admin,
    /// Everything.
    Root,
}

impl Scope {
    /// The scope that a method needs. `None`: it is not an administrator's.
    const fn needed(callers: Callers) -> Option<Self> {
        match callers {
            Callers::Everybody | Callers::Themselves => None,
            Callers::Helpdesk => Some(Self::Helpdesk),
            Callers::Administrators => Some(Self::Admin),
            Callers::Root => Some(Self::Root),
        }
    }
}

impl Administrator {
    /// The source of what this administrator does.
    pub(crate) fn from(&self) -> EventSource {
        EventSource { peer_user: self.name.as_deref().map(audit::field), ..self.peer.from() }
    }

    /// The uid, as the kernel has it.
    pub(super) const fn uid(&self) -> u32 {
        self.peer.uid
    }

    /// Whether this is a member of the helpdesk, and no more.
    pub(super) fn is_helpdesk(&self) -> bool {
        self.scope == Scope::Helpdesk
    }

    /// Lets root administer, and members of administrators' groups while there is a configuration
    /// that names them. The kernel says who the peer is, and the user directory which groups it is
    /// in.
    ///
    /// # Errors
    /// The reply that refuses the call. Refusals of a uid are counted, and no directory is asked
    /// about a uid that has had too many.
    pub(super) async fn authorise(
        state: &DaemonState,
        service: &ServiceState,
        rate_limit: &RateLimit,
        peer: Peer,
        callers: Callers,
    ) -> Result<Self, Bytes> {
        if peer.uid == 0 {
            return Ok(Self { peer, name: None, scope: Scope::Root });
        }
        if !rate_limit.may_attempt(peer.uid) {
            return Err(failed_plainly(BUSY));
        }
        let found = Self::member(state, service, peer).await;
        let needed = Scope::needed(callers);
        if let Some(administrator) = found.filter(|who| needed.is_some_and(|needed| who.scope >= needed)) {
            return Ok(administrator);
        }
        if !rate_limit.allows_attempt(peer.uid) {
            return Err(failed_plainly(BUSY));
        }
        let event = Event::new(EventKind::Admin, "", clock::now(), peer.from());
        event.refused(UnjudgedReason::NotAnAdministrator).log();
        Err(failed_plainly(service::PERMISSION_DENIED))
    }

    async fn member(state: &DaemonState, service: &ServiceState, peer: Peer) -> Option<Self> {
        let ServiceState::Serving(engine) = service else { return None };
        let administration = &engine.config().administration;
        if administration.groups.is_empty() {
            return None;
        }
        let asked = administration.groups.iter().map(|(group, _)| group.clone()).collect();
        // A directory that hangs is no proof of membership.
        let Member { name, groups } = state.directory.member(peer.uid, asked).await.ok()??;
        let of_member = administration.groups.iter().filter(|(group, _)| groups.contains(group));
        let scope = match of_member.map(|(_, scope)| *scope).max()? {
            AdminScope::Helpdesk => Scope::Helpdesk,
            AdminScope::Admin => Scope::Admin,
        };
        Some(Self { peer, name: Some(name), scope })
    }
}
