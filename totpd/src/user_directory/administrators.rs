//! Members of administrators' groups, and whether a user is one of those whom the helpdesk may not
//! touch. A directory that does not answer proves nothing: it refuses.

use super::{DirectoryUnavailable, ResolvedUser, UserDirectory, ask, found};
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::BTreeSet;
use std::ffi::CString;
use totp_core::UserName;

/// A group that no host has. A directory that has failed answers with an error when it is asked for
/// it, while getgrouplist(3) leaves the directory's groups out.
const NO_GROUP: &str = "totpd-is-the-directory-there";

/// A member of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The login name that the system has for the uid.
    pub name: String,
    /// Of the groups that were asked about, those that the user is a member of.
    pub groups: BTreeSet<String>,
}

/// A user whom somebody at the helpdesk asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The user.
    pub user: ResolvedUser,
    /// Whether the uid is root's, or one of its names is in one of the groups.
    pub is_protected: bool,
}

impl UserDirectory {
    /// Which of `groups` the user with this uid is a member of, by the groups' lists or as the
    /// primary group. For a process of that uid.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer.
    pub async fn member(
        &self,
        uid: u32,
        groups: BTreeSet<String>,
    ) -> Result<Option<Member>, DirectoryUnavailable> {
        ask(&self.others, move || member(uid, groups)).await?
    }

    /// The user who has `name`, and whether the helpdesk may not touch them. `None`: nobody has the
    /// name. Every name of the uid counts: they are one user to the kernel.
    ///
    /// # Errors
    /// [`DirectoryUnavailable`] when the directory does not answer, or when it and `/etc/passwd` do
    /// not agree about the name.
    pub async fn target(
        &self,
        name: &UserName,
        groups: BTreeSet<String>,
    ) -> Result<Option<Target>, DirectoryUnavailable> {
        let asked = name.clone();
        let local = self.files.user(name.as_str()).map(|entry| entry.uid);
        let Some(user) = ask(&self.others, move || user_named(asked.as_str())).await?? else {
            return Ok(None);
        };
        let uid = user.uid.as_raw();
        if local.is_some_and(|local| local != uid) {
            return Err(DirectoryUnavailable);
        }
        let spelled = UserName::parse(&user.name).map_err(|_| DirectoryUnavailable)?;
        let mut names: BTreeSet<String> = self.files.names_of(uid).into_iter().collect();
        names.extend([user.name, name.to_string()]);
        let is_protected = uid == 0 || ask(&self.others, move || any_in(uid, names, &groups)).await??;
        Ok(Some(Target { user: ResolvedUser { name: spelled, uid }, is_protected }))
    }
}

fn member(uid: u32, groups: BTreeSet<String>) -> Result<Option<Member>, DirectoryUnavailable> {
    let Some(user) = found(User::from_uid(Uid::from_raw(uid)))? else { return Ok(None) };
    let is_in = |group: &String| {
        let group = Group::from_name(group).ok().flatten();
        group.is_some_and(|group| user.gid == group.gid || group.mem.contains(&user.name))
    };
    let groups = groups.into_iter().filter(is_in).collect();
    Ok(Some(Member { name: user.name, groups }))
}

/// Whether one of the names of `uid` is a member of one of the groups: by the list of a group, as
/// the primary group, or by getgrouplist(3). A name on a list of the same uid counts too.
fn any_in(
    uid: u32,
    mut names: BTreeSet<String>,
    groups: &BTreeSet<String>,
) -> Result<bool, DirectoryUnavailable> {
    group_named(NO_GROUP)?;
    names.extend(found(User::from_uid(Uid::from_raw(uid)))?.map(|user| user.name));
    let mut gids: BTreeSet<u32> = BTreeSet::new();
    for name in &names {
        // A name that belongs to another uid by now is another user's.
        let Some(user) = user_named(name)?.filter(|user| user.uid.as_raw() == uid) else { continue };
        let name = CString::new(name.as_str()).map_err(|_| DirectoryUnavailable)?;
        let of_name = nix::unistd::getgrouplist(&name, user.gid).map_err(|_| DirectoryUnavailable)?;
        gids.extend(of_name.into_iter().chain([user.gid]).map(Gid::as_raw));
    }
    for group in groups {
        let Some(group) = group_named(group)? else { continue };
        if gids.contains(&group.gid.as_raw()) || group.mem.iter().any(|member| names.contains(member)) {
            return Ok(true);
        }
        for member in &group.mem {
            if user_named(member)?.is_some_and(|member| member.uid.as_raw() == uid) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn user_named(name: &str) -> Result<Option<User>, DirectoryUnavailable> {
    found(User::from_name(name))
}

fn group_named(name: &str) -> Result<Option<Group>, DirectoryUnavailable> {
    use nix::errno::Errno;
    match Group::from_name(name) {
        Ok(group) => Ok(group),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(_) => Err(DirectoryUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn members_are_found_by_their_uid() {
        let users = UserDirectory::default();
        let root = users.member(0, groups(&["root", "no-such-group-here"])).await.unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.groups), ("root", groups(&["root"])));
        assert_eq!(users.member(4_000_000_000, groups(&["root"])).await, Ok(None));
    }

    #[tokio::test]
    async fn root_and_members_are_protected_and_nobody_is_invented() {
        let users = UserDirectory::default();
        let target = async |name: &str, names: &[&str]| {
            let found = users.target(&UserName::parse(name).unwrap(), groups(names)).await;
            found.unwrap().map(|target| target.is_protected)
        };
        assert_eq!(target("root", &[]).await, Some(true));
        assert_eq!(target("nobody", &["root", "no-such-group-here"]).await, Some(false));
        assert_eq!(target("nobody", &["nogroup", "nobody"]).await, Some(true), "its primary group");
        assert_eq!(target("no-such-user-here", &["root"]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_hangs_makes_nobody_a_member_or_free() {
        let users = UserDirectory::default();
        let _hung = std::sync::Arc::clone(&users.others).acquire_many_owned(4).await.unwrap();
        assert_eq!(users.member(0, groups(&["root"])).await, Err(DirectoryUnavailable));
        let nobody = UserName::parse("nobody").unwrap();
        assert_eq!(users.target(&nobody, BTreeSet::new()).await, Err(DirectoryUnavailable));
    }
}
