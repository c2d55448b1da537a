//! The command line, parsed by clap.

mod import;
mod pam;
mod passcode;
mod store;

pub use import::{Import, ImportFormat};
pub use pam::{PamCommand, PamDisable, PamEnable};
pub use passcode::Passcode;
pub use store::{StoreCommand, StoreCopy};

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// The second factor for Linux logins.
#[derive(Debug, Parser)]
#[command(name = "totpd", version, propagate_version = true)]
pub struct Args {
    /// The configuration file [default: /etc/totpd/totpd.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true, conflicts_with = "json")]
    pub quiet: bool,
    /// Show times in UTC instead of local time; JSON always has UTC
    #[arg(long, global = true)]
    pub utc: bool,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the key and the store on a new host (and the configuration, if there is none)
    Init {
        /// The system user of the daemon, who will own the key and the store
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
        /// Do nothing if a key, an id, a store or its witness exists, as totpd-init.service does at
        /// each boot
        #[arg(long)]
        if_missing: bool,
    },
    /// Run the daemon
    Serve,
    /// Enroll a user, and show the secret, QR code and recovery codes once
    Enroll(Enroll),
    /// Take over the factors of another tool
    Import(Import),
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
    /// Show a user's enrollment; without a name, root sees the daemon's state, others their own
    /// enrollment
    Status {
        /// The login name
        user: Option<String>,
    },
    /// List the users who have a factor
    List,
    /// Delete a user's factors; your own need a code, and a ticket or a delay
    Revoke {
        /// The login name [default: oneself]
        user: Option<String>,
        /// Delete only the authenticator of this name; the others and the recovery codes stay
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// End a user's locks and reset the count of failures
    Unlock {
        /// The login name
        user: String,
    },
    /// Let a user log in once without the phone, with a random code
    Passcode(Passcode),
    /// End a user's remembered logins: the next login needs a code
    Forget {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Replace recovery codes, and show the new ones once; your own need a code, and a ticket or a
    /// delay
    RecoveryCodes {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Cancel a change that a user has staged; your own needs a code of the factor in use
    Cancel {
        /// The login name [default: oneself]
        user: Option<String>,
    },
    /// Trust this host's clock again, after codes were accepted while it was ahead
    TrustClock,
    /// Show the latest events; without a name, root sees those of every user, others their own
    History {
        /// The login name
        user: Option<String>,
        /// The most events to show
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// How far back, such as 7d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        since: Option<Duration>,
    },
    /// Count the logins by user and service, and what enforcement would do with them
    Report {
        /// How far back
        #[arg(long, value_name = "TIME", default_value = "30d", value_parser = humantime::parse_duration)]
        since: Duration,
    },
    /// Show which rule decides about a login, why others do not, and what would happen
    Explain(Explain),
    /// Find broken set-ups of PAM, sshd, sudo, systemd and totpd, and say what fixes them
    Doctor(Doctor),
    /// Let one user in once with a random code, without daemon and store; every other user is
    /// refused until it ends
    Breakglass {
        /// The login name
        user: String,
        /// The longest time to wait for the login: up to 24h
        #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = humantime::parse_duration)]
        lasts: Duration,
        /// The user is in a directory, and not in /etc/passwd
        #[arg(long)]
        directory_user: bool,
    },
    /// Write an encrypted backup of the running daemon's store, key and configuration, and read it
    /// back
    Backup(Backup),
    /// Restore a backup, or accept a store that was restored by other means
    Restore(Restore),
    /// Manage the secrets of applications for the HTTP API
    Client {
        /// The command
        #[command(subcommand)]
        command: ClientCommand,
    },
    /// Copy the store to another database
    Store {
        /// The command
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Print the completions for a shell
    Completions {
        /// The shell
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    /// Have services ask for a code, by their PAM files; a change is taken back unless a login
    /// confirms it
    Pam {
        /// The command
        #[command(subcommand)]
        command: PamCommand,
    },
    /// Write a file of a user's to standard output, as that user: `totpd import` starts it
    #[command(hide = true)]
    ReadHomeFile {
        /// The user
        uid: u32,
        /// The user's group
        gid: u32,
        /// The file
        path: PathBuf,
    },
    /// Check the configuration
    Config {
        /// The command
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// The commands of `totpd client`.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Make a secret for a client, and show it once. A client may have several secrets, to replace
    /// one without a gap
    Add {
        /// The client's name: letters, digits, '.', '_' and '-'
        name: String,
        /// What it may do: verify codes; enroll users too; or delete factors and read recovery
        /// codes too
        #[arg(long, value_parser = ["verify", "enroll", "admin"])]
        scope: String,
    },
    /// List the clients, the ids of their secrets, and when each was last used since the daemon
    /// started
    List,
    /// Revoke a client's secrets, with immediate effect
    Revoke {
        /// The client's name
        name: String,
        /// Only the secret with this id
        #[arg(long = "secret", value_name = "ID")]
        secret: Option<String>,
    },
}

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

/// A backup to make.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The file to write, which must not exist
    pub file: PathBuf,
    /// Encrypt to this age recipient (age1…) instead of a passphrase; may be given several times
    #[arg(long, value_name = "RECIPIENT", value_parser = recipient)]
    pub recipient: Vec<age::x25519::Recipient>,
    /// Leave the key out: restoring the backup needs the key file too
    #[arg(long)]
    pub without_key: bool,
}

fn recipient(text: &str) -> Result<age::x25519::Recipient, String> {
    text.parse().map_err(|_| "this is not an age recipient (age1…)".to_owned())
}

/// A backup to restore.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup. Without --identity its passphrase is read from the terminal or standard input
    #[arg(required_unless_present = "accept", conflicts_with = "accept")]
    pub file: Option<PathBuf>,
    /// Accept the present store although it is older than its witness; what was revoked since stays
    /// revoked
    #[arg(long, conflicts_with_all = ["identity", "owner", "yes"])]
    pub accept: bool,
    /// Decrypt with the identities in this file (AGE-SECRET-KEY-1…)
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The system user of the daemon [default: the owner of the state folder]
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
}

/// An enrollment to make.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Enroll {
    /// The login name [default: oneself]
    pub user: Option<String>,
    /// Make a ticket instead, with which the user can enroll once, or change the factor without a
    /// delay
    #[arg(long, conflicts_with_all = ["issuer", "algorithm", "digits", "period", "qr"])]
    pub ticket: bool,
    /// The user has lost the phone: the ticket needs no code of the factor in use
    #[arg(long, requires = "ticket")]
    pub lost: bool,
    /// The name of the authenticator, such as "work phone": replace this one of several, or with
    /// --add name the new one; with --ticket, the one that it is bound to
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Make a further authenticator beside those in use; a user has three at most
    #[arg(long, requires = "name", conflicts_with = "ticket")]
    pub add: bool,
    /// How long the enrollment waits for its first code: 1s to 30d [default: from the
    /// configuration, 24h]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// The name that the app shows [default: from the configuration, the host's name]
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// SHA1, SHA256 or SHA512; only SHA1 works in every app
    #[arg(long)]
    pub algorithm: Option<String>,
    /// Digits of a code: 6, 7 or 8
    #[arg(long)]
    pub digits: Option<u8>,
    /// Seconds of a time step: 15 to 120
    #[arg(long)]
    pub period: Option<u64>,
    /// The form of the QR code: utf8, ascii, png:FILE, svg:FILE or none [default: what the terminal
    /// shows]
    #[arg(long, value_name = "FORM")]
    pub qr: Option<QrForm>,
    /// Take the secret from standard input instead of making one: base32, hex or an otpauth link.
    /// Only `-` is accepted
    #[arg(long, value_name = "-", allow_hyphen_values = true, conflicts_with_all = ["ticket", "qr"])]
    pub secret: Option<SecretSource>,
    /// Accept a secret of 80 to 127 bits too
    #[arg(long, requires = "secret")]
    pub allow_short: bool,
}

/// Where a given secret comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `-`
    StandardInput,
    /// Anything else, which may be the secret and is not kept.
    CommandLine,
}

impl std::str::FromStr for SecretSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::StandardInput } else { Self::CommandLine })
    }
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

/// The form of a QR code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QrForm {
    /// On the terminal, in Unicode half blocks.
    Utf8,
    /// On the terminal, two ASCII characters for each module.
    Ascii,
    /// A PNG file.
    Png(PathBuf),
    /// An SVG file.
    Svg(PathBuf),
    /// No QR code.
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
            _ => Err("the form is utf8, ascii, png:FILE, svg:FILE or none".to_owned()),
        }
    }
}
