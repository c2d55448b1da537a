//! `[store]`: where the store is.

use crate::config::server_url::{PostgresSettings, ServerUrl};
use serde::Deserialize;
use std::path::PathBuf;

/// Where the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StorePlace {
    /// In the state folder, for this host alone: SQLite.
    #[default]
    StateDir,
    /// In a database of several hosts.
    Postgres(Box<PostgresSettings>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    url: Option<String>,
    password_file: Option<PathBuf>,
}

impl RawStore {
    /// Checks the table `[store]`.
    ///
    /// # Errors
    /// A sentence that names the key and quotes nothing of the URL.
    pub(super) fn check(self) -> Result<StorePlace, String> {
        let Some(url) = self.url else {
            return match self.password_file {
                None => Ok(StorePlace::StateDir),
                Some(_) => Err("store.password_file is set, but store.url is not".to_owned()),
            };
        };
        if self.password_file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return Err("store.password_file must be an absolute path".to_owned());
        }
        let url = ServerUrl::parse(&url).map_err(|what| format!("store.url: {what}"))?;
        Ok(StorePlace::Postgres(Box::new(PostgresSettings { url, password_file: self.password_file })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<StorePlace, String> {
        toml::from_str::<RawStore>(text).unwrap().check()
    }

    #[test]
    fn without_a_url_the_store_is_in_the_state_folder() {
        assert_eq!(check(""), Ok(StorePlace::StateDir));
        assert!(check("password_file = \"/p\"").is_err());
        let place = check("url = \"postgresql://localhost\"\npassword_file = \"/p\"").unwrap();
        let StorePlace::Postgres(settings) = place else { panic!("{place:?}") };
        assert_eq!(settings.password_file, Some("/p".into()));
        assert!(check("url = \"postgresql://localhost\"\npassword_file = \"p\"").is_err());
        let error = check("url = \"postgresql://totpd:hunter2@localhost\"").unwrap_err();
        assert!(error.starts_with("store.url: ") && !error.contains("hunter2"), "{error}");
    }
}
