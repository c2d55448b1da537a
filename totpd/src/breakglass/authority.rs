//! Break-glass as the authority: one user, one code, one use. It asks neither a store nor a
//! directory.

use crate::audit::{Event, EventOutcome, EventReason, EventSource, UnjudgedReason};
use crate::authority::{Authority, Granted, Next, Pending, Prompts, Question, Reader, Receipt};
use crate::breakglass::mark::{event, record};
use crate::breakglass::syslog;
use crate::config::Config;
use crate::engine::{EngineError, LoginRequest};
use crate::state::DaemonState;
use crate::store::CommitGuard;
use crate::user_directory::UserDirectory;
use crate::varlink::server::ServerState;
use nix::syslog::Severity;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use totp_core::breakglass::BreakGlass;
use totp_core::code::Input;

/// Decides by the one code of a responder.
#[derive(Clone, Debug)]
pub(super) struct BreakGlassAuthority(Arc<Shared>);

/// What the connections share.
#[derive(Debug)]
struct Shared {
    /// The one user whom it lets in.
    user: String,
    glass: Mutex<BreakGlass>,
    config: Config,
    start: Instant,
    /// The reply of a grant was written, or its connection ended.
    used: Notify,
}

/// An attempt that waits for its answer.
#[derive(Debug)]
pub(super) struct BreakGlassPending {
    request: LoginRequest,
}

impl Pending for BreakGlassPending {
    fn user(&self) -> &str {
        &self.request.user
    }
}

impl Authority for BreakGlassAuthority {
    type Pending = BreakGlassPending;

    fn config(&self) -> &Config {
        &self.0.config
    }

    /// Asks everybody alike, also users whom no code lets in.
    async fn begin(
        &self,
        request: LoginRequest,
        prompts: Prompts,
        _guard: &Arc<CommitGuard>,
    ) -> Result<Next<BreakGlassPending>, EngineError> {
        let config = &self.0.config;
        let question = Question::for_code(config, config.totp.params.digits, prompts);
        Ok(Next::Ask(question, BreakGlassPending { request }))
    }

    /// Judges the one answer that an attempt has. Nothing is judged for a client that has given up.
    async fn answer(
        &self,
        pending: BreakGlassPending,
        input: Input,
        guard: &Arc<CommitGuard>,
    ) -> Result<Next<BreakGlassPending>, EngineError> {
        if guard.claim() {
            return Ok(self.judge(pending.request, &input));
        }
        let (event, _) = self.event(&pending.request);
        syslog::say(Severity::LOG_NOTICE, &event.refused(UnjudgedReason::TooLate));
        Err(EngineError::TimedOut)
    }
}

impl BreakGlassAuthority {
    /// Decides by `glass`, which began at `start`.
    pub(super) fn new(glass: BreakGlass, config: Config, start: Instant) -> Self {
        let user = glass.user().as_str().to_owned();
        Self(Arc::new(Shared { user, glass: Mutex::new(glass), config, start, used: Notify::new() }))
    }

    /// Returns once a user is in and has their reply, or can have none.
    pub(super) async fn used(&self) {
        self.0.used.notified().await;
    }

    /// The event of an attempt, as of one that is granted, and whether its user is known here.
    fn event(&self, request: &LoginRequest) -> (Event, bool) {
        // The mark names the connection, and not what a client says about keys.
        let from = EventSource { ssh_methods: None, ssh_key: None, ..request.from.clone() };
        let mut event = event(&request.user, EventOutcome::Granted, from);
        event.id = Some(request.id.clone());
        // No directory is asked here: a name that neither break-glass nor the host's own file has
        // is left out.
        let known = request.user == self.0.user || crate::user_directory::is_local(&request.user);
        if !known {
            event.leave_name_out();
        }
        (event, known)
    }

    /// Records before it grants, and spends the code only when that is recorded.
    fn judge(&self, request: LoginRequest, input: &Input) -> Next<BreakGlassPending> {
        let (event, known) = self.event(&request);
        let user = request.user;
        // Nothing panics while it is held.
        let mut glass = self.0.glass.lock().unwrap_or_else(PoisonError::into_inner);
        let reason: EventReason = match glass.check(&user, input, self.0.start.elapsed()) {
            Ok(found) => match record(&self.0.config.breakglass_marks, &event) {
                Ok(committed) => {
                    let verified = glass.spend(found);
                    let shared = Arc::clone(&self.0);
                    // Whether or not the reply arrives, the code is spent and there is nothing left
                    // to wait for.
                    let receipt = Receipt::new(move |_delivery| {
                        shared.used.notify_one();
                        Box::pin(std::future::ready(()))
                    });
                    let (notices, acknowledge) = (Vec::new(), None);
                    return Next::Granted(Box::new(Granted {
                        verified,
                        committed,
                        user,
                        reader: Reader::User,
                        notices,
                        acknowledge,
                        receipt,
                    }));
                }
                // Nobody gets in unrecorded. The code is still good.
                Err(_) => UnjudgedReason::NotRecorded.into(),
            },
            Err(reason) => reason.into(),
        };
        syslog::say(Severity::LOG_NOTICE, &event.refused(reason));
        Next::Denied { known }
    }
}

/// What a responder's connections are answered by.
#[derive(Debug)]
pub(super) struct BreakGlassState {
    pub(super) authority: BreakGlassAuthority,
    /// Asked for names of the host's own file, and for nothing else: its peers are root's, who are
    /// believed.
    pub(super) directory: UserDirectory,
}

impl ServerState for BreakGlassState {
    type Authority = BreakGlassAuthority;

    fn authority(&self) -> Option<BreakGlassAuthority> {
        Some(self.authority.clone())
    }

    fn directory(&self) -> &UserDirectory {
        &self.directory
    }

    fn daemon(&self) -> Option<&DaemonState> {
        None
    }
}
