//! A healthy host in a scratch folder, as Debian and our package set it up, to break one thing of.

use crate::doctor::accounts::accounts;
use crate::doctor::daemon::DaemonFacts;
use crate::doctor::system::{Host, Output, Programs};
use crate::doctor::{Report, StoppedAsking, examine};
use crate::last_run::Asked;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use totp_wire::admin::DaemonReply;

/// The uid of the daemon's user.
const DAEMON: u32 = 990;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n\
    totpd:x:990:990::/var/lib/totpd:/usr/sbin/nologin\nalice:x:1000:1000::/home/alice:/bin/bash\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:alice\ntotpd:x:990:\nalice:x:1000:\n";

/// The PAM files of Debian 13, with our line where `totpd pam enable` puts it.
const PAM: [(&str, &str); 13] = [
    (
        "common-auth",
        "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\t\t\tpam_deny.so\n\
         auth\trequired\t\t\tpam_permit.so\n",
    ),
    (
        "common-account",
        "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\naccount requisite pam_deny.so\naccount required pam_permit.so\n",
    ),
    (
        "common-session",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\nsession required pam_unix.so\n",
    ),
    (
        "sshd",
        "auth required pam_totp.so\naccount required pam_nologin.so\n@include common-account\n@include common-session\n",
    ),
    (
        "sudo",
        "session required pam_limits.so\n@include common-auth\nauth required pam_totp.so\n@include common-account\n",
    ),
    (
        "sudo-i",
        "session required pam_limits.so\n@include common-auth\nauth required pam_totp.so\n@include common-account\n",
    ),
    (
        "su",
        "auth sufficient pam_rootok.so\n@include common-auth\nauth required pam_totp.so\n@include common-account\n",
    ),
    ("su-l", "auth include su\naccount include su\n"),
    (
        "login",
        "auth optional pam_faildelay.so delay=3000000\nauth requisite pam_nologin.so\n@include common-auth\nauth required pam_totp.so\nauth optional pam_group.so\n@include common-account\n",
    ),
    ("chfn", "auth sufficient pam_rootok.so\n@include common-auth\n@include common-account\n"),
    ("runuser", "auth sufficient pam_rootok.so\nsession required pam_unix.so\n"),
    ("cron", "@include common-auth\nsession required pam_loginuid.so\n@include common-account\n"),
    ("other", "@include common-auth\n@include common-account\n"),
];

const SSHD: &str = "usepam yes\npermitrootlogin no\npubkeyauthentication yes\npasswordauthentication no\n\
    kbdinteractiveauthentication yes\nhostbasedauthentication no\ngssapiauthentication no\nlogingracetime 120\n\
    authorizedkeysfile .ssh/authorized_keys\nauthorizedkeyscommand none\ntrustedusercakeys none\n\
    authenticationmethods publickey,keyboard-interactive:pam\npidfile /run/sshd.pid\n\
    pubkeyacceptedalgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com\n";
const ACTIVE: &str = "ActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nResult=success\n";

/// Programs by the start of their command line; the last one that was given wins.
#[derive(Debug, Default)]
struct Captured(Vec<(String, Output)>);

impl Programs for Captured {
    fn run(&self, command: &[&str]) -> Option<Output> {
        let command = command.join(" ");
        let mut outputs = self.0.iter().rev();
        outputs.find(|(start, _)| command.starts_with(start.as_str())).map(|(_, output)| output.clone())
    }
}

/// The host.
pub(super) struct Tree {
    folder: tempfile::TempDir,
    programs: Captured,
    /// What the daemon says.
    pub(super) daemon: DaemonFacts,
    /// What the last run saw asking.
    pub(super) before: Asked,
    /// Only files are looked at.
    pub(super) only_files: bool,
}

impl Tree {
    /// A healthy one.
    pub(super) fn healthy() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "owners of files are part of this test: run it as root");
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let reply = json!({ "state": "serving", "version": env!("CARGO_PKG_VERSION"), "store_id": "x" });
        let reply = serde_json::from_value(reply).unwrap();
        let daemon = DaemonFacts { reply: Ok(reply), pid: None, users: Vec::new(), events: Vec::new() };
        let (before, only_files) = (Asked::new(), false);
        let mut tree = Self { folder, programs: Captured::default(), daemon, before, only_files };
        tree.write("etc/passwd", PASSWD);
        tree.write("etc/group", GROUP);
        for (name, text) in PAM {
            tree.write(&format!("etc/pam.d/{name}"), text);
        }
        let security = "usr/lib/x86_64-linux-gnu/security";
        tree.write(&format!("{security}/pam_unix.so"), "");
        tree.write_bytes(&format!("{security}/pam_totp.so"), &module());
        tree.write("etc/totpd/totpd.toml", "");
        tree.write("etc/totpd/totpd.key", "");
        tree.own("etc/totpd/totpd.key", DAEMON, 0o400);
        tree.write("etc/totpd/store.id", "x\n");
        tree.write("var/lib/totpd/totpd.db", "");
        tree.own("var/lib/totpd/totpd.db", DAEMON, 0o600);
        tree.own("var/lib/totpd", DAEMON, 0o700);
        for (name, text) in UNITS {
            tree.write(&format!("usr/lib/systemd/system/{name}"), text);
            if name.ends_with("socket") {
                tree.write(&format!("etc/systemd/system/sockets.target.wants/{name}"), "");
            }
        }
        tree.write("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n");
        tree.write("run/sshd.pid", "1\n");
        tree.write("etc/sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n");
        tree.write("etc/sudoers.d/README", "# nothing\n");
        tree.prints("sshd -T", SSHD);
        tree.prints("visudo -c", "/etc/sudoers: parsed OK\n/etc/sudoers.d/README: parsed OK\n");
        tree.prints("cvtsudoers", "{}");
        tree.prints("systemctl show", ACTIVE);
        tree.prints("timedatectl show", "NTP=yes\nNTPSynchronized=yes\nCanNTP=yes\n");
        tree.fails("systemd-detect-virt", "");
        tree.prints("env -i", "");
        tree.fails("getent", "");
        tree.fails("setpriv", "");
        tree
    }

    /// A path in it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file, 0644.
    pub(super) fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    /// The same of bytes.
    pub(super) fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// Replaces a part of a file.
    pub(super) fn change(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, &text.replacen(from, to, 1));
    }

    /// Puts a line behind a file.
    pub(super) fn append(&self, path: &str, line: &str) {
        let text = std::fs::read_to_string(self.path(path)).unwrap();
        self.write(path, &format!("{text}{line}\n"));
    }

    /// Removes a file or folder.
    pub(super) fn remove(&self, path: &str) {
        let path = self.path(path);
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.unwrap();
    }

    /// Sets owner and mode.
    pub(super) fn own(&self, path: &str, uid: u32, mode: u32) {
        let path = self.path(path);
        nix::unistd::chown(&path, Some(uid.into()), Some(uid.into())).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// What a program prints from now on, by the start of its command line.
    pub(super) fn prints(&mut self, command: &str, text: &str) {
        let output = Output { success: true, stdout: text.to_owned(), stderr: String::new() };
        self.programs.0.push((command.to_owned(), output));
    }

    /// The same of one that fails.
    pub(super) fn fails(&mut self, command: &str, text: &str) {
        let output = Output { success: false, stdout: String::new(), stderr: text.to_owned() };
        self.programs.0.push((command.to_owned(), output));
    }

    /// The same of one that succeeds, and complains.
    pub(super) fn prints_error(&mut self, command: &str, text: &str) {
        let output = Output { success: true, stdout: String::new(), stderr: text.to_owned() };
        self.programs.0.push((command.to_owned(), output));
    }

    /// What `sshd -T` says of a user under `PermitRootLogin prohibit-password`, with these methods.
    pub(super) fn sshd_root_permit(&mut self, user: &str, methods: &str) {
        let text = SSHD.replace("permitrootlogin no", "permitrootlogin without-password");
        let text = text.replace("authenticationmethods publickey,keyboard-interactive:pam", methods);
        self.prints(&format!("sshd -T -C user={user},"), &text);
    }

    /// What `sshd -T` says, with a line in place of another.
    pub(super) fn sshd(&mut self, from: &str, to: &str) {
        assert!(SSHD.contains(from), "{from}");
        self.prints("sshd -T", &SSHD.replacen(from, to, 1));
    }

    /// The same for one user.
    pub(super) fn sshd_for(&mut self, user: &str, from: &str, to: &str) {
        assert!(SSHD.contains(from), "{from}");
        self.prints(&format!("sshd -T -C user={user},"), &SSHD.replacen(from, to, 1));
    }

    /// What systemd says of a unit.
    pub(super) fn unit(&mut self, unit: &str, from: &str, to: &str) {
        let wanted = "systemctl show --property=ActiveState,UnitFileState,NeedDaemonReload,Result";
        self.prints(&format!("{wanted} {unit}"), &ACTIVE.replacen(from, to, 1));
    }

    /// What the daemon says of itself.
    pub(super) fn reply(&mut self) -> &mut DaemonReply {
        self.daemon.reply.as_mut().unwrap()
    }

    /// Looks at it.
    pub(super) fn report(self) -> Report {
        let config = Path::new("/etc/totpd/totpd.toml");
        let mut host = Host::of_tree(self.folder.path(), config);
        if !self.only_files {
            host.programs = Box::new(self.programs);
            host.daemon = Some(self.daemon);
        }
        host.accounts = accounts(self.folder.path());
        examine(&host, &self.before, StoppedAsking::Report)
    }
}

/// What stands for the module: the head of an ELF file, whose table of sections of no entries
/// stands at byte 8192.
fn module() -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[41] = 0x20;
    bytes.extend(concat!("totpd-module-version=", env!("CARGO_PKG_VERSION"), "\n").bytes());
    bytes
}

const UNITS: [(&str, &str); 4] = [
    ("totpd.service", include_str!("../../../../config/systemd/totpd.service")),
    ("totpd.socket", include_str!("../../../../config/systemd/totpd.socket")),
    ("totpd-root.socket", include_str!("../../../../config/systemd/totpd-root.socket")),
    ("totpd-admin.socket", include_str!("../../../../config/systemd/totpd-admin.socket")),
];
