//! The site: a scratch folder, a mount namespace over it, and the daemon.

use crate::faults::Faults;
use crate::phone::Phone;
use crate::run::{Finished, run, wait_until};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Everybody's password.
pub const PASSWORD: &str = "hunter2";
/// `openssl passwd -6 -salt totpd hunter2`
const HASH: &str =
    "$6$totpd$iWuzJ5dH6p9pMl2fBF46gOxLM7nHJBWEdk66aKzYvXynXbPuF7hIPI5ck8KMzk/9sp.5Dy6bp0pJGhlGaot0N0";
/// Login names and uids of the site's users, beside root and nobody.
pub const USERS: [(&str, u32); 11] = [
    ("alice", 5001),
    ("bob", 5002),
    ("eve", 5003),
    ("u1", 5011),
    ("u2", 5012),
    ("u3", 5013),
    ("u4", 5014),
    ("u5", 5015),
    ("u6", 5016),
    ("u7", 5017),
    ("u8", 5018),
];

/// The uid of a user of the site.
pub fn uid_of(user: &str) -> Option<u32> {
    USERS.iter().find(|(name, _)| *name == user).map(|(_, uid)| *uid)
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One test's site. Everything ends with it.
#[derive(Debug)]
pub struct Site {
    /// Its folder: not under /tmp, which sshd and the module's trust rule have reason to dislike.
    pub root: PathBuf,
    /// Clock and disk of the daemon.
    pub faults: Faults,
    namespace: Child,
    daemon: Mutex<Option<Child>>,
    syslog: Arc<Mutex<Vec<String>>>,
}

/// The build's folder.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").canonicalize().unwrap()
}

/// A helper that the build script made.
pub fn native(name: &str) -> PathBuf {
    Path::new(env!("NATIVE_DIR")).join(name)
}

/// A helper that needs no building.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("native").join(name)
}

/// The module under test.
pub fn module() -> PathBuf {
    target().join("debug/libpam_totp.so")
}

/// The module built to panic when its PAM line says so.
pub fn panicking_module() -> PathBuf {
    target().join("fault_injection/debug/libpam_totp.so")
}

impl Site {
    /// A site with an initialised store and a daemon that serves.
    #[track_caller]
    pub fn new() -> Self {
        let site = Self::without_daemon();
        site.totpd(&["init"]).assert_success();
        site.start();
        site
    }

    /// A site whose daemon serves with these lines at the end of its configuration.
    #[track_caller]
    pub fn with_rules(rules: &str) -> Self {
        let site = Self::without_daemon();
        site.write("etc/totpd/totpd.toml", &format!("{}{rules}", site.config()));
        site.totpd(&["init"]).assert_success();
        site.start();
        site
    }

    /// A site without store and daemon.
    #[track_caller]
    pub fn without_daemon() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the end-to-end tests need root: run `make test`");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/var/lib/totpd-e2e/{}-{number}", std::process::id()));
        // Of a run that was killed, whose pid is ours now.
        let _ = std::fs::remove_dir_all(&root);
        for folder in ["etc/pam.d", "etc/totpd", "run", "home", "keys", "dev", "log"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let faults = Faults::new(&root);
        let syslog = listen_to_syslog(&root.join("log/sock"));
        write_users(&root);
        let namespace = enter(&root);
        let site = Self { root, faults, namespace, daemon: Mutex::default(), syslog };
        // Ten seconds into a time step, as `next_step`; back, since the JWTs of a clock that is ahead are not good yet.
        site.advance(-(site.now() - 10).rem_euclid(30));
        site.write("etc/totpd/totpd.toml", &site.config());
        site.service("other", "auth required pam_deny.so\naccount required pam_deny.so\n");
        site
    }

    /// The configuration: every path in the site.
    pub fn config(&self) -> String {
        let root = self.root.display();
        format!(
            "login_socket = \"{root}/run/login.sock\"\nadmin_socket = \"{root}/run/admin.sock\"\n\
             state_dir = \"{root}/state\"\n"
        )
    }

    /// Adds to the configuration, and has the running daemon take it over.
    #[track_caller]
    pub fn configure(&self, more: &str) {
        self.write("etc/totpd/totpd.toml", &format!("{}{more}", self.config()));
        let reloads = || self.log().matches("totpd: reloaded ").count();
        let before = reloads();
        self.signal(nix::sys::signal::Signal::SIGHUP);
        wait_until("the daemon has reloaded", || reloads() > before);
    }

    /// Writes a file of the site.
    pub fn write(&self, path: &str, content: &str) {
        std::fs::write(self.root.join(path), content).unwrap();
    }

    /// A path of the site.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Makes a PAM service.
    pub fn service(&self, name: &str, lines: &str) {
        self.write(&format!("etc/pam.d/{name}"), lines);
    }

    /// The words of a PAM line for our module: its path, the site's socket, and `arguments`.
    pub fn pam_line(&self, arguments: &str) -> String {
        format!("{} socket={} {arguments}", module().display(), self.path("run/login.sock").display())
    }

    /// A command in the site's namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.namespace.id().to_string(), "--"]).arg(program);
        command
    }

    /// A command there that sees another network.
    pub fn command_at(
        &self,
        place: Option<&crate::network::Namespace>,
        program: impl AsRef<std::ffi::OsStr>,
    ) -> Command {
        let Some(place) = place else { return self.command(program) };
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.namespace.id().to_string()]);
        command.arg(format!("--net={}", place.path().display())).arg("--").arg(program);
        command
    }

    /// A command there as another user.
    pub fn command_as(&self, user: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let uid = uid_of(user).unwrap_or(65534).to_string();
        let mut command = self.command("setpriv");
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--reset-env"]).arg(program);
        command
    }

    /// The `totpd` command with the site's configuration.
    pub fn totpd_command(&self) -> Command {
        let mut command = self.command(target().join("debug/totpd"));
        command.env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &self.faults.path);
        command.arg("--config").arg(self.path("etc/totpd/totpd.toml"));
        command
    }

    /// Runs `totpd` with the site's configuration.
    pub fn totpd(&self, arguments: &[&str]) -> Finished {
        self.totpd_with(arguments, "")
    }

    /// The same, with input.
    pub fn totpd_with(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.totpd_command();
        command.args(arguments);
        run(command, input)
    }

    /// Starts the daemon, and waits until it answers.
    pub fn start(&self) {
        let mut command = self.totpd_command();
        command.arg("serve");
        self.start_as(command);
    }

    /// Starts the daemon by a command of one's own.
    #[track_caller]
    pub fn start_as(&self, mut command: Command) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        *self.daemon.lock().unwrap() = Some(daemon);
        wait_until("the daemon answers", || self.totpd(&["status"]).code != 3);
    }

    /// Memory of the daemon that is resident, in KiB (proc_pid_status(5)).
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon_pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The daemon's pid (nsenter without a fork becomes the program).
    pub fn daemon_pid(&self) -> nix::unistd::Pid {
        let id = self.daemon.lock().unwrap().as_ref().expect("the daemon runs").id();
        nix::unistd::Pid::from_raw(i32::try_from(id).unwrap())
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.daemon_pid(), signal).unwrap();
    }

    /// Ends the daemon by a signal and waits for its end; its exit status.
    pub fn end(&self, signal: nix::sys::signal::Signal) -> Option<i32> {
        self.signal(signal);
        let mut daemon = self.daemon.lock().unwrap().take().expect("the daemon runs");
        daemon.wait().unwrap().code()
    }

    /// Lets go of the daemon, so that another can be started beside it.
    pub fn take_daemon(&self) -> Child {
        self.daemon.lock().unwrap().take().expect("the daemon runs")
    }

    /// What programs wrote to syslog.
    pub fn syslog(&self) -> Vec<String> {
        self.syslog.lock().unwrap().clone()
    }

    /// Waits until a line of syslog has these words: it arrives by itself, after what wrote it.
    #[track_caller]
    pub fn wait_for_syslog(&self, words: &str) {
        let said = || self.syslog().iter().any(|line| line.contains(words));
        wait_until(&format!("syslog says \"{words}\""), said);
    }

    /// Now, by the daemon's clock.
    pub fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the site's clock is the real one, moved")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now).unwrap() + self.faults.offset()
    }

    /// Moves the clock into the next time step, ten seconds in, so that it does not end while a test looks.
    pub fn next_step(&self) {
        self.advance(40 - self.now().rem_euclid(30));
    }

    /// Moves the clock on.
    pub fn advance(&self, seconds: i64) {
        self.faults.clock_offset(self.faults.offset() + seconds);
    }

    /// Enrolls a user and confirms with a first code; the clock is in a fresh step afterwards.
    #[track_caller]
    pub fn enroll(&self, user: &str) -> Phone {
        let phone = Phone::from(&self.totpd(&["enroll", user, "--json"]).assert_success().json());
        self.totpd_with(&["confirm", user], &phone.code(self)).assert_success();
        self.next_step();
        phone
    }

    /// A user's status.
    #[track_caller]
    pub fn status(&self, user: &str) -> serde_json::Value {
        self.totpd(&["status", user, "--json"]).assert_success().json()
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
            // The log of a failed test is what its reader needs first.
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

/// A syslog in the site: lines go nowhere else, and cost no serial console.
fn listen_to_syslog(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 8192];
        while let Ok(length) = socket.recv(&mut buffer) {
            kept.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    });
    lines
}

fn write_users(root: &Path) {
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        .to_owned();
    let mut shadow =
        "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\nnobody:*:19000:0:99999:7:::\n".to_owned();
    let mut group = "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n".to_owned();
    for (name, uid) in USERS {
        let home = root.join("home").join(name);
        std::fs::create_dir_all(&home).unwrap();
        nix::unistd::chown(&home, Some(uid.into()), Some(uid.into())).unwrap();
        passwd += &format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", home.display());
        shadow += &format!("{name}:{HASH}:19000:0:99999:7:::\n");
        group += &format!("{name}:x:{uid}:\n");
    }
    for (file, content) in [("passwd", passwd), ("shadow", shadow), ("group", group)] {
        std::fs::write(root.join("etc").join(file), content).unwrap();
    }
    std::fs::set_permissions(root.join("etc/shadow"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let sudoers = root.join("etc/sudoers");
    std::fs::write(&sudoers, "Defaults !lecture, timestamp_timeout=0, passwd_tries=3\nALL ALL=(ALL) ALL\n")
        .unwrap();
    std::fs::set_permissions(&sudoers, std::fs::Permissions::from_mode(0o440)).unwrap();
}

/// A process that holds a mount namespace with the site's files over the host's; ends with its input.
fn enter(root: &Path) -> Child {
    let script = r#"
set -e
for file in pam.d passwd shadow group sudoers; do mount --bind "$1/etc/$file" "/etc/$file"; done
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/sshd /run/sudo
# su and login keep lists of who came and who failed.
mount -t tmpfs -o mode=0755 tmpfs /var/log
# Device nodes of its own: binding the host's /dev/null was seen to change the host's permissions.
mount -t tmpfs -o mode=0755 tmpfs "$1/dev"
mknod -m 666 "$1/dev/null" c 1 3
mknod -m 666 "$1/dev/zero" c 1 5
mknod -m 666 "$1/dev/full" c 1 7
mknod -m 666 "$1/dev/random" c 1 8
mknod -m 666 "$1/dev/urandom" c 1 9
mknod -m 666 "$1/dev/tty" c 5 0
mkdir "$1/dev/pts" "$1/dev/shm"
mount --bind /dev/pts "$1/dev/pts"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
ln -s "$1/log/sock" "$1/dev/log"
mount --rbind "$1/dev" /dev
echo ready
exec cat
"#;
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line)
        .expect("a mount namespace can be made: these tests need root and CAP_SYS_ADMIN");
    child
}
