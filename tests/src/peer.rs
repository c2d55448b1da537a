//! Logins over Varlink without PAM, as a root program that runs many of them at once.

use crate::Site;
use std::time::{Duration, Instant};
use totp_wire::login::{Answer, Attempt, Begin, Step, Verdict};
use totp_wire::{CallError, Client, SecretText, Trust};

/// A login that waits for its code.
#[derive(Debug)]
pub struct Waiting {
    client: Client,
    /// The daemon's prompt.
    pub step: Step,
}

/// Begins a login.
///
/// # Errors
/// The error that the daemon replied.
pub fn begin(site: &Site, attempt: Attempt) -> Result<Waiting, CallError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let sockets = totp_wire::process::sockets(&site.path("run/login.sock"));
    let paths = sockets.iter().map(std::path::PathBuf::as_path);
    let mut client = Client::connect_first(paths, Trust::RootOrFolderOwner, deadline)?;
    let step = client.call(&Begin { attempt, remaining_ms: Some(20_000) }, deadline)?.step;
    Ok(Waiting { client, step })
}

/// Returns an attempt of a setuid program that `user` started for themselves.
pub fn local(user: &str) -> Attempt {
    let real_uid = crate::users::uid_of(user);
    Attempt { user: user.into(), service: Some("sudo".into()), real_uid, ..Attempt::default() }
}

/// Returns an attempt of sshd for `user` from `rhost`.
pub fn from_host(user: &str, rhost: &str) -> Attempt {
    Attempt { service: Some("sshd".into()), rhost: Some(rhost.into()), real_uid: Some(0), ..local(user) }
}

impl Waiting {
    /// Returns whether the daemon has left the connection open.
    pub fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Answers, and waits for the verdict for at most `time`.
    ///
    /// # Errors
    /// The error that the daemon replied, or [`CallError::TimedOut`].
    pub fn answer_within(mut self, code: &str, time: Duration) -> Result<Verdict, CallError> {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.send(code, millis, Instant::now() + time)
    }

    /// Answers, and claims that `millis` are left, but waits 20 seconds.
    ///
    /// # Errors
    /// The error that the daemon replied.
    pub fn answer_with_remaining(mut self, code: &str, millis: u64) -> Result<Verdict, CallError> {
        self.send(code, millis, Instant::now() + Duration::from_secs(20))
    }

    /// Sends the answer and hangs up without waiting for the reply.
    #[track_caller]
    pub fn send_and_hang_up(mut self, code: &str) {
        let left = self.send(code, 20_000, Instant::now() + Duration::from_millis(100));
        assert_eq!(left, Err(CallError::TimedOut));
    }

    fn send(&mut self, code: &str, millis: u64, deadline: Instant) -> Result<Verdict, CallError> {
        let text = Some(SecretText::from(code.to_owned()));
        let answer = Answer { text, unusable: None, remaining_ms: Some(millis) };
        let step = self.client.call(&answer, deadline)?.step;
        Ok(step.verdict.expect("one try is one verdict"))
    }

    /// Answers, and waits for the verdict for at most 20 seconds.
    ///
    /// # Errors
    /// As [`Waiting::answer_within`].
    pub fn answer(self, code: &str) -> Result<Verdict, CallError> {
        self.answer_within(code, Duration::from_secs(20))
    }
}

/// Runs `count` logins that are all refused, 64 at a time, because each refusal is delayed.
#[track_caller]
pub fn refusals(site: &Site, count: usize, attempt: impl Fn(usize) -> Attempt + Sync, answer: &str) {
    const PARALLEL: usize = 64;
    std::thread::scope(|scope| {
        for first in 0..PARALLEL {
            let attempt = &attempt;
            scope.spawn(move || {
                for number in (first..count).step_by(PARALLEL) {
                    let verdict = begin(site, attempt(number)).unwrap().answer(answer);
                    assert_eq!(verdict, Ok(Verdict::Denied));
                }
            });
        }
    });
}

/// Runs a whole login of `user` by a setuid program.
///
/// # Errors
/// The error that the daemon replied.
pub fn login(site: &Site, user: &str, code: &str) -> Result<Verdict, CallError> {
    begin(site, local(user))?.answer(code)
}
