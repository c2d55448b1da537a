//! Which services ask for a code, and which let in without one.

use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::stack::{authenticators, is_near, lets_in_with_all, name_of};
use crate::doctor::system::Host;
use crate::pam_config::siblings::services_of;
use crate::pam_config::{Facility, Stack};
use std::collections::BTreeSet;

/// A service with our line.
#[derive(Debug)]
pub struct Protected {
    /// Its name.
    pub name: String,
    /// What it asks of a user who logs in.
    pub auth: Stack,
}

/// Services that let nobody in: they check an account, or change a password of somebody who is in.
const NO_LOGINS: [&str; 29] = [
    "cron",
    "crond",
    "atd",
    "systemd-user",
    "runuser",
    "runuser-l",
    "chpasswd",
    "newusers",
    "passwd",
    "chfn",
    "chsh",
    "chage",
    "groupadd",
    "groupdel",
    "groupmod",
    "groupmems",
    "useradd",
    "userdel",
    "usermod",
    "other",
    "lightdm-greeter",
    "gdm-launch-environment",
    "sddm-greeter",
    "config-util",
    "sssd-shadowutils",
    "systemd-run0",
    "samba",
    "cups",
    "ppp",
];
/// Programs at this host's own screen and keyboard, beside those of `login.console_services`: lockers.
const LOCKERS: [&str; 14] = [
    "i3lock",
    "swaylock",
    "hyprlock",
    "waylock",
    "vlock",
    "xlock",
    "xscreensaver",
    "xsecurelock",
    "kde",
    "kde-fingerprint",
    "kde-smartcard",
    "kscreensaver",
    "gnome-screensaver",
    "mate-screensaver",
];

/// The services whose `auth` lines have ours.
pub fn protected(host: &Host) -> Vec<Protected> {
    let dirs = host.pam();
    let stacks = dirs.services().into_iter().filter_map(|name| {
        let auth = dirs.stack(&name, Facility::Auth).ok()?;
        auth.ours().next()?;
        Some(Protected { name, auth })
    });
    // "other" stands for services without a file: it is not one.
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
    let mut found = Vec::new();
    for name in dirs.services() {
        if asking.contains(name.as_str()) || NO_LOGINS.contains(&name.as_str()) {
            continue;
        }
        let Ok(stack) = dirs.stack(&name, Facility::Auth) else { continue };
        // An answer of ours changes nothing: there is none. A stack that lets nobody in is no door, as one that names our
        // module wrongly: that is a finding of its own.
        let misspelt = stack.entries.iter().any(|entry| is_near(entry.line.module_name()));
        // A file without such lines is of a program that asks nobody who they are; "other" would answer for it.
        let borrowed = dirs.file(&name).is_none_or(|own| own != stack.file);
        if misspelt || borrowed || !lets_in_with_all(&stack, "success") {
            continue;
        }
        let with = first_factor(&stack);
        let sibling = asking.iter().find(|other| is_sibling(other, &name));
        let (kind, what) = if let Some(sibling) = sibling {
            (
                &kinds::SIBLING_WITHOUT_CODE,
                format!("{sibling} asks for a code and {name} does not: {with} is enough"),
            )
        } else if config.console_services.contains(&name) || LOCKERS.contains(&name.as_str()) {
            (&kinds::CONSOLE_WITHOUT_CODE, format!("{name} asks for no code: {with} is enough"))
        } else {
            (&kinds::SERVICE_WITHOUT_CODE, format!("{name} asks for no code: {with} is enough"))
        };
        found.push(
            Finding::new(kind, &name, what)
                .cure(format!("Run: totpd pam enable {name}"))
                .at(&host.shown(&stack.file), None),
        );
    }
    found
}

/// Whether two services are one program to the person.
fn is_sibling(one: &str, other: &str) -> bool {
    services_of(one).contains(&other) || services_of(other).contains(&one)
}

/// What a stack asks for, in words.
pub fn first_factor(stack: &Stack) -> String {
    let word = |name: &str| match name {
        "pam_unix" | "pam_unix2" | "pam_pwdb" => "the password".to_owned(),
        "pam_sss" | "pam_ldap" | "pam_krb5" | "pam_winbind" | "pam_kanidm" | "pam_himmelblau" => {
            format!("the password of a directory ({name})")
        }
        "pam_fprintd" => "a fingerprint".to_owned(),
        other => other.to_owned(),
    };
    let mut words: Vec<String> =
        authenticators(stack).into_iter().map(|entry| word(name_of(entry))).collect();
    words.dedup();
    if words.is_empty() { "nothing that PAM asks".to_owned() } else { words.join(" or ") }
}
