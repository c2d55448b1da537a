//! The programs of Debian 13 (trixie), which are newer than the host's, with the site's files in
//! place of theirs.

use crate::paths::module;
use crate::shell::Shell;
use crate::site::Site;
use std::path::Path;
use std::process::Command;

/// The tree that `scripts/debian-trees.sh` makes.
const TREE: &str = "/var/lib/totpd-e2e-trees/trixie-1";

/// The tree of Debian 13, in a site.
#[derive(Debug)]
pub struct Trixie<'a> {
    site: &'a Site,
}

impl<'a> Trixie<'a> {
    /// Binds the site's files into the tree. Only the site's namespace sees them, and the tree is
    /// never written.
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

    /// Returns the end of a PAM line for our module, which is in its usual folder there.
    pub fn pam_line(&self, arguments: &str) -> String {
        format!("pam_totp.so socket={} {arguments}", self.site.path("run/login.sock").display())
    }

    /// Returns a command of the tree, run by root without a terminal.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.site.command("chroot");
        command.args([TREE, program]);
        command
    }

    /// Returns the line that runs `line` in the tree, for a root shell outside.
    pub fn line(&self, line: &str) -> String {
        format!("chroot {TREE} {line}")
    }

    /// Starts a user's terminal whose programs are the tree's.
    pub fn shell(&self, user: &str) -> Shell {
        Shell::start(self.command("sh"), user)
    }
}
