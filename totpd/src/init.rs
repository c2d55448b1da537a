//! `totpd init`: creates the key and the store. Both carry the id of the store, which is also
//! recorded beside the configuration. Nothing else creates a store, and `init` never overwrites
//! one.

use crate::config::{Config, ConfigError, StorePlace};
use crate::folder::{Folder, Owner};
use crate::key::{KeyError, StoreKey};
use crate::permission::{self, Access, Credentials};
use crate::seal::Sealer;
use crate::store::files::{DATABASE, database_file};
use crate::store::{OpenError, open};
use crate::witness;
use nix::unistd::{User, fchown};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The configuration to write if the host has no file.
const SHIPPED_CONFIG: &str = include_str!("../../config/totpd.toml");

/// The advice in a message when this host has a key or a store already.
pub(crate) const START_OVER: &str =
    "If this host is to start over, move key, store.id and state folder away together";

/// Why `totpd init` created nothing.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The configuration cannot be read or is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key cannot be created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store cannot be created.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// This host has a key, a store id or a store already.
    #[error("{0} exists already; `totpd init` never overwrites. {1}")]
    Exists(String, &'static str),
    /// The user who should own key and store does not exist.
    #[error("there is no user {0} to own key and store; make it first (useradd --system {0})")]
    NoOwner(String),
    /// The file system returned an error for this path.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

/// The result of [`init`].
#[derive(Debug)]
pub struct Made {
    /// The configuration in use.
    pub config: Config,
    /// Whether `init` wrote the configuration file, because there was none.
    pub wrote_config: bool,
    /// The id of the new store.
    pub store_id: String,
}

/// Creates the key, the store and its recorded id, and the configuration file if it is missing.
/// They belong to the user `owner`, or else to the user of this process.
///
/// The state folder may belong to the owner already, who can change its content at any moment. So
/// everything is created in a private folder, and its owner is changed by descriptor.
///
/// # Errors
/// [`InitError`]. The key, the store and the id that were created before the error are removed.
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
    // The process that creates the key file creates the rest. If two run at once, the other one
    // fails here and changes nothing.
    create_key(&config, &key, owner)?;
    let created = create_store(&config, &key, &state, owner);
    if created.is_err() {
        // A key without its store, or a store without its key, would make the next try fail.
        let _ = (std::fs::remove_file(&config.key_file), std::fs::remove_file(&config.store_id_file));
        let _ = state.remove(DATABASE);
    }
    created?;
    Ok(Made { store_id: key.store_id, config, wrote_config })
}

/// Returns the first of these files that exists: key, store id, store, or the witness of a store.
///
/// # Errors
/// [`InitError::Config`] when the configuration, which names the files, is invalid.
pub fn first_found(config_path: &Path) -> Result<Option<PathBuf>, InitError> {
    let config = match config_path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Config::defaults(config_path.parent().unwrap_or(Path::new("/")))
        }
        _ => Config::load_for_command(config_path)?,
    };
    Ok(first_of(&config).or_else(|| witness::any(&witness::folder(config.witness_dir.as_deref()))))
}

/// Returns the key file and the store id file that an interrupted `init` left behind: those that
/// exist while there is neither a store nor a witness of one.
pub fn half_made(config_path: &Path) -> Vec<PathBuf> {
    let config = Config::load_for_command(config_path)
        .unwrap_or_else(|_| Config::defaults(config_path.parent().unwrap_or(Path::new("/"))));
    let exists = |path: &PathBuf| path.symlink_metadata().is_ok();
    // Whether a database holds the store is not known here: its key must not be thrown away.
    if config.store != StorePlace::StateDir
        || exists(&database_file(&config.state_dir))
        || witness::any(&witness::folder(config.witness_dir.as_deref())).is_some()
    {
        return Vec::new();
    }
    [config.key_file, config.store_id_file].into_iter().filter(exists).collect()
}

fn first_of(config: &Config) -> Option<PathBuf> {
    let database = (config.store == StorePlace::StateDir).then(|| database_file(&config.state_dir));
    let files = [config.key_file.clone(), config.store_id_file.clone()];
    files.into_iter().chain(database).find(|file| file.symlink_metadata().is_ok())
}

/// Returns the owner of the files to create: the named user, or else the user of this process.
///
/// # Errors
/// [`InitError::NoOwner`] when there is no such user.
pub(crate) fn owner_of(name: Option<&str>) -> Result<Owner, InitError> {
    let Some(name) = name else { return Ok(Owner::me()) };
    let user = User::from_name(name).ok().flatten().ok_or_else(|| InitError::NoOwner(name.to_owned()))?;
    Ok(Owner { uid: user.uid, gid: user.gid })
}

/// Opens the state folder and gives it to `owner`. Creates it if it does not exist.
///
/// # Errors
/// [`InitError::Io`].
pub(crate) fn state_folder(path: &Path, owner: Owner) -> Result<Folder, InitError> {
    if path.symlink_metadata().is_err() {
        // Every user may search the folders above it; only the daemon may enter the folder itself.
        path.parent().map_or(Ok(()), make_folder)?;
        std::fs::DirBuilder::new().mode(0o700).create(path).map_err(io(path))?;
    }
    let folder = Folder::open(path).map_err(io(path))?;
    if owner != Owner::me() {
        folder.give_to(owner).map_err(io(path))?;
    }
    Ok(folder)
}

/// Creates the key file, which belongs to `owner`.
///
/// # Errors
/// [`InitError::Key`] or [`InitError::Io`]; never overwrites a file.
pub(crate) fn create_key(config: &Config, key: &StoreKey, owner: Owner) -> Result<(), InitError> {
    let file = key.create(&config.key_file)?;
    change_owner(&file, owner).map_err(io(&config.key_file))
}

/// Creates the file beside the configuration that records the id of the store.
///
/// # Errors
/// [`InitError::Io`]; never overwrites a file.
pub(crate) fn create_store_id(config: &Config, store_id: &str, owner: Owner) -> Result<(), InitError> {
    let file = write_new(&config.store_id_file, format!("{store_id}\n").as_bytes(), 0o644)?;
    change_owner(&file, owner).map_err(io(&config.store_id_file))
}

fn change_owner(file: &File, owner: Owner) -> std::io::Result<()> {
    Ok(fchown(file, Some(owner.uid), Some(owner.gid))?)
}

/// Creates the store and records its id.
fn create_store(config: &Config, key: &StoreKey, state: &Folder, owner: Owner) -> Result<(), InitError> {
    if let StorePlace::Postgres(settings) = &config.store {
        open::create_in(settings, &Sealer::new(key))?;
        return create_store_id(config, &key.store_id, owner);
    }
    let private = Folder::private_beside(&config.state_dir, "init").map_err(io(&config.state_dir))?;
    open::create(private.path(), &Sealer::new(key))?;
    // `create` closes the store, so that this one file is complete without a write-ahead log.
    let database = database_file(private.path());
    let mut database = File::open(&database).map_err(io(&database))?;
    let copied = state.write_new(DATABASE, &mut database, 0o600, owner);
    copied.and_then(|_| state.sync()).map_err(io(&config.state_dir))?;
    create_store_id(config, &key.store_id, owner)
}

/// Writes the configuration file if it does not exist, and returns whether it did.
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

/// Creates a folder and the missing folders above it, with mode 0755 whatever the umask is.
///
/// # Errors
/// [`InitError::Io`].
pub(crate) fn make_folder(folder: &Path) -> Result<(), InitError> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folder)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let created = std::fs::create_dir(folder).and_then(|()| std::fs::set_permissions(folder, mode));
    created.map_err(io(folder))
}

/// Creates a file with this content and mode, and syncs it to disk.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<File, InitError> {
    let write = || -> std::io::Result<File> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // The umask is 077, but every user may read this file.
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

/// Returns the recorded id of the store, with the line break of its file. The daemon's user can
/// write the file, which root also reads, so at most 256 bytes are read.
///
/// # Errors
/// The file system's error.
pub fn read_store_id(config: &Config) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(&config.store_id_file)?.take(256).read_to_string(&mut text)?;
    Ok(text)
}

/// Checks that the recorded id of the store is the one that the key belongs to.
///
/// # Errors
/// A message for the administrator: what is wrong, and how to fix it.
pub fn check_store_id(config: &Config, key: &StoreKey) -> Result<(), String> {
    let file = config.store_id_file.display();
    let recorded = read_store_id(config).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("{file} is missing: it records which store belongs to this host ({})", key.store_id)
        }
        _ => permission::explain(&config.store_id_file, &error, &Credentials::of_process(), Access::Read),
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
        assert!(!write_config(&path, b"").unwrap(), "the file was overwritten");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o755, 0o644));
    }
}
