//! The arguments of `totpd import`.

use std::path::PathBuf;
use std::time::Duration;

/// What to take over.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Import {
    /// The tool whose files are read
    #[arg(value_enum)]
    pub format: ImportFormat,
    /// USER (whose home is searched), USER=FILE, FILE of root's, or - for standard input
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Search the home of each user in /etc/passwd; users of a directory (LDAP) have to be named
    #[arg(long)]
    pub all_users: bool,
    /// The file in each home [default: .google_authenticator, or user.oath]
    #[arg(long, value_name = "PATH")]
    pub home_file: Option<PathBuf>,
    /// Say what would be imported, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Replace the factor of a user who has one; it works until the first code of the new one
    #[arg(long)]
    pub replace: bool,
    /// Have each factor wait this long for its first code: 1s to 30d [default: it works at once]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub expires: Option<Duration>,
    /// Accept secrets of 80 to 127 bits too
    #[arg(long)]
    pub allow_short: bool,
    /// Show the new recovery codes of each user, once
    #[arg(long)]
    pub recovery_codes: bool,
}

/// A tool or a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ImportFormat {
    /// ~/.google_authenticator of pam_google_authenticator
    GoogleAuthenticator,
    /// The usersfile of pam_oath
    PamOath,
    /// A list of otpauth:// links
    Otpauth,
    /// A table with the columns user and secret
    Csv,
    /// Keys of hardware tokens in XML (RFC 6030)
    Pskc,
}
