//! A site: a scratch folder, and a mount namespace in which its files stand in place of the host's.

use crate::database::SiteDatabase;
use crate::faults::Faults;
use crate::namespace::{enter, listen_to_syslog};
use crate::network::Namespace;
use crate::paths::{module, native, totpd};
use crate::run::{Finished, run, wait_until};
use crate::users::{uid_of, write_users};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The site of one test. Dropping it ends the daemon and removes the folder.
#[derive(Debug)]
pub struct Site {
    /// The site's folder. It is not under /tmp, which sshd and the module's trust rule do not
    /// accept.
    pub root: PathBuf,
    /// The daemon's clock and disk.
    pub faults: Faults,
    /// The PostgreSQL server of the store; `None`: the store is SQLite.
    pub database: Option<SiteDatabase>,
    namespace: Child,
    pub(crate) daemon: Mutex<Option<Child>>,
    syslog: Arc<Mutex<Vec<String>>>,
}

/// A store on PostgreSQL.
enum NewStore {
    /// On a server of the site's own.
    Own,
    /// On a server of the site's own, in a network namespace at this address.
    At(PathBuf, String),
    /// The one of another site.
    Shared(SiteDatabase),
}

impl Site {
    /// Makes a site with an initialised store and a daemon that serves.
    #[track_caller]
    pub fn new() -> Self {
        Self::with_rules("")
    }

    /// Makes a site whose daemon serves with these lines at the end of its configuration.
    #[track_caller]
    pub fn with_rules(rules: &str) -> Self {
        let site = Self::without_daemon();
        site.write_config(rules);
        site.totpd(&["init"]).assert_success();
        site.start();
        site
    }

    /// Makes a site without a store and without a daemon.
    #[track_caller]
    pub fn without_daemon() -> Self {
        Self::with_store(crate::is_on_postgresql().then_some(NewStore::Own))
    }

    /// Makes a site without a store and without a daemon, whose store is a file, also where the
    /// tests run on PostgreSQL: for faults of the file, and a daemon without network access.
    #[track_caller]
    pub fn on_sqlite() -> Self {
        Self::with_store(None)
    }

    /// Makes a site without a store and without a daemon, whose store is on PostgreSQL.
    #[track_caller]
    pub fn on_postgresql() -> Self {
        Self::with_store(Some(NewStore::Own))
    }

    /// Makes a site without a store and without a daemon, whose store is on PostgreSQL at this
    /// address of a network namespace. Commands that reach it run by [`Self::totpd_command_at`].
    #[track_caller]
    pub fn on_postgresql_at(network: &Namespace, address: &str) -> Self {
        Self::with_store(Some(NewStore::At(network.path(), address.to_owned())))
    }

    /// Makes a site without a daemon, whose store is the one of other sites. It has their clock.
    #[track_caller]
    pub fn beside(database: &SiteDatabase) -> Self {
        Self::with_store(Some(NewStore::Shared(database.clone())))
    }

    #[track_caller]
    fn with_store(store: Option<NewStore>) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the end-to-end tests need root: run `make test`");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/var/lib/totpd-e2e/{}-{number}", std::process::id()));
        // Left by a run that was killed and had the pid that this one has.
        let _ = std::fs::remove_dir_all(&root);
        for folder in ["etc/pam.d", "etc/totpd", "run", "home", "keys", "dev", "log"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let database = store.map(|store| match store {
            NewStore::Own => SiteDatabase::new(&root, None),
            NewStore::At(network, address) => SiteDatabase::new(&root, Some((network, address))),
            NewStore::Shared(database) => database,
        });
        let faults = match &database {
            None => Faults::new(&root),
            Some(database) => Faults::shared(&database.control),
        };
        let syslog = listen_to_syslog(&root.join("log/sock"));
        write_users(&root);
        let namespace = enter(&root);
        let site = Self { root, faults, database, namespace, daemon: Mutex::default(), syslog };
        // Ten seconds into a time step, as `next_step` does. Back, because a JWT of a clock that is
        // ahead is not valid yet. Sites that share a clock find it so.
        site.advance(-(site.now() - 10).rem_euclid(30));
        if let Some(database) = &site.database {
            site.write("etc/totpd/database-password", &format!("{}\n", database.password));
            std::fs::set_permissions(
                site.path("etc/totpd/database-password"),
                PermissionsExt::from_mode(0o600),
            )
            .unwrap();
        }
        site.write_config("");
        site.service("other", "auth required pam_deny.so\naccount required pam_deny.so\n");
        site
    }

    /// Returns the configuration that every site has: its paths are in the site.
    pub fn config(&self) -> String {
        let root = self.root.display();
        let store = self.database.as_ref().map_or_else(String::new, |site| {
            format!(
                "store.url = \"{}?sslmode=disable\"\nstore.password_file = \"{root}/etc/totpd/database-password\"\n",
                site.database().url()
            )
        });
        format!(
            "login_socket = \"{root}/run/login.sock\"\nadmin_socket = \"{root}/run/admin.sock\"\n\
             state_dir = \"{root}/state\"\n{store}"
        )
    }

    /// Writes the configuration with `more` at its end. A running daemon reads it at its next
    /// reload.
    pub fn write_config(&self, more: &str) {
        self.write("etc/totpd/totpd.toml", &format!("{}{more}", self.config()));
    }

    /// Writes the configuration with `more` at its end, and reloads the daemon.
    #[track_caller]
    pub fn configure(&self, more: &str) {
        self.write_config(more);
        let reloads = || self.log().matches("totpd: reloaded ").count();
        let before = reloads();
        self.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("the daemon has reloaded", || reloads() > before);
    }

    /// Returns a path of the site.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Reads a file of the site.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file of the site. A file that is bound over the host's stays the same file.
    #[track_caller]
    pub fn write(&self, path: &str, content: &str) {
        std::fs::write(self.path(path), content).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Appends text to a file of the site.
    #[track_caller]
    pub fn append(&self, path: &str, more: &str) {
        self.write(path, &format!("{}{more}", self.read(path)));
    }

    /// Replaces text in a file of the site.
    #[track_caller]
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        self.write(path, &self.read(path).replace(from, to));
    }

    /// Writes a PAM service.
    pub fn service(&self, name: &str, lines: &str) {
        self.write(&format!("etc/pam.d/{name}"), lines);
    }

    /// Writes a PAM service whose only line is `auth required` with our module and these arguments.
    pub fn totp_service(&self, name: &str, arguments: &str) {
        self.service(name, &format!("auth required {}\n", self.pam_line(arguments)));
    }

    /// Writes a PAM service that asks for the password and then for a code, with this line of our
    /// module. A wrong password does not end the stack.
    pub fn password_service(&self, name: &str, line: &str) {
        self.service(
            name,
            &format!(
                "auth required pam_unix.so nodelay\nauth required {line}\n\
                 account required pam_unix.so\nsession required pam_permit.so\n"
            ),
        );
    }

    /// Returns the end of a PAM line for our module: its path, the site's socket, and `arguments`.
    pub fn pam_line(&self, arguments: &str) -> String {
        format!("{} socket={} {arguments}", module().display(), self.path("run/login.sock").display())
    }

    /// Returns a command in the site's namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_at(None, program)
    }

    /// Returns a command in the site's namespace and in `network`, when there is one.
    pub fn command_at(&self, network: Option<&Namespace>, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.namespace.id().to_string()]);
        if let Some(network) = network {
            command.arg(format!("--net={}", network.path().display()));
        }
        command.arg("--").arg(program);
        command
    }

    /// Returns a command in the site's namespace, run by another user.
    pub fn command_as(&self, user: &str, program: impl AsRef<OsStr>) -> Command {
        let uid = uid_of(user).unwrap_or(65534).to_string();
        let mut command = self.command("setpriv");
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--reset-env"]).arg(program);
        command
    }

    /// Runs a program in the site's namespace.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Finished {
        let mut command = self.command(program);
        command.args(arguments);
        run(command, "")
    }

    /// Returns the `totpd` command with the site's configuration, clock and disk.
    pub fn totpd_command(&self) -> Command {
        self.totpd_command_at(None)
    }

    /// Returns the `totpd` command in `network`, when there is one.
    pub fn totpd_command_at(&self, network: Option<&Namespace>) -> Command {
        let mut command = self.command_at(network, totpd());
        command.env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &self.faults.path);
        command.arg("--config").arg(self.path("etc/totpd/totpd.toml"));
        command
    }

    /// Runs `totpd` as root, with the site's configuration.
    pub fn totpd(&self, arguments: &[&str]) -> Finished {
        self.totpd_with(arguments, "")
    }

    /// Runs `totpd` as root with the site's configuration, and writes `input` to its standard
    /// input.
    pub fn totpd_with(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.totpd_command();
        command.args(arguments);
        run(command, input)
    }

    /// Runs `totpd` as `user` with the site's configuration, and writes `input` to its standard
    /// input.
    pub fn totpd_as(&self, user: &str, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.command_as(user, totpd());
        command.arg("--config").arg(self.path("etc/totpd/totpd.toml")).args(arguments);
        run(command, input)
    }

    /// Returns the lines that programs have written to syslog.
    pub fn syslog(&self) -> Vec<String> {
        self.syslog.lock().unwrap().clone()
    }

    /// Waits until a line of syslog contains `words`: lines arrive after the call that wrote them.
    #[track_caller]
    pub fn wait_for_syslog(&self, words: &str) {
        let said = || self.syslog().iter().any(|line| line.contains(words));
        wait_until(&format!("syslog says \"{words}\""), said);
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.lock().unwrap().take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            // The log is what explains a failed test.
            let _ = writeln!(
                std::io::stderr(),
                "--- the daemon's log:\n{}--- syslog:\n{:#?}",
                self.log(),
                self.syslog()
            );
        }
        drop(self.namespace.stdin.take());
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
