//! What administrators do, each in one transaction with its event.

use super::acted_on::ActedOn;
use super::app_account::app_account;
use super::change::default_commit_deadline;
use super::error::{AccountError, AdminError, EngineError};
use super::withdrawals::counted;
use super::{Engine, MOST_RACES};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::os_random::Kernel;
use crate::seal::ActiveFactor;
use crate::store::{AccountWrite, CommitGuard, SideWrite, SpaceUse};
use std::sync::Arc;
use totp_core::authenticator::AuthenticatorName;
use totp_core::new_factor::NewFactor;
use totp_core::otpauth::OtpAuth;
use totp_core::recovery::{RecoveryCode, RecoveryStorage};
use totp_core::self_service::StagedChange;
use totp_core::withdrawal::withdrawn_factors;
use totp_core::{Account, Time, UserName};
use zeroize::Zeroizing;

/// A staged enrollment, with what is shown once.
#[derive(Debug)]
pub struct Enrolled {
    /// Names it.
    pub totp_id: String,
    /// Secret and label.
    pub otpauth: OtpAuth,
    /// The recovery codes.
    pub recovery_codes: Vec<RecoveryCode>,
    /// When it is gone unless confirmed.
    pub expires_at: Time,
    /// The factor that it replaces goes on working until then.
    pub replaces: bool,
    /// The name of the authenticator, where it has one.
    pub name: Option<String>,
    /// The user has staged it, and it has to ripen.
    pub staged: Option<StagedChange>,
    /// The recovery codes of the factor in use that are left, when one of them was shown for this.
    pub recovery_codes_left: Option<usize>,
    /// From when on codes of a given secret are accepted.
    pub codes_from: Option<Time>,
    /// An earlier factor waited for its first code, and this one takes its place.
    pub discards: bool,
}

impl Engine {
    /// Stages a factor for `user`.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn enroll(
        &self,
        user: &UserName,
        new: NewFactor,
        issuer: String,
        from: EventSource,
    ) -> Result<Enrolled, AccountError> {
        let uid = self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
        self.kept_enrollments.forget(user);
        self.change(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
            let (enrolled, totp_id) = stage(account_of(slot, user, uid, now)?, &new, &issuer, now)?;
            let mut event = Event::new(EventKind::Enroll, user.as_str(), now, from.clone());
            event.totp_id = Some(totp_id);
            Ok((enrolled, event))
        })
        .await
    }

    /// Makes a ticket with which the user enrolls once, or changes their factors without a delay,
    /// and returns its text and its expiry. The ticket is bound to the authenticator of this name,
    /// without a name to the first one. A code is needed with it, unless that one is lost: then the
    /// ticket alone replaces or removes it.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn ticket(
        &self,
        target: &ActedOn,
        lifetime: u64,
        authenticator: Option<&AuthenticatorName>,
        active_factor: ActiveFactor,
        from: EventSource,
    ) -> Result<(Zeroizing<String>, Time), AccountError> {
        let (user, uid) = (&target.name, self.uid_of(target).await?);
        let text = RecoveryCode::generate(&mut Kernel).map_err(AccountError::no_randomness)?.reveal();
        let expires = self
            .change(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
                let account = account_of(slot, user, uid, now)?;
                let expires = now.plus(lifetime);
                let bound_to = match authenticator {
                    Some(name) => account
                        .find_authenticator(Some(name))
                        .map_err(|why| AccountError::no_place(account, why))?,
                    None => account.active.as_ref(),
                };
                let bound_to = bound_to.map(|factor| (factor.id.as_str(), active_factor));
                let sealed = self.sealer.seal_ticket(account, &text, expires, bound_to);
                account.ticket = Some(sealed.map_err(AccountError::no_randomness)?);
                Ok((expires, Event::new(EventKind::Ticket, user.as_str(), now, from.clone())))
            })
            .await?;
        Ok((text, expires))
    }

    /// Replaces the recovery codes of the active factor.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn recovery_codes(
        &self,
        user: &UserName,
        from: EventSource,
    ) -> Result<Vec<RecoveryCode>, AccountError> {
        self.change(user, SpaceUse::Growing, &default_commit_deadline(), |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            Ok((
                renew(account, self.config.totp.recovery_storage)?,
                Event::new(EventKind::RecoveryCodes, user.as_str(), now, from.clone()),
            ))
        })
        .await
    }

    /// Forgets the remembered logins; says how many there were.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn forget(
        &self,
        user: &UserName,
        uid: Option<u32>,
        from: EventSource,
        guard: &Arc<CommitGuard>,
    ) -> Result<usize, AccountError> {
        self.change(user, SpaceUse::Essential, guard, |slot, now| {
            let account = slot.as_mut().filter(|a| uid.is_none_or(|uid| a.belongs_to_uid(Some(uid))));
            let forgotten = account.ok_or(AccountError::NotEnrolled)?.forget_remembered();
            Ok((forgotten, Event::new(EventKind::Forget, user.as_str(), now, from.clone())))
        })
        .await
    }

    /// Forgets every factor, and ends the sessions of applications and the enrollments inside
    /// logins; says whether there was a factor or an enrollment.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn revoke(&self, user: &UserName, from: EventSource) -> Result<bool, AccountError> {
        let ended = self.kept_enrollments.forget(user);
        // An enrollment that is being activated has this lock, and its factor is revoked below.
        let _lock = self.user_locks.lock(user.as_str()).await;
        for _ in 0..MOST_RACES {
            // A record whose secrets cannot be opened can still be forgotten: this is the way out.
            let stored = self.load(user).await.map_err(EngineError::from)?.filter(|stored| {
                stored.damaged || stored.account.has_factor() || stored.account.ticket.is_some()
            });
            let Some(stored) = stored else {
                self.uid(user).await?.ok_or(AccountError::NoSuchUser)?;
                if ended {
                    self.record_ended_enrollment(user, from).await?;
                }
                return Ok(ended);
            };
            let mut account = stored.account;
            let totp_id = account.active.as_ref().or(account.pending.as_ref()).map(|f| f.id.clone());
            let now = clock::now();
            let before = account.clone();
            account.revoke();
            let mut event = Event::new(EventKind::Revoke, user.as_str(), now, from.clone());
            event.totp_id = totp_id;
            // A revoked factor must not go on granting by its sessions.
            let mut sessions = counted(withdrawn_factors(&before, Some(&account), now));
            sessions.push(SideWrite::DeleteSessionsOf(account.id.clone()));
            let write = AccountWrite::Update(account, stored.version);
            if self
                .store_admin(write, sessions, SpaceUse::Essential, event, now, &default_commit_deadline())
                .await?
                .is_some()
            {
                return Ok(true);
            }
        }
        Err(AccountError::Busy)
    }

    /// Records that only an enrollment inside a login was there to revoke.
    async fn record_ended_enrollment(&self, user: &UserName, from: EventSource) -> Result<(), AccountError> {
        let now = clock::now();
        let event = Event::new(EventKind::Revoke, user.as_str(), now, from);
        let (write, guard) = (AccountWrite::Nothing, default_commit_deadline());
        self.store_admin(write, Vec::new(), SpaceUse::Essential, event, now, &guard).await.map(drop)
    }

    /// Ends what the user has staged.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed then.
    pub async fn cancel(&self, user: &UserName, from: EventSource) -> Result<StagedChange, AdminError> {
        self.change_with(user, SpaceUse::Essential, &default_commit_deadline(), |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            account.expire_pending(now);
            if account.active.is_none() {
                return Err(AccountError::NotEnrolled.into());
            }
            let staged = account.remove_staged().map_err(|_| AdminError::NothingStaged)?;
            Ok((staged, Event::new(EventKind::Cancel, user.as_str(), now, from.clone()), Vec::new()))
        })
        .await
    }

    /// Forgets one authenticator, and ends the sessions of applications. The others and the
    /// recovery codes stay.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn revoke_authenticator(
        &self,
        user: &UserName,
        name: &AuthenticatorName,
        from: EventSource,
    ) -> Result<bool, AccountError> {
        self.change_with(user, SpaceUse::Essential, &default_commit_deadline(), |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            account.expire_pending(now);
            // One that waits for its first code can be taken back as well.
            let waiting = account.pending.take_if(|pending| {
                pending.is_named(name)
                    && !account.active.iter().chain(&account.added).any(|a| a.is_named(name))
            });
            let id = if let Some(waiting) = waiting {
                waiting.id
            } else {
                let found = account.find_authenticator(Some(name));
                let found = found.map_err(|why| AccountError::no_place(account, why))?;
                let id = found.ok_or(AccountError::NotEnrolled)?.id.clone();
                account.remove_authenticator(&id);
                id
            };
            let mut event = Event::new(EventKind::Revoke, user.as_str(), now, from.clone());
            event.totp_id = Some(id);
            Ok((true, event, vec![SideWrite::DeleteSessionsOf(account.id.clone())]))
        })
        .await
    }

    /// Takes the clock of this moment for right, whatever codes were granted later by it.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn trust_clock(&self, from: EventSource) -> Result<(), AccountError> {
        let now = clock::now();
        let event = Event::new(EventKind::TrustClock, "", now, from);
        let side_writes = vec![SideWrite::TrustClock(now)];
        match self
            .store_admin(
                AccountWrite::Nothing,
                side_writes,
                SpaceUse::Essential,
                event,
                now,
                &default_commit_deadline(),
            )
            .await?
        {
            Some(()) => Ok(()),
            None => Err(AccountError::Busy),
        }
    }

    /// Ends every lock; says whether there was anything to forget.
    ///
    /// # Errors
    /// [`AccountError`]; nothing was changed then.
    pub async fn unlock(&self, target: &ActedOn, from: EventSource) -> Result<bool, AccountError> {
        let user = &target.name;
        self.change(user, SpaceUse::Essential, &default_commit_deadline(), |slot, now| {
            let account = slot.as_mut().ok_or(AccountError::NotEnrolled)?;
            target.require(account)?;
            let any = account.lock_state.failures() > 0 || !account.lock_state.locked(now).is_empty();
            account.lock_state.unlock();
            Ok((any, Event::new(EventKind::Unlock, user.as_str(), now, from.clone())))
        })
        .await
    }
}

/// The account in `slot`, made if there is none. One of another uid is somebody else's: of it only
/// the place in the store is kept, and only when it has no factor.
pub(super) fn account_of<'a>(
    slot: &'a mut Option<Account>,
    user: &UserName,
    uid: u32,
    now: Time,
) -> Result<&'a mut Account, AccountError> {
    let account = match slot.take() {
        Some(mut account) => {
            account.expire_pending(now);
            if account.belongs_to_uid(Some(uid)) {
                account
            } else if account.has_factor() {
                let error = AccountError::of_another(&account, uid);
                *slot = Some(account);
                return Err(error);
            } else {
                // What applications know of somebody whom the host did not know then is kept.
                let profile = account.uid.is_none().then(|| std::mem::take(&mut account.profile));
                let blank = Account::blank(account.id, Some(user.clone()), Some(uid), account.created);
                Account { profile: profile.unwrap_or_default(), ..blank }
            }
        }
        None => Account::new(Some(user.clone()), Some(uid), now, &mut Kernel)
            .map_err(AccountError::no_randomness)?,
    };
    Ok(slot.insert(account))
}

/// Stages a factor; what is shown of it, and its id.
pub(super) fn stage(
    account: &mut Account,
    new: &NewFactor,
    issuer: &str,
    now: Time,
) -> Result<(Enrolled, String), AccountError> {
    let discards = account.pending.is_some();
    let made = account.enroll(new, now, &mut Kernel);
    let recovery_codes = made.map_err(|why| AccountError::not_made(account, why))?;
    let (enrolled, totp_id) = shown_once(account, recovery_codes, issuer, now)?;
    Ok((Enrolled { discards, ..enrolled }, totp_id))
}

/// Stages a factor that has to ripen; what is shown of it, and its id.
pub(super) fn stage_replacement(
    account: &mut Account,
    new: &NewFactor,
    change: StagedChange,
    issuer: &str,
    now: Time,
) -> Result<(Enrolled, String), AccountError> {
    let made = account.stage_replacement(new, change, now, &mut Kernel);
    let codes = made.map_err(|why| AccountError::not_made(account, why))?;
    shown_once(account, codes, issuer, now)
}

pub(super) fn shown_once(
    account: &Account,
    recovery_codes: Vec<RecoveryCode>,
    issuer: &str,
    now: Time,
) -> Result<(Enrolled, String), AccountError> {
    let pending = account.pending.as_ref().ok_or(AccountError::NotEnrolled)?;
    let enrolled = Enrolled {
        totp_id: pending.id.clone(),
        otpauth: OtpAuth {
            issuer: issuer.to_owned(),
            account: app_account(account, pending, now),
            secret: pending.secrets.secret().clone(),
            params: pending.params,
        },
        recovery_codes,
        expires_at: account.pending_expires().unwrap_or(now),
        replaces: account.authenticators().any(|active| active.name == pending.name),
        name: pending.name.as_ref().map(ToString::to_string),
        staged: pending.staged.clone(),
        recovery_codes_left: None,
        codes_from: None,
        discards: false,
    };
    let totp_id = enrolled.totp_id.clone();
    Ok((enrolled, totp_id))
}

/// New recovery codes for the active factor.
pub(super) fn renew(
    account: &mut Account,
    recovery_storage: RecoveryStorage,
) -> Result<Vec<RecoveryCode>, AccountError> {
    account
        .replace_recovery_codes(recovery_storage, &mut Kernel)
        .map_err(AccountError::no_randomness)?
        .ok_or(AccountError::NotEnrolled)
}
