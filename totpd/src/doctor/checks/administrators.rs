//! Checks the groups of administrators in totpd.toml: whether they exist, and whether they hold
//! more than administrators.

use crate::config::Config;
use crate::doctor::accounts;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::system::Host;

/// A group with this many users who log in, or more, and all of them, is everybody's.
const EVERYBODY: usize = 3;

/// Rows "a group of administrators that does not exist" and "that everybody is in".
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let Ok(config) = &host.config else { return Vec::new() };
    config.administration.groups.iter().filter_map(|(group, _)| of_group(host, config, group)).collect()
}

fn of_group(host: &Host, config: &Config, group: &str) -> Option<Finding> {
    let key = config.administration.key_of(group);
    let known = accounts::groups(&host.root).into_iter().find(|(name, ..)| name == group);
    let Some((_, gid, members)) = known else {
        // A directory may have the group. If it does not answer, nothing is reported.
        let asked = host.is_live().then(|| host.programs.run(&["getent", "group", group]));
        if asked.is_some_and(|asked| asked.is_none_or(|output| output.success)) {
            return None;
        }
        let what = format!("{key} names the group {group}, which does not exist on this host");
        let finding = Finding::new(&kinds::ADMIN_GROUP_UNKNOWN, group, what);
        return Some(finding.cure("Correct or remove the name").at(&host.config_path, None));
    };
    let users = accounts::accounts(&host.root);
    let is_in = |user: &accounts::Account| user.gid == gid || members.contains(&user.name);
    let people = users.iter().filter(|user| user.uid != 0 && user.logs_in());
    let (inside, outside): (Vec<_>, Vec<_>) = people.partition(|user| is_in(user));
    let nobody = users.iter().any(|user| user.name == "nobody" && is_in(user));
    if !nobody && (!outside.is_empty() || inside.len() < EVERYBODY) {
        return None;
    }
    let who = if nobody { "the user nobody" } else { "every user of this host" };
    let what = format!("{key} names the group {group}, in which {who} is");
    let finding = Finding::new(&kinds::ADMIN_GROUP_EVERYBODY, group, what);
    let cure = format!("Make a group for administrators alone (groupadd), and write it in place of {group}");
    Some(finding.cure(cure).at(&host.config_path, None))
}
