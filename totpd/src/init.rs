//! `totpd init`: makes key and store, joined by an id that is also recorded beside the
//! configuration. It alone makes them, and it never makes them twice.

use crate::config::{Config, ConfigError};
use crate::folder::{Folder, Owner};
use crate::key::{KeyError, StoreKey};
use crate::permission::{self, Want, Who};
use crate::seal::Sealer;
use crate::store::files::{DATABASE, database_file};
use crate::store::{OpenError, open};
use crate::witness;
use nix::unistd::{User, fchown};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The configuration that is written when there is none.
const SHIPPED_CONFIG: &str = include_str!("../../config/totpd.toml");

/// What to do where something is there already.
pub(crate) const START_OVER: &str =
    "If this host is to start over, move key, store.id and state folder away together";

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

/// Makes key, store and id (and the configuration, if there is none), owned by `owner` if one is
/// named. The state folder may belong to the owner already, who can change what is in it at any
/// moment: everything is made where nobody else writes, and given away by descriptor.
///
/// # Errors
/// [`InitError`]; what was made before it is removed again.
pub fn init(config_path: &Path, owner: Option<&str>) -> Result<Made, InitError> {
    let owner = owner_of(owner)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let wrote_config = write_config(config_path, SHIPPED_CONFIG.as_bytes())?;
    let config = Config::load_for_command(config_path)?;
    if let Some(file) = first_of(&config) {
        return Err(InitError::Exists(file.display().to_string(), START_OVER));
    }
    let key = StoreKey::generate()?;
    let state = state_folder(&config.state_dir, owner)?;
    // The process that makes the key makes the rest: of two that run at once the other one ends
    // here, and touches nothing.
    place_key(&config, &key, owner)?;
    let made = make(&config, &key, &state, owner);
    if made.is_err() {
        // A store without its key, or the other way round, would only be in the way of the next
        // try.
        let _ = (std::fs::remove_file(&config.key_file), std::fs::remove_file(&config.store_id_file));
        let _ = state.remove(DATABASE);
    }
    made?;
    Ok(Made { store_id: key.store_id, config, wrote_config })
}

/// What is there already of this host's key, id, store, or witness of a store: the first that is
/// found.
///
/// # Errors
/// [`InitError::Config`] when the configuration is wrong, and nobody knows where they are.
pub fn first_found(config_path: &Path) -> Result<Option<PathBuf>, InitError> {
    let config = match config_path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Config::defaults(config_path.parent().unwrap_or(Path::new("/")))
        }
        _ => Config::load_for_command(config_path)?,
    };
    Ok(first_of(&config).or_else(|| witness::any(&witness::folder(config.witness_dir.as_deref()))))
}

/// What an init that was interrupted has left: key or id of a store that is not there, and that no
/// witness knows.
pub fn half_made(config_path: &Path) -> Vec<PathBuf> {
    let config = Config::load_for_command(config_path)
        .unwrap_or_else(|_| Config::defaults(config_path.parent().unwrap_or(Path::new("/"))));
    let there = |path: &PathBuf| path.symlink_metadata().is_ok();
    if there(&database_file(&config.state_dir))
        || witness::any(&witness::folder(config.witness_dir.as_deref())).is_some()
    {
        return Vec::new();
    }
    [config.key_file, config.store_id_file].into_iter().filter(there).collect()
}

fn first_of(config: &Config) -> Option<PathBuf> {
    let files = [&config.key_file, &config.store_id_file, &database_file(&config.state_dir)];
    files.into_iter().find(|file| file.symlink_metadata().is_ok()).cloned()
}

/// The user who is to own what is made: the one who is named, or this process.
///
/// # Errors
/// [`InitError::NoOwner`].
pub(crate) fn owner_of(name: Option<&str>) -> Result<Owner, InitError> {
    let Some(name) = name else { return Ok(Owner::me()) };
    let user = User::from_name(name).ok().flatten().ok_or_else(|| InitError::NoOwner(name.to_owned()))?;
    Ok(Owner { uid: user.uid, gid: user.gid })
}

/// Opens the state folder, and makes it for `owner` if there is none.
///
/// # Errors
/// [`InitError::Io`].
pub(crate) fn state_folder(path: &Path, owner: Owner) -> Result<Folder, InitError> {
    if path.symlink_metadata().is_err() {
        // Its parents are for everybody to pass through; the folder itself is the daemon's alone.
        path.parent().map_or(Ok(()), make_folder)?;
        std::fs::DirBuilder::new().mode(0o700).create(path).map_err(io(path))?;
    }
    let folder = Folder::open(path).map_err(io(path))?;
    if owner != Owner::me() {
        folder.give_to(owner).map_err(io(path))?;
    }
    Ok(folder)
}

/// Writes the key file, for `owner` to read.
///
/// # Errors
/// [`InitError::Key`].
pub(crate) fn place_key(config: &Config, key: &StoreKey, owner: Owner) -> Result<(), InitError> {
    let file = key.create(&config.key_file)?;
    give(&file, owner).map_err(io(&config.key_file))
}

/// Writes the id of the store beside the configuration.
///
/// # Errors
/// [`InitError::Io`].
pub(crate) fn place_store_id(config: &Config, store_id: &str, owner: Owner) -> Result<(), InitError> {
    let file = write_new(&config.store_id_file, format!("{store_id}\n").as_bytes(), 0o644)?;
    give(&file, owner).map_err(io(&config.store_id_file))
}

fn give(file: &File, owner: Owner) -> std::io::Result<()> {
    Ok(fchown(file, Some(owner.uid), Some(owner.gid))?)
}

fn make(config: &Config, key: &StoreKey, state: &Folder, owner: Owner) -> Result<(), InitError> {
    let private = Folder::private_beside(&config.state_dir, "init").map_err(io(&config.state_dir))?;
    open::create(private.path(), &Sealer::new(key))?;
    // `create` leaves everything in this one file.
    let database = database_file(private.path());
    let mut database = File::open(&database).map_err(io(&database))?;
    let place = |content: &mut File| state.write_new(DATABASE, content, 0o600, owner);
    place(&mut database).and_then(|_| state.sync()).map_err(io(&config.state_dir))?;
    place_store_id(config, &key.store_id, owner)
}

/// Writes the configuration if there is none; whether it did.
///
/// # Errors
/// [`InitError::Io`].
pub(crate) fn write_config(path: &Path, content: &[u8]) -> Result<bool, InitError> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        make_folder(folder)?;
    }
    write_new(path, content, 0o644)?;
    Ok(true)
}

/// Makes a folder and what is missing above it, for everybody to read, whatever the umask is.
pub(crate) fn make_folder(folder: &Path) -> Result<(), InitError> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folder)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let made = std::fs::create_dir(folder).and_then(|()| std::fs::set_permissions(folder, mode));
    made.map_err(io(folder))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<File, InitError> {
    let write = || -> std::io::Result<File> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // The umask is 077, and this is for everybody to read.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(io(path))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> InitError {
    let path: PathBuf = path.to_owned();
    move |error| InitError::Io(path.display().to_string(), error)
}

/// The id beside the configuration. Root reads a file there that the daemon's user can write: no
/// more than an id is read.
///
/// # Errors
/// What the file system said.
pub fn read_store_id(config: &Config) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(&config.store_id_file)?.take(256).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether the id beside the configuration is the key's.
///
/// # Errors
/// The sentence that says what to look at.
pub fn check_store_id(config: &Config, key: &StoreKey) -> Result<(), String> {
    let file = config.store_id_file.display();
    let recorded = read_store_id(config).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("{file} is missing: it records which store belongs to this host ({})", key.store_id)
        }
        _ => permission::explain(&config.store_id_file, &error, &Who::me(), Want::Read),
    })?;
    if recorded.trim() == key.store_id {
        Ok(())
    } else {
        Err(format!(
            "{file} names store {}, but the key {} belongs to store {}. Put back the key, or the file, that \
             belongs here",
            totp_wire::text::printable(recorded.trim(), 64),
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
    fn init_writes_the_configuration_into_a_world_readable_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("etc/totpd/totpd.toml");
        assert!(write_config(&path, b"").unwrap());
        assert!(!write_config(&path, b"").unwrap(), "it was written over");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o755, 0o644));
    }
}
