//! Every kind of finding, the most important first. docs/reference/doctor.md has the same table.

use super::finding::Kind;
use super::finding::Severity::{Error, Note, Warning};

macro_rules! kinds {
    ($($name:ident = $id:literal, $severity:ident, [$($control:literal),*], $why:literal;)*) => {
        $(
            #[doc = $why]
            pub static $name: Kind =
                Kind { id: $id, severity: $severity, why: $why, controls: &[$($control),*] };
        )*
        /// Every kind, in the order of a report.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    // Logins without a code.
    STOPPED_ASKING = "stopped-asking", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "A service that asked for a code no longer asks, for example after an update that rewrote its PAM file.";
    SIBLING_WITHOUT_CODE = "sibling-without-code", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "The same program lets users in without a code when it is called in another way.";
    ANSWER_DECIDES_NOTHING = "answer-decides-nothing", Error, ["SRG-OS-000105", "SRG-OS-000107", "lynis AUTH-9268"],
        "A wrong code is accepted: the stack succeeds whatever totpd's module answers.";
    STOPPED_DAEMON_LETS_IN = "stopped-daemon-lets-in", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "While the daemon is stopped, users with the first factor get in without a code.";
    FIRST_FACTOR_NOT_PROVED = "first-factor-not-proved", Error, ["SRG-OS-000105"],
        "The line says that a first factor was proved, but it is reached after a wrong password too.";
    SSHD_KEY_ALONE = "sshd-key-alone", Error, ["SRG-OS-000105", "SRG-OS-000107", "lynis SSH-7408"],
        "A key, a host or a ticket is enough, because sshd never asks PAM.";
    CODE_ALONE = "code-alone", Error, ["SRG-OS-000105"],
        "The code is the only factor: anyone who holds the phone gets in.";
    SSHD_CODE_ALONE = "sshd-code-alone", Error, ["SRG-OS-000105", "lynis SSH-7408"],
        "The code is the only factor: anyone who holds the phone gets in.";
    SSHD_USEPAM_OFF = "sshd-usepam-off", Error, ["CIS-Debian-13 5.1.23", "SRG-OS-000105"],
        "sshd does not ask PAM, so nobody is asked for a code.";
    PAM_FILE_WRITABLE = "pam-file-writable", Error, ["lynis AUTH-9268"],
        "Users other than root can remove totpd's line.";
    CONFIG_WRITABLE = "config-writable", Error, [],
        "Users other than root could exempt themselves, so the daemon refuses the whole file.";
    MODULE_WRITABLE = "module-writable", Error, [],
        "Users other than root can replace the module by one that lets them in.";
    SUDO_NOPASSWD = "sudo-nopasswd", Warning, ["CIS-Debian-13 5.2.4", "RHEL-09-432025", "lynis AUTH-9250"],
        "sudo does not ask PAM for these commands, so nobody is asked for a code.";
    SUDO_NOT_AUTHENTICATE = "sudo-not-authenticate", Warning, ["CIS-Debian-13 5.2.5", "RHEL-09-432025", "lynis AUTH-9250"],
        "sudo does not ask PAM for these users, so they are not asked for a code.";
    SUDO_NEVER_ASKS_AGAIN = "sudo-never-asks-again", Warning, ["CIS-Debian-13 5.2.6", "RHEL-09-432015"],
        "One code is enough until the next boot.";
    LINE_SKIPPED = "line-skipped", Warning, ["SRG-OS-000105"],
        "Another line exempts some users from the code.";
    SERVICE_WITHOUT_CODE = "service-without-code", Warning, ["SRG-OS-000105", "SRG-OS-000106"],
        "This way to log in asks for no code.";
    SSHD_KEY_ALONE_FOR_SOME = "sshd-key-alone-for-some", Warning, ["SRG-OS-000106", "lynis SSH-7408"],
        "A Match block or a drop-in lets these users in with a key alone, and no rule of totpd.toml exempts them.";
    NOBODY_ASKS = "nobody-asks", Warning, ["SRG-OS-000105"],
        "totpd is installed, but nobody is asked for a code.";

    // Logins that fail.
    NOBODY_PASSES = "nobody-passes", Error, [],
        "Every login is refused, even with the right password and the right code.";
    PAM_LINE_MISREAD = "pam-line-misread", Error, ["lynis AUTH-9264"],
        "libpam treats every answer of this line as a failure, so the code is used up and the login is refused.";
    MODULE_MISSING = "module-missing", Error, ["lynis AUTH-9264"],
        "libpam cannot load the module, and refuses every login that needs it.";
    MODULE_NAME = "module-name", Error, ["lynis AUTH-9264"],
        "libpam finds no module of this name, and refuses every login that needs it.";
    MODULE_BROKEN = "module-broken", Error, ["lynis AUTH-9264"],
        "libpam cannot load the module, and refuses every login that needs it.";
    UNKNOWN_ARGUMENT = "unknown-argument", Error, [],
        "The module refuses every login when it cannot read its line.";
    SOCKET_ARGUMENT = "socket-argument", Error, [],
        "The module asks where no daemon listens, and every login is refused.";
    LINE_TWICE = "line-twice", Error, [],
        "Both lines ask, and the second refuses the code as used, so every login is refused.";
    LOCKER_CANNOT_UNLOCK = "locker-cannot-unlock", Error, [],
        "A screen locker has one field, and cannot answer the second prompt of the service that it includes.";
    ONE_FIELD = "one-field", Error, [],
        "The program has one field, and answers the question for the code with the password: nobody gets in.";
    EXEMPT_REFUSED = "exempt-refused", Error, [],
        "A rule exempts users from the code, but this stack refuses them, because no other module succeeds.";
    ACCOUNT_REFUSES = "account-refuses", Error, [],
        "totpd's module ignores this part of PAM, and a stack where every module answers \"ignore\" refuses.";
    SSHD_CONFIG = "sshd-config", Error, [],
        "sshd refuses its configuration, and will not start again.";
    SSHD_NOBODY_ASKED = "sshd-nobody-asked", Error, [],
        "sshd has no way to ask for a code, so it refuses every login, or will not start again.";
    SSHD_ROOT_REFUSED = "sshd-root-refused", Error, [],
        "sshd refuses keyboard-interactive for root under prohibit-password, so root cannot log in with a key.";
    SUDOERS_CONFIG = "sudoers-config", Error, [],
        "sudo refuses every user while it cannot read its rules.";
    CONFIG_INVALID = "config-invalid", Error, [],
        "The daemon cannot start with this file.";
    CONFIG_UNREADABLE = "config-unreadable", Error, [],
        "The daemon's user cannot read it, and the daemon refuses every login.";
    KEY_MISSING = "key-missing", Error, [],
        "Without its key, no code can be verified.";
    KEY_UNREADABLE = "key-unreadable", Error, [],
        "The daemon's user cannot read it, and every login is refused.";
    KEY_EXPOSED = "key-exposed", Error, [],
        "Anyone who can read the key and a copy of the store can compute every user's codes.";
    STORE_MISSING = "store-missing", Error, [],
        "Without the store, no code can be verified.";
    STORE_UNREADABLE = "store-unreadable", Error, [],
        "The daemon's user cannot read and write it, and every login is refused.";
    STORE_EXPOSED = "store-exposed", Error, [],
        "Other users can read or replace the store.";
    STORE_PASSWORD = "store-password", Error, [],
        "The daemon uses no password file that is missing, that its user cannot read, or that others can, and reaches no database.";
    STORE_ID_UNREADABLE = "store-id-unreadable", Error, [],
        "The daemon does not know which store belongs to this host, and refuses every login.";
    STORE_OF_ANOTHER_MOUNT = "store-of-another-mount", Error, [],
        "The daemon uses files that are no longer visible on this host, and a restart will not find them.";
    STORE_READ_ONLY = "store-read-only", Error, [],
        "The daemon cannot write, and refuses codes that it cannot mark as used.";
    DISK_FULL = "disk-full", Error, [],
        "Nobody can be enrolled, and the oldest history makes room for logins.";
    DAEMON_USER_MISSING = "daemon-user-missing", Error, [],
        "The daemon cannot start without its user.";
    RUN_FOLDER = "run-folder", Error, [],
        "The module does not trust sockets in a folder of another user, so every login is refused.";
    SOCKET_MODE = "socket-mode", Error, [],
        "Programs cannot ask for a code, or users can fill root's queue.";
    UNIT_MISSING = "unit-missing", Error, [],
        "Nothing starts the daemon.";
    UNIT_MASKED = "unit-masked", Error, [],
        "systemd refuses to start it, and every login is refused.";
    SOCKET_STOPPED = "socket-stopped", Error, [],
        "Nothing listens on the socket, so every login is refused.";
    SOCKET_NOT_ENABLED = "socket-not-enabled", Error, [],
        "Nothing will listen on the socket after the next boot, and every login will be refused.";
    SOCKET_PATH = "socket-path", Error, [],
        "systemd listens on another path than the configuration has, and the daemon does not start.";
    UNIT_FAILED = "unit-failed", Error, [],
        "The daemon does not run, so every login is refused.";
    UNIT_WITHOUT_NETWORK = "unit-without-network", Error, [],
        "The daemon cannot reach the servers of its store, and refuses every login.";
    DAEMON_HANGS = "daemon-hangs", Error, [],
        "Every login waits for the daemon, and is then refused.";
    DAEMON_UNREACHABLE = "daemon-unreachable", Error, [],
        "No login that needs a code works.";
    DAEMON_REFUSES = "daemon-refuses", Error, [],
        "The daemon runs, but refuses every login.";
    CLOCK_WRONG = "clock-wrong", Error, ["SRG-OS-000355"],
        "Codes depend on the time, so a wrong clock refuses right codes.";

    // Set-ups that will fail, or work differently from how they look.
    DAEMON_NOTICE = "daemon-notice", Warning, [],
        "The daemon needs an administrator.";
    CONFIG_NOT_IN_USE = "config-not-in-use", Warning, [],
        "The daemon uses an older configuration than the file.";
    BINARY_OUTDATED = "binary-outdated", Warning, [],
        "The running daemon is not the installed one.";
    MODULE_VERSION = "module-version", Warning, [],
        "Module and daemon are from different releases.";
    MODULE_OUTDATED = "module-outdated", Warning, [],
        "These programs still use a module that has been replaced.";
    UNIT_CHANGED = "unit-changed", Warning, [],
        "systemd uses an older unit file than the one on the disk.";
    SSHD_RELOAD = "sshd-reload", Warning, [],
        "sshd uses an older configuration than its files.";
    SSHD_GRACE_TIME = "sshd-grace-time", Warning, [],
        "sshd will end a login in the middle of an enrollment.";
    SSHD_GRACE_TIME_DIFFERS = "sshd-grace-time-differs", Warning, [],
        "Users who enroll inside a login are told another time than sshd gives them.";
    ADMIN_GROUP_EVERYBODY = "admin-group-everybody", Warning, [],
        "Every member of this group administers the factors of others.";
    ADMIN_GROUP_UNKNOWN = "admin-group-unknown", Warning, [],
        "Nobody is in this group, so nobody administers by it.";
    RULE_UNKNOWN_SERVICE = "rule-unknown-service", Warning, [],
        "No PAM service has this name, so the rule never matches there.";
    RULE_UNKNOWN_NAME = "rule-unknown-name", Warning, [],
        "No user or group has this name, so the rule does not match as intended.";
    RULE_WITHOUT_EFFECT = "rule-without-effect", Warning, [],
        "The rule looks as if it had an effect.";
    RULE_ENDS_SOON = "rule-ends-soon", Warning, [],
        "An exemption ends within a week. Then its users are asked for a code, or refused if they have no factor.";
    USERS_WITHOUT_FACTOR = "users-without-factor", Warning, ["SRG-OS-000105"],
        "These users will be refused when they are asked for a code.";
    USERS_LOCKED = "users-locked", Warning, ["RHEL-09-411075", "RHEL-09-411085"],
        "These users are refused even with the right code. Someone may be guessing their codes.";
    USER_DELETED = "user-deleted", Warning, [],
        "A new user of this name would have the factor of the old one.";
    USER_UID_CHANGED = "user-uid-changed", Warning, [],
        "A name with another uid may belong to another person, so its logins are refused.";
    MANY_WRONG_CODES = "many-wrong-codes", Warning, ["SRG-OS-000355"],
        "Wrong codes of many users suggest that the clock of this host is wrong.";
    CLOCK_DRIFTS = "clock-drifts", Warning, ["SRG-OS-000355"],
        "The codes of most phones are at the same edge of the tolerated window, so right codes will soon be refused.";
    CLOCK_NOT_SYNCHRONISED = "clock-not-synchronised", Warning, ["SRG-OS-000355"],
        "Codes depend on the time, so right codes are refused once the clock has drifted.";
    DISK_NEARLY_FULL = "disk-nearly-full", Warning, [],
        "When the disk is full, nobody can be enrolled, and the oldest history makes room for logins.";
    LOG_LINES_DROPPED = "log-lines-dropped", Warning, [],
        "Programs that watch the log, such as fail2ban, have missed these lines.";
    BREAKGLASS_OPEN = "breakglass-open", Warning, [],
        "Every user but one is refused until it ends.";

    // Notes.
    MONITOR_STACK = "monitor-stack", Note, [],
        "A wrong code is not refused there until the service has another mode.";
    CONSOLE_WITHOUT_CODE = "console-without-code", Note, ["SRG-OS-000106", "SRG-OS-000108"],
        "On this host's own console, a password is enough.";
    SSHD_ROOT_KEY_ALONE = "sshd-root-key-alone", Note, ["SRG-OS-000105"],
        "root logs in with a key and without a code, because prohibit-password allows nothing else.";
    SSHD_KEYS_IN_FILES = "sshd-keys-in-files", Note, ["SRG-OS-000375", "UBTU-24-300017"],
        "A rule names hardware-backed keys, which cannot be phished, but sshd also accepts keys in files.";
    NO_DELAY = "no-delay", Note, ["RHEL-09-412050"],
        "After a refusal, this line does not delay the next try by four seconds.";
    RULE_SIBLING = "rule-sibling", Note, [],
        "The rule names one way to call the program, but not its sibling.";
    RULE_ENDED = "rule-ended", Note, [],
        "The exemption has ended, and the rule matches nothing any more.";
    RECOVERY_CODES_FEW = "recovery-codes-few", Note, [],
        "After these codes, a user who loses the phone needs an administrator.";
    ENROLLMENT_PENDING = "enrollment-pending", Note, [],
        "These users are refused until they have typed a first code.";
    NOT_CHECKED = "not-checked", Note, [],
        "Doctor could not check this.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_kebab_case_and_unique() {
        let ids: BTreeSet<_> = ALL.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for kind in ALL {
            assert!(kind.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.id);
            assert!(kind.why.ends_with('.'), "{}", kind.id);
        }
    }

    #[test]
    fn the_reference_has_exactly_these_findings_and_severities() {
        let page = include_str!("../../../docs/reference/doctor.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows: Vec<(&str, &str)> = rows
            .filter_map(|row| {
                let (id, rest) = row.split_once("` | ")?;
                Some((id, rest.split_once(" | ")?.0))
            })
            .collect();
        let wanted: Vec<_> = ALL.iter().map(|kind| (kind.id, kind.severity.as_str())).collect();
        assert_eq!(rows, wanted);
    }
}
