//! Services whose program has one field or message for the password, and gives its text to every
//! question of PAM.

/// xrdp's screen, and protocols that have no second question: FTP, IMAP, POP3, SMTP with saslauthd,
/// RADIUS, PostgreSQL's `pam` method, squid's helper.
const SERVICES: [&str; 13] = [
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
pub(crate) const CURE: &str = "Write this line by hand, above its other auth lines, and have users type the \
     password and the code in one line: auth [success=ignore ignore=ignore default=die] pam_totp.so forward_pass";

/// Whether a service's program gives one text to every question.
pub(crate) fn has_one_field(service: &str) -> bool {
    SERVICES.contains(&service)
}

/// Why the lines of `totpd pam enable` cannot work in a service; `None` where they can.
pub(crate) fn refused(service: &str) -> Option<String> {
    has_one_field(service).then(|| {
        format!(
            "its program has one field for the password, and would answer two questions with the same text: nobody \
             could log in. {CURE}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pam_config::no_logins::is_no_login;

    #[test]
    fn a_program_with_one_field_is_a_login_whose_lines_are_refused() {
        assert!(SERVICES.iter().all(|service| !is_no_login(service) && refused(service).is_some()));
        for service in ["sshd", "sudo", "su", "login", "cockpit"] {
            assert_eq!(refused(service), None, "{service}");
        }
    }
}
