//! What examines the host, the configuration and its rules.

use clap::Subcommand;
use std::path::PathBuf;

/// The commands of `totpd config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find mistakes in the configuration, and rules without effect
    Check(ConfigCheck),
}

/// The options of `totpd config check`.
#[derive(Debug, clap::Args)]
pub struct ConfigCheck {
    /// Fail for rules without effect too
    #[arg(long)]
    pub strict: bool,
    /// Only the files that this user may not read or write, for `config check` of root
    #[arg(long, hide = true)]
    pub files: bool,
}

/// The options of `totpd doctor`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Doctor {
    /// Fix totpd's own files and units, and ask before each step
    #[arg(long, conflicts_with = "root")]
    pub fix: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Examine only the files of the tree in this folder, such as an image
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Show notes too
    #[arg(long)]
    pub notes: bool,
    /// Accept that services which asked for a code before no longer ask
    #[arg(long, conflicts_with = "root")]
    pub accept: bool,
    /// Print one line for each error and warning, for systemd's journal
    #[arg(long, conflicts_with_all = ["fix", "json", "quiet"])]
    pub journal: bool,
}

/// A hypothetical login.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The user who would log in (PAM_USER)
    pub user: String,
    /// The PAM service: sshd, sudo, …
    pub service: String,
    /// The remote address (PAM_RHOST) [default: this host]
    #[arg(long, value_name = "IP")]
    pub rhost: Option<String>,
    /// The user who would ask (PAM_RUSER)
    #[arg(long, value_name = "USER")]
    pub ruser: Option<String>,
    /// A method that succeeded in SSH, as in SSH_AUTH_INFO_0: publickey, or a whole line with its
    /// key
    #[arg(long = "ssh-auth", value_name = "METHOD")]
    pub ssh_auth: Vec<String>,
    /// The PAM line has first_factor=passed
    #[arg(long)]
    pub first_factor: bool,
    /// The uid of the program that asks [default: 0]
    #[arg(long, value_name = "UID")]
    pub peer: Option<u32>,
    /// The time of the login (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}
