//! Doors that are open.

use super::*;

const EITHER: &str = "authenticationmethods publickey,keyboard-interactive:pam keyboard-interactive:pam";
const KEY_SHOWN: &str = "pam_exec.so quiet /usr/bin/totpd pam ssh-key-shown";

pub(super) const ROWS: &[Row] = &[
    (
        "a key or a password, then a code, as totpd pam enable writes it",
        |t| {
            let lines = format!(
                "auth [success=1 default=ignore] {KEY_SHOWN}\nauth substack common-auth\nauth required pam_totp.so"
            );
            t.change(SSHD, "auth required pam_totp.so", &lines);
            t.sshd(METHODS, EITHER);
        },
        &[],
    ),
    (
        "the same with rules",
        |t| {
            let lines = format!(
                "auth [success=ignore default=2] {KEY_SHOWN}\nauth requisite pam_totp.so\n\
                 auth [success=done default=die] pam_permit.so\n@include common-auth\n\
                 auth required pam_totp.so first_factor=passed"
            );
            t.change(SSHD, "auth required pam_totp.so", &lines);
            t.sshd(METHODS, EITHER);
        },
        &[],
    ),
    ("a program that only opens sessions", |t| t.write("etc/pam.d/x", "session required pam_unix.so\n"), &[]),
    ("sudo asks for a code alone", |t| t.change(SUDO, "@include common-auth\n", ""), &["code-alone"]),
    (
        "sudo asks and sudo-i does not",
        |t| t.change("etc/pam.d/sudo-i", "auth required pam_totp.so\n", ""),
        &["sibling-without-code"],
    ),
    (
        "su does not, and su-l with it",
        |t| t.change("etc/pam.d/su", "auth required pam_totp.so\n", ""),
        &["service-without-code", "service-without-code"],
    ),
    ("cockpit", |t| t.write("etc/pam.d/cockpit", "auth substack common-auth\n"), &["service-without-code"]),
    ("login", |t| t.change("etc/pam.d/login", "auth required pam_totp.so\n", ""), &["console-without-code"]),
    (
        "nobody asks",
        |t| {
            for name in ["sshd", "sudo", "sudo-i", "su", "login"] {
                t.change(&format!("etc/pam.d/{name}"), "auth required pam_totp.so\n", "");
            }
        },
        &["nobody-asks"],
    ),
    (
        "sufficient as our control",
        |t| t.change(SUDO, "required pam_totp", "sufficient pam_totp"),
        &["answer-decides-nothing"],
    ),
    (
        "optional without a rule that monitors",
        |t| t.change(SUDO, "required pam_totp", "optional pam_totp"),
        &["answer-decides-nothing"],
    ),
    (
        "sufficient before ours",
        |t| t.change(SUDO, "@include common-auth", "auth sufficient pam_unix.so"),
        &["answer-decides-nothing"],
    ),
    (
        "Fedora's include ends before ours",
        |t| {
            t.write(
                "etc/pam.d/system-auth",
                "auth required pam_env.so\nauth sufficient pam_unix.so nullok\nauth required pam_deny.so\n",
            );
            t.change(SUDO, "@include common-auth", "auth include system-auth");
        },
        &["answer-decides-nothing"],
    ),
    (
        "an answer of the daemon's absence is ignored",
        |t| t.change(SUDO, "required pam_totp", "[success=ok authinfo_unavail=ignore default=die] pam_totp"),
        &["stopped-daemon-lets-in"],
    ),
    (
        "the same with pam_permit behind",
        |t| {
            t.write(SSHD, "auth [success=ok authinfo_unavail=ignore default=die] pam_totp.so\nauth required pam_permit.so\n@include common-account\n")
        },
        &["stopped-daemon-lets-in"],
    ),
    (
        "system_err is ignored",
        |t| t.change(SUDO, "required pam_totp", "[success=ok system_err=ignore default=bad] pam_totp"),
        &["stopped-daemon-lets-in"],
    ),
    (
        "a group is led past our line",
        |t| {
            t.change(SUDO, "auth required pam_totp", "auth [success=1 default=ignore] pam_succeed_if.so user ingroup robots\nauth required pam_totp")
        },
        &["line-skipped"],
    ),
    (
        "first_factor=passed below required",
        |t| {
            t.change(
                SSHD,
                "auth required pam_totp.so",
                "auth required pam_unix.so\nauth required pam_totp.so first_factor=passed",
            )
        },
        &["first-factor-not-proved"],
    ),
    (
        "first_factor=passed below requisite",
        |t| {
            t.change(
                SSHD,
                "auth required pam_totp.so",
                "auth requisite pam_unix.so\nauth required pam_totp.so first_factor=passed",
            )
        },
        &[],
    ),
    (
        "first_factor=passed below Debian's common-auth",
        |t| t.change(SUDO, "pam_totp.so", "pam_totp.so first_factor=passed"),
        &[],
    ),
    ("a PAM file that others write", |t| t.own(SUDO, 0, 0o664), &["pam-file-writable"]),
    ("totpd.toml that others write", |t| t.own(CONFIG, 0, 0o666), &["config-writable"]),
    ("the folder of totpd.toml that others write", |t| t.own("etc/totpd", 0, 0o777), &["config-writable"]),
    ("totpd.toml of a user", |t| t.own(CONFIG, 1000, 0o644), &["config-writable"]),
    ("a module that others write", |t| t.own(MODULE, 1000, 0o644), &["module-writable"]),
    ("UsePAM no", |t| t.sshd("usepam yes", "usepam no"), &["sshd-usepam-off"]),
    (
        "AuthenticationMethods missing",
        |t| t.sshd(METHODS, "authenticationmethods any"),
        &["sshd-key-alone", "sshd-code-alone"],
    ),
    (
        "a list of keys alone beside the right one",
        |t| t.sshd(METHODS, "authenticationmethods publickey,keyboard-interactive:pam publickey"),
        &["sshd-key-alone"],
    ),
    (
        "the code is the only factor",
        |t| t.sshd(METHODS, "authenticationmethods keyboard-interactive:pam"),
        &["sshd-code-alone"],
    ),
    (
        "a Match block for a user",
        |t| t.sshd_for("alice", METHODS, "authenticationmethods publickey"),
        &["sshd-key-alone-for-some"],
    ),
    (
        "a Match block for a network",
        |t| {
            t.write(
                "etc/ssh/sshd_config.d/50-lan.conf",
                "Match Address 10.0.0.0/8\nAuthenticationMethods publickey\n",
            );
            let lan = "sshd -T -C user=alice,host=localhost,addr=10.0.0.0";
            t.prints(lan, "usepam yes\npubkeyauthentication yes\nauthenticationmethods publickey\n");
        },
        &["sshd-key-alone-for-some"],
    ),
    (
        "a Match block for a robot that a rule exempts",
        |t| {
            t.sshd_for("alice", METHODS, "authenticationmethods publickey");
            t.write(
                CONFIG,
                "[[login.rule]]\nusers = [\"alice\"]\nservices = [\"sshd\"]\naction = \"exempt\"\n",
            );
            t.change(
                SSHD,
                "auth required pam_totp.so\n",
                "auth required pam_totp.so\nauth required pam_permit.so\n",
            );
        },
        &[],
    ),
    ("NOPASSWD", |t| t.append("etc/sudoers", "alice ALL=(ALL) NOPASSWD: ALL"), &["sudo-nopasswd"]),
    (
        "NOPASSWD in a file of sudoers.d, of a tree",
        |t| {
            t.only_files = true;
            t.write("etc/sudoers.d/ann", "%ops ALL = \\\n  NOPASSWD: /bin/ls\n");
        },
        &["sudo-nopasswd"],
    ),
    (
        "!authenticate",
        |t| t.append("etc/sudoers", "Defaults:alice !authenticate"),
        &["sudo-not-authenticate"],
    ),
    (
        "timestamp_timeout=-1",
        |t| t.append("etc/sudoers", "Defaults timestamp_timeout=-1"),
        &["sudo-never-asks-again"],
    ),
    (
        "sudo asked yesterday",
        |t| {
            t.before.insert("sudo".to_owned(), "2026-11-25T00:00:00Z".to_owned());
            t.change(SUDO, "required pam_totp", "optional pam_totp");
        },
        &["stopped-asking", "answer-decides-nothing"],
    ),
];
