//! Enrollments inside logins that go on, and those that a later login can continue: one that was
//! interrupted, such as by sshd's `LoginGraceTime`, shows the same key again, so that the entry in
//! the user's app stays good.
//!
//! They are in memory only: a stop of the daemon ends them all. A key is shown again to a login of
//! the same user from the same address with the same SSH key, and only while the user's record is
//! the one it was. Of the logins that were shown one key, the newest that has answered can finish:
//! one that only connects ends nobody's enrollment. What is kept no longer stays known for as long
//! as a login has it, so that an older login cannot finish after a newer one.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::remembered::RememberKey;
use totp_core::{RandomFailed, Time, UserName};

/// For how long a key is shown again, from the first time on. Time asleep counts.
pub(super) const LIFETIME: Duration = Duration::from_mins(15);
/// Keys that are kept for one user: each address and each SSH key has one of its own. One more is
/// shown once and not kept: none is dropped for it, or others could end what the user was promised.
const MAX_PER_USER: usize = 4;
/// Keys that are kept in all.
const MAX_KEPT: usize = 1024;

/// The enrollments of logins that go on, and those that a later login can continue.
#[derive(Debug, Default)]
pub(super) struct KeptEnrollments(Mutex<Keys>);

/// Each key, by the id of its factor.
type Keys = HashMap<String, Key>;

/// What a later login must have in common with the one that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// The user.
    pub(super) user: UserName,
    /// A digest of uid, service, address and SSH keys.
    pub(super) key: RememberKey,
}

/// For whom a key is made.
#[derive(Clone, Debug)]
pub(super) enum Viewer {
    /// A later login like this one is shown it again.
    Login(Login),
    /// No other login is shown it.
    Once(UserName),
}

/// The versions of the records of one user, by their ids.
pub(super) type Versions = Vec<(String, u64)>;

/// The moment of a showing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The clock that nobody sets, and that does not stop while the host sleeps.
    pub(super) since_boot: Duration,
    /// The wall clock, for people.
    pub(super) wall: Time,
}

#[derive(Debug)]
struct Key {
    user: UserName,
    /// The logins that are shown it again; `None`: no further one.
    kept_for: Option<Login>,
    enrolling: AwaitingFirstCode,
    versions: Versions,
    made: Duration,
    showings: Showings,
    /// Which showing was the newest one that was answered; 0 before the first answer.
    answered: u32,
    /// The last login that was shown the key used up its wrong answers.
    failed: bool,
    /// The logins that have the key on their screens.
    leases: u32,
    /// No login can finish any more.
    ended: Option<LeaseEnd>,
}

/// How often a key was shown, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Showings {
    /// How often.
    pub count: u32,
    /// The first time.
    pub first: Time,
    /// The time before the latest one; the first time if there was none between.
    pub previous: Time,
    /// The latest time.
    pub latest: Time,
}

impl Showings {
    /// The first one.
    const fn first(at: Time) -> Self {
        Self { count: 1, first: at, previous: at, latest: at }
    }

    const fn next(self, at: Time) -> Self {
        Self { count: self.count.saturating_add(1), previous: self.latest, latest: at, ..self }
    }

    /// Whether the key was shown to more than one login.
    pub const fn is_repeated(&self) -> bool {
        self.count > 1
    }
}

/// A key that a login is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) enrolling: AwaitingFirstCode,
    pub(super) lease: Lease,
    /// The login before this one used up its wrong answers.
    pub(super) failed_before: bool,
}

/// A login's hold of the key on its screen.
#[derive(Debug)]
pub(super) struct Lease {
    all: Arc<KeptEnrollments>,
    totp_id: String,
    /// The number of its showing.
    showing: u32,
}

/// Why a login cannot finish the enrollment that it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEnd {
    /// A later login with the same key has answered.
    TakenOver,
    /// Another login with the same key has finished.
    Finished,
    /// An administrator has ended it.
    Dropped,
}

/// An enrollment that is being activated: nobody else is shown its key. It is kept again unless the
/// activation succeeds.
#[derive(Debug)]
pub(super) struct Activating {
    lease: Lease,
    showings: Showings,
    kept_for: Option<Login>,
}

impl KeptEnrollments {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        ignore_poison(self.0.lock())
    }

    /// The key that this login is shown: the one that is kept for it, or a new one.
    ///
    /// # Errors
    /// When `make` fails.
    pub(super) fn show(
        self: &Arc<Self>,
        viewer: Viewer,
        versions: Versions,
        now: Now,
        make: impl FnOnce() -> Result<AwaitingFirstCode, RandomFailed>,
    ) -> Result<Shown, RandomFailed> {
        let mut keys = self.keys();
        keys.values_mut().for_each(|key| key.expire(now.since_boot));
        let (user, login) = match viewer {
            Viewer::Login(login) => (login.user.clone(), Some(login)),
            Viewer::Once(user) => (user, None),
        };
        if let Some(login) = &login {
            for key in keys.values_mut().filter(|key| key.is_kept_for(login)) {
                if key.versions != versions {
                    key.kept_for = None;
                }
            }
        }
        keys.retain(|_, key| key.is_needed());
        if let Some(key) =
            login.as_ref().and_then(|login| keys.values_mut().find(|key| key.is_kept_for(login)))
        {
            key.showings = key.showings.next(now.wall);
            let failed_before = std::mem::take(&mut key.failed);
            return Ok(Shown { failed_before, ..key.shown_by(self) });
        }
        let mut key = Key {
            kept_for: login.filter(|login| has_room(&keys, &login.user)),
            user,
            enrolling: make()?,
            versions,
            made: now.since_boot,
            showings: Showings::first(now.wall),
            answered: 0,
            failed: false,
            leases: 0,
            ended: None,
        };
        let shown = key.shown_by(self);
        keys.insert(shown.lease.totp_id.clone(), key);
        Ok(shown)
    }

    /// Ends every enrollment of a user, also those of logins that go on. Returns whether there was
    /// one.
    pub(super) fn forget(&self, user: &UserName) -> bool {
        let mut keys = self.keys();
        let mut any = false;
        for key in keys.values_mut().filter(|key| key.user == *user && key.ended.is_none()) {
            any = true;
            key.kept_for = None;
            key.ended = Some(LeaseEnd::Dropped);
        }
        keys.retain(|_, key| key.is_needed());
        any
    }

    /// Shows none of the keys again. Logins that go on can finish.
    pub(super) fn keep_no_longer(&self) {
        let mut keys = self.keys();
        keys.values_mut().for_each(|key| key.kept_for = None);
        keys.retain(|_, key| key.is_needed());
    }

    /// Notes that a record has another version, and still nothing that ends what is kept.
    pub(super) fn note_version(&self, user: &UserName, id: &str, from: u64, to: u64) {
        let mut keys = self.keys();
        let of_user = keys.values_mut().filter(|key| key.user == *user);
        for (known, version) in of_user.flat_map(|key| &mut key.versions) {
            if known == id && *version == from {
                *version = to;
            }
        }
    }

    /// Drops, and wipes, what is kept no longer.
    pub(super) fn drop_expired(&self, since_boot: Duration) {
        let mut keys = self.keys();
        keys.values_mut().for_each(|key| key.expire(since_boot));
        keys.retain(|_, key| key.is_needed());
    }
}

impl Lease {
    /// What `look` finds out of the key. `None` never happens: a key stays for as long as a lease
    /// of it.
    fn with<T>(&self, look: impl FnOnce(&mut Key) -> T) -> Option<T> {
        self.all.keys().get_mut(&self.totp_id).map(look)
    }

    /// Does something with the key if this login can still finish.
    fn if_current<T>(&self, act: impl FnOnce(&mut Key) -> T) -> Result<T, LeaseEnd> {
        let acted = self.with(|key| match key.ended {
            Some(end) => Err(end),
            None if key.answered > self.showing => Err(LeaseEnd::TakenOver),
            None => Ok(act(key)),
        });
        acted.unwrap_or(Err(LeaseEnd::Dropped))
    }

    /// How often the key was shown until now, to any login.
    pub(super) fn showings(&self) -> Option<Showings> {
        self.with(|key| key.showings)
    }

    /// For how long a later login is shown the same key. `None`: it is shown another one.
    pub(super) fn time_left(&self, since_boot: Duration) -> Option<Duration> {
        self.with(|key| {
            key.expire(since_boot);
            key.kept_for.as_ref().map(|_| LIFETIME.saturating_sub(since_boot.saturating_sub(key.made)))
        })?
    }

    /// This login has answered: older ones cannot finish from now on. Returns where the enrollment
    /// is, in which a code that another login used is used.
    ///
    /// # Errors
    /// [`LeaseEnd`]
    pub(super) fn answer(&self) -> Result<AwaitingFirstCode, LeaseEnd> {
        self.if_current(|key| {
            key.answered = self.showing;
            key.enrolling.clone()
        })
    }

    /// Other logins go on with this one's state: its used code stays used.
    ///
    /// # Errors
    /// [`LeaseEnd`]
    pub(super) fn keep(&self, enrolling: AwaitingFirstCode) -> Result<(), LeaseEnd> {
        self.if_current(|key| key.enrolling = enrolling)
    }

    /// Notes that this login has used up its wrong answers.
    pub(super) fn note_failed(&self) {
        // A later login that has answered is asked anyway.
        let _ = self.if_current(|key| key.failed = true);
    }

    /// Shows the key to nobody else while it is activated.
    ///
    /// # Errors
    /// [`LeaseEnd`]
    pub(super) fn activate(self) -> Result<Activating, LeaseEnd> {
        let (kept_for, showings) = self.if_current(|key| {
            key.answered = self.showing;
            (key.kept_for.take(), key.showings)
        })?;
        Ok(Activating { lease: self, showings, kept_for })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut keys = self.all.keys();
        if let Some(key) = keys.get_mut(&self.totp_id) {
            key.leases = key.leases.saturating_sub(1);
            if !key.is_needed() {
                keys.remove(&self.totp_id);
            }
        }
    }
}

impl Activating {
    /// How often the key was shown, and is not shown any more.
    pub(super) const fn showings(&self) -> Showings {
        self.showings
    }

    /// Asks, when nobody else can change the record any more, whether this login can still finish.
    ///
    /// # Errors
    /// [`LeaseEnd`]
    pub(super) fn check(&self) -> Result<(), LeaseEnd> {
        self.lease.if_current(|_| ())
    }

    /// The factor is the user's.
    pub(super) fn succeeded(mut self) {
        self.kept_for = None;
        self.lease.with(|key| key.ended = Some(LeaseEnd::Finished));
    }
}

impl Drop for Activating {
    fn drop(&mut self) {
        let Some(login) = self.kept_for.take() else { return };
        let mut keys = self.lease.all.keys();
        if keys.values().any(|key| key.is_kept_for(&login)) {
            return;
        }
        if let Some(key) = keys.get_mut(&self.lease.totp_id).filter(|key| key.ended.is_none()) {
            key.kept_for = Some(login);
        }
    }
}

impl Key {
    fn shown_by(&mut self, all: &Arc<KeptEnrollments>) -> Shown {
        self.leases = self.leases.saturating_add(1);
        let totp_id = self.enrolling.totp_id().to_owned();
        let lease = Lease { all: Arc::clone(all), totp_id, showing: self.showings.count };
        Shown { enrolling: self.enrolling.clone(), lease, failed_before: false }
    }

    fn is_kept_for(&self, login: &Login) -> bool {
        self.kept_for.as_ref() == Some(login)
    }

    /// Shows it to nobody else once its time is over.
    fn expire(&mut self, since_boot: Duration) {
        if since_boot.saturating_sub(self.made) >= LIFETIME {
            self.kept_for = None;
        }
    }

    const fn is_needed(&self) -> bool {
        self.leases > 0 || self.kept_for.is_some()
    }
}

/// Whether one more key of this user can be kept.
fn has_room(keys: &Keys, user: &UserName) -> bool {
    let kept = || keys.values().filter(|key| key.kept_for.is_some());
    kept().count() < MAX_KEPT && kept().filter(|key| key.user == *user).count() < MAX_PER_USER
}

#[cfg(test)]
mod tests;
