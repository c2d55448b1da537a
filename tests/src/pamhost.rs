//! Calls of the module through libpam, by the helper `native/pamhost.c`.

use crate::Site;
use crate::paths::native;
use crate::run::{Finished, Running, run};
use crate::users::uid_of;
use std::process::Command;

/// Options of a login for which sshd has verified a key.
pub const SSH_KEY: &[&str] = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=publickey"];

/// Return codes of Linux-PAM (`security/_pam_types.h`).
pub mod code {
    #![expect(missing_docs, reason = "the names are Linux-PAM's")]
    pub const SUCCESS: i32 = 0;
    pub const SERVICE_ERR: i32 = 3;
    pub const SYSTEM_ERR: i32 = 4;
    pub const PERM_DENIED: i32 = 6;
    pub const AUTH_ERR: i32 = 7;
    pub const AUTHINFO_UNAVAIL: i32 = 9;
    pub const MAXTRIES: i32 = 11;
    pub const CONV_ERR: i32 = 19;
    pub const IGNORE: i32 = 25;
    pub const MODULE_UNKNOWN: i32 = 28;
}

/// A PAM application in a site, which calls the module through libpam.
#[derive(Debug)]
pub struct PamHost<'a> {
    site: &'a Site,
    options: Vec<String>,
    service: String,
    user: String,
    run_as: Option<String>,
    caller: Option<String>,
}

impl<'a> PamHost<'a> {
    /// A login of `user` at `service` by a setuid program that the user started. With a remote host
    /// it is a daemon.
    pub fn new(site: &'a Site, service: &str, user: &str) -> Self {
        let (service, user) = (service.to_owned(), user.to_owned());
        Self { site, options: vec![], service, caller: Some(user.clone()), user, run_as: None }
    }

    /// Lets another user of the machine start the program.
    #[must_use]
    pub fn started_by(mut self, user: &str) -> Self {
        self.caller = Some(user.into());
        self
    }

    /// Makes the program a daemon, whose real uid is root's.
    #[must_use]
    pub fn daemon(mut self) -> Self {
        self.caller = None;
        self
    }

    /// Adds options of the helper.
    #[must_use]
    pub fn option(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|w| (*w).to_owned()));
        self
    }

    /// Runs the program as this user, without root.
    #[must_use]
    pub fn run_as(mut self, user: &str) -> Self {
        self.run_as = Some(user.into());
        self
    }

    fn command(&self, operations: &[&str]) -> Command {
        let helper = native("pamhost");
        let mut command = match &self.run_as {
            Some(user) => self.site.command_as(user, helper),
            None => self.site.command(helper),
        };
        let names_a_host = self.options.iter().any(|word| word == "-r");
        let caller = self.caller.as_deref().filter(|_| self.run_as.is_none() && !names_a_host);
        if let Some(uid) = caller.and_then(uid_of) {
            command.args(["-U", &uid.to_string()]);
        }
        command.args(&self.options).args([&self.service, &self.user]).args(operations);
        command
    }

    /// Starts `pam_authenticate`, whose prompts the test answers later.
    pub fn start(&self) -> Running {
        self.start_with(&["authenticate"])
    }

    /// Starts `operations`, whose prompts the test answers later.
    pub fn start_with(&self, operations: &[&str]) -> Running {
        Running::start(self.command(operations))
    }

    /// Runs `operations` with these answers, one line for each prompt.
    pub fn run(&self, operations: &[&str], answers: &str) -> Finished {
        run(self.command(operations), answers)
    }

    /// Runs `pam_authenticate` with these answers, one line for each prompt. Returns its return
    /// code.
    #[track_caller]
    pub fn authenticate(&self, answers: &str) -> i32 {
        result(&self.run(&["authenticate"], answers), "authenticate")
    }

    /// Runs `pam_authenticate` and answers one prompt. Returns its return code.
    #[track_caller]
    pub fn answer(&self, line: &str) -> i32 {
        self.authenticate(&format!("{line}\n"))
    }
}

/// Logs `user` in at the service `x`, and answers one prompt. Returns the return code of
/// `pam_authenticate`.
#[track_caller]
pub fn login(site: &Site, user: &str, line: &str) -> i32 {
    PamHost::new(site, "x", user).answer(line)
}

/// Returns every return code that the helper printed for an operation.
pub fn results(finished: &Finished, operation: &str) -> Vec<i32> {
    let prefix = format!("{operation}=");
    finished.stdout.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
}

/// Returns the first return code that the helper printed for an operation.
#[track_caller]
pub fn result(finished: &Finished, operation: &str) -> i32 {
    let line = finished.stdout.lines().find_map(|line| line.strip_prefix(&format!("{operation}=")));
    line.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no result: {finished:?}"))
}
