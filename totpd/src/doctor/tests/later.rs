//! What will fail, works differently from how it seems to, or is worth knowing.

use super::*;
use totp_wire::admin::{Lock, State, User};

pub(super) const ROWS: &[Row] = &[
    (
        "the last good configuration is in use, and the file is right",
        |t| {
            let in_use = json!({ "in_use": "last_good", "why": "line 3" });
            t.reply().configuration = serde_json::from_value(in_use).unwrap();
        },
        &["config-not-in-use"],
    ),
    ("the daemon has a notice", |t| t.reply().notice = Some("the store is older".into()), &["daemon-notice"]),
    ("an older daemon runs", |t| t.reply().version = "0.0.1".into(), &["binary-outdated"]),
    (
        "a module of another version",
        |t| {
            let bytes = std::fs::read(t.path(MODULE)).unwrap();
            let mark = b"totpd-module-version=";
            let at = bytes.windows(mark.len()).rposition(|window| window == mark).unwrap();
            t.write_bytes(MODULE, &[&bytes[..at], b"totpd-module-version=0.0.1\n"].concat());
        },
        &["module-version"],
    ),
    (
        "a program has the old module",
        |t| {
            t.write("proc/4711/maps", &format!("7f00-7f01 r-xp 00000000 08:01 12 /{MODULE} (deleted)\n"));
            t.write("proc/4711/comm", "gdm-session-wor\n");
        },
        &["module-outdated"],
    ),
    ("a unit file has changed", |t| t.unit("totpd.service", "Reload=no", "Reload=yes"), &["unit-changed"]),
    (
        "sshd has not read its files again",
        |t| {
            let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
            let file = std::fs::File::options().write(true).open(t.path("run/sshd.pid")).unwrap();
            file.set_modified(past).unwrap();
        },
        &["sshd-reload"],
    ),
    (
        "enrolling with a short LoginGraceTime",
        |t| t.write(CONFIG, "[[login.rule]]\nservices = [\"sshd\"]\naction = \"enroll\"\n"),
        &["sshd-grace-time"],
    ),
    (
        "another LoginGraceTime than users are told",
        |t| {
            let rule = "[[login.rule]]\nservices = [\"sshd\"]\naction = \"enroll\"\n";
            t.write(CONFIG, &format!("[login]\nssh_grace_time = \"600s\"\n{rule}"));
        },
        &["sshd-grace-time-differs"],
    ),
    (
        "a finger unlocks kde's screen",
        |t| t.write("etc/pam.d/kde-fingerprint", "auth required pam_fprintd.so\n"),
        &["console-without-code"],
    ),
    (
        "a rule names ssh",
        |t| t.write(CONFIG, "[[login.rule]]\nservices = [\"ssh\"]\naction = \"deny\"\n"),
        &["rule-unknown-service"],
    ),
    (
        "a rule names a group that is not there",
        |t| t.write(CONFIG, "[[login.rule]]\ngroups = [\"wheel\"]\naction = \"deny\"\n"),
        &["rule-unknown-name"],
    ),
    (
        "a rule names a user who is not there",
        |t| t.write(CONFIG, "[[login.rule]]\nusers = [\"al\"]\naction = \"deny\"\n"),
        &["rule-unknown-name"],
    ),
    (
        "a group of administrators is not there",
        |t| t.write(CONFIG, "admin_groups = [{ group = \"helpdesk\", scope = \"helpdesk\" }]\n"),
        &["admin-group-unknown"],
    ),
    (
        "everybody is an administrator",
        |t| {
            t.append(
                "etc/passwd",
                "bob:x:1001:100::/home/bob:/bin/bash\ncarol:x:1002:100::/home/carol:/bin/sh\n",
            );
            t.append("etc/group", "users:x:100:alice\n");
            t.write(CONFIG, "admin_group = \"users\"\n");
        },
        &["admin-group-everybody"],
    ),
    (
        "an exemption has ended",
        |t| t.write(CONFIG, "[[login.rule]]\naction = \"exempt\"\nuntil = 2026-11-02T00:00:00Z\n"),
        &["rule-ended"],
    ),
    (
        "an exemption ends in three days",
        |t| {
            let until = crate::clock::rfc3339(crate::clock::now().plus(3 * 24 * 3600));
            let rule = format!(
                "[[login.rule]]\nusers = [\"root\"]\nservices = [\"sshd\"]\naction = \"exempt\"\nuntil = {until}\n"
            );
            t.write(CONFIG, &rule);
        },
        &["exempt-refused", "rule-ends-soon"],
    ),
    (
        "a rule never decides",
        |t| {
            t.write(
                CONFIG,
                "[[login.rule]]\naction = \"deny\"\n[[login.rule]]\nusers = [\"root\"]\naction = \"deny\"\n",
            )
        },
        &["rule-without-effect"],
    ),
    (
        "a user is locked",
        |t| {
            t.daemon.users = vec![user("alice", |u| {
                u.locks =
                    vec![Lock { class: "others".into(), client: None, source: None, uid: None, until: 1 }]
            })]
        },
        &["users-locked"],
    ),
    ("a user is gone", |t| t.daemon.users = vec![user("zoe", |_| ())], &["user-deleted"]),
    (
        "few recovery codes are left",
        |t| t.daemon.users = vec![user("alice", |u| u.recovery_codes_left = 1)],
        &["recovery-codes-few"],
    ),
    (
        "an enrollment waits",
        |t| t.daemon.users = vec![user("alice", |u| u.state = State::Pending)],
        &["enrollment-pending"],
    ),
    (
        "codes at one edge",
        |t| t.daemon.events = vec![json!({"outcome": "granted", "method": "totp", "step_offset": 1}); 12],
        &["clock-drifts"],
    ),
    (
        "the clock is not synchronised",
        |t| t.prints("timedatectl show", "NTP=no\nNTPSynchronized=no\nCanNTP=yes\n"),
        &["clock-not-synchronised"],
    ),
    ("the log lacks lines", |t| t.reply().log_lines_dropped = Some(3), &["log-lines-dropped"]),
    (
        "a stack that only watches, with its rule",
        |t| {
            t.write(
                SSHD,
                "auth optional pam_totp.so timeout=2\nauth required pam_permit.so\n@include common-account\n",
            );
            t.write(
                CONFIG,
                "[[login.rule]]\nservices = [\"sshd\"]\naction = \"require\"\nmode = \"monitor\"\n",
            );
        },
        &["monitor-stack"],
    ),
    (
        "the same by totpd pam enable",
        |t| {
            t.write(SSHD, "# BEGIN totpd (totpd pam enable sshd --mode monitor): change it with totpd pam\nauth optional pam_totp.so\nauth required pam_permit.so\n# END totpd\n@include common-account\n")
        },
        &["monitor-stack"],
    ),
    ("root by a key alone, as prohibit-password needs it", root_by_key, &["sshd-root-key-alone"]),
    (
        "hardware-backed keys are demanded",
        |t| {
            t.write(CONFIG, "[[login.rule]]\nservices = [\"sudo\"]\nssh_methods = [\"publickey:hardware\"]\naction = \"deny\"\n")
        },
        &["sshd-keys-in-files"],
    ),
    ("nodelay", |t| t.change(SUDO, "pam_totp.so", "pam_totp.so nodelay"), &["no-delay"]),
    (
        "a rule without the sibling",
        |t| t.write(CONFIG, "[[login.rule]]\nservices = [\"=sudo\"]\naction = \"deny\"\n"),
        &["rule-sibling"],
    ),
];

fn root_by_key(tree: &mut Tree) {
    tree.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n");
    tree.sshd("permitrootlogin no", "permitrootlogin without-password");
    let methods = "authenticationmethods publickey";
    tree.sshd_root_permit("root", methods);
}

fn user(name: &str, change: impl FnOnce(&mut User)) -> User {
    let user = json!({
        "user": name, "state": "active", "replacement_pending": false, "recovery_codes_left": 10, "remembered": 0,
        "failures": 0, "locks": [],
    });
    let mut user: User = serde_json::from_value(user).unwrap();
    change(&mut user);
    user
}
