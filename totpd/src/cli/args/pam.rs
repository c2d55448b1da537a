//! The command line of `totpd pam`.

use clap::Subcommand;
use std::time::Duration;

/// What to do with the PAM files of services.
#[derive(Debug, Subcommand)]
pub enum PamCommand {
    /// Have services ask for a code
    Enable(PamEnable),
    /// Take the lines of totpd out of services
    Disable(PamDisable),
    /// Show which services ask for a code, how, and by which lines
    Status {
        /// PAM services [default: all that check who somebody is]
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Take back what no login has confirmed
    #[command(hide = true)]
    TakeBack {
        /// Before anything else runs: no daemon is asked
        #[arg(long)]
        boot: bool,
        /// Only if it is this change
        #[arg(long, value_name = "ID")]
        change: Option<String>,
        /// Wait so many seconds first
        #[arg(long, value_name = "SECONDS")]
        after: Option<u64>,
    },
    /// Succeed if sshd has verified a key (for a PAM line)
    #[command(hide = true)]
    SshKeyShown,
}

/// Services to enable.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub struct PamEnable {
    /// PAM services: sudo means sudo-i as well, su means su-l, =sudo means it alone
    #[arg(value_name = "SERVICE", required_unless_present = "all")]
    pub services: Vec<String>,
    /// Every service that checks who somebody is, as far as its file is understood
    #[arg(long, conflicts_with = "services")]
    pub all: bool,
    /// How the code is asked for
    #[arg(long, value_enum, default_value = "require")]
    pub mode: crate::pam_config::Mode,
    /// Show what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask whether to go on
    #[arg(long)]
    pub yes: bool,
    /// Do not wait for logins: the change stays once the trial has run (takes --yes)
    #[arg(long, requires = "yes")]
    pub unattended: bool,
    /// What no login has confirmed by then is taken back
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub confirm_within: Duration,
}

/// Services to disable.
#[derive(Debug, clap::Args)]
pub struct PamDisable {
    /// PAM services: sudo means sudo-i as well, su means su-l, =sudo means it alone
    #[arg(value_name = "SERVICE", required_unless_present = "all")]
    pub services: Vec<String>,
    /// Every service with a block of totpd
    #[arg(long, conflicts_with = "services")]
    pub all: bool,
    /// Show what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask whether to go on
    #[arg(long)]
    pub yes: bool,
}
