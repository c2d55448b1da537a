//! A real OpenSSH server, on loopback or in a network of the test, and real clients.

use crate::network::{Namespace, SERVER};
use crate::run::{Finished, Running, run, wait_until};
use crate::site::Site;
use crate::users::USERS;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

/// A running sshd.
#[derive(Debug)]
pub struct Sshd<'a> {
    /// A client on the same host.
    client: Client<'a>,
    server: Child,
}

/// A host that logs in, and the address at which it reaches the server.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    site: &'a Site,
    port: u16,
    /// The server's address.
    at: String,
    network: Option<&'a Namespace>,
}

/// The configuration of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// The `auth` lines of its PAM service; when empty, our module alone with `nodelay`.
    pub auth: &'a str,
    /// Lines of `sshd_config` before the others: the first value of an option wins.
    pub settings: &'a str,
    /// The network of the server; the host's loopback when there is none.
    pub network: Option<&'a Namespace>,
}

impl<'a> Sshd<'a> {
    /// Starts a server with the recommended settings and our module in its PAM stack.
    pub fn start(site: &'a Site) -> Self {
        Self::start_with(site, Setup::default())
    }

    /// Starts a server with another configuration.
    #[track_caller]
    pub fn start_with(site: &'a Site, setup: Setup<'a>) -> Self {
        let ours = format!("auth required {}\n", site.pam_line("nodelay"));
        let auth = if setup.auth.is_empty() { &ours } else { setup.auth };
        let rest = "account required pam_permit.so\nsession required pam_permit.so\n";
        site.service("sshd", &format!("{auth}{rest}"));
        for key in ["host", "user"].into_iter().filter(|key| !site.path(&format!("keys/{key}")).exists()) {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(site.path(&format!("keys/{key}")))
                .status();
            assert!(made.unwrap().success());
        }
        for (user, _) in USERS {
            std::fs::copy(site.path("keys/user.pub"), site.path(&format!("keys/{user}.authorized"))).unwrap();
        }
        let (addresses, port) = match setup.network {
            Some(_) => (&SERVER[..], 22),
            None => {
                (&["127.0.0.1"][..], TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
            }
        };
        let listen: String = addresses.iter().map(|address| format!("ListenAddress {address}\n")).collect();
        let (root, settings) = (site.root.display(), setup.settings);
        site.write(
            "sshd_config",
            &format!(
                "{settings}\nPort {port}\n{listen}HostKey {root}/keys/host\nPidFile none\nUsePAM yes\n\
                 AuthenticationMethods publickey,keyboard-interactive:pam\nKbdInteractiveAuthentication yes\n\
                 PasswordAuthentication no\nMaxAuthTries 6\nMaxStartups 100\nUseDNS no\n\
                 AuthorizedKeysFile {root}/keys/%u.authorized\nLogLevel VERBOSE\n"
            ),
        );
        let log = std::fs::File::create(site.path("sshd.log")).unwrap();
        let server = site
            .command_at(setup.network, "/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(site.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client { site, port, at: addresses[0].into(), network: setup.network };
        let sshd = Self { client, server };
        let sockets = addresses.len() + setup.settings.matches("ListenAddress").count();
        wait_until("sshd listens", || sshd.log().matches("Server listening on").count() == sockets);
        sshd
    }

    /// Returns a client in another network namespace, which reaches the server at this address.
    pub fn client(&self, place: &'a Namespace, at: &str) -> Client<'a> {
        Client { at: at.into(), network: Some(place), ..self.client.clone() }
    }

    /// Returns the log of sshd.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.client.site.path("sshd.log")).unwrap_or_default()
    }
}

impl<'a> std::ops::Deref for Sshd<'a> {
    type Target = Client<'a>;

    /// Without another client, logins come from the server's host.
    fn deref(&self) -> &Client<'a> {
        &self.client
    }
}

impl Client<'_> {
    /// Returns a client program (`ssh`, `sftp`) that asks by the script `askpass` of the site, at
    /// most `prompts` times.
    pub fn program(&self, program: &str, askpass: &str, prompts: u8) -> Command {
        let root = self.site.root.display();
        let mut ssh = self.site.command_at(self.network, program);
        ssh.args(["-F", "none", "-i", &format!("{root}/keys/user")]);
        for option in [
            &format!("Port={}", self.port),
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
        ssh
    }

    /// Returns `user@server`.
    pub fn destination(&self, user: &str) -> String {
        format!("{user}@{}", self.at)
    }

    /// Returns the port of the server.
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn ssh(&self, user: &str, askpass: &str, prompts: u8) -> Command {
        let mut ssh = self.program("ssh", askpass, prompts);
        ssh.args(["-T", &self.destination(user), "echo in as $(id -un)"]);
        ssh
    }

    fn script(&self, name: &str, text: &str) {
        self.site.write(name, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.site.path(name), mode).unwrap();
    }

    /// Writes the script `askpass`, which gives one of these answers for each prompt and records
    /// the prompts. It waits while the site has a file `wait`.
    pub fn prepare_answers(&self, answers: &[&str]) {
        self.site.write("answers", &format!("{}\n", answers.join("\n")));
        self.site.write("prompts", "");
        let root = self.site.root.display();
        self.script(
            "askpass",
            &format!("#!/bin/sh\necho \"$1\" >> {root}/prompts\nwhile [ -e {root}/wait ]; do sleep 0.01; done\nhead -n1 {root}/answers\nsed -i 1d {root}/answers\n"),
        );
    }

    /// Logs in with one of these answers for each prompt. [`Self::prompts`] returns the prompts.
    pub fn login(&self, user: &str, answers: &[&str]) -> Finished {
        self.prepare_answers(answers);
        let prompts = u8::try_from(answers.len()).unwrap();
        run(self.ssh(user, "askpass", prompts), "")
    }

    /// Returns whether these answers let `user` in.
    #[track_caller]
    pub fn lets_in(&self, user: &str, answers: &[&str]) -> bool {
        let finished = self.login(user, answers);
        let inside = finished.stdout.trim() == format!("in as {user}");
        assert_eq!(inside, finished.code == 0, "{finished:?}");
        inside
    }

    /// Returns the prompts of the last login.
    pub fn prompts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.site.path("prompts")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts `count` clients that wait at their prompts until [`Self::answer_together`].
    #[track_caller]
    pub fn start_waiting_clients(&self, user: &str, count: usize) -> Vec<Running> {
        let root = self.site.root.display();
        let _ = std::fs::remove_file(self.site.path("go"));
        self.site.write("asked", "");
        self.script(
            "askpass-together",
            &format!("#!/bin/sh\necho asked >> {root}/asked\nwhile [ ! -s {root}/go ]; do sleep 0.01; done\ncat {root}/go\n"),
        );
        let clients: Vec<Running> =
            (0..count).map(|_| Running::start(self.ssh(user, "askpass-together", 1))).collect();
        wait_until("all clients were asked", || {
            std::fs::read_to_string(self.site.path("asked")).unwrap().lines().count() == count
        });
        clients
    }

    /// Lets waiting clients answer at the same time. Returns how many got in.
    pub fn answer_together(&self, clients: Vec<Running>, code: &str) -> usize {
        self.site.write("go.new", code);
        std::fs::rename(self.site.path("go.new"), self.site.path("go")).unwrap();
        clients
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
            let log = format_args!("--- sshd's log:\n{}", self.log()).to_string();
            let _ = std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes());
        }
    }
}
