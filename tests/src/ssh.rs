//! A real OpenSSH server on a high loopback port, and real clients.

use crate::run::{Finished, Running, run, wait_until};
use crate::setup::{Site, USERS};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

/// A running sshd.
#[derive(Debug)]
pub struct Sshd<'a> {
    site: &'a Site,
    port: u16,
    server: Child,
}

impl<'a> Sshd<'a> {
    /// Starts it with the recommended settings and our module in its PAM stack.
    pub fn start(site: &'a Site) -> Self {
        site.service(
            "sshd",
            &format!(
                "auth required {}\naccount required pam_permit.so\nsession required pam_permit.so\n",
                site.pam_line("nodelay")
            ),
        );
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(site.path(&format!("keys/{key}")))
                .status();
            assert!(made.unwrap().success());
        }
        for (user, _) in USERS {
            std::fs::copy(site.path("keys/user.pub"), site.path(&format!("keys/{user}.authorized"))).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let root = site.root.display();
        site.write(
            "sshd_config",
            &format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/keys/host\nPidFile none\nUsePAM yes\n\
                 AuthenticationMethods publickey,keyboard-interactive:pam\nKbdInteractiveAuthentication yes\n\
                 PasswordAuthentication no\nMaxAuthTries 6\nMaxStartups 100\nUseDNS no\n\
                 AuthorizedKeysFile {root}/keys/%u.authorized\nLogLevel VERBOSE\n"
            ),
        );
        let log = std::fs::File::create(site.path("sshd.log")).unwrap();
        let server = site
            .command("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(site.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_until("sshd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { site, port, server }
    }

    /// A client whose askpass program is `askpass`, a script in the site.
    fn client(&self, user: &str, askpass: &str, prompts: u8) -> Command {
        let root = self.site.root.display();
        let mut ssh = self.site.command("ssh");
        ssh.args(["-F", "none", "-T", "-p", &self.port.to_string(), "-i", &format!("{root}/keys/user")]);
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            &format!("NumberOfPasswordPrompts={prompts}"),
        ] {
            ssh.args(["-o", option]);
        }
        ssh.env("SSH_ASKPASS", self.site.path(askpass)).env("SSH_ASKPASS_REQUIRE", "force");
        ssh.args([&format!("{user}@127.0.0.1"), "echo in as $(id -un)"]);
        ssh
    }

    fn script(&self, name: &str, text: &str) {
        self.site.write(name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.site.path(name), mode).unwrap();
    }

    /// Logs in with these answers, one a prompt. What the prompts were is in `prompts` of the site.
    pub fn login(&self, user: &str, answers: &[&str]) -> Finished {
        self.site.write("answers", &format!("{}\n", answers.join("\n")));
        self.site.write("prompts", "");
        let root = self.site.root.display();
        self.script(
            "askpass",
            &format!("#!/bin/sh\necho \"$1\" >> {root}/prompts\nhead -n1 {root}/answers\nsed -i 1d {root}/answers\n"),
        );
        let prompts = u8::try_from(answers.len()).unwrap();
        run(self.client(user, "askpass", prompts), "")
    }

    /// Whether these answers let `user` in.
    pub fn lets_in(&self, user: &str, answers: &[&str]) -> bool {
        let finished = self.login(user, answers);
        let inside = finished.stdout.trim() == format!("in as {user}");
        assert_eq!(inside, finished.code == 0, "{finished:?}");
        inside
    }

    /// The prompts that the last login showed.
    pub fn prompts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.site.path("prompts")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// `count` clients that all wait at their prompts. They answer together when `code` is written.
    pub fn crowd(&self, user: &str, count: usize) -> Vec<Running> {
        let root = self.site.root.display();
        let _ = std::fs::remove_file(self.site.path("go"));
        self.site.write("asked", "");
        self.script(
            "askpass-together",
            &format!("#!/bin/sh\necho asked >> {root}/asked\nwhile [ ! -s {root}/go ]; do sleep 0.01; done\ncat {root}/go\n"),
        );
        let clients: Vec<Running> =
            (0..count).map(|_| Running::start(self.client(user, "askpass-together", 1))).collect();
        wait_until("all clients were asked", || {
            std::fs::read_to_string(self.site.path("asked")).unwrap().lines().count() == count
        });
        clients
    }

    /// Lets a crowd answer; how many got in.
    pub fn answer_together(&self, crowd: Vec<Running>, code: &str) -> usize {
        self.site.write("go.new", code);
        std::fs::rename(self.site.path("go.new"), self.site.path("go")).unwrap();
        crowd
            .into_iter()
            .map(Running::finish)
            .filter(|f| f.code == 0 && f.stdout.starts_with("in as"))
            .count()
    }
}

impl Drop for Sshd<'_> {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.site.path("sshd.log")).unwrap_or_default();
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("--- sshd's log:\n{log}"));
        }
    }
}
