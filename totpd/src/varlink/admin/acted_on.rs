//! On whom an administrator acts.

use super::AdminCall;
use crate::audit::{Event, EventKind, UnjudgedReason};
use crate::clock;
use crate::engine::ActedOn;
use crate::varlink::reply::{Bytes, failed, failed_plainly, failed_with};
use serde_json::json;
use totp_core::UserName;
use totp_wire::admin::{BUSY, NO_SUCH_USER, PROTECTED_USER};
use totp_wire::service;

impl AdminCall<'_> {
    /// The user of a call that only administrators make, by the name that the system calls them.
    ///
    /// # Errors
    /// The reply that says that nobody has the name. The helpdesk is refused: its acts go through
    /// [`AdminCall::acted_on`].
    pub(super) async fn user(&self, user: &str) -> Result<UserName, Bytes> {
        if self.peer.is_helpdesk() {
            return Err(failed_plainly(service::PERMISSION_DENIED));
        }
        self.looked_at(user).await
    }

    /// The user of a call that changes nothing, by the name that the system calls them.
    ///
    /// # Errors
    /// The reply that says that nobody has the name.
    pub(super) async fn looked_at(&self, user: &str) -> Result<UserName, Bytes> {
        let name = UserName::parse(user).map_err(|_| failed(NO_SUCH_USER, "user", user))?;
        Ok(self.engine.name_of(name).await)
    }

    /// The user of a call that the helpdesk may make, for users who are not protected.
    ///
    /// # Errors
    /// The reply that says that nobody has the name, or that the user is protected.
    pub(super) async fn acted_on(&self, user: &str) -> Result<ActedOn, Bytes> {
        if !self.peer.is_helpdesk() {
            return Ok(ActedOn { name: self.looked_at(user).await?, checked_uid: None });
        }
        let name = UserName::parse(user).map_err(|_| failed(NO_SUCH_USER, "user", user))?;
        let groups = self.engine.config().administration.untouchable();
        let why = match self.directory.target(&name, groups).await {
            Ok(None) => return Err(failed(NO_SUCH_USER, "user", user)),
            Ok(Some(target)) if target.user.uid == 0 => "root",
            Ok(Some(target)) if target.user.uid == self.peer.uid() => "oneself",
            Ok(Some(target)) if target.is_protected => "group",
            Ok(Some(target)) => {
                return Ok(ActedOn { name: target.user.name, checked_uid: Some(target.user.uid) });
            }
            // A user whose groups are not known may be in any.
            Err(_) => "directory",
        };
        if !self.rate_limit.allows_attempt(self.peer.uid()) {
            return Err(failed_plainly(BUSY));
        }
        let event = Event::new(EventKind::Admin, name.as_str(), clock::now(), self.peer.from());
        event.refused(UnjudgedReason::ProtectedUser).log();
        Err(failed_with(PROTECTED_USER, &json!({ "user": name.as_str(), "why": why })))
    }
}
