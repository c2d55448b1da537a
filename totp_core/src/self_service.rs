//! Changes of the active factor that its user makes without an administrator.
//!
//! Malware that gets one code must not be able to take over the factor. So a change needs a ticket
//! of an administrator, or it is staged and ripens:
//!
//! ```text
//! a code ─▶ staged ── delay, and a login that showed the notice ─▶ ripe ── a further code ─▶ done
//!             ├── cancel, with a code of the active factor ─▶ dropped
//!             └── expires ─▶ dropped
//! ```
//!
//! The further code is the first code of the new factor, or a second code of the active one. A
//! staged change is stored in the factor that it concerns, where the seal covers it.
//!
//! A login counts as having shown the notice when a program that runs as root showed it, and when
//! it came from a remote source that was known before, if the user has one.

use crate::account::{Account, EnrollmentTicket};
use crate::authenticator::{AuthenticatorName, PlaceRefused};
use crate::factor::FactorState;
use crate::judge::Attempt;
use crate::lock::SourceClass;
use crate::new_factor::{EnrollRefused, NewFactor};
use crate::notices::{FactorChange, Notices};
use crate::random::Random;
use crate::recovery::RecoveryCode;
use crate::source::Origin;
use crate::time::{DAY, HOUR, Time};

pub use crate::staged_change::{ChangeKind, StagedChange};

/// The default delay of a staged change, in seconds.
pub const DEFAULT_DELAY: u64 = DAY;
/// The shortest delay that a site can configure, in seconds.
pub const MIN_DELAY: u64 = HOUR;
/// The longest delay that a site can configure, in seconds.
pub const MAX_DELAY: u64 = 30 * DAY;
/// After this many cancels within [`CANCEL_WINDOW`], a change needs a ticket.
pub const MAX_CANCELS: usize = 2;
/// For how long a cancel counts, in seconds.
pub const CANCEL_WINDOW: u64 = 7 * DAY;

/// Why a change cannot be staged, carried out or cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// The user has no active factor.
    NotEnrolled,
    /// A change is already staged: this one by the user, or (`None`) a factor by an administrator
    /// or with a ticket.
    AlreadyStaged(Option<StagedChange>),
    /// The change finds no place among the user's authenticators.
    Place(PlaceRefused),
    /// The user has cancelled [`MAX_CANCELS`] changes recently: a change needs a ticket.
    CancelledTwice,
    /// No change is staged.
    NothingStaged,
}

/// What a code of the active factor does about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// It stages the change.
    Stage,
    /// It carries out the change, which is ripe.
    CarryOut,
}

impl<S> Account<S> {
    /// Returns the change that the user has staged, if there is one.
    pub fn staged(&self) -> Option<&StagedChange> {
        self.pending.iter().chain(self.authenticators()).find_map(|factor| factor.staged.as_ref())
    }

    /// Returns what a code would do about a change of this kind, which concerns the authenticator
    /// of this name. The caller asks before it judges the code, so that a refusal does not use one
    /// up.
    ///
    /// # Errors
    /// Why the change can be neither staged nor carried out.
    pub fn next_step(
        &self,
        kind: ChangeKind,
        name: Option<&AuthenticatorName>,
        now: Time,
    ) -> Result<NextStep, ChangeRefused> {
        let active = self.active.as_ref().ok_or(ChangeRefused::NotEnrolled)?;
        let concerned = if kind == ChangeKind::Remove {
            self.find_authenticator(name).map_err(ChangeRefused::Place)?.map(|factor| &factor.id)
        } else {
            Some(&active.id)
        };
        match self.staged() {
            Some(staged) if staged.kind == kind && !kind.makes_factor() && staged.is_ripe(now) => {
                // The removal of one authenticator does not remove another.
                let of_it = self.authenticators().find(|factor| factor.staged.is_some());
                if of_it.map(|factor| &factor.id) == concerned {
                    return Ok(NextStep::CarryOut);
                }
                return Err(ChangeRefused::AlreadyStaged(Some(staged.clone())));
            }
            Some(staged) => return Err(ChangeRefused::AlreadyStaged(Some(staged.clone()))),
            None if self.pending.is_some() => return Err(ChangeRefused::AlreadyStaged(None)),
            None => {}
        }
        // A cancel in the future, because the clock was set back, counts.
        let recent = self
            .authenticators()
            .flat_map(|factor| &factor.cancels)
            .filter(|at| now.since(**at) < CANCEL_WINDOW)
            .count();
        if recent >= MAX_CANCELS { Err(ChangeRefused::CancelledTwice) } else { Ok(NextStep::Stage) }
    }

    /// Stages the removal of the authenticator of this name, or new recovery codes, which belong to
    /// the first one. The caller has asked [`Account::next_step`] and judged a code.
    pub fn stage_change(&mut self, change: StagedChange, name: Option<&AuthenticatorName>) {
        let concerned = match name {
            Some(name) if change.kind == ChangeKind::Remove => {
                self.authenticators_mut().find(|factor| factor.is_named(name))
            }
            _ => self.active.as_mut(),
        };
        if let Some(factor) = concerned {
            factor.staged = Some(change);
        }
    }

    /// Cancels the change that the user has staged, counts the cancel, and returns the change. The
    /// caller has judged a code.
    ///
    /// # Errors
    /// [`ChangeRefused::NothingStaged`], or [`ChangeRefused::NotEnrolled`].
    pub fn cancel(&mut self, now: Time, from: &str) -> Result<StagedChange, ChangeRefused> {
        let staged = self.remove_staged()?;
        if let Some(active) = &mut self.active {
            active.cancels.push(now);
            let excess = active.cancels.len().saturating_sub(MAX_CANCELS);
            active.cancels.drain(..excess);
        }
        self.notices.record_change(FactorChange::Cancelled, now, from);
        Ok(staged)
    }

    /// Cancels the change that the user has staged on behalf of an administrator: it is not
    /// counted.
    ///
    /// # Errors
    /// As [`Account::cancel`].
    pub fn remove_staged(&mut self) -> Result<StagedChange, ChangeRefused> {
        if self.active.is_none() && self.staged().is_none() {
            return Err(ChangeRefused::NotEnrolled);
        }
        let of_active = self.authenticators_mut().find_map(|factor| factor.staged.take());
        let of_pending = self.pending.take_if(|pending| pending.staged.is_some()).and_then(|p| p.staged);
        of_pending.or(of_active).ok_or(ChangeRefused::NothingStaged)
    }

    /// Returns whether the ticket is bound to an active factor, or is for a first factor of a user
    /// without one.
    pub fn is_ticket_for_active_factor(&self, ticket: &EnrollmentTicket) -> bool {
        match &ticket.totp_id {
            Some(id) => self.authenticator(id).is_some(),
            None => self.active.is_none(),
        }
    }

    /// Returns whether there are notices of changes that no counting login has shown.
    pub(crate) fn has_unread_notices(&self) -> bool {
        self.staged().is_some_and(|staged| staged.shown_at.is_none())
            || !self.notices.changes().is_empty()
            || self.notices.passcodes().iter().any(|passcode| passcode.used.is_some())
    }

    /// Records that the user has answered the question that showed the notices `shown`, in a login
    /// that counts.
    pub fn acknowledge_notices(&mut self, shown: &Notices, now: Time) {
        if self.staged().is_some_and(|staged| shown.staged().is_some_and(|seen| seen.is_same(staged))) {
            self.mark_staged_shown(now);
        }
        self.notices.remove_changes(shown);
    }

    /// Records that a counting login has shown the notice of the staged change.
    pub(crate) fn mark_staged_shown(&mut self, now: Time) {
        for factor in self.factors_mut() {
            if let Some(staged) = &mut factor.staged {
                staged.shown_at = staged.shown_at.or(Some(now));
            }
        }
    }
}

impl Account {
    /// Makes a pending factor that can replace the active one when `change` is ripe, and returns
    /// its recovery codes. The factor expires with the change. The caller has asked
    /// [`Account::next_step`] and judged a code.
    ///
    /// # Errors
    /// [`EnrollRefused`]; the account is unchanged then.
    pub fn stage_replacement(
        &mut self,
        new: &NewFactor,
        change: StagedChange,
        now: Time,
        random: &mut impl Random,
    ) -> Result<Vec<RecoveryCode>, EnrollRefused> {
        let ticket = self.ticket.clone();
        let codes = self.enroll(new, now, random)?;
        // An attacker with one code must not invalidate the ticket of an administrator.
        self.ticket = ticket;
        if let Some(pending) = &mut self.pending {
            pending.state = FactorState::Pending { expires: change.expires };
            pending.staged = Some(change);
        }
        Ok(codes)
    }

    /// Returns whether notices of changes count as read when this granted login shows them. `class`
    /// is the class of the attempt before its source became known.
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
