//! The fail2ban filter, read by the real fail2ban-regex.

use crate::paths::repository;
use crate::run::run;
use std::path::PathBuf;
use std::process::Command;

/// Returns a file of the shipped fail2ban configuration.
pub fn config(file: &str) -> PathBuf {
    repository().join("config/fail2ban").join(file)
}

/// Returns what fail2ban-regex prints about `log`, which is a file or a journal. Its time zone is
/// far from UTC: the lines name theirs.
#[track_caller]
pub fn regex(log: &str, options: &[&str]) -> String {
    let mut command = Command::new("fail2ban-regex");
    command.args(options).arg(log).arg(config("filter.d/totpd.conf")).env("TZ", "America/New_York");
    run(command, "").assert_success().stdout
}

/// Returns the addresses that the filter finds, one for each line that counts.
#[track_caller]
pub fn addresses(log: &str) -> Vec<String> {
    regex(log, &["-o", "ip"]).lines().map(str::to_owned).collect()
}
