//! The programs of Debian trixie, which are newer than the machine's, with the site's files over theirs.

use crate::setup::{Site, module};
use crate::shell::Shell;
use std::path::Path;
use std::process::Command;

/// Made by `scripts/debian-trees.sh`, which names it.
const TREE: &str = "/var/lib/totpd-e2e-trees/trixie-1";

/// The tree in a site.
#[derive(Debug)]
pub struct Trixie<'a> {
    site: &'a Site,
}

impl<'a> Trixie<'a> {
    /// Binds the site's files into the tree, in the site's namespace alone. The tree itself is never written.
    #[track_caller]
    pub fn new(site: &'a Site) -> Self {
        assert!(Path::new(TREE).join(".complete").exists(), "{TREE} is made by scripts/bootstrap.sh test");
        let script = r#"
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
for file in pam.d passwd shadow group sudoers; do mount --bind "/etc/$file" "$1/etc/$file"; done
for folder in dev proc run var/lib/totpd-e2e; do mount --rbind "/$folder" "$1/$folder"; done
mount --bind "$2" "$1"/usr/lib/*-linux-gnu*/security/pam_totp.so
"#;
        let mut mount = site.command("sh");
        mount.args(["-c", script, "sh", TREE]).arg(module());
        crate::run::run(mount, "").assert_success();
        Self { site }
    }

    /// The words of a PAM line for our module, which is in its usual place there.
    pub fn pam_line(&self, arguments: &str) -> String {
        format!("pam_totp.so socket={} {arguments}", self.site.path("run/login.sock").display())
    }

    /// A command of the tree, by root, without a terminal.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.site.command("chroot");
        command.args([TREE, program]);
        command
    }

    /// The line that runs `line` there, in a shell of root outside.
    pub fn line(&self, line: &str) -> String {
        format!("chroot {TREE} {line}")
    }

    /// A user's terminal whose programs are the tree's.
    pub fn shell(&self, user: &str) -> Shell {
        Shell::start(self.command("sh"), user)
    }
}
