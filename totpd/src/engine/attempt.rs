//! A login on its way through the engine: the request, the login that waits for an answer, and the
//! grant.

use crate::audit::{Event, EventSource};
use crate::clock;
use crate::config::Config;
use crate::store::Committed;
use std::sync::Arc;
use std::time::Instant;
use totp_core::notices::Notices;
use totp_core::policy::{Facts, FirstFactor, Pass};
use totp_core::remembered::RememberKey;
use totp_core::{Origin, Time, Verified};

/// Who asks, as far as it is believed.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// Whose factor is asked for; it may be nobody's name.
    pub user: String,
    /// Where it comes from, for the lock.
    pub origin: Origin,
    /// Where it comes from, for the audit.
    pub from: EventSource,
    /// Names the attempt.
    pub id: String,
    /// What the policy looks at.
    pub facts: Facts,
    /// The audit session of a root peer.
    pub audit_session: Option<u32>,
    /// Nothing is shown to the person.
    pub silent: bool,
    /// Lines can be shown and several questions be asked.
    pub converses: bool,
    /// When the program ends the login whatever happens, if it is one that does.
    pub ends: Option<Instant>,
}

/// An attempt that is asked for a code.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the attempt")]
pub struct PendingLogin {
    /// Who asks.
    pub request: LoginRequest,
    /// With a first factor it would not have been asked.
    pub(super) unproven: bool,
    /// A factor would have been given, and this program may log what it shows.
    pub(super) not_shown: bool,
    /// Whatever is typed is refused.
    pub(super) denied: bool,
    /// With this proof, a ticket that is typed gives a user without a factor one.
    pub(super) first_factor: Option<FirstFactor>,
    /// It passes whatever is typed.
    pub(super) pass: Option<Pass>,
    /// A grant is remembered so.
    pub(super) remember: Option<(RememberKey, u64)>,
    /// The name is a user's, and may be written down.
    pub(super) known: bool,
    /// What every event of this attempt has in common.
    pub(super) event: Event,
    /// Under which configuration this was decided.
    pub(super) config: Arc<Config>,
}

impl PendingLogin {
    /// An event of this attempt.
    pub(super) fn event_at(&self, now: Time) -> Event {
        Event { time: clock::rfc3339(now), ..self.event.clone() }
    }

    /// Whether the name is a user's, as far as that was looked up.
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// Whether it is asked once and then passes.
    pub fn passes_anyway(&self) -> bool {
        self.pass.is_some()
    }
}

/// A grant, and what is said with it.
#[derive(Debug)]
pub struct Grant {
    /// The proof of the factor.
    pub verified: Verified,
    /// The proof that its use is on stable storage.
    pub committed: Committed,
    /// What was recorded. It is not in the log yet.
    pub event: Box<Event>,
    /// What the user is to be told.
    pub notices: Box<Notices>,
    /// Under what it is remembered.
    pub remembered: Option<RememberKey>,
    /// It has to be shown by a question: `Engine::notices_shown` notes its answer.
    pub needs_answer: bool,
}
