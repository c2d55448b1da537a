//! The command line, parsed by clap.

mod backup;
mod check;
mod client;
mod enroll;
mod import;
mod pam;
mod passcode;
mod store;

pub use backup::{Backup, Restore};
pub use check::{ConfigCheck, ConfigCommand, Doctor, Explain};
pub use client::ClientCommand;
pub use enroll::{Enroll, QrForm, SecretSource};
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
