//! Where the ends of a copy are, as `totpd store copy` is told.

use super::end::CopyEnd;
use super::error::CopyError;
use super::{Copied, Progress, copy};
use crate::config::{Config, StorePlace};
use crate::seal::Sealer;

use crate::config::server_url::{PostgresSettings, ServerUrl};
use crate::store::copies::OlderCopy;
use crate::store::open;
use crate::store::postgres::PostgresEnd;
use crate::store::sqlite::SqliteEnd;
use crate::witness::{self, Witness};
use std::path::PathBuf;
use totp_core::Time;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// SQLite in this state folder.
    Folder(PathBuf),
    /// PostgreSQL at this URL.
    Server(ServerUrl),
}

impl Place {
    /// Reads a URL `postgresql://…`, or the path of a state folder.
    ///
    /// # Errors
    /// [`CopyError::Place`]: what is wrong with the URL.
    pub fn parse(text: &str) -> Result<Self, CopyError> {
        if !text.contains("://") {
            return Ok(Self::Folder(text.into()));
        }
        ServerUrl::parse(text).map(Self::Server).map_err(|what| CopyError::Place(format!("the URL: {what}")))
    }
}

/// Copies the store at `from`, which belongs to the key of `sealer`, to `to`, and gives the witness
/// of this host the copy's generation. The password is the one that the configuration names.
///
/// # Errors
/// [`CopyError`]; the text says what to do.
pub async fn copy_store(
    config: &Config,
    sealer: &Sealer,
    from: &Place,
    to: &Place,
    now: Time,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Copied, CopyError> {
    let password_file = match &config.store {
        StorePlace::Postgres(settings) => settings.password_file.clone(),
        StorePlace::StateDir => None,
    };
    let settings =
        |url: &ServerUrl| PostgresSettings { url: url.clone(), password_file: password_file.clone() };
    let copied = match (from, to) {
        (Place::Folder(folder), Place::Server(url)) => {
            open::check_owner(folder)?;
            let mut source = SqliteEnd::open(folder)?;
            if source.values().await?.get("store_id").is_some_and(|id| id == sealer.store_id()) {
                drop(source);
                // As at a start: what the witness lists and this store lacks is refused from now
                // on, also in the copy.
                let place =
                    Config { state_dir: folder.clone(), store: StorePlace::StateDir, ..config.clone() };
                drop(open::open(&place, sealer, now, OlderCopy::Refuse).await?);
                source = SqliteEnd::open(folder)?;
            }
            let mut target = PostgresEnd::open(&settings(url)).await?;
            copy(&mut source, &mut target, sealer, now, progress).await?
        }
        (Place::Server(url), Place::Folder(folder)) => {
            open::check_owner(folder)?;
            let mut source = PostgresEnd::open_source(&settings(url)).await?;
            let mut target = SqliteEnd::open_or_make(folder)?;
            copy(&mut source, &mut target, sealer, now, progress).await?
        }
        (Place::Folder(_), Place::Folder(_)) => return Err(CopyError::SameKind("folders")),
        (Place::Server(_), Place::Server(_)) => return Err(CopyError::SameKind("servers")),
    };
    let folder = witness::folder(config.witness_dir.as_deref());
    Witness::new(&folder, sealer.store_id()).write([copied.generation.clone()]);
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_url_without_a_password() {
        assert_eq!(Place::parse("/var/lib/totpd").unwrap(), Place::Folder("/var/lib/totpd".into()));
        assert!(matches!(Place::parse("postgresql://localhost/totpd").unwrap(), Place::Server(_)));
        let error = Place::parse("postgresql://totpd:hunter2@localhost").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(Place::parse("mysql://localhost").is_err());
    }
}
