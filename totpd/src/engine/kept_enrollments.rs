//! Enrollments inside an SSH login that may be interrupted, such as by sshd's `LoginGraceTime`. A
//! later login is shown the same key, so that the entry in the user's app stays good.
//!
//! They are in memory only: a stop of the daemon ends them all. A key is shown again to a login of
//! the same user from the same address with the same SSH key, and only while the user's record is
//! the one it was. The newest login has the key: an older one that still waits cannot finish.

use crate::sync::ignore_poison;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use totp_core::login_enrollment::AwaitingFirstCode;
use totp_core::remembered::RememberKey;
use totp_core::{RandomFailed, Time, UserName};

/// For how long a key is shown again, from the first time on. Time asleep counts.
pub(super) const LIFETIME: Duration = Duration::from_mins(15);
/// Keys that are kept for one user: each address and each SSH key has one of its own.
const MAX_PER_USER: usize = 4;
/// Keys that are kept in all.
const MAX_KEPT: usize = 1024;

/// The enrollments that a later login can continue.
#[derive(Debug, Default)]
pub(super) struct KeptEnrollments(Mutex<HashMap<Login, Kept>>);

/// What a later login must have in common with the one that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    /// The user.
    pub(super) user: UserName,
    /// A digest of uid, service, address and SSH keys.
    pub(super) key: RememberKey,
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
struct Kept {
    enrolling: AwaitingFirstCode,
    versions: Versions,
    made: Duration,
    showings: Showings,
    /// The last login that was shown the key used up its wrong answers.
    failed: bool,
}

/// How often a key was shown, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Showings {
    /// How often.
    pub count: u32,
    /// The first time.
    pub first: Time,
    /// The time before this one; the first time if there was none between.
    pub previous: Time,
    /// This time.
    pub latest: Time,
}

impl Showings {
    /// The first one.
    pub(super) const fn first(at: Time) -> Self {
        Self { count: 1, first: at, previous: at, latest: at }
    }

    const fn next(self, at: Time) -> Self {
        Self { count: self.count.saturating_add(1), previous: self.latest, latest: at, ..self }
    }

    /// Whether the key was shown to an earlier login.
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

/// The right of the newest login to finish an enrollment that is kept.
#[derive(Debug)]
pub(super) struct Lease {
    kept: Arc<KeptEnrollments>,
    login: Login,
    totp_id: String,
    showings: Showings,
    made: Duration,
}

/// A later login was shown the same key, and has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenOver;

/// An enrollment that is being activated: nobody else is shown its key. It is kept again unless the
/// activation succeeds.
#[derive(Debug)]
pub(super) struct Activating(Option<(Lease, Kept)>);

impl KeptEnrollments {
    /// The key that this login is shown: the one that is kept for it, or a new one, which is kept
    /// from now on.
    ///
    /// # Errors
    /// When `make` fails.
    pub(super) fn show(
        self: &Arc<Self>,
        login: Login,
        versions: Versions,
        now: Now,
        make: impl FnOnce() -> Result<AwaitingFirstCode, RandomFailed>,
    ) -> Result<Shown, RandomFailed> {
        let mut all = ignore_poison(self.0.lock());
        all.retain(|_, kept| kept.is_alive(now.since_boot));
        let again = all.remove(&login).filter(|kept| kept.versions == versions);
        let failed_before = again.as_ref().is_some_and(|kept| kept.failed);
        let kept = match again {
            Some(kept) => Kept { showings: kept.showings.next(now.wall), failed: false, ..kept },
            None => Kept {
                enrolling: make()?,
                versions,
                made: now.since_boot,
                showings: Showings::first(now.wall),
                failed: false,
            },
        };
        make_room(&mut all, &login.user);
        let lease = Lease {
            kept: Arc::clone(self),
            login: login.clone(),
            totp_id: kept.enrolling.totp_id().to_owned(),
            showings: kept.showings,
            made: kept.made,
        };
        let enrolling = kept.enrolling.clone();
        all.insert(login, kept);
        Ok(Shown { enrolling, lease, failed_before })
    }

    /// Drops what is kept for a user.
    pub(super) fn forget(&self, user: &UserName) {
        ignore_poison(self.0.lock()).retain(|login, _| login.user != *user);
    }

    /// Notes that a record has another version, and still nothing that ends what is kept.
    pub(super) fn note_version(&self, user: &UserName, id: &str, from: u64, to: u64) {
        let mut all = ignore_poison(self.0.lock());
        let of_user = all.iter_mut().filter(|(login, _)| login.user == *user);
        for (known, version) in of_user.flat_map(|(_, kept)| &mut kept.versions) {
            if known == id && *version == from {
                *version = to;
            }
        }
    }

    /// Drops, and wipes, what is kept no longer.
    pub(super) fn drop_expired(&self, since_boot: Duration) {
        ignore_poison(self.0.lock()).retain(|_, kept| kept.is_alive(since_boot));
    }
}

impl Lease {
    /// How often the key was shown, with this login.
    pub(super) const fn showings(&self) -> Showings {
        self.showings
    }

    /// For how long a later login is shown the same key.
    pub(super) const fn time_left(&self, since_boot: Duration) -> Duration {
        LIFETIME.saturating_sub(since_boot.saturating_sub(self.made))
    }

    /// Changes what a later login continues with. What is not kept any more is not kept again.
    ///
    /// # Errors
    /// [`TakenOver`]
    fn update(&self, change: impl FnOnce(&mut Kept)) -> Result<(), TakenOver> {
        match ignore_poison(self.kept.0.lock()).get_mut(&self.login) {
            Some(kept) if self.is_of(kept) => {
                if kept.showings != self.showings {
                    return Err(TakenOver);
                }
                change(kept);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Asks whether this login still has the key.
    ///
    /// # Errors
    /// [`TakenOver`]
    pub(super) fn check(&self) -> Result<(), TakenOver> {
        self.update(|_| {})
    }

    /// A later login goes on with this one's state: its used code stays used.
    ///
    /// # Errors
    /// [`TakenOver`]
    pub(super) fn keep(&self, enrolling: AwaitingFirstCode) -> Result<(), TakenOver> {
        self.update(|kept| kept.enrolling = enrolling)
    }

    /// Notes that this login has used up its wrong answers.
    pub(super) fn note_failed(&self) {
        // A later login that has the key is asked anyway.
        let _ = self.update(|kept| kept.failed = true);
    }

    /// Takes the enrollment out, so that nobody is shown the key while it is activated.
    ///
    /// # Errors
    /// [`TakenOver`]
    pub(super) fn activate(self) -> Result<Activating, TakenOver> {
        let taken = {
            let mut all = ignore_poison(self.kept.0.lock());
            match all.get(&self.login) {
                Some(kept) if self.is_of(kept) && kept.showings != self.showings => return Err(TakenOver),
                Some(kept) if self.is_of(kept) => all.remove(&self.login),
                Some(_) | None => None,
            }
        };
        Ok(Activating(taken.map(|kept| (self, kept))))
    }

    fn is_of(&self, kept: &Kept) -> bool {
        kept.enrolling.totp_id() == self.totp_id
    }
}

impl Activating {
    /// The factor is the user's.
    pub(super) fn succeeded(mut self) {
        self.0 = None;
    }
}

impl Drop for Activating {
    fn drop(&mut self) {
        let Some((lease, kept)) = self.0.take() else { return };
        ignore_poison(lease.kept.0.lock()).entry(lease.login).or_insert(kept);
    }
}

impl Kept {
    fn is_alive(&self, since_boot: Duration) -> bool {
        since_boot.saturating_sub(self.made) < LIFETIME
    }
}

/// Drops the oldest entries until there is room for one more of this user.
fn make_room(all: &mut HashMap<Login, Kept>, user: &UserName) {
    let oldest = |all: &HashMap<Login, Kept>, of: &dyn Fn(&Login) -> bool| {
        let of = all.iter().filter(|(login, _)| of(login));
        of.min_by_key(|(_, kept)| kept.made).map(|(login, _)| login.clone())
    };
    let of_user = |login: &Login| login.user == *user;
    while all.keys().filter(|login| of_user(login)).count() >= MAX_PER_USER
        && let Some(login) = oldest(all, &of_user)
    {
        all.remove(&login);
    }
    while all.len() >= MAX_KEPT
        && let Some(login) = oldest(all, &|_| true)
    {
        all.remove(&login);
    }
}

#[cfg(test)]
mod tests;
