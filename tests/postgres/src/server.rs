//! One server: its folder, its process, and what tests do to it.

use crate::programs::as_server_user_in;
use crate::{scratch, template};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// No server of these tests takes longer to start or stop, also on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// How `pg_ctl stop` ends a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Waits for clients to leave.
    Smart,
    /// Rolls transactions back and disconnects clients.
    Fast,
    /// Ends without a checkpoint. The next start recovers.
    Immediate,
}

impl Shutdown {
    /// The signal for it (the server's manual, "Shutting Down the Server").
    fn signal(self) -> Signal {
        match self {
            Self::Smart => Signal::SIGTERM,
            Self::Fast => Signal::SIGINT,
            Self::Immediate => Signal::SIGQUIT,
        }
    }
}

/// What a server starts with.
#[derive(Clone, Debug, Default)]
pub struct Setup<'a> {
    /// Settings, as postgresql.conf names them.
    pub settings: &'a [(&'a str, &'a str)],
    /// Where it runs. Its standbys run in the same surroundings.
    pub surroundings: Surroundings,
}

/// Where a server runs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Environment variables, such as `LD_PRELOAD`.
    pub environment: Vec<(&'static str, OsString)>,
    /// The network namespace, as `nsenter --net=` takes it, and the address to listen on there.
    /// `None`: the host's, on 127.0.0.1.
    pub network: Option<(PathBuf, String)>,
}

/// A PostgreSQL server in a scratch folder. Dropping it stops it and removes the folder.
///
/// It listens on a Unix socket and on 127.0.0.1. The superuser `postgres` and every other role need
/// no password through the socket, whose folder only root and the server's user enter; TCP asks for
/// one (SCRAM).
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    data: PathBuf,
    port: u16,
    /// An abstract Unix socket (unix(7)), by which tests in other processes see that the port is
    /// taken, also while the server is down. It ends with the process.
    _port_claim: UnixListener,
    process: Mutex<Option<Child>>,
    surroundings: Surroundings,
}

impl Server {
    /// Starts a server with PostgreSQL's defaults.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these settings, as postgresql.conf names them.
    #[track_caller]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_as(Setup { settings, ..Setup::default() })
    }

    /// Starts a server.
    #[track_caller]
    pub fn start_as(setup: Setup<'_>) -> Self {
        let data = scratch::data("server");
        template::copy_to(&data);
        let server = Self::on_data(data, setup.surroundings);
        // Clients by TCP may use TLS or not: tests of both say which.
        server.write_hba("local all,replication all trust\nhost all,replication all all scram-sha-256\n");
        server.write("postgresql.auto.conf", "");
        server.set(setup.settings);
        server.resume();
        server
    }

    /// Makes a server that does not run yet on a folder of data.
    pub(crate) fn on_data(data: PathBuf, surroundings: Surroundings) -> Self {
        let folder = scratch::folder("socket");
        let (port, port_claim) = free_port();
        let server =
            Self { folder, data, port, _port_claim: port_claim, process: Mutex::default(), surroundings };
        let socket = server.folder.display();
        let address = server.address();
        let own = format!(
            "port = {}\nlisten_addresses = '{address}'\nunix_socket_directories = '{socket}'\n\
             max_connections = 60\nshared_buffers = '16MB'\nmax_wal_senders = 4\nlogging_collector = off\n\
             log_line_prefix = '%m [%p] %a '\nwal_keep_size = '16MB'\n\
             min_wal_size = '8MB'\nmax_wal_size = '64MB'\ndynamic_shared_memory_type = mmap\n",
            server.port
        );
        server.write("postgresql.conf", &own);
        server
    }

    /// Returns the TCP port. It stays the same when the server is started again.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the Unix socket, for `host=` in a connection URL.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the address on which the server listens for TCP.
    pub fn address(&self) -> &str {
        self.surroundings.network.as_ref().map_or("127.0.0.1", |(_, address)| address)
    }

    /// Returns where the server runs.
    pub(crate) fn surroundings(&self) -> Surroundings {
        self.surroundings.clone()
    }

    /// Returns the folder of the server's data.
    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    /// Returns what the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Returns the pid of the postmaster.
    #[track_caller]
    pub fn pid(&self) -> Pid {
        let process = self.process.lock().unwrap();
        pid_of(process.as_ref().expect("the server runs"))
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill), and waits until
    /// it accepts connections.
    #[track_caller]
    pub fn resume(&self) {
        let start = Instant::now();
        self.spawn();
        while !self.is_ready() {
            assert!(self.runs(), "the server has ended:\n{}", self.log());
            assert!(start.elapsed() < TIMEOUT, "the server does not become ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server, and waits for its end.
    #[track_caller]
    pub fn stop(&self, how: Shutdown) {
        let mut process = self.process.lock().unwrap().take().expect("the server runs");
        kill(pid_of(&process), how.signal()).unwrap();
        wait_for_end(&mut process);
    }

    /// Begins to end the server, and does not wait: a commit that waits for a standby holds the end
    /// up. [`wait_for_end`](Self::wait_for_end) waits.
    #[track_caller]
    pub fn begin_stop(&self, how: Shutdown) {
        kill(self.pid(), how.signal()).unwrap();
    }

    /// Waits until the server has ended.
    #[track_caller]
    pub fn wait_for_end(&self) {
        let mut process = self.process.lock().unwrap().take().expect("the server runs");
        wait_for_end(&mut process);
    }

    /// Kills every process of the server by SIGKILL, as a crash of the machine ends them. Does
    /// nothing when it does not run.
    #[track_caller]
    pub fn kill(&self) {
        let Some(mut process) = self.process.lock().unwrap().take() else { return };
        let postmaster = pid_of(&process);
        // Stopped first, so that it starts no process in between.
        let _ = kill(postmaster, Signal::SIGSTOP);
        let children = children_of(postmaster);
        let _ = kill(postmaster, Signal::SIGKILL);
        for child in &children {
            let _ = kill(*child, Signal::SIGKILL);
        }
        wait_for_end(&mut process);
        // A new server refuses while one of them still holds the shared memory.
        let start = Instant::now();
        while children.iter().any(|child| runs(*child)) {
            assert!(start.elapsed() < TIMEOUT, "a process of the server does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops every process of the server (SIGSTOP) until [`thaw`](Self::thaw), as a machine hangs:
    /// its connections stay open and answer nothing.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    /// Ends the server and starts it again.
    #[track_caller]
    pub fn restart(&self) {
        self.stop(Shutdown::Fast);
        self.resume();
    }

    /// Changes settings, and loads them. Some take effect at the next start only.
    #[track_caller]
    pub fn configure(&self, settings: &[(&str, &str)]) {
        self.set(settings);
        self.reload();
    }

    /// Replaces pg_hba.conf, and loads it. A line ends with a line feed.
    #[track_caller]
    pub fn set_hba(&self, lines: &str) {
        self.write_hba(lines);
        self.reload();
    }

    fn reload(&self) {
        let before = self.loads();
        kill(self.pid(), Signal::SIGHUP).unwrap();
        let start = Instant::now();
        while self.loads() == before {
            assert!(start.elapsed() < TIMEOUT, "the server does not reload:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn loads(&self) -> usize {
        self.log().matches("received SIGHUP, reloading configuration files").count()
    }

    fn set(&self, settings: &[(&str, &str)]) {
        // The last value of a setting counts. ALTER SYSTEM's file is read after this one.
        let path = self.data_folder().join("postgresql.conf");
        let mut text = std::fs::read_to_string(path).unwrap();
        for (name, value) in settings {
            text += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        self.write("postgresql.conf", &text);
    }

    fn write_hba(&self, lines: &str) {
        self.write("pg_hba.conf", lines);
    }

    /// Writes a file of the data folder, readable for the server's user alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.data_folder().join(name);
        std::fs::write(&path, text).unwrap();
        scratch::own(&path);
    }

    fn spawn(&self) {
        let mut process = self.process.lock().unwrap();
        assert!(process.is_none(), "the server runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let network = self.surroundings.network.as_ref().map(|(namespace, _)| namespace.as_path());
        let mut command = as_server_user_in(network, "postgres");
        command.arg("-D").arg(self.data_folder());
        command.envs(self.surroundings.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        *process = Some(command.spawn().unwrap());
    }

    /// The last line of postmaster.pid says what the server does (`pg_ctl` reads it, too).
    fn is_ready(&self) -> bool {
        let state = std::fs::read_to_string(self.data_folder().join("postmaster.pid")).unwrap_or_default();
        let mut lines = state.lines();
        let own = lines.next() == Some(&self.pid().to_string());
        own && lines.nth(6).is_some_and(|line| line.trim() == "ready")
    }

    /// Removes the segment that a killed postmaster leaves behind. The seventh line of
    /// postmaster.pid has its key and id; an orderly end removes both.
    fn remove_shared_memory(&self) {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        if let Some(id) = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let mut ipcrm = Command::new("ipcrm");
            let _ = ipcrm.args(["--shmem-id", id]).stderr(Stdio::null()).status();
        }
    }

    fn runs(&self) -> bool {
        self.process.lock().unwrap().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    #[track_caller]
    fn signal_all(&self, signal: Signal) {
        let postmaster = self.pid();
        kill(postmaster, signal).unwrap();
        for child in children_of(postmaster) {
            let _ = kill(child, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        self.remove_shared_memory();
        if std::thread::panicking() {
            // The log is what explains a failed test.
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- PostgreSQL on port {}:\n{}", self.port, self.log()).as_bytes(),
            );
        }
        let _ = std::fs::remove_dir_all(&self.data);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn pid_of(process: &Child) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).unwrap())
}

#[track_caller]
fn wait_for_end(process: &mut Child) {
    let start = Instant::now();
    while process.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < TIMEOUT, "the server does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the server's processes: the postmaster starts each of them itself.
fn children_of(parent: Pid) -> Vec<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// Whether a process runs; one that has ended and waits for its parent does not.
fn runs(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Finds a port on which nothing listens, and keeps the servers of other tests from it. It is below
/// those that the kernel gives to outgoing connections (ip_local_port_range), so that none of them
/// takes it while the server is down.
fn free_port() -> (u16, UnixListener) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 12_000).unwrap();
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let name = SocketAddr::from_abstract_name(format!("totpd-test-postgres-{port}")).unwrap();
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return (port, claim);
        }
    }
}
