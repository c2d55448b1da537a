//! `admin_group`, `admin_groups` and `protected_groups`: who administers besides root, and whose
//! factors the helpdesk may not touch.

use serde::Deserialize;
use std::collections::BTreeSet;

/// Groups whose members the helpdesk may not touch unless the configuration says otherwise: by
/// them a user becomes root on Debian, Fedora and their descendants.
const PROTECTED_GROUPS: [&str; 2] = ["sudo", "wheel"];

/// What a member of a group may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminScope {
    /// Look, unlock, and make passcodes and tickets, for users who are not protected.
    Helpdesk,
    /// Everything that root's `totpd` does with users.
    Admin,
}

/// Who administers besides root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administration {
    /// The groups whose members do, and what each may do.
    pub groups: Vec<(String, AdminScope)>,
    /// The groups whose members the helpdesk may not touch, besides those of `groups`.
    pub protected: BTreeSet<String>,
    /// Which of `groups` the key `admin_group` names.
    admin_group: Option<String>,
}

impl Default for Administration {
    fn default() -> Self {
        Self { groups: Vec::new(), protected: PROTECTED_GROUPS.map(str::to_owned).into(), admin_group: None }
    }
}

impl Administration {
    /// Returns the groups with this scope.
    pub fn groups_with(&self, scope: AdminScope) -> impl Iterator<Item = &str> {
        self.groups.iter().filter(move |(_, has)| *has == scope).map(|(group, _)| group.as_str())
    }

    /// Returns the groups whose members the helpdesk may not touch: the protected ones, and those
    /// of administrators and colleagues.
    pub fn untouchable(&self) -> BTreeSet<String> {
        self.protected.iter().chain(self.groups.iter().map(|(group, _)| group)).cloned().collect()
    }

    /// Returns the key that names the group.
    pub fn key_of(&self, group: &str) -> &'static str {
        if self.admin_group.as_deref() == Some(group) { "admin_group" } else { "admin_groups" }
    }
}

/// An entry of `admin_groups`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdminGroup {
    group: String,
    scope: AdminScope,
}

/// Checks the three keys.
///
/// # Errors
/// A sentence that names the key.
pub(super) fn check(
    admin_group: Option<String>,
    admin_groups: Vec<RawAdminGroup>,
    protected_groups: Option<BTreeSet<String>>,
) -> Result<Administration, String> {
    if admin_group.as_deref() == Some("") {
        return Err("admin_group is empty. Remove the key if there is no such group".into());
    }
    let mut groups: Vec<(String, AdminScope)> =
        admin_group.iter().map(|group| (group.clone(), AdminScope::Admin)).collect();
    for RawAdminGroup { group, scope } in admin_groups {
        if group.is_empty() {
            return Err("admin_groups has an entry with an empty group. Remove the entry".into());
        }
        if groups.iter().any(|(other, _)| *other == group) {
            return Err(format!("admin_group and admin_groups name {group} twice. Keep one scope"));
        }
        groups.push((group, scope));
    }
    let protected = match protected_groups {
        Some(groups) if groups.contains("") => {
            return Err("protected_groups has an empty name in it. Write [] to protect no group".into());
        }
        Some(groups) => groups,
        None => Administration::default().protected,
    };
    Ok(Administration { groups, protected, admin_group })
}
