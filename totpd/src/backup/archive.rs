//! The file of a backup: what is in it, how it is written, and how it is read back.

use super::{BackupError, io};
use crate::folder::Private;
use crate::key::StoreKey;
use crate::store::open;
use age::secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Version of the archive.
const FORMAT: u32 = 1;
/// Bytes of each small file at most.
const MAX_SMALL: u64 = 1024 * 1024;

/// Of scrypt, as a power of two: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

const MANIFEST: &str = "manifest.json";
const CONFIG: &str = "totpd.toml";
const KEY: &str = "totpd.key";
const DATABASE: &str = "totpd.db";

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the archive.
    pub format: u32,
    /// The version of totpd that made it.
    pub version: String,
    /// The store's id.
    pub store_id: String,
    /// The id of the key that seals it.
    pub key_id: String,
    /// Withdrawals up to then.
    pub counter: u64,
    /// The store's generation.
    pub generation: String,
    /// When, in Unix seconds.
    pub time: u64,
}

impl Manifest {
    /// Of a copy of a store.
    pub fn of(copy: &totp_wire::admin::BackupReply, key: &StoreKey) -> Self {
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

/// For whom a backup is encrypted.
pub enum Lock {
    /// Anyone who has the passphrase.
    Passphrase(SecretString),
    /// Anyone who has the identity of one of these recipients.
    Recipients(Vec<age::x25519::Recipient>),
}

/// What opens a backup.
pub enum Opener {
    /// The passphrase.
    Passphrase(SecretString),
    /// Identities, of which one has to fit.
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

/// Writes a backup; what opens it for a check.
///
/// # Errors
/// What the file system said.
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
            // Read back by an identity that ends with this process: nobody has the recipients'
            // here.
            let check = age::x25519::Identity::generate();
            let own = check.to_public();
            let all = recipients.iter().chain([&own]).map(|recipient| recipient as &dyn age::Recipient);
            let encryptor = age::Encryptor::with_recipients(all).map_err(std::io::Error::other)?;
            (encryptor, Opener::Identities(vec![check]))
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
    // A source that is shorter than it said would leave a damaged archive.
    let mut content = content.take(size);
    tar.append_data(&mut header, name, &mut content)?;
    if content.limit() == 0 { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// The small files of a backup that is being read; the store comes last.
#[derive(Debug)]
pub(super) struct Contents {
    /// What it is of.
    pub(super) manifest: Manifest,
    /// The configuration.
    pub(super) config: Zeroizing<String>,
    /// The key, if it is in it.
    pub(super) key: Option<StoreKey>,
}

/// Reads a backup. `place` says, once the small files are known, in which folder the store is put.
///
/// # Errors
/// [`BackupError`].
pub(super) fn read(
    file: &mut dyn Read,
    name: &str,
    opener: &Opener,
    wrap: impl FnOnce(u64, &mut dyn Read, &mut File) -> std::io::Result<u64>,
    place: impl FnOnce(&Contents) -> Result<Private, BackupError>,
) -> Result<(Contents, Private), BackupError> {
    let decrypt = |error| BackupError::Decrypt(name.to_owned(), error);
    let decryptor = age::Decryptor::new(file).map_err(decrypt)?;
    let reader = match opener {
        Opener::Passphrase(passphrase) => {
            let mut identity = age::scrypt::Identity::new(passphrase.clone());
            // A fast host made it, and a slow one opens it.
            identity.set_max_work_factor(MAX_WORK_FACTOR);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        Opener::Identities(identities) => {
            decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity))
        }
    };
    let mut tar = tar::Archive::new(reader.map_err(decrypt)?);
    let not_ours = |what: &str| BackupError::NotOurs(name.to_owned(), what.to_owned());
    // An error here is one of the stream: cut off, or changed.
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
            let folder = place(&contents)?;
            let database = folder.path().join(DATABASE);
            let mut out = File::create_new(&database).map_err(io(&database))?;
            let size = entry.size();
            let read = wrap(size, &mut entry, &mut out).map_err(broken)?;
            if read != size {
                return Err(not_ours("it was cut off"));
            }
            out.sync_all().map_err(io(&database))?;
            return Ok((contents, folder));
        }
        let mut text = Zeroizing::new(String::with_capacity(8192));
        entry.by_ref().take(MAX_SMALL).read_to_string(&mut text).map_err(broken)?;
        match path.as_str() {
            MANIFEST => {
                let read: Manifest =
                    serde_json::from_str(&text).map_err(|_| not_ours("its manifest is damaged"))?;
                if read.format != FORMAT {
                    return Err(not_ours("a newer totpd made it; install that release"));
                }
                manifest = Some(read);
            }
            CONFIG => config = Some(text),
            KEY => key = Some(StoreKey::parse(&text).ok_or_else(|| not_ours("its key is damaged"))?),
            _ => {}
        }
    }
    Err(not_ours("there is no store in it"))
}

/// Whether the store in `folder` is sound and is the one that the manifest names.
///
/// # Errors
/// [`BackupError`].
pub(super) fn check(contents: &Contents, key: &StoreKey, folder: &Path) -> Result<(), BackupError> {
    if contents.manifest.store_id != key.store_id || contents.manifest.key_id != key.id {
        return Err(BackupError::NoKey(contents.manifest.store_id.clone()));
    }
    Ok(open::check_copy(folder, &crate::seal::Sealer::new(key))?)
}
