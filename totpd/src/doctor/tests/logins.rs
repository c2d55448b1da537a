//! Logins that would fail.

use super::*;
use totp_wire::CallError;
use totp_wire::admin::DaemonState;

/// A store on a server, for the end of a configuration.
const STORE: &str = "[store]\nurl = \"postgresql://totpd@db1/totpd?sslrootcert=/etc/totpd/ca.pem\"\n";

const PASSWORD: &str = "etc/totpd/store-password";

/// A store in a database, and its password file as `make` makes it.
fn with_password(t: &mut Tree, make: impl FnOnce(&mut Tree)) {
    t.append("etc/totpd/totpd.toml", &format!("{STORE}password_file = \"/{PASSWORD}\"\n"));
    let drop_in = include_str!("../../../../config/totpd.service.d/network.conf");
    t.write("etc/systemd/system/totpd.service.d/network.conf", drop_in);
    make(t);
}

/// A store in a database, and a drop-in of an administrator.
fn with_drop_in(t: &mut Tree, settings: &str) {
    t.append("etc/totpd/totpd.toml", STORE);
    t.write("etc/systemd/system/totpd.service.d/own.conf", &format!("[Service]\n{settings}"));
    t.remove("var/lib/totpd/totpd.db");
}

fn password(t: &mut Tree, uid: u32, mode: u32) {
    t.write(PASSWORD, "secret\n");
    t.own(PASSWORD, uid, mode);
}

pub(super) const ROWS: &[Row] = &[
    ("control typo", |t| t.change(SUDO, "required pam_totp", "requird pam_totp"), &["pam-line-misread"]),
    (
        "a type that libpam does not know",
        |t| t.append(SUDO, "autth required pam_totp.so"),
        &["pam-line-misread"],
    ),
    ("nobody passes", |t| t.append(SUDO, "auth required pam_deny.so"), &["nobody-passes"]),
    ("the module is missing", |t| t.remove(MODULE), &["module-missing"]),
    ("a typo in its name", |t| t.change(SUDO, "pam_totp.so", "pam_topt.so"), &["module-name"]),
    (
        "the module is truncated",
        |t| {
            let bytes = std::fs::read(t.path(MODULE)).unwrap();
            t.write_bytes(MODULE, &bytes[..4096]);
        },
        &["module-broken"],
    ),
    (
        "the loader cannot load it",
        |t| {
            t.prints_error(
                "env -i",
                "ERROR: ld.so: object 'x' cannot be preloaded (undefined symbol): ignored.",
            )
        },
        &["module-broken"],
    ),
    ("an unknown argument", |t| t.change(SUDO, "pam_totp.so", "pam_totp.so nullok"), &["unknown-argument"]),
    (
        "another socket",
        |t| t.change(SUDO, "pam_totp.so", "pam_totp.so socket=/run/other.sock"),
        &["socket-argument"],
    ),
    (
        "our line twice",
        |t| {
            t.change(
                SUDO,
                "auth required pam_totp.so",
                "auth required pam_totp.so\nauth required pam_totp.so",
            )
        },
        &["line-twice"],
    ),
    (
        "xrdp includes a login that asks",
        |t| t.write("etc/pam.d/xrdp-sesman", "auth include login\n"),
        &["one-field"],
    ),
    (
        "vsftpd asks in a line of its own",
        |t| t.write("etc/pam.d/vsftpd", "auth required pam_unix.so\nauth required pam_totp.so\n"),
        &["one-field"],
    ),
    (
        "a locker includes a login that asks",
        |t| t.write("etc/pam.d/i3lock", "auth include login\n"),
        &["locker-cannot-unlock"],
    ),
    (
        "a locker includes a login that only watches",
        |t| {
            let block = "# BEGIN totpd (totpd pam enable login --mode monitor): change it with totpd pam\n\
                         auth optional pam_totp.so\n# END totpd";
            t.change("etc/pam.d/login", "auth required pam_totp.so", block);
            t.write("etc/pam.d/i3lock", "auth include login\n");
        },
        &["monitor-stack", "monitor-stack"],
    ),
    (
        "an exempt rule under a stack that needs success",
        |t| {
            t.write(
                CONFIG,
                "[[login.rule]]\nusers = [\"alice\"]\nservices = [\"sshd\"]\naction = \"exempt\"\n",
            )
        },
        &["exempt-refused"],
    ),
    (
        "a monitor rule under such a stack",
        |t| {
            t.write(
                CONFIG,
                "[[login.rule]]\nservices = [\"sshd\"]\naction = \"require\"\nmode = \"monitor\"\n",
            )
        },
        &["exempt-refused"],
    ),
    (
        "our line alone in account",
        |t| t.write(SSHD, "auth required pam_totp.so\naccount required pam_totp.so\n"),
        &["account-refuses"],
    ),
    (
        "sshd refuses its configuration",
        |t| t.fails("sshd -T", "/etc/ssh/sshd_config line 3: Bad configuration option: Foo"),
        &["sshd-config"],
    ),
    (
        "KbdInteractiveAuthentication no",
        |t| t.sshd("kbdinteractiveauthentication yes", "kbdinteractiveauthentication no"),
        &["sshd-nobody-asked"],
    ),
    (
        "root with keys under prohibit-password",
        |t| {
            t.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n");
            t.sshd("permitrootlogin no", "permitrootlogin without-password");
        },
        &["sshd-root-refused"],
    ),
    ("the same without keys", |t| t.sshd("permitrootlogin no", "permitrootlogin without-password"), &[]),
    (
        "visudo refuses sudoers",
        |t| t.fails("visudo -c", "/etc/sudoers:3:1: syntax error"),
        &["sudoers-config"],
    ),
    ("totpd.toml is invalid", |t| t.write(CONFIG, "stat_dir = \"/x\"\n"), &["config-invalid"]),
    ("[http] is invalid", |t| t.write(CONFIG, "[http]\nlisten = \"0.0.0.0:8420\"\n"), &["config-invalid"]),
    ("totpd.toml is root's alone", |t| t.own(CONFIG, 0, 0o600), &["config-unreadable"]),
    (
        "its folder is root's alone",
        |t| t.own("etc/totpd", 0, 0o700),
        &["config-unreadable", "key-unreadable", "store-id-unreadable"],
    ),
    ("the key is gone", |t| t.remove("etc/totpd/totpd.key"), &["key-missing"]),
    ("the key is root's", |t| t.own("etc/totpd/totpd.key", 0, 0o400), &["key-unreadable"]),
    ("the key is for everybody", |t| t.own("etc/totpd/totpd.key", 990, 0o644), &["key-exposed"]),
    ("the store is gone", |t| t.remove("var/lib/totpd/totpd.db"), &["store-missing"]),
    ("the store is root's", |t| t.own("var/lib/totpd/totpd.db", 0, 0o600), &["store-unreadable"]),
    ("the state folder is root's", |t| t.own("var/lib/totpd", 0, 0o700), &["store-unreadable"]),
    ("the state folder is for everybody", |t| t.own("var/lib/totpd", 990, 0o755), &["store-exposed"]),
    ("the id of the store is root's", |t| t.own("etc/totpd/store.id", 0, 0o600), &["store-id-unreadable"]),
    ("sysusers was not run", |t| t.change("etc/passwd", "totpd:", "other:"), &["daemon-user-missing"]),
    (
        "the folder of the sockets is a user's",
        |t| {
            t.write("run/totpd/x", "");
            t.own("run/totpd", 1000, 0o755);
        },
        &["run-folder"],
    ),
    ("a socket of a wrong mode", |t| t.write("run/totpd/login.sock", ""), &["socket-mode"]),
    ("a unit is missing", |t| t.remove("usr/lib/systemd/system/totpd-root.socket"), &["unit-missing"]),
    (
        "a socket is masked",
        |t| std::os::unix::fs::symlink("/dev/null", t.path("etc/systemd/system/totpd.socket")).unwrap(),
        &["unit-masked"],
    ),
    ("a socket is stopped", |t| t.unit("totpd-root.socket", "=active", "=inactive"), &["socket-stopped"]),
    ("a socket is not enabled", |t| t.unit("totpd.socket", "=enabled", "=disabled"), &["socket-not-enabled"]),
    (
        "the same in a tree",
        |t| {
            t.only_files = true;
            t.remove("etc/systemd/system/sockets.target.wants/totpd.socket");
        },
        &["socket-not-enabled"],
    ),
    ("the service is stopped", |t| t.unit("totpd.service", "=active", "=inactive"), &[]),
    ("the service has failed", |t| t.unit("totpd.service", "=active", "=failed"), &["unit-failed"]),
    (
        "the unit listens elsewhere",
        |t| {
            t.write(
                "etc/systemd/system/totpd.socket.d/x.conf",
                "[Socket]\nListenStream=\nListenStream=/run/x.sock\n",
            )
        },
        &["socket-path"],
    ),
    ("the unit has no network", |t| t.append("etc/totpd/totpd.toml", STORE), &["unit-without-network"]),
    (
        "the unit has a network",
        |t| {
            t.append("etc/totpd/totpd.toml", STORE);
            let drop_in = include_str!("../../../../config/totpd.service.d/network.conf");
            t.write("etc/systemd/system/totpd.service.d/network.conf", drop_in);
            t.remove("var/lib/totpd/totpd.db");
        },
        &[],
    ),
    (
        "its drop-in opens no address family",
        |t| with_drop_in(t, "PrivateNetwork=no\nIPAddressDeny=\n"),
        &["unit-without-network"],
    ),
    (
        "its drop-in opens no address",
        |t| with_drop_in(t, "PrivateNetwork=no\nRestrictAddressFamilies=AF_INET\n"),
        &["unit-without-network"],
    ),
    (
        "its drop-in opens one address",
        |t| with_drop_in(t, "PrivateNetwork=no\nRestrictAddressFamilies=AF_INET\nIPAddressAllow=10.0.0.9\n"),
        &[],
    ),
    ("the password file of the database is gone", |t| with_password(t, |_| ()), &["store-password"]),
    ("the password file is the daemon's", |t| with_password(t, |t| password(t, 990, 0o400)), &[]),
    ("the password file is root's", |t| with_password(t, |t| password(t, 0, 0o400)), &["store-password"]),
    (
        "the password file is for everybody",
        |t| with_password(t, |t| password(t, 990, 0o444)),
        &["store-password"],
    ),
    (
        "the password file is a link",
        |t| {
            let link = |t: &mut Tree| std::os::unix::fs::symlink("elsewhere", t.path(PASSWORD)).unwrap();
            with_password(t, link);
        },
        &["store-password"],
    ),
    ("the daemon hangs", |t| t.daemon.reply = Err(CallError::TimedOut), &["daemon-hangs"]),
    ("no daemon", |t| t.daemon.reply = Err(CallError::NoSocket), &["daemon-unreachable"]),
    ("the daemon refuses", |t| t.reply().state = DaemonState::Refusing, &["daemon-refuses"]),
    ("the clock was set back", |t| t.reply().clock_behind = Some(1_900_000_000), &["clock-wrong"]),
];
