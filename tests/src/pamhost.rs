//! Calling the module through libpam, by the helper in `native/pamhost.c`.

use crate::Site;
use crate::run::{Finished, Running, run};
use crate::setup::{native, uid_of};
use std::process::Command;

/// `PAM_SUCCESS` and its kin (`security/_pam_types.h`).
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

/// A call of libpam in a site.
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
    /// For `user` of `service`, as a setuid program that the user started; one that names a remote host is a daemon.
    pub fn new(site: &'a Site, service: &str, user: &str) -> Self {
        let (service, user) = (service.to_owned(), user.to_owned());
        Self { site, options: vec![], service, caller: Some(user.clone()), user, run_as: None }
    }

    /// Started by another user of the machine.
    #[must_use]
    pub fn started_by(mut self, user: &str) -> Self {
        self.caller = Some(user.into());
        self
    }

    /// A daemon, whose real uid is root's.
    #[must_use]
    pub fn daemon(mut self) -> Self {
        self.caller = None;
        self
    }

    /// With an option of the helper.
    #[must_use]
    pub fn option(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|w| (*w).to_owned()));
        self
    }

    /// In a process of this user.
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

    /// Starts it, to be answered later.
    pub fn start(&self) -> Running {
        self.start_with(&["authenticate"])
    }

    /// Starts `operations`, to be answered later.
    pub fn start_with(&self, operations: &[&str]) -> Running {
        Running::start(self.command(operations))
    }

    /// Runs `operations` with these answers.
    pub fn run(&self, operations: &[&str], answers: &str) -> Finished {
        run(self.command(operations), answers)
    }

    /// `pam_authenticate` with these answers; its return code.
    pub fn authenticate(&self, answers: &str) -> i32 {
        result(&self.run(&["authenticate"], answers), "authenticate")
    }
}

/// The return codes that the helper printed for an operation, in their order.
pub fn results(finished: &Finished, operation: &str) -> Vec<i32> {
    let prefix = format!("{operation}=");
    finished.stdout.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse().ok()).collect()
}

/// The return code that the helper printed for an operation.
#[track_caller]
pub fn result(finished: &Finished, operation: &str) -> i32 {
    let line = finished.stdout.lines().find_map(|line| line.strip_prefix(&format!("{operation}=")));
    line.and_then(|code| code.parse().ok()).unwrap_or_else(|| unreachable!("no result: {finished:?}"))
}
