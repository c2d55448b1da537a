//! The format of a backup file: an age file that contains a tar archive of the manifest, the
//! configuration, the key (unless it was left out) and the store, in this order.

use super::{BackupError, io};
use crate::folder::Private;
use crate::key::StoreKey;
use crate::store::open;
use age::secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The version of the archive's format.
const FORMAT: u32 = 1;
/// The most bytes to read of each file but the store.
const MAX_SMALL_FILE: u64 = 1024 * 1024;
/// The highest scrypt work factor that is accepted, as a power of two (age-encryption.org/v1): it
/// takes 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

const MANIFEST: &str = "manifest.json";
const CONFIG: &str = "totpd.toml";
const KEY: &str = "totpd.key";
const DATABASE: &str = "totpd.db";

/// A copy of the store that the daemon made for a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCopy {
    /// The folder that the copy is in.
    pub state_dir: PathBuf,
    /// The name of the copy's file in that folder.
    pub file: String,
    /// The length of the file in bytes.
    pub size: u64,
    /// The id of the store.
    pub store_id: String,
    /// The number of the latest withdrawal in the copy.
    pub counter: u64,
    /// The generation of the store, as text.
    pub generation: String,
    /// When the copy was made, in Unix seconds.
    pub time: u64,
}

/// What a backup contains: its first file, in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the archive's format.
    pub format: u32,
    /// The version of totpd that made the backup.
    pub version: String,
    /// The id of the store.
    pub store_id: String,
    /// The id of the key that encrypts the store's secrets.
    pub key_id: String,
    /// The number of the latest withdrawal in the store.
    pub counter: u64,
    /// The generation of the store.
    pub generation: String,
    /// When the store was copied, in Unix seconds.
    pub time: u64,
}

impl Manifest {
    /// Returns the manifest for a backup of this copy of the store, by this release of totpd.
    pub fn new(copy: &StoreCopy, key: &StoreKey) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_id: copy.store_id.clone(),
            key_id: key.id.clone(),
            counter: copy.counter,
            generation: copy.generation.clone(),
            time: copy.time,
        }
    }
}

/// What a backup is encrypted to.
pub enum Lock {
    /// A passphrase.
    Passphrase(SecretString),
    /// The public keys of these recipients; the identity of any one of them decrypts it.
    Recipients(Vec<age::x25519::Recipient>),
}

/// What a backup is decrypted with.
pub enum Opener {
    /// The passphrase.
    Passphrase(SecretString),
    /// The identities to try.
    Identities(Vec<age::x25519::Identity>),
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lock(…)")
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(…)")
    }
}

/// Writes a backup, and returns what decrypts it, so that the caller can read it back. `size` is
/// the length of `database` in bytes.
///
/// # Errors
/// The file system's error, or `UnexpectedEof` when `database` is shorter than `size`.
pub(super) fn write(
    out: &mut File,
    lock: Lock,
    manifest: &Manifest,
    config: &[u8],
    key: Option<&StoreKey>,
    database: impl Read,
    size: u64,
) -> std::io::Result<Opener> {
    let (encryptor, opener) = match lock {
        Lock::Passphrase(passphrase) => {
            (age::Encryptor::with_user_passphrase(passphrase.clone()), Opener::Passphrase(passphrase))
        }
        Lock::Recipients(recipients) => {
            // The recipients' identities are not on this host. An identity that only this process
            // has is added, so that the backup can be read back.
            let temporary = age::x25519::Identity::generate();
            let public = temporary.to_public();
            let all = recipients.iter().chain([&public]).map(|recipient| recipient as &dyn age::Recipient);
            let encryptor = age::Encryptor::with_recipients(all).map_err(std::io::Error::other)?;
            (encryptor, Opener::Identities(vec![temporary]))
        }
    };
    let mut tar = tar::Builder::new(encryptor.wrap_output(out)?);
    let text = serde_json::to_vec(manifest)?;
    append(&mut tar, MANIFEST, manifest, &text[..], text.len() as u64)?;
    append(&mut tar, CONFIG, manifest, config, config.len() as u64)?;
    if let Some(key) = key {
        let text = key.to_text();
        append(&mut tar, KEY, manifest, text.as_bytes(), text.len() as u64)?;
    }
    append(&mut tar, DATABASE, manifest, database, size)?;
    let out = tar.into_inner()?.finish()?;
    out.sync_all()?;
    Ok(opener)
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    manifest: &Manifest,
    content: impl Read,
    size: u64,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(manifest.time);
    // Content that is shorter than the header says would leave a damaged archive.
    let mut content = content.take(size);
    tar.append_data(&mut header, name, &mut content)?;
    if content.limit() == 0 { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// The files of a backup that precede the store.
#[derive(Debug)]
pub(super) struct Contents {
    /// The manifest.
    pub(super) manifest: Manifest,
    /// The text of the configuration file.
    pub(super) config: Zeroizing<String>,
    /// The key, unless the backup was made without it.
    pub(super) key: Option<StoreKey>,
}

/// Reads a backup. `make_folder` creates the folder to put the store in; it is called when the
/// files before the store are known. `copy` copies the store, and returns its length in bytes.
///
/// # Errors
/// [`BackupError::Decrypt`] for a wrong passphrase or identity, [`BackupError::NotOurs`] for a
/// backup that is damaged, cut off or of a newer release, or the error of `make_folder`.
pub(super) fn read(
    file: &mut dyn Read,
    name: &str,
    opener: &Opener,
    copy: impl FnOnce(&mut dyn Read, &mut File) -> std::io::Result<u64>,
    make_folder: impl FnOnce(&Contents) -> Result<Private, BackupError>,
) -> Result<(Contents, Private), BackupError> {
    let decrypt = |error| BackupError::Decrypt(name.to_owned(), error);
    let decryptor = age::Decryptor::new(file).map_err(decrypt)?;
    let reader = match opener {
        Opener::Passphrase(passphrase) => {
            let mut identity = age::scrypt::Identity::new(passphrase.clone());
            // age sets the factor by the speed of the host that encrypts, and by default accepts
            // little more than its own.
            identity.set_max_work_factor(MAX_WORK_FACTOR);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        Opener::Identities(identities) => {
            decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity))
        }
    };
    let mut tar = tar::Archive::new(reader.map_err(decrypt)?);
    let not_ours = |what: &str| BackupError::NotOurs(name.to_owned(), what.to_owned());
    // An error of the stream: the file was cut off or changed.
    let broken = |error: std::io::Error| BackupError::NotOurs(name.to_owned(), error.to_string());
    let (mut manifest, mut config, mut key) = (None, None, None);
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if path == DATABASE {
            let (Some(manifest), Some(config)) = (manifest.take(), config.take()) else {
                return Err(not_ours("its files are in another order"));
            };
            let contents = Contents { manifest, config, key };
            let folder = make_folder(&contents)?;
            let database = folder.path().join(DATABASE);
            let mut out = File::create_new(&database).map_err(io(&database))?;
            let size = entry.size();
            let copied = copy(&mut entry, &mut out).map_err(broken)?;
            if copied != size {
                return Err(not_ours("it was cut off"));
            }
            out.sync_all().map_err(io(&database))?;
            return Ok((contents, folder));
        }
        let mut text = Zeroizing::new(String::with_capacity(8192));
        entry.by_ref().take(MAX_SMALL_FILE).read_to_string(&mut text).map_err(broken)?;
        match path.as_str() {
            MANIFEST => {
                let parsed: Manifest =
                    serde_json::from_str(&text).map_err(|_| not_ours("its manifest is damaged"))?;
                if parsed.format != FORMAT {
                    return Err(not_ours("a newer totpd made it; install that release"));
                }
                manifest = Some(parsed);
            }
            CONFIG => config = Some(text),
            KEY => key = Some(StoreKey::parse(&text).ok_or_else(|| not_ours("its key is damaged"))?),
            _ => {}
        }
    }
    Err(not_ours("there is no store in it"))
}

/// Checks that the store in `folder` is undamaged, and that it is the one that the manifest names
/// and `key` belongs to.
///
/// # Errors
/// [`BackupError::NoKey`] when the key is another one, or [`BackupError::Store`] for a damaged
/// store.
pub(super) fn check(contents: &Contents, key: &StoreKey, folder: &Path) -> Result<(), BackupError> {
    if contents.manifest.store_id != key.store_id || contents.manifest.key_id != key.id {
        return Err(BackupError::NoKey(contents.manifest.store_id.clone()));
    }
    Ok(open::check_copy(folder, &crate::seal::Sealer::new(key))?)
}
