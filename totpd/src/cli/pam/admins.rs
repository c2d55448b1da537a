//! The users who must not be locked out: administrators, and every user with a factor.

use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::admin_call;
use crate::config::Config;
use crate::pam_config::Mode;
use std::collections::BTreeSet;
use totp_wire::admin::{self, DaemonState, State};

/// Groups of administrators: `sudo` on Debian and Ubuntu, `wheel` on others, `admin` on old Ubuntu
/// releases.
const GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];
/// The most users with a factor for whom sshd's configuration is compared.
const MAX_ENROLLED_USERS: usize = 50;

/// The user names of uid 0.
pub(super) fn roots() -> Vec<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == "0").then(|| name.to_owned())
    });
    let mut names: Vec<String> = names.collect();
    if !names.iter().any(|name| name == "root") {
        names.insert(0, "root".to_owned());
    }
    names
}

/// root, and the members of [`GROUPS`].
fn administrators() -> BTreeSet<String> {
    let groups = GROUPS.iter().filter_map(|name| nix::unistd::Group::from_name(name).ok().flatten());
    groups.flat_map(|group| group.mem).chain(roots()).collect()
}

/// Users in /etc/passwd who have a login shell and are not in `active`.
fn without_factor(active: &BTreeSet<String>) -> Vec<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let logs_in = |line: &&str| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid = fields.get(2).and_then(|uid| uid.parse::<u32>().ok()).unwrap_or_default();
        let shell = fields.get(6).copied().unwrap_or_default();
        (1000..65534).contains(&uid) && !shell.ends_with("/nologin") && !shell.ends_with("/false")
    };
    let names = passwd.lines().filter(logs_in).filter_map(|line| line.split(':').next());
    names.filter(|name| !active.contains(*name)).map(str::to_owned).collect()
}

/// The users whom a change concerns.
#[derive(Debug)]
pub(super) struct AffectedUsers {
    /// Users with a factor, and every administrator. sshd's configuration is compared for each.
    pub users: Vec<String>,
    /// Administrators with a confirmed factor. Their logins confirm the change.
    pub administrators: Vec<String>,
    /// Users of this host without a confirmed factor.
    pub without_factor: Vec<String>,
}

/// Checks that the daemon serves and, except for `monitor`, that an administrator has a factor.
/// Returns the users whom the change concerns.
///
/// # Errors
/// What is missing, and the command for it.
pub(super) fn affected_users(config: &Config, mode: Mode) -> Result<AffectedUsers, CommandError> {
    let daemon = admin_call(config, &admin::Daemon {}).map_err(|error| {
        let why = format!("{}. Nothing was changed; start it first: systemctl enable --now totpd", error.why);
        failed(error.exit, why)
    })?;
    if daemon.state != DaemonState::Serving {
        let why = daemon.why.unwrap_or_default();
        return Err(failed(
            ExitStatus::Refused,
            format!("nothing was changed, because the daemon refuses every login: {why}"),
        ));
    }
    let administrators = administrators();
    let (mut users, mut active, mut after) = (Vec::new(), Vec::new(), None);
    let mut with_factor = BTreeSet::new();
    loop {
        let page = admin_call(config, &admin::List { after, limit: None })?;
        for user in page.users {
            if user.state == State::Active {
                with_factor.insert(user.user.clone());
                if administrators.contains(&user.user) {
                    active.push(user.user.clone());
                }
            }
            users.push(user.user);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if active.is_empty() && mode != Mode::Monitor {
        let someone = administrators.iter().find(|name| *name != "root").map_or("root", String::as_str);
        return Err(failed(
            ExitStatus::Refused,
            format!(
                "no administrator (root, or a member of the groups {}) has a confirmed factor, so nobody could undo a \
                 mistake. Enroll one first: totpd enroll {someone}",
                GROUPS.join(", ")
            ),
        ));
    }
    users.truncate(MAX_ENROLLED_USERS);
    users.extend(administrators);
    users.sort();
    users.dedup();
    let without_factor = without_factor(&with_factor);
    Ok(AffectedUsers { users, administrators: active, without_factor })
}
