//! Who decides a login: this host ([`local`]), or a break-glass responder (`crate::breakglass`).
//!
//! ```text
//! varlink::login ── begin(request) ──▶ Authority ──▶ Next: Ask | Granted | Exempt | Denied
//!                ── answer(pending) ─▶           ──▶ Next
//! ```
//!
//! A front end authenticates the peer, asks the questions and renders the steps. An authority
//! decides, and makes its decisions durable. A front end makes a granted step out of [`Granted`]
//! alone, and an authority makes that out of two proofs: of the factor, and of the durable record
//! of its use.

pub(crate) mod local;
mod receipt;

pub(crate) use receipt::{BoxFuture, Delivery, Receipt};

use crate::config::Config;
use crate::engine::{EngineError, LeaseEnd, LoginRequest, Showings};
use crate::store::{CommitGuard, Committed};
use std::sync::Arc;
use std::time::Duration;
use totp_core::code::Input;
use totp_core::otpauth::OtpAuth;
use totp_core::policy::Pass;
use totp_core::{Digits, Verified};
use zeroize::Zeroizing;

/// Decides logins under one configuration, from the beginning of an attempt to its verdict.
///
/// # What holds for every authority
///
/// - **Durable before returned.** [`Next::Granted`] and [`Next::Exempt`] carry a [`Committed`]: the
///   use of the factor, or the exemption, is on stable storage by then. Each refusal that counts
///   against a user or a source is stored before [`Next::Denied`] or the next [`Next::Ask`] is
///   returned.
/// - **Cancelled by the guard, not by dropping.** A caller that gives up calls
///   [`CommitGuard::cancel`]. If that succeeds nothing was judged and nothing was used up, and the
///   caller may drop the future. If it fails the commit has begun, and the caller awaits the
///   future: the result stands, also for a client that has hung up. A future that is dropped all
///   the same (the process ends) may have used up the code.
/// - **No result in time is an error.** After [`EngineError::TimedOut`] and [`EngineError::Busy`]
///   nothing was used up. After [`EngineError::InDoubt`] the code may be used up.
/// - **What may be stale.** What is read before a person answers (the record, the digits of the
///   question) may be older than the answer. The decision may not: it rests on the newest record,
///   or on a version of it that the commit compares. An answer is decided by the authority of that
///   moment, which may have another configuration than the one that asked; it must not let in
///   anybody whom its own rules refuse.
/// - **No difference by name.** Questions are the same whether or not the user exists.
///
/// An authority on another host (a fleet's servers) fits behind the same two calls. Its grant
/// carries a proof of its own beside [`Verified`] and [`Committed`], which only the verifier of
/// that server's signature makes.
pub(crate) trait Authority: Send + Sync {
    /// An attempt between a question and its answer.
    type Pending: Pending;

    /// The configuration by which the front end decides which peers are believed.
    fn config(&self) -> &Config;

    /// Decides whether `request` is asked for a code, and makes what lets it in without one
    /// durable.
    ///
    /// `guard` is the caller's claim on the result until the commit begins.
    ///
    /// # Errors
    /// [`EngineError`]: nothing was decided.
    fn begin(
        &self,
        request: LoginRequest,
        prompts: Prompts,
        guard: &Arc<CommitGuard>,
    ) -> impl Future<Output = Result<Next<Self::Pending>, EngineError>> + Send;

    /// Judges one answer to the question of `pending`, and makes the verdict durable.
    ///
    /// # Errors
    /// [`EngineError`]: nothing was judged, and the attempt is over.
    fn answer(
        &self,
        pending: Self::Pending,
        input: Input,
        guard: &Arc<CommitGuard>,
    ) -> impl Future<Output = Result<Next<Self::Pending>, EngineError>> + Send;
}

/// An attempt that waits for an answer.
pub(crate) trait Pending: Send + std::fmt::Debug {
    /// The user whose factor is asked for. Nobody may have this name.
    fn user(&self) -> &str;
}

/// How a client can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prompts {
    /// Questions for a code that the client shows at most, at least 1.
    pub(crate) tries: u8,
    /// Password and code are typed in one line, which the client splits by the number of digits.
    pub(crate) combined: bool,
    /// The program has asked this user before, whatever came of it.
    pub(crate) asked_before: bool,
}

/// What follows a begin or an answer.
#[derive(Debug)]
pub(crate) enum Next<P> {
    /// The client asks the person, and brings the answer. After a question for a code it means that
    /// the code was refused.
    Ask(Question, P),
    /// The factor was shown: the user gets in.
    Granted(Box<Granted>),
    /// The policy lets the stack go on without a code. `known`: the name is a user's.
    Exempt { pass: Pass, committed: Committed, known: bool },
    /// The attempt is refused for good. `known`: the name is a user's.
    Denied { known: bool },
    /// An enrollment is over without a factor, and the attempt is refused for good.
    EnrollmentEnded(EnrollmentEnd),
}

/// Why an enrollment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnrollmentEnd {
    /// Too many answers were wrong. `kept_for`: a later login is shown the same key for so long.
    WrongAnswers { kept_for: Option<Duration> },
    /// This login cannot finish any more.
    Lost(LeaseEnd),
}

/// What a person is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// A code of the factor, or a recovery code.
    Code {
        /// The text of the configuration.
        text: String,
        /// Digits of the code.
        digits: Digits,
        /// As in [`Prompts`].
        combined: bool,
        /// The configuration's words for a question that is not the first one.
        refused: Option<String>,
    },
    /// The first code of a new factor.
    FirstCode(FirstCodeQuestion),
    /// One of the new recovery codes.
    RecoveryCode(RecoveryCodeQuestion),
}

/// The question for the first code of a new factor.
#[derive(Debug)]
pub(crate) enum FirstCodeQuestion {
    /// With the key.
    First(Box<NewKey>),
    /// The key was shown before, and the last answer was wrong.
    AfterWrong,
    /// The key was shown before, and the last answer was a code that an earlier login had used.
    AfterUsed,
}

/// The key of a new factor, and what is said beside it.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) otpauth: OtpAuth,
    pub(crate) interruption: Interruption,
    /// An earlier login was shown the same key.
    pub(crate) shown_before: Option<EarlierLogin>,
}

/// How an earlier login with the same key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlierLogin {
    Interrupted,
    WrongAnswers,
}

/// What becomes of an enrollment that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interruption {
    /// How long the program waits, if it is known to end the login.
    pub(crate) time_left: Option<Duration>,
    /// For how long a later login is shown the same key; `None`: it is shown another one.
    pub(crate) kept_for: Option<Duration>,
    pub(crate) started_by: StartedBy,
}

/// What started an enrollment, and starts it again in a later login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartedBy {
    Rule,
    /// The user has typed a ticket.
    Ticket,
}

/// The question for one of the new recovery codes: some hosts show lines only before a question,
/// and a user who answers has seen them.
#[derive(Debug)]
pub(crate) enum RecoveryCodeQuestion {
    /// With the recovery codes.
    First {
        codes: Vec<Zeroizing<String>>,
        interruption: Interruption,
        /// The key was shown to earlier logins as well: from where, when, and the time now.
        repeated: Option<(String, Showings)>,
    },
    /// They were shown before, and the last answer was wrong.
    AfterWrong,
}

impl Question {
    /// The question for a code of `digits` digits, in the words of `config`.
    pub(crate) fn for_code(config: &Config, digits: Digits, prompts: Prompts) -> Self {
        let Prompts { combined, asked_before, .. } = prompts;
        let refused = asked_before.then(|| config.refused_prompt.clone());
        Self::Code { text: config.prompt.clone(), digits, combined, refused }
    }
}

/// A grant: its proofs, and what is said with it.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The factor was shown.
    pub(crate) verified: Verified,
    /// Its use is on stable storage.
    pub(crate) committed: Committed,
    /// The user whose factor was shown.
    pub(crate) user: String,
    /// Who reads what is said with it.
    pub(crate) reader: Reader,
    /// Lines for the user.
    pub(crate) notices: Vec<String>,
    /// The notices are shown by a further question, and this notes that it was answered.
    pub(crate) acknowledge: Option<Acknowledge>,
    /// Learns whether the reply reached the client.
    pub(crate) receipt: Receipt,
}

/// Who reads the lines of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// The user, as far as is known.
    User,
    /// Another user of this host, by su(1) or polkit's helper. A line would tell them that the code
    /// was right, also where the password was wrong.
    OtherUser,
}

/// Notes that the user has read the notices of a grant.
pub(crate) struct Acknowledge(pub(crate) BoxFuture);

impl std::fmt::Debug for Acknowledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acknowledge")
    }
}
