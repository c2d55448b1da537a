//! Users and groups, through NSS. Local files come first, so that a directory that hangs never
//! stops root. Look-ups in a directory run on threads of their own, with a timeout and a bound on
//! those that hang.

mod administrators;
mod local_files;

pub use crate::user_directory::administrators::{Member, Target};

use crate::sync::ignore_poison;
use crate::user_directory::local_files::Files;
use nix::errno::Errno;
use std::collections::{BTreeSet, HashSet};
use std::ffi::CString;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use totp_core::UserName;

/// Look-ups at once for root and trusted peers. Those of other users and of applications have pools
/// of their own, so that neither can stop the look-ups of others' logins.
const MAX_LOOKUPS: usize = 16;
/// Look-ups at once that other local users cause.
const MAX_LOOKUPS_OF_USERS: usize = 4;
/// Look-ups at once that applications cause.
const MAX_LOOKUPS_OF_APPLICATIONS: usize = 4;
/// Names of directories that are remembered, so that they may be logged while the directory does
/// not answer.
const MAX_SEEN: usize = 10_000;
/// How long a look-up may take, with the wait for a permit.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// A directory did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the user directory (NSS) does not answer, or answers with an error")]
pub struct DirectoryUnavailable;

/// A user, by the name that the system calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The name.
    pub name: UserName,
    /// The uid.
    pub uid: u32,
}

/// Looks up users and groups.
#[derive(Debug)]
pub struct UserDirectory {
    trusted: Arc<Semaphore>,
    others: Arc<Semaphore>,
    applications: Arc<Semaphore>,
    files: Files,
    /// Names that a directory had, as far as they are remembered.
    seen: Mutex<HashSet<String>>,
}

impl Default for UserDirectory {
    fn default() -> Self {
        Self {
            trusted: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            others: Arc::new(Semaphore::new(MAX_LOOKUPS_OF_USERS)),
            applications: Arc::new(Semaphore::new(MAX_LOOKUPS_OF_APPLICATIONS)),
            files: Files::default(),
            seen: Mutex::default(),
        }
    }
}

impl UserDirectory {
    /// The user who has `name`, or `None` if nobody has it. A directory may take other spellings of
    /// a name: what is returned is the one that it calls the user by. Only for names that come from
    /// root, a trusted peer or an administrator.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn find(&self, name: &UserName) -> Result<Option<ResolvedUser>, DirectoryUnavailable> {
        self.find_within(&self.trusted, name).await
    }

    /// Finds the user of a name that comes from an application, which may have made it up.
    /// Otherwise as [`UserDirectory::find`].
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn find_for_application(
        &self,
        name: &UserName,
    ) -> Result<Option<ResolvedUser>, DirectoryUnavailable> {
        self.find_within(&self.applications, name).await
    }

    async fn find_within(
        &self,
        permits: &Arc<Semaphore>,
        name: &UserName,
    ) -> Result<Option<ResolvedUser>, DirectoryUnavailable> {
        if let Some(local) = self.files.user(name.as_str()) {
            return Ok(Some(ResolvedUser { name: name.clone(), uid: local.uid }));
        }
        let name = name.clone();
        let lookup = move || found(nix::unistd::User::from_name(name.as_str()));
        let user = ask(permits, lookup).await??;
        let found = user.and_then(|user| {
            Some(ResolvedUser { name: UserName::parse(&user.name).ok()?, uid: user.uid.as_raw() })
        });
        if let Some(found) = &found {
            self.remember(found.name.as_str());
        }
        Ok(found)
    }

    /// Whether the local file has `name`, or a directory had it earlier. Asks no directory: a line
    /// of the log is not worth a wait, and the time that it takes tells nothing.
    pub fn has_seen(&self, name: &str) -> bool {
        let seen = || ignore_poison(self.seen.lock()).contains(name);
        self.files.user(name).is_some() || seen()
    }

    fn remember(&self, name: &str) {
        let mut seen = ignore_poison(self.seen.lock());
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        if !seen.contains(name) {
            seen.insert(name.to_owned());
        }
    }

    /// Whether `name` is a name of `uid`, for a process of that uid. This looks up the uid, and
    /// never a name that somebody made up.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn is_name_of(&self, name: &UserName, uid: u32) -> Result<bool, DirectoryUnavailable> {
        if let Some(local) = self.files.user(name.as_str()) {
            return Ok(local.uid == uid);
        }
        let lookup = move || found(nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)));
        Ok(ask(&self.others, lookup).await??.is_some_and(|user| user.name == name.as_str()))
    }

    /// The name of `uid`, for a process of that uid.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn name_of(&self, uid: u32) -> Result<Option<UserName>, DirectoryUnavailable> {
        if let Some(name) = self.files.name_of(uid) {
            return Ok(UserName::parse(&name).ok());
        }
        let lookup = move || found(nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)));
        Ok(ask(&self.others, lookup).await??.and_then(|user| UserName::parse(&user.name).ok()))
    }

    /// Which of `groups` the user is a member of. Groups are compared by number, so that two names
    /// of one group are one. The files decide about a local user in a local group, and about root
    /// in any group: a directory that hangs must not stop either, and one that answers must not
    /// make root a member of anything.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn groups_among(
        &self,
        user: &str,
        groups: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, DirectoryUnavailable> {
        let (local, unsure): (BTreeSet<String>, BTreeSet<String>) =
            groups.iter().cloned().partition(|group| self.files.is_in(user, group));
        let unsure: BTreeSet<String> = match self.files.user(user) {
            Some(entry) if entry.uid == 0 => BTreeSet::new(),
            Some(_) => unsure.into_iter().filter(|group| !self.files.has_group(group)).collect(),
            None => unsure,
        };
        if unsure.is_empty() {
            return Ok(local);
        }
        let user = user.to_owned();
        let mut found = ask(&self.trusted, move || nss_groups(&user, unsure)).await??;
        found.extend(local);
        Ok(found)
    }
}

/// What a directory answered about a user. An error does not mean that there is no such user,
/// except those that say so (getpwnam(3)).
fn found(
    answer: nix::Result<Option<nix::unistd::User>>,
) -> Result<Option<nix::unistd::User>, DirectoryUnavailable> {
    match answer {
        Ok(user) => Ok(user),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(_) => Err(DirectoryUnavailable),
    }
}

/// Which of `groups` the user is in, by getgrouplist(3) and by the groups' lists. No error counts
/// as "not a member": a member who is taken for none would be under the rules of others.
fn nss_groups(user: &str, groups: BTreeSet<String>) -> Result<BTreeSet<String>, DirectoryUnavailable> {
    let entry = nix::unistd::User::from_name(user).map_err(|_| DirectoryUnavailable)?;
    let (Some(entry), Ok(name)) = (entry, CString::new(user)) else { return Ok(BTreeSet::new()) };
    let of_user = nix::unistd::getgrouplist(&name, entry.gid).map_err(|_| DirectoryUnavailable)?;
    let mut found = BTreeSet::new();
    for group in groups {
        let known = nix::unistd::Group::from_name(&group).map_err(|_| DirectoryUnavailable)?;
        // A source that failed drops out of getgrouplist(3) silently; the group's own list may
        // still have the user.
        if known.is_some_and(|known| of_user.contains(&known.gid) || known.mem.iter().any(|m| m == user)) {
            found.insert(group);
        }
    }
    Ok(found)
}

/// Whether the local file has `name`, for places where no directory may be asked.
pub fn is_local(name: &str) -> bool {
    Files::default().user(name).is_some()
}

/// Runs a look-up on a thread of its own once there is a permit.
async fn ask<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    lookup: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DirectoryUnavailable> {
    let asked = async {
        let permit = Arc::clone(permits).acquire_owned().await.map_err(|_| DirectoryUnavailable)?;
        let task = tokio::task::spawn_blocking(move || {
            let found = lookup();
            drop(permit); // Held while the look-up hangs, not only while somebody waits for it.
            found
        });
        task.await.map_err(|_| DirectoryUnavailable)
    };
    tokio::time::timeout(LOOKUP_TIMEOUT, asked).await.map_err(|_| DirectoryUnavailable)?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn uid(users: &UserDirectory, name: &str) -> Result<Option<u32>, DirectoryUnavailable> {
        Ok(users.find(&UserName::parse(name).unwrap()).await?.map(|found| found.uid))
    }

    #[tokio::test]
    async fn root_is_found_locally_and_nobody_is_invented() {
        let users = UserDirectory::default();
        assert_eq!(uid(&users, "root").await, Ok(Some(0)));
        assert_eq!(uid(&users, "no-such-user-here").await, Ok(None));
        assert_eq!(users.is_name_of(&UserName::parse("root").unwrap(), 0).await, Ok(true));
        assert_eq!(users.is_name_of(&UserName::parse("root").unwrap(), 1).await, Ok(false));
        assert_eq!(users.is_name_of(&UserName::parse("no-such-user-here").unwrap(), 1).await, Ok(false));
    }

    #[tokio::test]
    async fn groups_are_found_locally_and_through_the_directory() {
        let users = UserDirectory::default();
        let wanted = BTreeSet::from(["root", "nogroup", "no-such-group-here"].map(str::to_owned));
        let of = async |user: &str| {
            users.groups_among(user, &wanted).await.unwrap().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("root").await, ["root"]);
        assert_eq!(of("nobody").await, ["nogroup"]);
        assert_eq!(of("no-such-user-here").await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_lookups_are_bounded_and_local_users_still_found() {
        let users = UserDirectory::default();
        let _hung = Arc::clone(&users.trusted).acquire_many_owned(16).await.unwrap();
        assert_eq!(uid(&users, "somebody-in-ldap").await, Err(DirectoryUnavailable));
        assert_eq!(uid(&users, "root").await, Ok(Some(0)));
        let wheel = BTreeSet::from(["wheel".to_owned()]);
        assert_eq!(users.groups_among("root", &wheel).await, Ok(BTreeSet::new()));
        assert_eq!(users.groups_among("somebody-in-ldap", &wheel).await, Err(DirectoryUnavailable));
    }

    #[tokio::test]
    async fn many_look_ups_at_once_wait_for_their_turn() {
        let users = Arc::new(UserDirectory::default());
        let tasks: Vec<_> = (0..100)
            .map(|i| {
                let users = Arc::clone(&users);
                tokio::spawn(async move { uid(&users, &format!("nobody{i}")).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(None));
        }
    }

    #[tokio::test]
    async fn what_others_cause_takes_no_turn_of_a_login() {
        let users = UserDirectory::default();
        let _hung = Arc::clone(&users.others).acquire_many_owned(4).await.unwrap();
        assert_eq!(uid(&users, "somebody-in-ldap").await, Ok(None));
    }
}
