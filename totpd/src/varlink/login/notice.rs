//! Notices of changes, shown by a question after a right code. OpenSSH shows what follows the last question only on a
//! terminal; what stands before a question it shows to every client. An answer says that it was read.

use crate::engine::{Engine, Grant};
use crate::varlink::login::step;
use crate::varlink::login::{Conversation, State, Undelivered};
use std::sync::Arc;
use totp_wire::login::Step;

const GO_ON: &str = "Press Enter to go on: ";

/// A grant that waits for the answer.
#[derive(Debug)]
pub(super) struct Unread {
    id: String,
    grant: Grant,
    engine: Arc<Engine>,
}

impl Unread {
    pub(super) fn user(&self) -> &str {
        &self.grant.event.user
    }

    /// The answer never came: the grant reached nobody.
    pub(super) fn undelivered(self) -> Undelivered {
        Undelivered { engine: self.engine, event: self.grant.event }
    }
}

impl Conversation {
    /// Shows the notices, and asks.
    pub(super) fn ask_to_read(&mut self, engine: &Arc<Engine>, id: &str, grant: Grant) -> Step {
        let told = engine.login_notices(&grant.event.user, grant.event.from.service.as_deref(), &grant.news);
        let lines = told.into_iter().map(step::error).collect();
        let (id, engine) = (id.to_owned(), Arc::clone(engine));
        let step = step::question(&id, lines, GO_ON, true);
        self.state = State::Unread(Box::new(Unread { id, grant, engine }));
        step
    }

    /// Whatever was answered, it was read: lets in.
    pub(super) async fn was_read(&mut self, engine: &Arc<Engine>, unread: Unread) -> Step {
        let Unread { id, grant, .. } = unread;
        let Grant { verified, committed, event, news, .. } = grant;
        self.undelivered = Some(Undelivered { engine: Arc::clone(engine), event: event.clone() });
        engine.notices_shown(&event.user, &news).await;
        step::granted(&id, verified, committed, &[])
    }
}
