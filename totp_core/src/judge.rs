//! The decision: does this input prove the second factor of this account now?
//!
//! The comparisons are made first and always, so that a locked, unenrolled or expired account costs the
//! same work as one whose code is right. The caller stores the account (when `changed`) together with the
//! audit row before it answers anything.

use crate::account::{Account, Factor, FactorState};
use crate::code::{RejectedInput, Typed};
use crate::lock::SourceClass;
use crate::notices::{FactorChange, Notices};
use crate::otp::Params;
use crate::remembered;
use crate::remembered::RememberKey;
use crate::secret::Secret;
use crate::source::Origin;
use crate::time::{DAY, Time};
use crate::verified::{How, Verified};
use crate::window::{is_code_of, matching_step};

/// What the site decides about judging.
#[derive(Clone, Copy, Debug)]
pub struct JudgeSettings {
    /// Steps of clock skew that are tolerated either way (RFC 6238 section 5.2 recommends one).
    pub skew: u8,
    /// A clock before this moment is wrong: the release is younger.
    pub not_before: Time,
    /// The latest moment at which a code of any phone was granted. A clock well before it was set back.
    pub latest_grant: Time,
}

impl JudgeSettings {
    /// Whether a clock that says `now` can judge codes of a phone. It may lie behind the latest grant by the
    /// window, and by one step at least: clocks are adjusted.
    pub fn trusts(&self, now: Time, params: Params) -> bool {
        let window = params.period.seconds().saturating_mul(u64::from(self.skew.max(1)));
        now >= self.not_before && now.plus(window) >= self.latest_grant
    }
}

/// One try to prove the factor.
#[derive(Debug)]
pub struct Attempt {
    /// Where it comes from.
    pub origin: Origin,
    /// The same in words, for what the user is told later.
    pub from: String,
    /// What was typed.
    pub input: Input,
    /// A grant is remembered under this key for so many seconds.
    pub remember: Option<(RememberKey, u64)>,
    /// Nobody can be told anything: news waits for another login.
    pub silent: bool,
    /// A program of root's shows what is said. None: a process does that may be anybody's.
    pub display: Option<NoticeDisplay>,
}

/// How a program of root's shows what is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeDisplay {
    /// A further question can be put. Its answer says that what it showed was read.
    pub can_ask: bool,
}

impl Attempt {
    /// An attempt of which nothing is remembered and nobody told.
    pub fn plain(origin: Origin, input: Input) -> Self {
        Self { origin, from: String::new(), input, remember: None, silent: true, display: None }
    }
}

/// What was typed, or why it is no code.
pub type Input = Result<Typed, RejectedInput>;

/// Why an attempt was refused. For the audit only: at the prompt they all read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A code, but not the right one.
    Wrong,
    /// A code that was right and is used up.
    Replayed,
    /// The class of this source is locked.
    Locked,
    /// The enrollment expired before its first code, and nobody was enrolled since.
    Expired,
    /// There is no enrollment.
    NotEnrolled,
    /// The clock is before the release's date, behind a step that was used already, or behind a grant.
    Clock,
    /// The code is that of a factor that was staged and is not ripe.
    NotRipe,
    /// The policy refuses, whatever is typed.
    Denied,
    /// The policy would have let in without a code or given a factor, and no first factor was proved.
    NoFirstFactor,
    /// The policy would have given a factor, and the program is not known to keep messages out of its logs.
    NotShown,
    /// Somebody else was enrolled under this name during the enrollment.
    Raced,
    /// The input is no code.
    Rejected(RejectedInput),
}

impl Reason {
    /// The word in the audit.
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

/// Granted or refused.
#[derive(Debug)]
pub enum Outcome {
    /// The factor was proved.
    Granted(Verified),
    /// It was not.
    Refused(Reason),
}

/// What [`judge`] decided, and what the caller has to store first.
#[derive(Debug)]
pub struct Judgement {
    /// The decision.
    pub outcome: Outcome,
    /// The class it was counted in.
    pub class: SourceClass,
    /// Whether the account differs from what is stored.
    pub changed: bool,
    /// Whether this failure locked its class.
    pub class_locked: bool,
    /// What the user is to be told now, after a grant.
    pub notices: Notices,
    /// It holds notices of changes that have to be shown by a question: [`Account::notices_shown`] notes its answer.
    pub unread: bool,
}

/// What one factor has to say about a code.
#[derive(Clone, Copy)]
enum MatchResult {
    /// The code of a step that is not used up.
    Fresh(u64),
    /// The code of a step that is, lately or long ago.
    Used,
    /// The code of a factor that is not ripe.
    NotRipe,
    /// Some other code.
    Unlike,
    /// The clock cannot be trusted to judge it.
    Clock,
    /// There is no such factor, or nothing to compare.
    Absent,
}

/// Judges one attempt. Changes `account` as the outcome demands: a step used up, a recovery code spent, a
/// failure counted, a pending factor confirmed or gone.
pub fn judge(account: &mut Account, attempt: &Attempt, now: Time, rules: &JudgeSettings) -> Judgement {
    let expired = account.expire_pending(now);
    let origin = attempt.origin.resolved(account.uid);
    let class = account.lock_state.class(&origin, now);
    let active = find(account.active.as_ref(), &attempt.input, now, rules);
    let pending = find(account.pending.as_ref(), &attempt.input, now, rules);
    let recovery = find_recovery(account, &attempt.input);

    let verdict = |outcome, changed, locks| Judgement {
        outcome,
        class: class.clone(),
        changed,
        class_locked: locks,
        notices: Notices::default(),
        unread: false,
    };
    let refused = |reason, changed| verdict(Outcome::Refused(reason), changed, false);

    if account.active.is_none() && account.pending.is_none() {
        judge_without_account(attempt, now, rules);
        return refused(if account.lapsed { Reason::Expired } else { Reason::NotEnrolled }, expired);
    }
    let typed = match &attempt.input {
        Ok(typed) => typed,
        Err(unusable) => return refused(Reason::Rejected(*unusable), expired),
    };
    if account.lock_state.remaining(&class, now) > 0 {
        account.notices.record_refusal(now, &attempt.from);
        return refused(Reason::Locked, true);
    }
    let staged = account.pending.as_ref().and_then(|pending| pending.staged.clone());
    let proof = match typed {
        Typed::Recovery(_) => recovery.and_then(|place| spend_recovery(account, place)).ok_or(Reason::Wrong),
        Typed::Code(_) => match (active, pending) {
            (MatchResult::Fresh(step), _) => use_step(account, step, now).ok_or(Reason::Wrong),
            (_, MatchResult::Fresh(step)) => confirm(account, step, now).ok_or(Reason::Wrong),
            (MatchResult::Used, _) => Err(Reason::Replayed),
            (_, MatchResult::NotRipe) => Err(Reason::NotRipe),
            (MatchResult::Clock | MatchResult::Absent, MatchResult::Clock | MatchResult::Absent) => {
                Err(Reason::Clock)
            }
            _ => Err(Reason::Wrong),
        },
    };
    match proof {
        Ok(verified) => {
            let counts = account.counts_as_read(attempt, &origin, &class, now);
            let unread =
                counts && attempt.display.is_some_and(|shown| shown.can_ask) && account.has_unread_notices();
            let read = counts && !unread;
            if read {
                account.mark_staged_shown(now);
            }
            account.lock_state.succeed(&class, &origin, now);
            if let Some((key, length)) = &attempt.remember {
                remembered::remember(account, &verified, key, *length, now);
            }
            let mut news = if attempt.silent { Notices::default() } else { account.notices.take_shown(read) };
            news.staged = account.staged().filter(|_| !attempt.silent).cloned().map(Box::new);
            if verified.confirmed() && staged.is_some() {
                account.notices.record_change(FactorChange::Replaced, now, &attempt.from);
            }
            if let How::Recovery { .. } = verified.how() {
                account.notices.record_recovery_use(now, &attempt.from);
            }
            Judgement { notices: news, unread, ..verdict(Outcome::Granted(verified), true, false) }
        }
        Err(Reason::Wrong) => {
            account.notices.record_refusal(now, &attempt.from);
            let locks = account.lock_state.fail(&class, now);
            verdict(Outcome::Refused(Reason::Wrong), true, locks)
        }
        // A used code is no guess, and neither is one that no clock could judge: nothing is counted.
        Err(reason) => refused(reason, expired),
    }
}

/// Judges an attempt for a name that has no account: the same work, and always a refusal.
pub fn judge_without_account(attempt: &Attempt, now: Time, rules: &JudgeSettings) -> Reason {
    if let (Ok(Typed::Code(code)), Ok(decoy)) = (&attempt.input, Secret::from_bytes(&[0; 20])) {
        std::hint::black_box(matching_step(&decoy, Params::default(), code, now, rules.skew));
        std::hint::black_box(is_code_of(&decoy, Params::default(), code, &[None; USED_STEPS]));
    }
    match attempt.input {
        Ok(_) => Reason::NotEnrolled,
        Err(unusable) => Reason::Rejected(unusable),
    }
}

/// What judging a code would come to, as far as that can be known without one: monitoring looks at it and
/// changes nothing. `Ok` is a code that would be asked for and could be right.
///
/// # Errors
/// Why any code would be refused.
pub fn forecast<S: Clone>(
    account: Option<&Account<S>>,
    origin: &Origin,
    now: Time,
    rules: &JudgeSettings,
) -> Result<(), Reason> {
    let mut account = account.cloned().ok_or(Reason::NotEnrolled)?;
    account.expire_pending(now);
    let Some(factor) = account.active.as_ref().or(account.pending.as_ref()) else {
        return Err(if account.lapsed { Reason::Expired } else { Reason::NotEnrolled });
    };
    if clock_is_wrong(factor, now, rules) {
        return Err(Reason::Clock);
    }
    if factor.staged.as_ref().is_some_and(|staged| !staged.allows_codes(now)) {
        return Err(Reason::NotRipe);
    }
    let class = account.lock_state.class(&origin.resolved(account.uid), now);
    if account.lock_state.remaining(&class, now) > 0 { Err(Reason::Locked) } else { Ok(()) }
}

/// Whether the clock is before the release, or behind a step that was used already, or was set back behind a
/// grant: codes that were used or shown before would be fresh.
fn clock_is_wrong<S>(factor: &Factor<S>, now: Time, rules: &JudgeSettings) -> bool {
    let latest = factor.params.period.step_at(now).saturating_add(u64::from(rules.skew));
    !rules.trusts(now, factor.params) || factor.last_step.is_some_and(|last| latest < last)
}

/// The used steps whose codes are recognised: so many, and no older than this.
pub const USED_STEPS: usize = 16;
const USED_MEMORY: u64 = 7 * DAY;

impl<S> Factor<S> {
    /// Uses up a step, and every one before it.
    pub(crate) fn use_up(&mut self, step: u64) {
        self.last_step = Some(step);
        self.used_steps.push(step);
        let excess = self.used_steps.len().saturating_sub(USED_STEPS);
        self.used_steps.drain(..excess);
    }

    /// The steps that were used lately, always so many: `None` in place of those that are not there.
    fn used_lately(&self, now: Time) -> [Option<u64>; USED_STEPS] {
        let oldest = self.params.period.step_at(Time::from_unix(now.unix().saturating_sub(USED_MEMORY)));
        let mut steps = self.used_steps.iter().rev().copied().filter(|step| *step >= oldest);
        std::array::from_fn(|_| steps.next())
    }
}

fn find(factor: Option<&Factor>, input: &Input, now: Time, rules: &JudgeSettings) -> MatchResult {
    let (Some(factor), Ok(Typed::Code(code))) = (factor, input) else { return MatchResult::Absent };
    let secret = factor.secrets.secret();
    let matched = matching_step(secret, factor.params, code, now, rules.skew);
    let was_right = is_code_of(secret, factor.params, code, &factor.used_lately(now));
    if clock_is_wrong(factor, now, rules) {
        return MatchResult::Clock;
    }
    match matched {
        Some(_) if factor.staged.as_ref().is_some_and(|staged| !staged.allows_codes(now)) => {
            MatchResult::NotRipe
        }
        Some(step) if factor.last_step.is_none_or(|last| step > last) => MatchResult::Fresh(step),
        Some(_) => MatchResult::Used,
        None if was_right => MatchResult::Used,
        None => MatchResult::Unlike,
    }
}

fn find_recovery(account: &Account, input: &Input) -> Option<usize> {
    let Ok(Typed::Recovery(code)) = input else { return None };
    account.active.as_ref()?.secrets.recovery.find(code)
}

fn spend_recovery(account: &mut Account, place: usize) -> Option<Verified> {
    let active = account.active.as_mut()?;
    active.secrets.recovery.spend(place);
    let left = active.secrets.recovery.left();
    Some(Verified::new(&active.id, How::Recovery { left }, false))
}

fn use_step(account: &mut Account, step: u64, now: Time) -> Option<Verified> {
    let active = account.active.as_mut()?;
    active.use_up(step);
    Some(Verified::new(&active.id, totp_at_step(active, step, now), false))
}

/// The first accepted code of a pending factor makes it the active one; the old one is gone.
fn confirm(account: &mut Account, step: u64, now: Time) -> Option<Verified> {
    let mut factor = account.pending.take()?;
    factor.use_up(step);
    factor.staged = None;
    factor.state = FactorState::Active { since: now };
    let how = totp_at_step(&factor, step, now);
    let verified = Verified::new(&factor.id, how, true);
    account.active = Some(factor);
    Some(verified)
}

fn totp_at_step(factor: &Factor, step: u64, now: Time) -> How {
    let current = factor.params.period.step_at(now);
    How::Totp { offset: step.cast_signed().wrapping_sub(current.cast_signed()) }
}
