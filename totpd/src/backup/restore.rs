//! Restoring a backup. [`plan`] reads and verifies everything and replaces nothing;
//! [`Plan::carry_out`] replaces.

use super::archive::{self, Contents, Manifest, Opener};
use super::create::Counted;
use super::{BackupError, io};
use crate::audit::{Event, EventKind, EventSource};
use crate::clock;
use crate::config::Config;
use crate::folder::{self, Existing, Folder, Owner, Private};
use crate::init::{self, START_OVER};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::files::{DATABASE, LOG_SUFFIX, SHARED_MEMORY_SUFFIX};
use crate::store::{Restored, open};
use crate::witness::{self, Witness};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use totp_core::Time;
use totp_core::withdrawal::Entry;

/// The store that was replaced stays under this name, with its log.
const REPLACED: &str = "before-restore.db";
/// Seconds that the clock of another host may be ahead of this one's.
const CLOCK_SLACK: u64 = 120;
/// The new store until it takes its place.
const NEW: &str = "restored.db";

/// Where a backup is restored to.
#[derive(Debug)]
pub struct Target<'a> {
    /// The configuration file; written from the backup if there is none.
    pub config_path: &'a Path,
    /// The user who is to own store and key; otherwise the state folder's owner.
    pub owner: Option<&'a str>,
}

/// Everything is verified; nothing is replaced.
#[derive(Debug)]
pub struct Plan {
    /// What the backup is of.
    pub manifest: Manifest,
    /// What was withdrawn after it.
    pub restored: Restored,
    /// The configuration in force on this host, or the backup's.
    pub config: Config,
    /// Withdrawals after the backup are known: the witness or the replaced store lists them.
    pub listed: bool,
    /// There is a store, which is replaced.
    pub replaces: bool,
    contents: Contents,
    config_path: PathBuf,
    key: StoreKey,
    new: Private,
    owner: Owner,
    witness: Witness,
}

/// Reads and verifies a backup, and prepares its store.
///
/// # Errors
/// [`BackupError`]; nothing was changed.
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
    let copy = |_size: u64, from: &mut dyn Read, to: &mut File| {
        std::io::copy(&mut Counted { inner: from, progress }, to)
    };
    let place = |contents: &Contents| {
        let config = config_of(target.config_path, contents)?;
        let state = &config.state_dir;
        state.parent().map_or(Ok(()), init::make_folder)?;
        Folder::private_beside(state, "restore").map_err(io(state))
    };
    let (mut contents, new) = archive::read(&mut input, &name, opener, copy, place)?;
    let config = config_of(target.config_path, &contents)?;
    let key = key_of(&config, &mut contents)?;
    archive::check(&contents, &key, new.path())?;
    check_store_id(&config, &key)?;
    let owner = owner_of(target, &config)?;
    let sealer = Sealer::new(&key);
    let folder = witness::folder(config.witness_dir.as_deref());
    let witness = Witness::new(&folder, &key.store_id).for_owner(owner);
    let mut entries = witness.read().map_err(io(&witness.path()))?;
    let replaces = config.state_dir.join(DATABASE).symlink_metadata().is_ok();
    if replaces {
        entries.extend(of_replaced(&config, &sealer)?);
    }
    // One line a counter: both list the same withdrawals.
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
        replaces,
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
    /// When the backup was made.
    pub fn made(&self) -> Time {
        Time::from_unix(self.manifest.time)
    }

    /// Puts the store in its place, and key and configuration where there are none.
    ///
    /// # Errors
    /// [`BackupError`]. The store that was there is kept as `before-restore.db`.
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
        // The log and the file that it belongs to change their names together, or the file is worth
        // nothing.
        for suffix in [LOG_SUFFIX, ""] {
            let (old, kept) = (format!("{DATABASE}{suffix}"), format!("{REPLACED}{suffix}"));
            if state.holds(&old).map_err(&failed)? {
                state.rename(&old, &kept, Existing::Replace).map_err(&failed)?;
            } else {
                state.remove(&kept).map_err(&failed)?;
            }
        }
        state.remove(&format!("{DATABASE}{SHARED_MEMORY_SUFFIX}")).map_err(&failed)?;
        state.rename(NEW, DATABASE, Existing::Keep).map_err(&failed)?;
        state.sync().map_err(&failed)?;
        // After the store: a crash between the two leaves the store ahead, which writes this line
        // itself.
        self.witness.write([self.restored.generation.clone()]);
        Ok(())
    }
}

/// The configuration of this host, or else the one in the backup.
fn config_of(path: &Path, contents: &Contents) -> Result<Config, BackupError> {
    let config = if path.symlink_metadata().is_ok() {
        Config::load_for_command(path)
    } else {
        Config::parse(&contents.config, path)
    };
    Ok(config.map_err(init::InitError::from)?)
}

/// The key of this host, which has to be the backup's, or else the one in the backup.
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

fn check_store_id(config: &Config, key: &StoreKey) -> Result<(), BackupError> {
    let path = &config.store_id_file;
    match init::read_store_id(config) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(path)(error)),
        Ok(id) if id.trim() == key.store_id => Ok(()),
        Ok(_) => Err(BackupError::OtherStore(path.display().to_string(), START_OVER)),
    }
}

fn owner_of(target: &Target<'_>, config: &Config) -> Result<Owner, BackupError> {
    match target.owner {
        Some(name) => Ok(init::owner_of(Some(name))?),
        None => match Folder::open(&config.state_dir) {
            Ok(folder) => folder.owner().map_err(io(&config.state_dir)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Owner::me()),
            Err(error) => Err(io(&config.state_dir)(error)),
        },
    }
}

/// The latest withdrawals of the store that is replaced, from a copy of it that nobody else can
/// change. A store that cannot be opened lists none.
fn of_replaced(config: &Config, sealer: &Sealer) -> Result<Vec<Entry>, BackupError> {
    let state = Folder::open(&config.state_dir).map_err(io(&config.state_dir))?;
    let private = Folder::private_beside(&config.state_dir, "replaced").map_err(io(&config.state_dir))?;
    for suffix in ["", LOG_SUFFIX] {
        let name = format!("{DATABASE}{suffix}");
        let path = private.path().join(&name);
        let Ok(mut from) = state.read(&name) else { continue };
        let mut to = File::create_new(&path).map_err(io(&path))?;
        folder::copy_written(&mut from, &mut to).map_err(io(&path))?;
    }
    Ok(open::latest_withdrawals(private.path(), sealer).unwrap_or_default())
}
