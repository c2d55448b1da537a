//! Running programs: with input, with a bound on their time, and never left behind.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No program of these tests takes longer unless something is wrong.
const PROGRAM_TIMEOUT: Duration = Duration::from_mins(1);

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status, or -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

impl Finished {
    fn from(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON document it printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            unreachable!("no JSON ({error}): {self:?}");
        })
    }

    /// Asserts that the program exited with status 0, and returns the result.
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// [`Self::assert_success`] under its former name.
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    #[track_caller]
    pub fn ok(self) -> Self {
        self.assert_success()
    }
}

/// A program that runs; ended when dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts it with pipes for input and output.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(started.unwrap_or_else(|error| unreachable!("{command:?}: {error}")))
    }

    /// Writes to its input.
    pub fn say(&mut self, text: &str) {
        // It may have ended already, and says why in its output.
        let _ = self.0.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Closes its input and waits until it has ended.
    pub fn finish(mut self) -> Finished {
        drop(self.0.stdin.take());
        let child = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            if ended.recv_timeout(PROGRAM_TIMEOUT).is_err() {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        let _ = done.send(());
        guard.join().unwrap();
        Finished::from(&output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end.
pub fn run(command: Command, input: &str) -> Finished {
    let mut running = Running::start(command);
    running.say(input);
    running.finish()
}

/// Waits until `check` holds; for things that other processes do, which have no clock to move.
#[track_caller]
pub fn wait_until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
