//! `totpd backup` and `totpd restore`.

use std::path::PathBuf;

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
