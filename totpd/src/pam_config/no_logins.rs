//! Services that ask nobody for a code, or cannot ask for one in a field of its own.

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

/// Services whose program has one field or message for the password, and gives its text to every
/// question of PAM: xrdp's screen, and protocols that have no second question (FTP, IMAP, POP3,
/// SMTP with saslauthd, RADIUS, PostgreSQL's `pam` method, squid's helper).
const ONE_FIELD: [&str; 13] = [
    "xrdp-sesman",
    "vsftpd",
    "ftp",
    "proftpd",
    "pure-ftpd",
    "dovecot",
    "imap",
    "pop",
    "pop3",
    "smtp",
    "radiusd",
    "postgresql",
    "squid",
];

/// What to do by hand for a service with one field.
pub(crate) const ONE_FIELD_CURE: &str = "Write this line by hand, above its other auth lines, and have users type the \
     password and the code in one line: auth [success=ignore ignore=ignore default=die] pam_totp.so forward_pass";

/// Whether a service's program gives one text to every question.
pub(crate) fn has_one_field(service: &str) -> bool {
    ONE_FIELD.contains(&service)
}

/// Whether a service is no login.
pub fn is_no_login(service: &str) -> bool {
    NO_LOGINS.contains(&service)
}

/// Why the lines of `totpd pam enable` cannot work in a service; `None` where they can.
pub(crate) fn refused(service: &str) -> Option<String> {
    if JOBS.contains(&service) {
        return Some("it runs jobs and asks nobody, so no code can be typed".to_owned());
    }
    has_one_field(service).then(|| {
        format!(
            "its program has one field for the password, and would answer two questions with the same text: nobody \
             could log in. {ONE_FIELD_CURE}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_nobody_is_refused_and_is_no_login() {
        assert!(JOBS.iter().all(|service| is_no_login(service) && refused(service).is_some()));
        assert!(ONE_FIELD.iter().all(|service| !is_no_login(service) && refused(service).is_some()));
        for service in ["sshd", "sudo", "su", "login", "passwd"] {
            assert_eq!(refused(service), None, "{service}");
        }
    }
}
