//! An enrollment inside a login between two answers.

use crate::clock;
use crate::engine::attempt::LoginRequest;
use crate::engine::kept_enrollments::{Lease, LeaseEnd, Login, Showings};
use crate::user_directory::ResolvedUser;
use std::time::Duration;
use totp_core::Reason;
use totp_core::account::EnrollmentTicket;
use totp_core::login_enrollment::{AwaitingFirstCode, AwaitingRecoveryCode, ReadyToActivate};
use totp_core::policy::{Peer, RemoteHost};
use totp_core::recovery::RecoveryCode;
use totp_core::remembered::RememberKey;

/// An enrollment inside a login that waits for an answer.
#[derive(Debug)]
pub struct Enrollment<S> {
    pub(super) state: S,
    pub(super) terms: Terms,
}

/// What does not change while an enrollment waits for its answers.
#[derive(Debug)]
pub(super) struct Terms {
    /// The hold of the key.
    pub(super) lease: Lease,
    /// The login before this one was shown the same key, and used up its wrong answers.
    pub(super) failed_before: bool,
    /// The ticket that started it. The activation spends it. `None`: a rule started it.
    pub(super) ticket: Option<EnrollmentTicket>,
}

/// What came of a first code.
#[derive(Debug)]
pub enum FirstCodeOutcome {
    /// It is the code of the new factor.
    Right(Enrollment<AwaitingRecoveryCode>),
    /// It is not, and that is recorded with this reason.
    Wrong(Enrollment<AwaitingFirstCode>, Reason),
    /// This login cannot finish any more. That is recorded.
    Ended(LeaseEnd),
}

/// What came of a recovery code.
#[derive(Debug)]
pub enum RecoveryCodeOutcome {
    /// It is one of those that were shown.
    Right(Enrollment<ReadyToActivate>),
    /// It is not, and that is recorded.
    Wrong(Enrollment<AwaitingRecoveryCode>),
    /// As [`FirstCodeOutcome::Ended`].
    Ended(LeaseEnd),
}

impl<S> Enrollment<S> {
    /// How often the key was shown until now, to any login.
    pub fn showings(&self) -> Option<Showings> {
        self.terms.lease.showings()
    }

    /// Whether the login before this one was shown the same key, and used up its wrong answers.
    pub const fn failed_before(&self) -> bool {
        self.terms.failed_before
    }

    /// For how long a later login from the same address with the same SSH key is shown the same
    /// key. `None`: it is shown another one.
    pub fn kept_for(&self) -> Option<Duration> {
        self.terms.lease.time_left(clock::since_boot())
    }

    /// Whether a ticket started it, and not a rule.
    pub const fn is_by_ticket(&self) -> bool {
        self.terms.ticket.is_some()
    }

    /// Notes that this login has used up its wrong answers.
    pub fn note_failed(&self) {
        self.terms.lease.note_failed();
    }
}

impl Enrollment<AwaitingRecoveryCode> {
    /// Returns the recovery codes, to be shown once.
    pub fn recovery_codes(&self) -> &[RecoveryCode] {
        self.state.recovery_codes()
    }
}

/// By what a login is told that continues an interrupted one. Both address and SSH key are needed:
/// somebody who knows a password must not be shown the key of its owner. What anybody but root's
/// programs says of address and key proves nothing.
pub(super) fn login_key(request: &LoginRequest, found: &ResolvedUser) -> Option<Login> {
    let facts = &request.facts;
    let RemoteHost::Address(address) = facts.rhost else { return None };
    if facts.peer != Peer::Root || facts.caller.is_some() || request.user != facts.user {
        return None;
    }
    let keys: Vec<&str> = facts.ssh.iter().filter_map(|auth| auth.fingerprint.as_deref()).collect();
    let service = facts.service.as_deref()?;
    let key = RememberKey::ssh_key(found.uid, service, &address.to_canonical().to_string(), &keys)?;
    Some(Login { user: found.name.clone(), key })
}

/// How often the key was shown, for the audit; `None` for once.
pub(super) fn repeated(showings: Option<Showings>) -> Option<u32> {
    showings.filter(Showings::is_repeated).map(|showings| showings.count)
}
