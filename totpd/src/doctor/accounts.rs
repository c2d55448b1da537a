//! The users and groups in the passwd and group files of a host or a tree.

use super::tree_files::{inside, read_bounded};
use std::path::{Path, PathBuf};

/// A user in the passwd file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name, or the uid if it has no name.
    pub name: String,
    /// The uid.
    pub uid: u32,
    /// The gid of the primary group.
    pub gid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: String,
}

impl Account {
    /// The account of a uid without a name.
    pub fn unnamed(uid: u32) -> Self {
        Self { name: uid.to_string(), uid, gid: u32::MAX, home: "/".into(), shell: String::new() }
    }

    /// Whether this user can log in: root, or a uid of people with a login shell.
    pub fn logs_in(&self) -> bool {
        let shell = !matches!(self.shell.rsplit('/').next(), Some("nologin" | "false" | "sync" | "halt"));
        shell && (self.uid == 0 || (1000..65534).contains(&self.uid))
    }
}

/// The users of the passwd file of a tree.
pub fn accounts(root: &Path) -> Vec<Account> {
    let text = read_bounded(&inside(root, Path::new("/etc/passwd"))).unwrap_or_default();
    let account = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?.into();
        Some(Account {
            name: name.to_owned(),
            uid,
            gid,
            home,
            shell: fields.next().unwrap_or_default().to_owned(),
        })
    };
    text.lines().filter_map(account).collect()
}

/// Name, gid and members of each group in the group file of a tree.
pub fn groups(root: &Path) -> Vec<(String, u32, Vec<String>)> {
    let text = read_bounded(&inside(root, Path::new("/etc/group"))).unwrap_or_default();
    let group = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty());
        Some((name, gid, members.map(str::to_owned).collect()))
    };
    text.lines().filter_map(group).collect()
}

/// The names of the groups that a user is in.
pub fn groups_of(root: &Path, account: &Account) -> Vec<String> {
    let is_in = |(_, gid, members): &(String, u32, Vec<String>)| {
        *gid == account.gid || members.contains(&account.name)
    };
    groups(root).into_iter().filter(is_in).map(|(name, _, _)| name).collect()
}
