//! Programs that tests run: with input, with a timeout, and never left behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No program of these tests takes longer unless something is wrong.
const PROGRAM_TIMEOUT: Duration = Duration::from_mins(1);

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status, or -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
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

    /// Parses the JSON document that the program printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(document) => document,
            Err(error) => panic!("no JSON ({error}): {self:?}"),
        }
    }

    /// Asserts that the program exited with status 0, and returns it.
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// A program that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts a program with pipes for input, output and errors.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        match started {
            Ok(child) => Self(child),
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    /// Writes to the program's input. A program that has ended explains it in its output.
    pub fn say(&mut self, text: &str) {
        let _ = self.0.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// Reads one line of output, with its end. Only these bytes are taken: [`Self::finish`] returns
    /// the rest.
    #[track_caller]
    pub fn read_line(&mut self) -> String {
        let (stdout, mut line, mut byte) = (self.0.stdout.as_mut().unwrap(), Vec::new(), [0]);
        while !line.ends_with(b"\n") && stdout.read(&mut byte).unwrap() == 1 {
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Reads lines of output until one contains `mark`, and returns them all. Fails when the output
    /// ends before.
    #[track_caller]
    pub fn read_until(&mut self, mark: &str) -> String {
        self.read_until_or_end(mark).unwrap_or_else(|text| panic!("no {mark:?} in the output: {text}"))
    }

    /// Reads lines of output until one contains `mark`.
    ///
    /// # Errors
    /// The whole output, when it ends before.
    pub fn read_until_or_end(&mut self, mark: &str) -> Result<String, String> {
        let mut text = String::new();
        while !text.contains(mark) {
            let line = self.read_line();
            if line.is_empty() {
                return Err(text);
            }
            text += &line;
        }
        Ok(text)
    }

    /// Sends the program a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Closes the program's input and waits until it has ended. Kills it after [`PROGRAM_TIMEOUT`].
    pub fn finish(self) -> Finished {
        self.finish_within(PROGRAM_TIMEOUT)
    }

    /// Closes the program's input and waits until it has ended. Kills it after `timeout`.
    pub fn finish_within(mut self, timeout: Duration) -> Finished {
        drop(self.0.stdin.take());
        let child = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let guard = std::thread::spawn(move || {
            if ended.recv_timeout(timeout).is_err() {
                let _ = kill(pid, Signal::SIGKILL);
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

/// Runs a program with this input to its end.
#[track_caller]
pub fn run(command: Command, input: &str) -> Finished {
    let mut running = Running::start(command);
    running.say(input);
    running.finish()
}

/// Waits until `check` holds, for at most a minute. It is for what other processes do: they have
/// no clock that a test can move.
#[track_caller]
pub fn wait_until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_mins(1), "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
