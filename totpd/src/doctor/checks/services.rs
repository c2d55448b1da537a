//! Checks which services ask for a code, and which let users in without one.

use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::stack::{authenticators, is_near, lets_in_with_all, name_of};
use crate::doctor::system::Host;
use crate::pam_config::no_logins::is_no_login;
use crate::pam_config::one_field::{self, has_one_field};
use crate::pam_config::plan::in_a_block;
use crate::pam_config::siblings::services_of;
use crate::pam_config::{Action, ConfigDirs, Entry, Facility, Stack, locker};
use std::collections::BTreeSet;

/// A service with totpd's line.
#[derive(Debug)]
pub struct Protected {
    /// The service's name.
    pub name: String,
    /// Its `auth` stack.
    pub auth: Stack,
}

/// The locker of text consoles, which is not a locker with one field.
const CONSOLE_LOCKER: &str = "vlock";

/// The services with totpd's line in their `auth` stack.
pub fn protected(host: &Host) -> Vec<Protected> {
    let dirs = host.pam();
    let stacks = dirs.services().into_iter().filter_map(|name| {
        let auth = dirs.stack(&name, Facility::Auth).ok()?;
        auth.ours().next()?;
        Some(Protected { name, auth })
    });
    // "other" is not a service: it stands for services without a file.
    stacks.filter(|service| service.name != "other").collect()
}

/// Row "sudo-i, su, su-l, login, cockpit, … without our line", and a host where nobody is asked.
pub fn check(host: &Host) -> Vec<Finding> {
    let (dirs, asking) = (host.pam(), protected(host));
    let asking: BTreeSet<&str> = asking.iter().map(|service| service.name.as_str()).collect();
    if asking.is_empty() {
        let what = "no PAM service asks for a code";
        let cure = "Run: totpd pam enable sshd sudo";
        return vec![Finding::new(&kinds::NOBODY_ASKS, "pam", what).cure(cure)];
    }
    let config = host.config_or_defaults();
    let mut found = lockers(host, &dirs);
    for name in dirs.services() {
        if asking.contains(name.as_str()) || is_no_login(&name) {
            continue;
        }
        let Ok(stack) = dirs.stack(&name, Facility::Auth) else { continue };
        // A misspelt module is another finding. A stack that refuses every user is not a way to log
        // in.
        let misspelt = stack.entries.iter().any(|entry| is_near(entry.line.module_name()));
        // A program whose file has no such lines authenticates nobody; libpam would use "other".
        let is_of_other = dirs.file(&name).is_none_or(|file| file != stack.file);
        if misspelt || is_of_other || !lets_in_with_all(&stack, "success") {
            continue;
        }
        let with = first_factor(&stack);
        let sibling = asking.iter().find(|other| is_sibling(other, &name));
        let (kind, what) = if let Some(sibling) = sibling {
            (
                &kinds::SIBLING_WITHOUT_CODE,
                format!("{sibling} asks for a code, but {name} does not: {with} is enough"),
            )
        } else if config.console_services.contains(&name) || unlocks_a_screen(&name) {
            (&kinds::CONSOLE_WITHOUT_CODE, format!("{name} asks for no code: {with} is enough"))
        } else {
            (&kinds::SERVICE_WITHOUT_CODE, format!("{name} asks for no code: {with} is enough"))
        };
        let cure = if has_one_field(&name) {
            one_field::CURE.to_owned()
        } else {
            locker::without_field(&name).unwrap_or_else(|| format!("Run: totpd pam enable {name}"))
        };
        found.push(Finding::new(kind, &name, what).cure(cure).at(&host.shown(&stack.file), None));
    }
    found
}

/// Whether a service unlocks the screen of somebody who has logged in.
fn unlocks_a_screen(service: &str) -> bool {
    locker::is_locker(service) || locker::without_field(service).is_some() || service == CONSOLE_LOCKER
}

/// Lockers that ask by the lines of a service that they include, in a second prompt. One was
/// installed after that service was enabled, or an upgrade replaced its file.
fn lockers(host: &Host, dirs: &ConfigDirs) -> Vec<Finding> {
    let finding = |name: String| {
        let stack = dirs.stack(&name, Facility::Auth).ok()?;
        // A line whose refusal is ignored (monitor) keeps nobody out.
        let refuses = |entry: &&Entry| entry.line.control.action("auth_err") != Action::Ignore;
        let entry = stack.ours().find(refuses)?;
        let (file, line) = (host.shown(&entry.file), entry.line.number);
        let what = format!("nobody can unlock {name}, because it includes line {line} of {}", file.display());
        let cure = if in_a_block(dirs, entry).unwrap_or(false) {
            format!("Run: totpd pam enable {name}")
        } else {
            format!("Take line {line} of {} away, then run: totpd pam enable {name}", file.display())
        };
        Some(Finding::new(&kinds::LOCKER_CANNOT_UNLOCK, name, what).cure(cure).at(&file, line))
    };
    locker::unusable(dirs).into_iter().filter_map(finding).collect()
}

/// Whether two services are siblings: the same program, called in another way.
fn is_sibling(one: &str, other: &str) -> bool {
    services_of(one).contains(&other) || services_of(other).contains(&one)
}

/// What a stack asks for, as text.
pub fn first_factor(stack: &Stack) -> String {
    let factor = |name: &str| match name {
        "pam_unix" | "pam_unix2" | "pam_pwdb" => "the password".to_owned(),
        "pam_sss" | "pam_ldap" | "pam_krb5" | "pam_winbind" | "pam_kanidm" | "pam_himmelblau" => {
            format!("the password of a directory ({name})")
        }
        "pam_fprintd" => "a fingerprint".to_owned(),
        other => other.to_owned(),
    };
    let mut factors: Vec<String> =
        authenticators(stack).into_iter().map(|entry| factor(name_of(entry))).collect();
    factors.dedup();
    if factors.is_empty() { "nothing that PAM asks".to_owned() } else { factors.join(" or ") }
}
