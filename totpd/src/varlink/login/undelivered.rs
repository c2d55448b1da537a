//! A grant whose reply has not arrived yet: if it never does, that is recorded.

use crate::audit::Event;
use crate::engine::{AnswerOutcome, BeginOutcome, Engine};
use crate::varlink::login::State;
use std::sync::Arc;
use totp_wire::login::Step;

/// A grant on its way.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) engine: Arc<Engine>,
    pub(super) event: Box<Event>,
}

/// What may hold a grant.
pub(super) trait Grants {
    /// The event of the grant, if it is one.
    fn event(&self) -> Option<&Event>;
}

impl Grants for BeginOutcome {
    fn event(&self) -> Option<&Event> {
        if let Self::Remembered(grant) = self { Some(&grant.event) } else { None }
    }
}

impl Grants for AnswerOutcome {
    fn event(&self) -> Option<&Event> {
        if let Self::Granted(grant) = self { Some(&grant.event) } else { None }
    }
}

impl Grants for (State, Step) {
    fn event(&self) -> Option<&Event> {
        None
    }
}
