//! The daemon of a site: its process, its clock and its users' factors.

use crate::phone::Phone;
use crate::run::wait_until;
use crate::site::Site;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

impl Site {
    /// Starts the daemon, and waits until it answers.
    #[track_caller]
    pub fn start(&self) {
        let mut command = self.totpd_command();
        command.arg("serve");
        self.start_as(command);
    }

    /// Starts the daemon by another command, and waits until it answers.
    #[track_caller]
    pub fn start_as(&self, command: Command) {
        let daemon = self.spawn_daemon(command);
        *self.daemon.lock().unwrap() = Some(daemon);
        wait_until("the daemon answers", || self.totpd(&["status"]).code != 3);
    }

    /// Starts a daemon whose log is the site's, without waiting for it. The caller ends it.
    pub fn spawn_daemon(&self, mut command: Command) -> Child {
        let log = OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Returns the daemon's pid: nsenter does not fork, and becomes the program.
    #[track_caller]
    pub fn daemon_pid(&self) -> Pid {
        let id = self.daemon.lock().unwrap().as_ref().expect("the daemon runs").id();
        Pid::from_raw(i32::try_from(id).unwrap())
    }

    /// Sends the daemon a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(self.daemon_pid(), signal).unwrap();
    }

    /// Ends the daemon by a signal and waits for its end. Returns its exit status, or `None` when
    /// the signal killed it.
    #[track_caller]
    pub fn end(&self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.take_daemon().wait().unwrap().code()
    }

    /// Returns the daemon's process, so that another one can be started beside it.
    #[track_caller]
    pub fn take_daemon(&self) -> Child {
        self.daemon.lock().unwrap().take().expect("the daemon runs")
    }

    /// Waits until the daemon has ended by itself. It stays a zombie until the test waits for it.
    #[track_caller]
    pub fn wait_for_daemon_end(&self) {
        let stat = format!("/proc/{}/stat", self.daemon_pid());
        wait_until("the daemon has ended", || {
            std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
    }

    /// Waits until `totpd status` reports a daemon that serves.
    #[track_caller]
    pub fn wait_until_serving(&self) {
        wait_until("the daemon serves", || self.totpd(&["status"]).code == 0);
    }

    /// Returns the daemon's resident memory in KiB (proc_pid_status(5)).
    #[track_caller]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon_pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns the daemon's time, in seconds since 1970.
    pub fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the site's clock is the real one, moved")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        i64::try_from(now).unwrap() + self.faults.offset()
    }

    /// Moves the clock ten seconds into the next time step, so that the step does not end during an
    /// assertion.
    pub fn next_step(&self) {
        self.advance(40 - self.now().rem_euclid(30));
    }

    /// Moves the clock by `seconds`.
    pub fn advance(&self, seconds: i64) {
        self.faults.clock_offset(self.faults.offset() + seconds);
    }

    /// Enrolls a user and confirms the factor by a first code. The clock is in a new time step
    /// afterwards.
    #[track_caller]
    pub fn enroll(&self, user: &str) -> Phone {
        let phone = self.stage(user);
        self.totpd_with(&["confirm", user], &phone.code(self)).assert_success();
        self.next_step();
        phone
    }

    /// Enrolls a user without confirming the factor.
    #[track_caller]
    pub fn stage(&self, user: &str) -> Phone {
        if self.database.is_some() {
            // A busy machine may keep the server from answering in time.
            self.wait_until_serving();
        }
        Phone::from(&self.totpd(&["enroll", user, "--json"]).assert_success().json())
    }

    /// Returns what `totpd status USER --json` prints.
    #[track_caller]
    pub fn status(&self, user: &str) -> serde_json::Value {
        self.totpd(&["status", user, "--json"]).assert_success().json()
    }
}
