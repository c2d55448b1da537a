//! The command line of `totpd pam`.

use clap::Subcommand;
use std::time::Duration;

/// The commands of `totpd pam`.
#[derive(Debug, Subcommand)]
pub enum PamCommand {
    /// Have services ask for a code
    Enable(PamEnable),
    /// Remove the lines of totpd from services
    Disable(PamDisable),
    /// Show which services ask for a code, how, and by which lines
    Status {
        /// PAM services [default: all that authenticate users]
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Take back changes that no login has confirmed
    #[command(hide = true)]
    TakeBack {
        /// The host is booting: do not ask the daemon
        #[arg(long)]
        boot: bool,
        /// Only this change
        #[arg(long, value_name = "ID")]
        change: Option<String>,
        /// Wait this many seconds first
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
    /// PAM services: sudo includes sudo-i, su includes su-l, =sudo means sudo only
    #[arg(value_name = "SERVICE", required_unless_present = "all")]
    pub services: Vec<String>,
    /// Every service that authenticates users, if totpd understands its file
    #[arg(long, conflicts_with = "services")]
    pub all: bool,
    /// How services ask for the code
    #[arg(long, value_enum, default_value = "require")]
    pub mode: crate::pam_config::Mode,
    /// Show what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Do not wait for logins: keep the change after the trial (needs --yes)
    #[arg(long, requires = "yes")]
    pub unattended: bool,
    /// Take back services that no login has confirmed after this time
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    pub confirm_within: Duration,
}

/// Services to disable.
#[derive(Debug, clap::Args)]
pub struct PamDisable {
    /// PAM services: sudo includes sudo-i, su includes su-l, =sudo means sudo only
    #[arg(value_name = "SERVICE", required_unless_present = "all")]
    pub services: Vec<String>,
    /// Every service with a block of totpd
    #[arg(long, conflicts_with = "services")]
    pub all: bool,
    /// Show what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
}
