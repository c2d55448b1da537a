//! Changes of a factor in use that its user makes without an administrator.
//!
//! One code that was told to malware must not become the factor. So a change takes a ticket of an
//! administrator, or it is staged and ripens:
//!
//! ```text
//! a code ─▶ staged ── the delay, and a login that showed the notice ─▶ ripe ── a further proof ─▶ done
//!             ├── cancel, with a code of the factor in use ─▶ gone
//!             └── expires ─▶ gone
//! ```
//!
//! The further proof is the first code of the new factor, or a second code of the factor in use. A staged
//! change stands in the factor that it concerns, where the seal covers it.

use crate::account::{Account, EnrollmentTicket, Factor, NewFactor};
use crate::judge::Attempt;
use crate::lock::SourceClass;
use crate::notices::Notices;
use crate::random::{Random, RandomFailed};
use crate::recovery::RecoveryCode;
use crate::source::Origin;
use crate::time::{DAY, HOUR, Time};
use serde::{Deserialize, Serialize};

/// How long a staged change waits unless the site says otherwise, in seconds.
pub const DEFAULT_DELAY: u64 = DAY;
/// The shortest and the longest delay that a site may choose, in seconds.
pub const MIN_DELAY: u64 = HOUR;
/// The longest delay, in seconds.
pub const MAX_DELAY: u64 = 30 * DAY;
/// The cancels within [`CANCEL_WINDOW`] after which only a ticket helps.
pub const MAX_CANCELS: usize = 2;
/// How long a cancel counts, in seconds.
pub const CANCEL_WINDOW: u64 = 7 * DAY;

/// What a user changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A new authenticator app replaces the one in use.
    Replace,
    /// The factor is removed.
    Remove,
    /// New recovery codes replace the old ones.
    RecoveryCodes,
}

impl ChangeKind {
    /// The word in the seal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Remove => "remove",
            Self::RecoveryCodes => "recovery-codes",
        }
    }
}

/// A change that waits until it is ripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedChange {
    /// What is changed.
    pub kind: ChangeKind,
    /// When it was staged.
    pub at: Time,
    /// The seconds that it waits.
    pub delay: u64,
    /// The first moment at which it is gone.
    pub expires: Time,
    /// Where it was staged, in words.
    pub from: String,
    /// The first login that showed the notice and counts.
    #[serde(default, rename = "told", skip_serializing_if = "Option::is_none")]
    pub shown_at: Option<Time>,
}

impl StagedChange {
    /// A change that is staged now, and waits `delay` seconds for its user and `lifetime` for its end.
    pub fn new(kind: ChangeKind, now: Time, delay: u64, lifetime: u64, from: &str) -> Self {
        let expires = now.plus(delay).plus(lifetime);
        Self { kind, at: now, delay, expires, from: from.to_owned(), shown_at: None }
    }

    /// The first moment at which it may be ripe.
    pub const fn ripens_at(&self) -> Time {
        self.at.plus(self.delay)
    }

    /// Whether it may be done: the delay is over, and the user was told at a login that counts.
    pub fn is_ripe(&self, now: Time) -> bool {
        self.shown_at.is_some() && now >= self.ripens_at() && now < self.expires
    }

    /// Whether it is the same change, told or not.
    fn is_same(&self, other: &Self) -> bool {
        (self.kind, self.at, self.expires) == (other.kind, other.at, other.expires)
    }

    /// Whether codes of the factor that it stands in may be used: those of a replacement when it is ripe.
    pub(crate) fn allows_codes(&self, now: Time) -> bool {
        self.kind != ChangeKind::Replace || self.is_ripe(now)
    }
}

/// Why a user may not stage or carry out a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// There is no factor in use.
    NotEnrolled,
    /// Something is staged already: by the user, or (`None`) a factor by an administrator or a ticket.
    AlreadyStaged(Option<StagedChange>),
    /// The user has cancelled twice lately: it takes a ticket.
    CancelledTwice,
    /// Nothing is staged that could be cancelled.
    NothingStaged,
}

/// What a code of the factor in use does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// It stages the change.
    Stage,
    /// It carries out the change, which is ripe.
    CarryOut,
}

impl<S> Account<S> {
    /// The change that the user has staged, if there is one.
    pub fn staged(&self) -> Option<&StagedChange> {
        let of = |factor: &'_ Option<Factor<S>>| factor.as_ref().is_some_and(|f| f.staged.is_some());
        let factor = if of(&self.pending) { &self.pending } else { &self.active };
        factor.as_ref()?.staged.as_ref()
    }

    /// What a code of the factor in use would do about `kind`. Asked before the code is judged, so that a
    /// refusal burns none.
    ///
    /// # Errors
    /// [`NotNow`].
    pub fn next_step(&self, kind: ChangeKind, now: Time) -> Result<NextStep, ChangeRefused> {
        let active = self.active.as_ref().ok_or(ChangeRefused::NotEnrolled)?;
        match self.staged() {
            Some(staged) if staged.kind == kind && kind != ChangeKind::Replace && staged.is_ripe(now) => {
                return Ok(NextStep::CarryOut);
            }
            Some(staged) => return Err(ChangeRefused::AlreadyStaged(Some(staged.clone()))),
            None if self.pending.is_some() => return Err(ChangeRefused::AlreadyStaged(None)),
            None => {}
        }
        // A cancel in the future (the clock was set back) counts.
        let lately = active.cancels.iter().filter(|at| now.since(**at) < CANCEL_WINDOW).count();
        if lately >= MAX_CANCELS { Err(ChangeRefused::CancelledTwice) } else { Ok(NextStep::Stage) }
    }

    /// Stages a removal or new recovery codes. The caller has asked [`Account::next_step`] and judged a code.
    pub fn stage_change(&mut self, change: StagedChange) {
        if let Some(active) = &mut self.active {
            active.staged = Some(change);
        }
    }

    /// Ends what the user has staged, and counts the cancel. The caller has judged a code.
    ///
    /// # Errors
    /// [`NotNow::NothingStaged`], or [`NotNow::NotEnrolled`].
    pub fn cancel(&mut self, now: Time, from: &str) -> Result<StagedChange, ChangeRefused> {
        let staged = self.remove_staged()?;
        if let Some(active) = &mut self.active {
            active.cancels.push(now);
            let excess = active.cancels.len().saturating_sub(MAX_CANCELS);
            active.cancels.drain(..excess);
        }
        self.notices.record_cancel(now, from);
        Ok(staged)
    }

    /// Ends what the user has staged, as an administrator may.
    ///
    /// # Errors
    /// As [`Account::cancel`].
    pub fn remove_staged(&mut self) -> Result<StagedChange, ChangeRefused> {
        let active = self.active.as_mut().ok_or(ChangeRefused::NotEnrolled)?;
        let of_active = active.staged.take();
        let of_pending = self.pending.take_if(|pending| pending.staged.is_some()).and_then(|p| p.staged);
        of_pending.or(of_active).ok_or(ChangeRefused::NothingStaged)
    }

    /// Whether a ticket that an administrator made is for the factor in use (or for the first one).
    pub fn is_ticket_for_active_factor(&self, ticket: &EnrollmentTicket) -> bool {
        ticket.totp_id.as_deref() == self.active.as_ref().map(|active| active.id.as_str())
    }

    /// Whether there are notices of changes that no login has shown which counts.
    pub(crate) fn has_unread_notices(&self) -> bool {
        self.staged().is_some_and(|staged| staged.shown_at.is_none()) || !self.notices.changes().is_empty()
    }

    /// Notes that a user has answered the question which showed `shown`, in a login that counts.
    pub fn acknowledge_notices(&mut self, shown: &Notices, now: Time) {
        if self.staged().is_some_and(|staged| shown.staged().is_some_and(|seen| seen.is_same(staged))) {
            self.mark_staged_shown(now);
        }
        self.notices.forget_changes(shown);
    }

    /// Notes that a login showed what is staged.
    pub(crate) fn mark_staged_shown(&mut self, now: Time) {
        for factor in self.active.iter_mut().chain(&mut self.pending) {
            if let Some(staged) = &mut factor.staged {
                staged.shown_at = staged.shown_at.or(Some(now));
            }
        }
    }
}

impl Account {
    /// Stages a factor that may replace the one in use when `change` is ripe; its own lifetime begins then.
    /// The caller has asked [`Account::next_step`] and judged a code.
    ///
    /// # Errors
    /// When the random source fails; the account is unchanged then.
    pub fn stage_replacement(
        &mut self,
        new: &NewFactor,
        change: StagedChange,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Vec<RecoveryCode>, RandomFailed> {
        let ticket = self.ticket.clone();
        let codes = self.enroll(new, now, random)?;
        // A ticket that lies about is an administrator's word, and no thief's to take away.
        self.ticket = ticket;
        if let Some(pending) = &mut self.pending {
            pending.state = crate::account::FactorState::Pending { expires: change.expires };
            pending.staged = Some(change);
        }
        Ok(codes)
    }

    /// Whether notices of changes count as read when this granted login shows them. Asked with the class that it was
    /// counted in before its source became known.
    pub(crate) fn counts_as_read(
        &self,
        attempt: &Attempt,
        origin: &Origin,
        class: &SourceClass,
        now: Time,
    ) -> bool {
        if attempt.silent || attempt.display.is_none() {
            return false;
        }
        match (origin, self.lock_state.has_known_remote_source(now)) {
            (Origin::Remote(_), true) => matches!(class, SourceClass::Known(_)),
            (Origin::Remote(_) | Origin::ThisHost | Origin::Local | Origin::Console, false) => true,
            _ => false,
        }
    }
}
