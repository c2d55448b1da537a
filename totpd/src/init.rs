//! `totpd init`: makes key and store, joined by an id that is also recorded beside the configuration. It
//! alone makes them, and it never makes them twice.

use crate::config::{Config, ConfigError};
use crate::key::{KeyError, StoreKey};
use crate::seal::Sealer;
use crate::store::sqlite::{self, OpenError};
use nix::unistd::{User, chown};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The configuration that is written when there is none.
const SHIPPED_CONFIG: &str = include_str!("../../config/totpd.toml");

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store cannot be made.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Something is there already.
    #[error("{0} exists already; `totpd init` never overwrites. {1}")]
    Exists(String, &'static str),
    /// No such user.
    #[error("there is no user {0} to own key and store; make it first (useradd --system {0})")]
    NoOwner(String),
    /// The file system said no.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The configuration in force.
    pub config: Config,
    /// It was written just now.
    pub wrote_config: bool,
    /// The id of the store.
    pub store_id: String,
}

/// Makes key, store and id (and the configuration, if there is none), owned by `owner` if one is named.
///
/// # Errors
/// [`InitError`]; what was made before it is removed again.
pub fn init(config_path: &Path, owner: Option<&str>) -> Result<Made, InitError> {
    let owner = owner
        .map(|name| {
            let user = User::from_name(name).ok().flatten();
            user.ok_or_else(|| InitError::NoOwner(name.to_owned()))
        })
        .transpose()?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let wrote_config = write_config(config_path)?;
    let config = Config::load_for_command(config_path)?;
    let files =
        [config.key_file.clone(), config.store_id_file.clone(), sqlite::database_file(&config.state_dir)];
    for file in &files {
        if file.symlink_metadata().is_ok() {
            let advice = "If this host is to start over, move key, store.id and state folder away together";
            return Err(InitError::Exists(file.display().to_string(), advice));
        }
    }
    let key = StoreKey::generate()?;
    if !config.state_dir.is_dir() {
        // Its parents are for everybody to pass through; the folder itself is the daemon's alone.
        config.state_dir.parent().map_or(Ok(()), make_folder)?;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&config.state_dir);
        made.map_err(io(&config.state_dir))?;
    }
    // Whoever makes the key makes the rest: of two that run at once the other ends here, and touches nothing.
    key.create(&config.key_file)?;
    let made = make(&config, &key, owner.as_ref());
    if made.is_err() {
        // A store without its key, or the other way round, would only be in the way of the next try.
        let log = ["totpd.db-wal", "totpd.db-shm"].map(|f| config.state_dir.join(f));
        files.iter().chain(&log).for_each(|file| drop(std::fs::remove_file(file)));
    }
    made?;
    Ok(Made { store_id: key.store_id, config, wrote_config })
}

fn make(config: &Config, key: &StoreKey, owner: Option<&User>) -> Result<(), InitError> {
    sqlite::create(&config.state_dir, &Sealer::new(key))?;
    write_new(&config.store_id_file, format!("{}\n", key.store_id).as_bytes(), 0o644)?;
    if let Some(owner) = owner {
        let in_state = ["", "totpd.db", "totpd.db-wal", "totpd.db-shm"].map(|f| config.state_dir.join(f));
        let all = in_state.into_iter().chain([config.key_file.clone(), config.store_id_file.clone()]);
        for file in all.filter(|file| file.exists()) {
            let failed = |errno: nix::Error| InitError::Io(file.display().to_string(), errno.into());
            chown(&file, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
        }
    }
    Ok(())
}

fn write_config(path: &Path) -> Result<bool, InitError> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    write_new(path, SHIPPED_CONFIG.as_bytes(), 0o644)?;
    Ok(true)
}

/// Makes a folder and what is missing above it, for everybody to read, whatever the umask is.
fn make_folder(folder: &Path) -> Result<(), InitError> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folder)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let made = std::fs::create_dir(folder).and_then(|()| std::fs::set_permissions(folder, mode));
    made.map_err(io(folder))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), InitError> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // The umask is 077, and this is for everybody to read.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(io(path))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> InitError {
    let path: PathBuf = path.to_owned();
    move |error| InitError::Io(path.display().to_string(), error)
}

/// Whether the id beside the configuration is the key's.
///
/// # Errors
/// The sentence that says what to look at.
pub fn check_store_id(config: &Config, key: &StoreKey) -> Result<(), String> {
    let file = config.store_id_file.display();
    let recorded = std::fs::read_to_string(&config.store_id_file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{file} is missing: it records which store belongs to this host ({})", key.store_id)
        }
        _ => format!("{file} cannot be read: {error}"),
    })?;
    if recorded.trim() == key.store_id {
        Ok(())
    } else {
        Err(format!(
            "{file} names store {}, but the key {} belongs to store {}. Put back the key, or the file, that \
             belongs here",
            totp_wire::text::plain(recorded.trim(), 64),
            config.key_file.display(),
            key.store_id
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_configuration_is_written_into_a_folder_that_everybody_can_pass() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("etc/totpd/totpd.toml");
        assert!(write_config(&path).unwrap());
        assert!(!write_config(&path).unwrap(), "it was written over");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o755, 0o644));
    }
}
