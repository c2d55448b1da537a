//! Restores a backup in two steps: [`plan`] reads and verifies the backup and replaces nothing, and
//! [`Plan::carry_out`] replaces the store.

use super::archive::{self, Contents, Manifest, Opener};
use super::create::ProgressReader;
use super::{BackupError, io};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::config::Config;
use crate::folder::{self, Existing, Folder, Owner, Private};
use crate::init::{self, START_OVER};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::files::{DATABASE, LOG_SUFFIX, SHARED_MEMORY_SUFFIX};
use crate::store::{OpenError, Restored, open};
use crate::witness::{self, Witness};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// The name under which the replaced store is kept, with its write-ahead log.
const KEPT: &str = "before-restore.db";
/// By how many seconds the clock of the host that made the backup may be ahead of this one's.
const CLOCK_SLACK: u64 = 120;
/// The name of the new store until it replaces the old one.
const NEW: &str = "restored.db";

/// Where to restore a backup to.
#[derive(Debug)]
pub struct Target<'a> {
    /// The configuration file. If it does not exist, it is written from the backup.
    pub config_path: &'a Path,
    /// The user who will own store and key. `None`: the owner of the state folder.
    pub owner: Option<&'a str>,
}

/// The store on this host that a restore replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// This host has no store.
    None,
    /// The latest withdrawals that it lists were read.
    Read,
    /// It cannot be read as a whole, for this reason. Withdrawals that only it lists may be
    /// unknown.
    Unreadable(String),
}

/// A verified backup that is ready to replace the store.
#[derive(Debug)]
pub struct Plan {
    /// The manifest of the backup.
    pub manifest: Manifest,
    /// What was withdrawn after the backup was made.
    pub restored: Restored,
    /// The configuration of this host, or else that of the backup.
    pub config: Config,
    /// Whether the withdrawals after the backup are known: the witness or the replaced store lists
    /// some.
    pub listed: bool,
    /// The store that will be replaced.
    pub replaced: Replaced,
    contents: Contents,
    config_path: PathBuf,
    key: StoreKey,
    new: Private,
    owner: Owner,
    witness: Witness,
}

/// Reads and verifies a backup, and prepares its store in a private folder. `progress` is called
/// with each number of bytes that were read.
///
/// A store on this host that cannot be read does not prevent the restore, since it may be the
/// reason for it. See [`Replaced::Unreadable`].
///
/// # Errors
/// [`BackupError`]; then nothing was changed.
pub fn plan(
    target: &Target<'_>,
    file: &Path,
    opener: &Opener,
    progress: &dyn Fn(u64),
) -> Result<Plan, BackupError> {
    let now = clock::now();
    if now < clock::RELEASED {
        return Err(BackupError::Clock);
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let name = file.display().to_string();
    let mut input = File::open(file).map_err(io(file))?;
    let copy =
        |from: &mut dyn Read, to: &mut File| std::io::copy(&mut ProgressReader { inner: from, progress }, to);
    let make_folder = |contents: &Contents| {
        let config = config_of(target.config_path, contents)?;
        let state = &config.state_dir;
        state.parent().map_or(Ok(()), init::make_folder)?;
        Folder::private_beside(state, "restore").map_err(io(state))
    };
    let (mut contents, new) = archive::read(&mut input, &name, opener, copy, make_folder)?;
    let config = config_of(target.config_path, &contents)?;
    let key = key_of(&config, &mut contents)?;
    archive::check(&contents, &key, new.path())?;
    check_store_id(&config, &key)?;
    let owner = owner_of(target, &config)?;
    let sealer = Sealer::new(&key);
    let folder = witness::folder(config.witness_dir.as_deref());
    let witness = Witness::new(&folder, &key.store_id).for_owner(owner);
    let mut entries = witness.read().map_err(io(&witness.path()))?;
    let (replaced, listed_by_it) = read_replaced(&config, &sealer)?;
    entries.extend(listed_by_it);
    // The witness and the store list the same withdrawals: one entry for each number.
    let entries: BTreeMap<u64, Entry> = entries.into_iter().map(|entry| (entry.counter, entry)).collect();
    let entries: Vec<Entry> = entries.into_values().collect();
    let made = Time::from_unix(contents.manifest.time);
    if now.plus(CLOCK_SLACK) < made {
        return Err(BackupError::Clock);
    }
    let event = Event::new(EventKind::Restore, "", now, EventSource::default());
    let restored =
        open::prepare_restore(new.path(), &sealer, &entries, config.totp.skew, made, &event.row(now))?;
    Ok(Plan {
        manifest: contents.manifest.clone(),
        restored,
        listed: !entries.is_empty(),
        replaced,
        config,
        contents,
        config_path: target.config_path.to_owned(),
        key,
        new,
        owner,
        witness,
    })
}

impl Plan {
    /// Returns when the backup was made.
    pub fn made(&self) -> Time {
        Time::from_unix(self.manifest.time)
    }

    /// Replaces the store, and writes key and configuration if this host has none. The replaced
    /// store is kept as `before-restore.db`.
    ///
    /// # Errors
    /// [`BackupError`]. The previous store is then still in place, or kept under that name.
    pub fn carry_out(mut self) -> Result<(), BackupError> {
        let (config, owner) = (&self.config, self.owner);
        if self.config_path.symlink_metadata().is_err() {
            init::write_config(&self.config_path, self.contents.config.as_bytes())?;
        }
        let state = init::state_folder(&config.state_dir, owner)?;
        let failed = io(&config.state_dir);
        state.remove(NEW).map_err(&failed)?;
        let new = self.new.path().join(DATABASE);
        let mut new = File::open(&new).map_err(io(&new))?;
        state.write_new(NEW, &mut new, 0o600, owner).map_err(&failed)?;
        if config.key_file.symlink_metadata().is_err() {
            init::create_key(config, &self.key, owner)?;
        }
        if config.store_id_file.symlink_metadata().is_err() {
            init::create_store_id(config, &self.key.store_id, owner)?;
        }
        // The write-ahead log is renamed with its database, which is not complete without it.
        for suffix in [LOG_SUFFIX, ""] {
            let (old, kept) = (format!("{DATABASE}{suffix}"), format!("{KEPT}{suffix}"));
            if state.holds(&old).map_err(&failed)? {
                state.rename(&old, &kept, Existing::Replace).map_err(&failed)?;
            } else {
                state.remove(&kept).map_err(&failed)?;
            }
        }
        state.remove(&format!("{DATABASE}{SHARED_MEMORY_SUFFIX}")).map_err(&failed)?;
        state.rename(NEW, DATABASE, Existing::Keep).map_err(&failed)?;
        state.sync().map_err(&failed)?;
        // After the store: a crash in between leaves the store ahead of its witness, and the daemon
        // then writes this entry at its start.
        self.witness.write([self.restored.generation.clone()]);
        Ok(())
    }
}

/// Returns the configuration of this host, or else that of the backup.
fn config_of(path: &Path, contents: &Contents) -> Result<Config, BackupError> {
    let config = if path.symlink_metadata().is_ok() {
        Config::load_for_command(path)
    } else {
        Config::parse(&contents.config, path)
    };
    Ok(config.map_err(init::InitError::from)?)
}

/// Returns the key of this host, which must be the backup's, or else the key in the backup.
fn key_of(config: &Config, contents: &mut Contents) -> Result<StoreKey, BackupError> {
    let path = &config.key_file;
    if path.symlink_metadata().is_err() {
        return contents.key.take().ok_or_else(|| BackupError::NoKey(contents.manifest.store_id.clone()));
    }
    let here = StoreKey::load(path).map_err(init::InitError::from)?;
    let same = match &contents.key {
        Some(key) => key.is_same(&here),
        None => here.id == contents.manifest.key_id && here.store_id == contents.manifest.store_id,
    };
    if same { Ok(here) } else { Err(BackupError::OtherStore(path.display().to_string(), START_OVER)) }
}

/// Checks that the recorded store id of this host, if there is one, is that of the backup's store.
fn check_store_id(config: &Config, key: &StoreKey) -> Result<(), BackupError> {
    let path = &config.store_id_file;
    match init::read_store_id(config) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(path)(error)),
        Ok(id) if id.trim() == key.store_id => Ok(()),
        Ok(_) => Err(BackupError::OtherStore(path.display().to_string(), START_OVER)),
    }
}

/// Returns the owner of the restored files: the named user, the owner of the state folder, or the
/// user of this process.
fn owner_of(target: &Target<'_>, config: &Config) -> Result<Owner, BackupError> {
    match target.owner {
        Some(name) => Ok(init::owner_of(Some(name))?),
        None => match Folder::open(&config.state_dir) {
            Ok(folder) => folder.owner().map_err(io(&config.state_dir)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Owner::me()),
            Err(error) => Err(io(&config.state_dir)(error)),
        },
    }
}

/// Reads the latest withdrawals that the store on this host lists, if there is one. It reads a copy
/// that no other user can change.
///
/// A damaged store is no error: it may be the reason for the restore.
///
/// # Errors
/// [`BackupError::Io`] when the store cannot be copied.
fn read_replaced(config: &Config, sealer: &Sealer) -> Result<(Replaced, Vec<Entry>), BackupError> {
    if config.state_dir.join(DATABASE).symlink_metadata().is_err() {
        return Ok((Replaced::None, Vec::new()));
    }
    let state = Folder::open(&config.state_dir).map_err(io(&config.state_dir))?;
    let private = Folder::private_beside(&config.state_dir, "replaced").map_err(io(&config.state_dir))?;
    let mut replaced = Replaced::Read;
    for suffix in ["", LOG_SUFFIX] {
        let name = format!("{DATABASE}{suffix}");
        let path = private.path().join(&name);
        let mut from = match state.read(&name) {
            Ok(file) => file,
            // After an orderly stop there is no write-ahead log.
            Err(error) if suffix == LOG_SUFFIX && error.kind() == ErrorKind::NotFound => continue,
            // What the database lists without its log still counts.
            Err(error) => {
                replaced = Replaced::Unreadable(format!("{name}: {error}"));
                continue;
            }
        };
        let mut to = File::create_new(&path).map_err(io(&path))?;
        folder::copy_written(&mut from, &mut to).map_err(io(&path))?;
    }
    let why = match open::latest_withdrawals(private.path(), sealer) {
        Ok(entries) => return Ok((replaced, entries)),
        // The whole text names the private copy, and advises to restore a backup.
        Err(OpenError::Damaged(_, why) | OpenError::Database(_, why)) => why,
        Err(error) => error.to_string(),
    };
    // A file that could not be copied is the cause of what was found then.
    let replaced = if replaced == Replaced::Read { Replaced::Unreadable(why) } else { replaced };
    Ok((replaced, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_store_is_reported_and_does_not_prevent_a_restore() {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = Config::defaults(scratch.path());
        config.state_dir = scratch.path().join("state");
        std::fs::create_dir(&config.state_dir).unwrap();
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        assert_eq!(read_replaced(&config, &sealer).unwrap(), (Replaced::None, vec![]));
        let database = config.state_dir.join(DATABASE);
        let unreadable = || match read_replaced(&config, &sealer).unwrap() {
            (Replaced::Unreadable(why), entries) if entries.is_empty() => why,
            other => panic!("{other:?}"),
        };
        std::fs::write(&database, "nonsense").unwrap();
        assert_eq!(unreadable(), "not written by totpd");
        std::fs::remove_file(&database).unwrap();
        std::os::unix::fs::symlink("/dev/null", &database).unwrap();
        assert!(unreadable().starts_with("totpd.db: "), "{}", unreadable());
        std::fs::remove_file(&database).unwrap();
        open::create(&config.state_dir, &sealer).unwrap();
        assert_eq!(read_replaced(&config, &sealer).unwrap(), (Replaced::Read, vec![]));
        // A log that is a link is not followed, and is not taken for a missing one.
        let log = config.state_dir.join(format!("{DATABASE}{LOG_SUFFIX}"));
        std::fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink("/dev/null", log).unwrap();
        assert!(unreadable().starts_with("totpd.db-wal: "), "{}", unreadable());
    }
}
