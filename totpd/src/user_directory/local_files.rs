//! `/etc/passwd` and `/etc/group`, read without NSS, so that local users are found whatever a
//! directory does.

use crate::sync::ignore_poison;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;

/// A local user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) uid: u32,
    gid: u32,
    /// Its line number: of several names of one uid the first is the user's (getpwuid(3)).
    line: usize,
}

/// A local group.
#[derive(Debug)]
struct Group {
    gid: u32,
    members: HashSet<String>,
}

/// Both files, cached until their stamps change.
#[derive(Debug, Default)]
pub(super) struct Files {
    passwd: Mutex<Cached<HashMap<String, Entry>>>,
    group: Mutex<Cached<HashMap<String, Group>>>,
}

type Stamp = (u64, u64, i64, i64);

#[derive(Debug, Default)]
struct Cached<T> {
    stamp: Option<Stamp>,
    content: T,
}

impl Files {
    /// The entry of a login name.
    pub(super) fn user(&self, name: &str) -> Option<Entry> {
        read(&self.passwd, "/etc/passwd", passwd_line, |users| users.get(name).copied())
    }

    /// The login name of a uid.
    pub(super) fn name_of(&self, uid: u32) -> Option<String> {
        read(&self.passwd, "/etc/passwd", passwd_line, |users| {
            let of_uid = users.iter().filter(|(_, entry)| entry.uid == uid);
            of_uid.min_by_key(|(_, entry)| entry.line).map(|(name, _)| name.clone())
        })
    }

    /// Every login name of a uid.
    pub(super) fn names_of(&self, uid: u32) -> Vec<String> {
        read(&self.passwd, "/etc/passwd", passwd_line, |users| {
            users.iter().filter(|(_, entry)| entry.uid == uid).map(|(name, _)| name.clone()).collect()
        })
    }

    /// Whether `/etc/group` has the group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        read(&self.group, "/etc/group", group_line, |groups| groups.contains_key(group))
    }

    /// Whether `/etc/group` alone says that the user is in the group, as their primary group or by
    /// its list.
    pub(super) fn is_in(&self, name: &str, group: &str) -> bool {
        let primary = self.user(name).map(|user| user.gid);
        read(&self.group, "/etc/group", group_line, |groups| {
            groups.get(group).is_some_and(|g| Some(g.gid) == primary || g.members.contains(name))
        })
    }
}

/// What `find` finds in the file as it is now.
fn read<T, U>(
    cached: &Mutex<Cached<HashMap<String, T>>>,
    path: &str,
    line: fn(usize, &str) -> Option<(String, T)>,
    find: impl FnOnce(&HashMap<String, T>) -> U,
) -> U {
    let mut cached = ignore_poison(cached.lock());
    let stamp = stamp(Path::new(path));
    if stamp.is_none() || cached.stamp != stamp {
        let read = std::fs::read(path);
        // A file that could not be read is read again at the next call, and not taken for empty
        // until it changes.
        let stamp = stamp.filter(|_| read.is_ok());
        let text = read.unwrap_or_default();
        let mut content = HashMap::new();
        let text = String::from_utf8_lossy(&text);
        for (name, entry) in text.lines().enumerate().filter_map(|(number, text)| line(number, text)) {
            // The first entry wins, as it does in getpwnam(3).
            content.entry(name).or_insert(entry);
        }
        *cached = Cached { stamp, content };
    }
    find(&cached.content)
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

/// The name in a field. Lines with `+` and `-` are directives of nss_compat.
fn name(field: Option<&str>) -> Option<String> {
    field.filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#'])).map(str::to_owned)
}

fn passwd_line(number: usize, line: &str) -> Option<(String, Entry)> {
    let mut fields = line.split(':');
    let name = name(fields.next())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name, Entry { uid, gid, line: number }))
}

fn group_line(_: usize, line: &str) -> Option<(String, Group)> {
    let mut fields = line.split(':');
    let name = name(fields.next())?;
    let gid = fields.nth(1)?.parse().ok()?;
    let members = fields.next().unwrap_or_default();
    let members = members.split(',').map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some((name, Group { gid, members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_files_are_read_and_directives_are_not() {
        assert_eq!(
            passwd_line(3, "alice:x:5001:5001::/home/alice:/bin/sh"),
            Some(("alice".into(), Entry { uid: 5001, gid: 5001, line: 3 }))
        );
        for bad in ["", "+", "+alice::::::", "#x:x:1:1", "alice", "alice:x:many:1", ":x:0:0"] {
            assert_eq!(passwd_line(0, bad), None, "{bad}");
        }
        let (name, group) = group_line(0, "wheel:x:10:root, alice").unwrap();
        assert_eq!((name.as_str(), group.gid, group.members.len()), ("wheel", 10, 2));
        assert!(group.members.contains("alice"));
        assert!(group_line(0, "wheel:x:10:").unwrap().1.members.is_empty());
    }

    #[test]
    fn root_is_in_its_primary_group() {
        let files = Files::default();
        assert!(files.is_in("root", "root"));
        assert!(!files.is_in("root", "no-such-group-here") && !files.is_in("no-such-user-here", "root"));
    }
}
