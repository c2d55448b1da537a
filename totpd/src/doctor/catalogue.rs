//! Every kind of finding, the most important first. docs/reference/doctor.md has the same table for people.

use super::finding::Kind;
use super::finding::Severity::{Error, Note, Warning};

macro_rules! kinds {
    ($($name:ident = $id:literal, $severity:ident, [$($control:literal),*], $why:literal;)*) => {
        $(
            #[doc = $why]
            pub static $name: Kind =
                Kind { id: $id, severity: $severity, why: $why, controls: &[$($control),*] };
        )*
        /// All of them, in the order of a report.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    // Doors that are open.
    STOPPED_ASKING = "stopped-asking", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "A service that asked for a code does not ask any more, as after an update that rewrote its PAM file.";
    SIBLING_WITHOUT_CODE = "sibling-without-code", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "The same program lets in without a code when it is called in another way.";
    ANSWER_DECIDES_NOTHING = "answer-decides-nothing", Error, ["SRG-OS-000105", "SRG-OS-000107", "lynis AUTH-9268"],
        "A wrong code lets in: the stack succeeds whatever our module answers.";
    STOPPED_DAEMON_LETS_IN = "stopped-daemon-lets-in", Error, ["SRG-OS-000105", "SRG-OS-000107"],
        "While the daemon is stopped, everybody who has the first factor gets in without a code.";
    FIRST_FACTOR_NOT_PROVED = "first-factor-not-proved", Error, ["SRG-OS-000105"],
        "The line says that a first factor was proved, and it is reached after a wrong password as well.";
    SSHD_KEY_ALONE = "sshd-key-alone", Error, ["SRG-OS-000105", "SRG-OS-000107", "lynis SSH-7408"],
        "A key, a host or a ticket lets in by itself, and PAM is never asked.";
    CODE_ALONE = "code-alone", Error, ["SRG-OS-000105"],
        "The code is the only factor: who holds the phone gets in.";
    SSHD_CODE_ALONE = "sshd-code-alone", Error, ["SRG-OS-000105", "lynis SSH-7408"],
        "The code is the only factor: who holds the phone gets in.";
    SSHD_USEPAM_OFF = "sshd-usepam-off", Error, ["CIS-Debian-13 5.1.23", "SRG-OS-000105"],
        "sshd asks PAM nothing, so nobody is asked for a code.";
    PAM_FILE_WRITABLE = "pam-file-writable", Error, ["lynis AUTH-9268"],
        "Users other than root can take the line away.";
    CONFIG_WRITABLE = "config-writable", Error, [],
        "Users other than root could exempt themselves, so the daemon refuses the whole file.";
    MODULE_WRITABLE = "module-writable", Error, [],
        "Users other than root can replace the module by one that lets them in.";
    SUDO_NOPASSWD = "sudo-nopasswd", Warning, ["CIS-Debian-13 5.2.4", "RHEL-09-432025", "lynis AUTH-9250"],
        "sudo asks PAM nothing for these commands, so nobody is asked for a code.";
    SUDO_NOT_AUTHENTICATE = "sudo-not-authenticate", Warning, ["CIS-Debian-13 5.2.5", "RHEL-09-432025", "lynis AUTH-9250"],
        "sudo asks PAM nothing for these users, so nobody is asked for a code.";
    SUDO_NEVER_ASKS_AGAIN = "sudo-never-asks-again", Warning, ["CIS-Debian-13 5.2.6", "RHEL-09-432015"],
        "One code lets in until the next boot.";
    LINE_SKIPPED = "line-skipped", Warning, ["SRG-OS-000105"],
        "Users whom another line chooses are not asked for a code.";
    SERVICE_WITHOUT_CODE = "service-without-code", Warning, ["SRG-OS-000105", "SRG-OS-000106"],
        "This way onto the host asks for no code.";
    SSHD_KEY_ALONE_FOR_SOME = "sshd-key-alone-for-some", Warning, ["SRG-OS-000106", "lynis SSH-7408"],
        "A Match block or a drop-in lets these users in by a key alone, and no rule of totpd.toml exempts them.";
    NOBODY_ASKS = "nobody-asks", Warning, ["SRG-OS-000105"],
        "totpd is installed, and nobody is asked for a code.";

    // Logins that fail.
    NOBODY_PASSES = "nobody-passes", Error, [],
        "Everybody is refused, also with the right password and the right code.";
    PAM_LINE_MISREAD = "pam-line-misread", Error, ["lynis AUTH-9264"],
        "libpam takes every answer for a failure there: the code is used up, and the login is refused.";
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
        "Both ask, and the second refuses the code as used, so that everybody is refused.";
    LOCKER_CANNOT_UNLOCK = "locker-cannot-unlock", Error, [],
        "A screen locker has one field, and no answer for the second prompt of the service that it includes.";
    EXEMPT_REFUSED = "exempt-refused", Error, [],
        "A rule lets users pass without a code, and this stack refuses them: an answer of \"ignore\" is no success.";
    ACCOUNT_REFUSES = "account-refuses", Error, [],
        "Our module ignores this part of PAM, and a stack in which everything is ignored refuses.";
    SSHD_CONFIG = "sshd-config", Error, [],
        "sshd refuses its configuration, and does not start again.";
    SSHD_NOBODY_ASKED = "sshd-nobody-asked", Error, [],
        "sshd has no way to ask for a code. It refuses everybody, or does not start again.";
    SSHD_ROOT_REFUSED = "sshd-root-refused", Error, [],
        "sshd refuses keyboard-interactive for root under prohibit-password, so root cannot log in with a key.";
    SUDOERS_CONFIG = "sudoers-config", Error, [],
        "sudo refuses everybody while it cannot read its rules.";
    CONFIG_INVALID = "config-invalid", Error, [],
        "The daemon cannot start with this file.";
    CONFIG_UNREADABLE = "config-unreadable", Error, [],
        "The daemon's user cannot read it, and the daemon refuses every login.";
    KEY_MISSING = "key-missing", Error, [],
        "Without its key nobody's factor can be verified.";
    KEY_UNREADABLE = "key-unreadable", Error, [],
        "The daemon's user cannot read it, and every login is refused.";
    KEY_EXPOSED = "key-exposed", Error, [],
        "Who reads the key and a copy of the store can make everybody's codes.";
    STORE_MISSING = "store-missing", Error, [],
        "Nobody's factor can be verified without the store.";
    STORE_UNREADABLE = "store-unreadable", Error, [],
        "The daemon's user cannot read and write it, and every login is refused.";
    STORE_EXPOSED = "store-exposed", Error, [],
        "Other users can read or replace the store.";
    STORE_ID_UNREADABLE = "store-id-unreadable", Error, [],
        "The daemon does not know which store belongs to this host, and refuses every login.";
    STORE_OF_ANOTHER_MOUNT = "store-of-another-mount", Error, [],
        "The daemon uses files that this host does not see any more, and a restart will not find them.";
    STORE_READ_ONLY = "store-read-only", Error, [],
        "Nothing can be written, and a code that cannot be marked as used is refused.";
    DISK_FULL = "disk-full", Error, [],
        "A code that cannot be marked as used is refused.";
    DAEMON_USER_MISSING = "daemon-user-missing", Error, [],
        "The daemon cannot start without its user.";
    RUN_FOLDER = "run-folder", Error, [],
        "The module believes nobody who listens in a folder of another user, and every login is refused.";
    SOCKET_MODE = "socket-mode", Error, [],
        "Programs that have to ask cannot, or users can fill root's queue.";
    UNIT_MISSING = "unit-missing", Error, [],
        "Nothing starts the daemon.";
    UNIT_MASKED = "unit-masked", Error, [],
        "systemd refuses to start it, and every login is refused.";
    SOCKET_STOPPED = "socket-stopped", Error, [],
        "Nobody listens there, and every login is refused.";
    SOCKET_NOT_ENABLED = "socket-not-enabled", Error, [],
        "Nobody will listen there after the next boot, and every login will be refused.";
    SOCKET_PATH = "socket-path", Error, [],
        "systemd listens elsewhere than the configuration says, and the daemon does not start.";
    UNIT_FAILED = "unit-failed", Error, [],
        "The daemon does not run, and every login is refused.";
    DAEMON_HANGS = "daemon-hangs", Error, [],
        "Every login waits for it and is refused.";
    DAEMON_UNREACHABLE = "daemon-unreachable", Error, [],
        "No login that needs a code works.";
    DAEMON_REFUSES = "daemon-refuses", Error, [],
        "The daemon runs and refuses every login.";
    CLOCK_WRONG = "clock-wrong", Error, ["SRG-OS-000355"],
        "Codes are made from the time, and a wrong clock takes no right code.";

    // What will fail, or works differently from how it seems to.
    DAEMON_NOTICE = "daemon-notice", Warning, [],
        "The daemon asks for an administrator.";
    CONFIG_NOT_IN_USE = "config-not-in-use", Warning, [],
        "The daemon decides by an older configuration than the file.";
    BINARY_OUTDATED = "binary-outdated", Warning, [],
        "The daemon that runs is not the one that is installed.";
    MODULE_VERSION = "module-version", Warning, [],
        "Module and daemon are of two releases.";
    MODULE_OUTDATED = "module-outdated", Warning, [],
        "These programs use a module that was replaced since they started.";
    UNIT_CHANGED = "unit-changed", Warning, [],
        "systemd uses an older unit file than the one on the disk.";
    SSHD_RELOAD = "sshd-reload", Warning, [],
        "sshd decides by an older configuration than its files.";
    SSHD_GRACE_TIME = "sshd-grace-time", Warning, [],
        "sshd ends the login in the middle of an enrollment.";
    RULE_UNKNOWN_SERVICE = "rule-unknown-service", Warning, [],
        "No PAM service has this name, so the rule never matches there.";
    RULE_UNKNOWN_NAME = "rule-unknown-name", Warning, [],
        "Nobody has this name, so that others are decided by the next rule.";
    RULE_WITHOUT_EFFECT = "rule-without-effect", Warning, [],
        "The rule reads as if it did something.";
    USERS_WITHOUT_FACTOR = "users-without-factor", Warning, ["SRG-OS-000105"],
        "They will be refused when they are asked for a code.";
    USERS_LOCKED = "users-locked", Warning, ["RHEL-09-411075", "RHEL-09-411085"],
        "They are refused for now, also with the right code; or somebody guesses.";
    USER_DELETED = "user-deleted", Warning, [],
        "A new user of this name would find the factor of the old one.";
    USER_UID_CHANGED = "user-uid-changed", Warning, [],
        "A name that has another uid may be another person's, so that its logins are refused.";
    MANY_WRONG_CODES = "many-wrong-codes", Warning, ["SRG-OS-000355"],
        "Wrong codes of many users point at the clock of this host.";
    CLOCK_DRIFTS = "clock-drifts", Warning, ["SRG-OS-000355"],
        "The codes of many phones lie at the same edge of the window, so soon right codes will be wrong.";
    CLOCK_NOT_SYNCHRONISED = "clock-not-synchronised", Warning, ["SRG-OS-000355"],
        "Codes are made from the time: right codes are refused when it drifts away.";
    DISK_NEARLY_FULL = "disk-nearly-full", Warning, [],
        "When it is full, every code is refused.";
    LOG_LINES_DROPPED = "log-lines-dropped", Warning, [],
        "What watches the log, such as fail2ban, has missed them.";
    BREAKGLASS_OPEN = "breakglass-open", Warning, [],
        "Everybody but one user is refused until it ends.";

    // Worth knowing.
    MONITOR_STACK = "monitor-stack", Note, [],
        "Nobody is refused there until a stack of another mode is put in place.";
    CONSOLE_WITHOUT_CODE = "console-without-code", Note, ["SRG-OS-000106", "SRG-OS-000108"],
        "At this host's own console a password is enough.";
    SSHD_ROOT_KEY_ALONE = "sshd-root-key-alone", Note, ["SRG-OS-000105"],
        "root logs in by a key without a code, which prohibit-password demands.";
    SSHD_KEYS_IN_FILES = "sshd-keys-in-files", Note, ["SRG-OS-000375", "UBTU-24-300017"],
        "A rule is about hardware-backed keys, and sshd takes keys in files too. Codes can be phished, such keys cannot.";
    NO_DELAY = "no-delay", Note, ["RHEL-09-412050"],
        "After a refusal PAM waits no four seconds for this line.";
    RULE_SIBLING = "rule-sibling", Note, [],
        "The rule is about one way to call the program, and not about its sibling.";
    RECOVERY_CODES_FEW = "recovery-codes-few", Note, [],
        "Who loses the phone then needs an administrator.";
    ENROLLMENT_PENDING = "enrollment-pending", Note, [],
        "They are refused until they have shown a first code.";
    NOT_CHECKED = "not-checked", Note, [],
        "Doctor could not look, so that nothing is known about it.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_kebab_case_and_there_is_one_of_each() {
        let ids: BTreeSet<_> = ALL.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for kind in ALL {
            assert!(kind.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", kind.id);
            assert!(kind.why.ends_with('.'), "{}", kind.id);
        }
    }

    #[test]
    fn the_reference_has_every_finding_with_its_severity_and_no_other() {
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
