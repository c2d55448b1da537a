//! The arguments of `totpd passcode`.

use std::time::Duration;

/// A passcode to make or to cancel.
#[derive(Debug, clap::Args)]
pub struct Passcode {
    /// The login name
    pub user: String,
    /// How long the passcode is accepted: 1m to 7d
    #[arg(long = "for", value_name = "TIME", default_value = "4h", value_parser = humantime::parse_duration)]
    pub lasts: Duration,
    /// Cancel the passcode that was made before
    #[arg(long, conflicts_with = "lasts")]
    pub cancel: bool,
}
