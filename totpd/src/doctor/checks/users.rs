//! Checks which users are refused, or will be.

use super::services::protected;
use super::sshd::ADMIN_GROUPS;
use crate::doctor::accounts::Account;
use crate::doctor::ask_daemon::explain;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, few};
use crate::doctor::system::Host;
use std::collections::BTreeSet;
use totp_wire::admin::{ExpectedOutcome, State, User};

/// The most users about whom the daemon is asked.
const MAX_USERS: usize = 200;
/// With this many recovery codes or fewer, a user should get new ones.
const FEW_CODES: u64 = 2;

/// Rows about users.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let Some(daemon) = host.daemon.as_ref().filter(|daemon| daemon.reply.is_ok()) else { return Vec::new() };
    let users = &daemon.users;
    let mut found = Vec::new();
    found.extend(without_factor(host, users));
    let names = |wanted: &dyn Fn(&User) -> bool| -> Vec<String> {
        users
            .iter()
            .filter(|user| wanted(user))
            .map(|user| totp_wire::text::printable(&user.user, 64))
            .collect()
    };
    let mut about = |kind, names: Vec<String>, what: &str, cure: &str| {
        if !names.is_empty() {
            let sentence = format!("{what}: {}", few(&names));
            found.push(Finding::new(kind, names.join(","), sentence).cure(cure));
        }
    };
    about(
        &kinds::USERS_LOCKED,
        names(&|user| !user.locks.is_empty()),
        "too many wrong codes have locked",
        "Run: totpd history USER. If the user typed them, run: totpd unlock USER",
    );
    about(
        &kinds::USER_DELETED,
        deleted(host, users),
        "these have a factor, but are no longer users of this host",
        "Run: totpd revoke USER",
    );
    about(
        &kinds::USER_UID_CHANGED,
        uid_changed(host, users),
        "these have another uid than when they were enrolled",
        "Find out whether each is the same person. Then run: totpd revoke USER; totpd enroll USER",
    );
    about(
        &kinds::RECOVERY_CODES_FEW,
        names(&|user| user.state == State::Active && user.recovery_codes_left <= FEW_CODES),
        "these have few recovery codes left",
        "Tell them to run: totpd recovery-codes",
    );
    about(
        &kinds::ENROLLMENT_PENDING,
        names(&|user| user.state == State::Pending),
        "these are enrolled, but have typed no first code yet",
        "Tell them to run: totpd confirm",
    );
    found
}

/// Row "uid changed": the daemon compares the uid with that of the enrollment.
fn uid_changed(host: &Host, users: &[User]) -> Vec<String> {
    let active = users.iter().filter(|user| user.state == State::Active).take(MAX_USERS);
    let mut changed = Vec::new();
    for name in active.map(|user| &user.user).filter(|name| host.account(name).is_some()) {
        let Ok(reply) = explain(host, name, "login") else { break };
        if reply.reason.as_deref() == Some("uid-changed") {
            changed.push(name.clone());
        }
    }
    changed
}

/// Row "people whom enforcement will refuse: members of asked groups without a factor, also those
/// who never logged in".
fn without_factor(host: &Host, users: &[User]) -> Option<Finding> {
    let active = |name: &str| users.iter().any(|user| user.user == name && user.state == State::Active);
    let services: Vec<String> = protected(host).into_iter().map(|service| service.name).collect();
    let service =
        ["sshd", "login", "sudo"].into_iter().find(|wanted| services.iter().any(|name| name == wanted))?;
    let mut missing = BTreeSet::new();
    let candidates = candidates(host).into_iter().filter(|account| !active(&account.name));
    for account in candidates.take(MAX_USERS) {
        let Ok(reply) = explain(host, &account.name, service) else { break };
        let refused =
            reply.outcome == ExpectedOutcome::Refused && reply.reason.as_deref() == Some("not-enrolled");
        if refused || reply.would.as_deref().is_some_and(|would| would.starts_with("refused")) {
            missing.insert(account.name.clone());
        }
    }
    let names: Vec<String> = missing.into_iter().collect();
    (!names.is_empty()).then(|| {
        let what = format!(
            "{service} asks these users for a code, or will, and they have no factor: {}",
            few(&names)
        );
        let cure = "Run: totpd enroll USER, or totpd enroll USER --ticket";
        Finding::new(&kinds::USERS_WITHOUT_FACTOR, names.join(","), what).cure(cure)
    })
}

/// Users who can log in, administrators first, without root.
fn candidates(host: &Host) -> Vec<&Account> {
    let mut accounts: Vec<&Account> = ADMIN_GROUPS.iter().flat_map(|group| host.members(group)).collect();
    accounts.extend(host.accounts.iter());
    accounts.retain(|account| account.logs_in() && account.uid != 0);
    let mut seen = BTreeSet::new();
    accounts.retain(|account| seen.insert(account.uid));
    accounts
}

/// Row "user deleted".
fn deleted(host: &Host, users: &[User]) -> Vec<String> {
    let unknown = |name: &String| {
        // A directory may have the name; if it does not answer, nothing is reported. Ids of
        // applications' users are not names.
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        let ended = host.programs.run(&["getent", "passwd", name]);
        is_name
            && !name.starts_with('-')
            && host.account(name).is_none()
            && ended.is_some_and(|output| !output.success)
    };
    let names = users.iter().map(|user| user.user.clone()).filter(|name| !name.starts_with("user-"));
    names.filter(unknown).collect()
}
