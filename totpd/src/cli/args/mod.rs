//! The command line as it is typed.

mod pam;

pub use pam::{PamCommand, PamDisable, PamEnable};

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// The second factor for Linux logins.
#[derive(Debug, Parser)]
#[command(name = "totpd", version, propagate_version = true)]
pub struct Args {
    /// The configuration [default: /etc/totpd/totpd.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true, conflicts_with = "json")]
    pub quiet: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make key and store on a new host (and the configuration, if there is none)
    Init {
        /// The system user that the daemon runs as; owns key and store
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
        /// Do nothing when a key, an id, a store or its witness is there: what totpd-init.service runs at each boot
        #[arg(long)]
        if_missing: bool,
    },
    /// Run the daemon
    Serve,
    /// Enroll a user: show secret, QR code and recovery codes once
    Enroll(Enroll),
    /// Confirm an enrollment with its first code, read from the terminal or standard input
    Confirm {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Verify a code, read from the terminal or standard input; it is used up
    Verify {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Show a user's enrollment; without a name, root sees how the daemon is and others themselves
    Status {
        /// The login name
        user: Option<String>,
    },
    /// List the users who have a factor
    List,
    /// Forget a user's factors; oneself needs a code for that, and a ticket or patience
    Revoke {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// End a user's locks and forget the failures
    Unlock {
        /// The login name
        user: String,
    },
    /// End a user's remembered logins: the next one is asked for a code
    Forget {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Replace recovery codes and show the new ones once; oneself needs a code for that, and a ticket or patience
    RecoveryCodes {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// End a change that a user has staged for themselves; oneself needs a code of the factor in use
    Cancel {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Take this host's clock for right, after codes were accepted under a clock that was ahead
    TrustClock,
    /// Show the last uses and refusals; without a name, root sees everybody's and others their own
    History {
        /// The login name
        user: Option<String>,
        /// How many at most
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// How far back, as in 7d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        since: Option<Duration>,
    },
    /// Sum the history up per user and service: who was asked, who would be refused under enforcement
    Report {
        /// How far back
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = humantime::parse_duration)]
        since: Duration,
    },
    /// Say which rule decides about an attempt, why others do not, and what would happen
    Explain(Explain),
    /// Find broken set-ups of PAM, sshd, sudo, systemd and of totpd itself, and say what cures them
    Doctor(Doctor),
    /// Let one user in once by a random code, without daemon and store; everybody else is refused meanwhile
    Breakglass {
        /// The login name
        user: String,
        /// For how long at most: up to 24h
        #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
        lasts: Duration,
        /// The user comes from a directory, and /etc/passwd does not know the name
        #[arg(long)]
        directory_user: bool,
    },
    /// Write an encrypted backup of the running daemon's store, key and configuration, and read it back
    Backup(Backup),
    /// Restore a backup, or accept a store that was put back by other means
    Restore(Restore),
    /// Credentials of applications for the HTTP API
    Client {
        /// What to do with them
        #[command(subcommand)]
        command: ClientCommand,
    },
    /// Print the completions of a shell, for its own folder of them
    Completions {
        /// The shell
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    /// Have services ask for a code, by their PAM files; every change is taken back unless a login confirms it
    Pam {
        /// What to do
        #[command(subcommand)]
        command: PamCommand,
    },
    /// Look at the configuration
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What to do with the credentials of applications.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a secret for a client, and show it once. A client may have several, to replace one by another
    Add {
        /// The client's name: letters, digits, '.', '_' and '-'
        name: String,
        /// What it may do: verify codes; also enroll users; also take factors away and read recovery codes
        #[arg(long, value_parser = ["verify", "enroll", "admin"])]
        scope: String,
    },
    /// List the clients, their secrets' names, and when each was last used since the daemon started
    List,
    /// Take a client's secrets away: they are worth nothing at once
    Revoke {
        /// The client's name
        name: String,
        /// The secret of this name alone
        #[arg(long = "secret", value_name = "ID")]
        secret: Option<String>,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Find mistakes in it, and rules that never decide or change nothing
    Check {
        /// Fail for such rules, too
        #[arg(long)]
        strict: bool,
        /// Only what this user may not read or write, for `config check` of root
        #[arg(long, hide = true)]
        files: bool,
    },
}

/// What to look for, and what to do about it.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Doctor {
    /// Cure what is totpd's own, and ask before each step
    #[arg(long, conflicts_with = "root")]
    pub fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Look at the files of the tree in this folder, such as an image, and at nothing that runs
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Show notes too
    #[arg(long)]
    pub notes: bool,
    /// Forget services that asked for a code before and are meant not to ask now
    #[arg(long, conflicts_with = "root")]
    pub accept: bool,
    /// Print a line for each error and warning, as systemd puts it into the journal
    #[arg(long, conflicts_with_all = ["fix", "json", "quiet"])]
    pub journal: bool,
}

/// A backup to make.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The file to write; it must not exist
    pub file: PathBuf,
    /// Encrypt to this age recipient (age1…) instead of a passphrase; may be given several times
    #[arg(long, value_name = "RECIPIENT", value_parser = recipient)]
    pub recipient: Vec<age::x25519::Recipient>,
    /// Leave the key out: the backup restores only where the key file is kept
    #[arg(long)]
    pub without_key: bool,
}

fn recipient(text: &str) -> Result<age::x25519::Recipient, String> {
    text.parse().map_err(|_| "it is not an age recipient (age1…)".to_owned())
}

/// A backup to restore.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup. Without --identity its passphrase is read from the terminal or standard input
    #[arg(required_unless_present = "accept", conflicts_with = "accept")]
    pub file: Option<PathBuf>,
    /// Take the store that is there although it is older than its witness; what was withdrawn since stays refused
    #[arg(long, conflicts_with_all = ["identity", "owner", "yes"])]
    pub accept: bool,
    /// Decrypt with the identities in this file (AGE-SECRET-KEY-1…)
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The system user that the daemon runs as [default: the owner of the state folder]
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// An enrollment to make.
#[derive(Debug, clap::Args)]
pub struct Enroll {
    /// The login name [default: oneself]
    pub user: Option<String>,
    /// Make no factor but a ticket with which users enroll once by themselves, or change theirs without a delay
    #[arg(long, conflicts_with_all = ["issuer", "algorithm", "digits", "period", "qr"])]
    pub ticket: bool,
    /// The user has lost the phone: the ticket replaces the factor in use without a code of it
    #[arg(long, requires = "ticket")]
    pub lost: bool,
    /// How long it waits for its first code: 1s to 30d [default: of the configuration, 24h]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// The name shown above the code [default: of the configuration, the host's name]
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// SHA1, SHA256 or SHA512; apps agree on SHA1 alone
    #[arg(long)]
    pub algorithm: Option<String>,
    /// Digits of a code: 6, 7 or 8
    #[arg(long)]
    pub digits: Option<u8>,
    /// Seconds a code is shown: 15 to 120
    #[arg(long)]
    pub period: Option<u64>,
    /// How the QR code is shown: utf8, ascii, png:FILE, svg:FILE or none
    #[arg(long, value_name = "FORM", default_value = "utf8")]
    pub qr: QrForm,
}

/// An attempt that is only supposed.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Who would log in (PAM_USER)
    pub user: String,
    /// By which PAM service: sshd, sudo, …
    pub service: String,
    /// From which address (PAM_RHOST) [default: from this machine]
    #[arg(long, value_name = "IP")]
    pub rhost: Option<String>,
    /// Who would ask (PAM_RUSER)
    #[arg(long, value_name = "USER")]
    pub ruser: Option<String>,
    /// A method that succeeded in SSH, as SSH_AUTH_INFO_0 has it: publickey, or a whole line with its key
    #[arg(long = "ssh-auth", value_name = "METHOD")]
    pub ssh_auth: Vec<String>,
    /// The PAM line says first_factor=passed
    #[arg(long)]
    pub first_factor: bool,
    /// The uid of the program that asks [default: 0]
    #[arg(long, value_name = "UID")]
    pub peer: Option<u32>,
    /// When (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// How a QR code is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrForm {
    /// Half blocks.
    Utf8,
    /// Two characters a module.
    Ascii,
    /// A picture in this file.
    Png(PathBuf),
    /// A drawing in this file.
    Svg(PathBuf),
    /// Not at all.
    None,
}

impl std::str::FromStr for QrForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "utf8" => Ok(Self::Utf8),
            None if text == "ascii" => Ok(Self::Ascii),
            None if text == "none" => Ok(Self::None),
            Some(("png", file)) if !file.is_empty() => Ok(Self::Png(file.into())),
            Some(("svg", file)) if !file.is_empty() => Ok(Self::Svg(file.into())),
            _ => Err("it is utf8, ascii, png:FILE, svg:FILE or none".to_owned()),
        }
    }
}
