//! `totpd client`.

use clap::Subcommand;

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
