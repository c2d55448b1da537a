//! Services that are no logins: their programs ask nobody for a code.

/// Services that are no logins: they check an account, or change the password of a user who is
/// logged in.
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

/// Services that run jobs, and ask nobody: a login can never confirm a change of theirs.
const JOBS: [&str; 4] = ["cron", "crond", "atd", "systemd-user"];

/// Whether a service is no login.
pub fn is_no_login(service: &str) -> bool {
    NO_LOGINS.contains(&service)
}

/// Why the lines of `totpd pam enable` cannot work in a service; `None` where they can.
pub(crate) fn refused(service: &str) -> Option<&'static str> {
    JOBS.contains(&service).then_some("it runs jobs and asks nobody, so no code can be typed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_nobody_is_refused_and_is_no_login() {
        assert!(JOBS.iter().all(|service| is_no_login(service) && refused(service).is_some()));
        for service in ["sshd", "sudo", "su", "login", "passwd"] {
            assert_eq!(refused(service), None, "{service}");
        }
    }
}
