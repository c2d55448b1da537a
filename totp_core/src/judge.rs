//! Decides whether an input proves the second factor of an account.
//!
//! All comparisons are made first and always, so that a locked, unenrolled or expired account costs
//! the same work as an account whose code is right. The caller stores the account (when `changed`)
//! in one transaction with the audit row, and only then answers.

use crate::account::Account;
use crate::code::{Input, RejectedInput, Typed};
use crate::comparison::{MatchResult, clock_is_wrong, compare, compare_authenticators, compare_with_decoy};
use crate::factor::FactorState;
use crate::judge_settings::JudgeSettings;
use crate::lock::SourceClass;
use crate::notices::{FactorChange, Notices};
use crate::otp::Params;
use crate::passcode;
use crate::recovery::RecoveryCode;
use crate::remember::remember;
use crate::remembered::RememberKey;
use crate::source::Origin;
use crate::staged_change::ChangeKind;
use crate::time::Time;
use crate::verified::{How, Verified};

/// One attempt to prove the second factor.
#[derive(Debug)]
pub struct Attempt {
    /// Where it comes from.
    pub origin: Origin,
    /// The origin in words, for notices that the user reads later.
    pub from: String,
    /// What was typed, or why it was rejected.
    pub input: Input,
    /// The key under which a grant is remembered, and for how many seconds.
    pub remember: Option<(RememberKey, u64)>,
    /// Whether no message can be shown (`PAM_SILENT`): notices wait for another login.
    pub silent: bool,
    /// How a program that runs as root shows messages. `None`: the program that shows them may
    /// belong to anyone, so notices do not count as read.
    pub display: Option<NoticeDisplay>,
    /// Whether a passcode of an administrator is accepted: at logins, and for nothing else.
    pub accepts_passcode: bool,
}

/// How a program that runs as root shows messages to the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeDisplay {
    /// Whether another question can follow the code. Its answer proves that the user read the
    /// notices in the question.
    pub can_ask: bool,
}

impl Attempt {
    /// Returns an attempt that is not remembered, that shows no messages, and at which no passcode
    /// is accepted.
    pub fn plain(origin: Origin, input: Input) -> Self {
        let from = String::new();
        Self { origin, from, input, remember: None, silent: true, display: None, accepts_passcode: false }
    }
}

/// Why an attempt was refused. For the audit log only: the prompt says the same for every reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The code is wrong.
    Wrong,
    /// The code was right, but it has been used (RFC 6238 section 5.2).
    Replayed,
    /// The source class of the attempt is locked.
    Locked,
    /// The last enrollment expired before its first code.
    Expired,
    /// The user has no factor.
    NotEnrolled,
    /// The host's clock is before the release's build date, a used time step or the latest grant.
    Clock,
    /// The code belongs to a staged factor that is not ripe.
    NotRipe,
    /// The policy refuses, whatever is typed.
    Denied,
    /// The policy would have waived the code or enrolled the user, but no first factor was proved.
    NoFirstFactor,
    /// The policy would have enrolled the user, but the program may write messages to its log.
    NotShown,
    /// The account got another factor during the enrollment.
    Raced,
    /// The input is not a code.
    Rejected(RejectedInput),
}

impl Reason {
    /// Returns the word for the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Replayed => "replayed",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::NotEnrolled => "not-enrolled",
            Self::Clock => "clock",
            Self::NotRipe => "not-ripe",
            Self::Denied => "denied",
            Self::NoFirstFactor => "no-first-factor",
            Self::NotShown => "not-shown",
            Self::Raced => "raced",
            Self::Rejected(RejectedInput::Empty) => "empty",
            Self::Rejected(RejectedInput::Shape) => "not-a-code",
            Self::Rejected(RejectedInput::HostJunk) => "host-junk",
        }
    }
}

/// Whether an attempt is granted.
#[derive(Debug)]
pub enum Outcome {
    /// The factor was verified.
    Granted(Verified),
    /// It was not, for this reason.
    Refused(Reason),
}

/// The result of [`judge`]: the decision, and what the caller has to store before it answers.
#[derive(Debug)]
pub struct Judgement {
    /// The decision.
    pub outcome: Outcome,
    /// The source class that the attempt was counted in.
    pub class: SourceClass,
    /// Whether the account differs from the stored one.
    pub changed: bool,
    /// Whether this failure locked its class.
    pub class_locked: bool,
    /// The notices to show now, after a grant.
    pub notices: Notices,
    /// Whether the notices have to be shown in a question. When the user answers it, the caller
    /// calls [`Account::acknowledge_notices`].
    pub unread: bool,
}

/// Judges one attempt, and changes `account` accordingly: marks a time step as used, spends a
/// recovery code or the passcode, counts a failure, confirms or drops a pending factor.
pub fn judge(account: &mut Account, attempt: &Attempt, now: Time, settings: &JudgeSettings) -> Judgement {
    let expired = account.expire_pending(now);
    let origin = attempt.origin.resolved(account.uid);
    let class = account.lock_state.class(&origin, now);
    let active = compare_authenticators(account, &attempt.input, now, settings);
    let pending = compare(account.pending.as_ref(), &attempt.input, now, settings);
    let recovery_code = attempt.input.as_ref().ok().and_then(Typed::recovery);
    let recovery = find_recovery(account, recovery_code);
    let code = recovery_code.filter(|_| attempt.accepts_passcode);
    let is_passcode = passcode::matches(account.passcode.as_ref(), code, now);

    let judged = |outcome| Judgement {
        outcome,
        class: class.clone(),
        changed: true,
        class_locked: false,
        notices: Notices::default(),
        unread: false,
    };
    let refused = |reason| judged(Outcome::Refused(reason));
    // A refusal that counts nothing changes the account only if its pending factor has just
    // expired.
    let refused_uncounted = |reason| Judgement { changed: expired, ..refused(reason) };

    if account.active.is_none() && account.pending.is_none() {
        judge_without_account(attempt, now, settings);
        return refused_uncounted(if account.lapsed { Reason::Expired } else { Reason::NotEnrolled });
    }
    let typed = match &attempt.input {
        Ok(typed) => typed,
        Err(rejected) => return refused_uncounted(Reason::Rejected(*rejected)),
    };
    if account.lock_state.remaining(&class, now) > 0 {
        account.notices.record_refusal(now, &attempt.from);
        return refused(Reason::Locked);
    }
    let staged = account.pending.as_ref().and_then(|pending| pending.staged.clone());
    #[expect(clippy::match_same_arms, reason = "their order decides")]
    let proof = match typed {
        Typed::Recovery(_) => match recovery {
            Some(index) => spend_recovery(account, index).ok_or(Reason::Wrong),
            None if !is_passcode => Err(Reason::Wrong),
            None if !settings.trusts(now, Params::default()) => Err(Reason::Clock),
            None => account.spend_passcode().ok_or(Reason::Wrong),
        },
        Typed::Code(_) => match (active.best, pending) {
            (MatchResult::Fresh(step), _) => use_step(account, active.index, step, now).ok_or(Reason::Wrong),
            // Before the pending factor is looked at: what an active one knows as used never
            // confirms another.
            (MatchResult::Used, _) => Err(Reason::Replayed),
            (_, MatchResult::Fresh(step)) => confirm(account, step, now).ok_or(Reason::Wrong),
            // Codes of a given secret that may have been used elsewhere.
            (_, MatchResult::Used) => Err(Reason::Replayed),
            (_, MatchResult::NotRipe) => Err(Reason::NotRipe),
            (MatchResult::Clock | MatchResult::Absent, MatchResult::Clock | MatchResult::Absent) => {
                Err(Reason::Clock)
            }
            _ => Err(Reason::Wrong),
        },
    };
    match proof {
        Ok(verified) => {
            // The screen of another user is no place for lines about this one.
            let silent = attempt.silent || matches!(class, SourceClass::LocalStranger(_));
            let counts = account.counts_as_read(attempt, &origin, &class, now);
            let can_ask = attempt.display.is_some_and(|display| display.can_ask);
            let unread = counts && can_ask && account.has_unread_notices();
            let read = counts && !unread;
            if read {
                account.mark_staged_shown(now);
            }
            account.lock_state.succeed(&class, &origin, now);
            // A passcode is one login: `remember` finds no factor for its proof.
            if let Some((key, length)) = &attempt.remember {
                remember(account, &verified, key, *length, now);
            }
            let mut notices = if silent {
                Notices::default()
            } else if read {
                account.notices.take()
            } else {
                account.notices.take_but_keep_changes()
            };
            let changing = account.factors().find(|factor| factor.staged.is_some());
            let changing = changing.filter(|_| !silent).and_then(|factor| factor.name.clone());
            notices.staged_name = changing.map(Box::new);
            notices.staged = account.staged().filter(|_| !silent).cloned().map(Box::new);
            notices.pending_replacement = account.pending_replacement().filter(|_| !silent).map(Box::new);
            if let Some(staged) = staged.filter(|_| verified.confirmed()) {
                let adds = staged.kind == ChangeKind::Add;
                let change = if adds { FactorChange::Added } else { FactorChange::Replaced };
                account.notices.record_change(change, now, &attempt.from);
            }
            account.notices.record_use(verified.how(), now, &attempt.from);
            Judgement { notices, unread, ..judged(Outcome::Granted(verified)) }
        }
        Err(Reason::Wrong) => {
            account.notices.record_refusal(now, &attempt.from);
            // A wrong code is a guess at each factor that would have accepted it.
            let guesses = if matches!(typed, Typed::Code(_)) {
                active.judged.saturating_add(u32::from(pending.is_judged())).max(1)
            } else {
                1
            };
            let class_locked = account.lock_state.fail(&class, guesses, now);
            Judgement { class_locked, ..refused(Reason::Wrong) }
        }
        // A used code is not a guess, and neither is a code that the clock cannot judge.
        Err(reason) => refused_uncounted(reason),
    }
}

/// Judges an attempt for a name without an account: does the same work as [`judge`], and always
/// refuses. Returns the reason.
pub fn judge_without_account(attempt: &Attempt, now: Time, settings: &JudgeSettings) -> Reason {
    compare_with_decoy(&attempt.input, now, settings);
    passcode::matches(None, attempt.input.as_ref().ok().and_then(Typed::recovery), now);
    match attempt.input {
        Ok(_) => Reason::NotEnrolled,
        Err(rejected) => Reason::Rejected(rejected),
    }
}

/// Predicts the result of [`judge`] without a code, and changes nothing: for monitoring. `Ok` means
/// that a code would be asked for and could be right.
///
/// # Errors
/// The reason why every code would be refused.
pub fn forecast<S: Clone>(
    account: Option<&Account<S>>,
    origin: &Origin,
    now: Time,
    settings: &JudgeSettings,
) -> Result<(), Reason> {
    let mut account = account.cloned().ok_or(Reason::NotEnrolled)?;
    account.expire_pending(now);
    let Some(factor) = account.active.as_ref().or(account.pending.as_ref()) else {
        return Err(if account.lapsed { Reason::Expired } else { Reason::NotEnrolled });
    };
    let mut others = account.added.iter();
    if clock_is_wrong(factor, now, settings) && others.all(|other| clock_is_wrong(other, now, settings)) {
        return Err(Reason::Clock);
    }
    if factor.staged.as_ref().is_some_and(|staged| !staged.allows_codes(now)) {
        return Err(Reason::NotRipe);
    }
    let class = account.lock_state.class(&origin.resolved(account.uid), now);
    if account.lock_state.remaining(&class, now) > 0 { Err(Reason::Locked) } else { Ok(()) }
}

fn find_recovery(account: &Account, code: Option<&RecoveryCode>) -> Option<usize> {
    account.active.as_ref()?.secrets.recovery.find(code?)
}

fn spend_recovery(account: &mut Account, index: usize) -> Option<Verified> {
    let active = account.active.as_mut()?;
    active.secrets.recovery.spend(index);
    let left = active.secrets.recovery.left();
    Some(Verified::new(&active.id, How::Recovery { left }))
}

fn use_step(account: &mut Account, index: usize, step: u64, now: Time) -> Option<Verified> {
    let active = account.authenticators_mut().nth(index)?;
    active.mark_used(step);
    Some(Verified::new(&active.id, How::Totp { offset: steps_ahead(active.params, step, now) }))
}

/// Makes the pending factor, whose first code was accepted, an active one. The one that it replaces
/// is dropped.
fn confirm(account: &mut Account, step: u64, now: Time) -> Option<Verified> {
    let mut factor = account.pending.take()?;
    factor.mark_used(step);
    factor.staged = None;
    factor.state = FactorState::Active { since: now };
    let verified = Verified::first_code(&factor.id, steps_ahead(factor.params, step, now));
    account.activate(factor);
    Some(verified)
}

/// Returns by how many time steps `step` is ahead of the clock (negative: behind).
pub(crate) fn steps_ahead(params: Params, step: u64, now: Time) -> i64 {
    step.cast_signed().wrapping_sub(params.period.step_at(now).cast_signed())
}
