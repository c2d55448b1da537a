//! The key file: the store's encryption key, the key's id, and the id of the store.

use crate::os_random::Kernel;
use crate::permission::{self, Access, Credentials};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use subtle::ConstantTimeEq;
use totp_core::random;
use totp_wire::SecretText;
use zeroize::Zeroizing;

/// Length of an XChaCha20-Poly1305 key.
pub const KEY_BYTES: usize = 32;

/// The longest key file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// The key that encrypts a store's secrets. It is wiped from memory when dropped, and `Debug`
/// prints only the ids.
pub struct StoreKey {
    /// The id of the key, which every record that is encrypted with it names.
    pub id: String,
    /// The id of the store that the key belongs to.
    pub store_id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreKey({} of {})", self.id, self.store_id)
    }
}

/// The content of the key file, in TOML.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    id: String,
    store: String,
    key: SecretText,
}

/// Why a key cannot be loaded or created. The text quotes nothing of the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file does not exist.
    #[error(
        "the key {0} is missing. Put it back from its backup, or name it with key_file; without it nobody's \
         factor can be verified. If this host was never set up, run `{1}`"
    )]
    Missing(String, String),
    /// The key file cannot be read.
    #[error("the key cannot be read: {0}")]
    Unreadable(String),
    /// The key file can be read by other users, or written by its group.
    #[error(
        "the key {0} can be read by others (mode {1:04o}). Think who may have read it, and run: chmod 0400 {0}"
    )]
    Exposed(String, u32),
    /// The key file is damaged.
    #[error(
        "the key {0} is damaged: it has not the form that `totpd init` writes. Put it back from its backup"
    )]
    Damaged(String),
    /// The key file cannot be created.
    #[error("the key {0} cannot be written: {1}")]
    Unwritable(String, std::io::Error),
    /// The kernel's random source failed.
    #[error(transparent)]
    Random(#[from] totp_core::RandomFailed),
}

fn unreadable(path: &Path, error: &std::io::Error) -> KeyError {
    KeyError::Unreadable(permission::explain(path, error, &Credentials::of_process(), Access::Read))
}

impl StoreKey {
    /// Generates a key for a new store, with new ids for both.
    ///
    /// # Errors
    /// [`KeyError::Random`] when the kernel's random source fails.
    pub fn generate() -> Result<Self, KeyError> {
        let id = |bytes: [u8; 10]| BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        Ok(Self {
            id: id(random::bytes(&mut Kernel)?),
            store_id: id(random::bytes(&mut Kernel)?),
            key: Zeroizing::new(random::bytes(&mut Kernel)?),
        })
    }

    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, unreadable, damaged, or readable by other users.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let mut file = std::fs::File::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => KeyError::Missing(name(), crate::units::init_command()),
            _ => unreadable(path, &error),
        })?;
        let metadata = file.metadata().map_err(|e| unreadable(path, &e))?;
        // Group read is allowed because systemd passes credentials with mode 0440.
        if metadata.mode() & 0o037 != 0 {
            return Err(KeyError::Exposed(name(), metadata.mode() & 0o777));
        }
        // Large enough to never be reallocated, which would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let mut limited = Read::by_ref(&mut file).take(MAX_FILE_BYTES);
        limited.read_to_string(&mut text).map_err(|e| unreadable(path, &e))?;
        Self::parse(&text).ok_or_else(|| KeyError::Damaged(name()))
    }

    /// Parses the text of a key file. Returns `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let file: KeyFile = toml::from_str(text).ok()?;
        let bytes = BASE32_NOPAD.decode(file.key.reveal().as_bytes()).map(Zeroizing::new);
        let key = bytes.ok().and_then(|b| <[u8; KEY_BYTES]>::try_from(b.as_slice()).ok());
        let key = Zeroizing::new(key?);
        let has_ids = !file.id.is_empty() && !file.store.is_empty();
        has_ids.then_some(Self { id: file.id, store_id: file.store, key })
    }

    /// Returns the text of the key file, which [`Self::parse`] reads back.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# Seals every secret in totpd's store. Back it up apart from the store.\n");
        text.push_str(&format!("id = \"{}\"\nstore = \"{}\"\nkey = \"", self.id, self.store_id));
        text.push_str(&Zeroizing::new(BASE32_NOPAD.encode(&*self.key)));
        text.push_str("\"\n");
        text
    }

    /// Returns whether both are the same key of the same store. Compares the keys in constant time.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_ids = self.id == other.id && self.store_id == other.store_id;
        same_ids && bool::from(self.key.ct_eq(&*other.key))
    }

    /// Creates the key file with mode 0400, and returns it open so that the caller can change its
    /// owner. Never overwrites a file.
    ///
    /// # Errors
    /// [`KeyError::Unwritable`] when the file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<std::fs::File, KeyError> {
        let text = self.to_text();
        let write = || -> std::io::Result<std::fs::File> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o400).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            Ok(file)
        };
        write().map_err(|e| KeyError::Unwritable(path.display().to_string(), e))
    }

    /// Returns the key itself.
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_reads_back_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = StoreKey::generate().unwrap();
        key.create(&path).unwrap();
        let read = StoreKey::load(&path).unwrap();
        assert_eq!((read.id, read.store_id, &*read.key), (key.id.clone(), key.store_id.clone(), &*key.key));
        assert!(matches!(key.create(&path), Err(KeyError::Unwritable(..))));
    }

    #[test]
    fn a_missing_exposed_or_damaged_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(StoreKey::load(&path), Err(KeyError::Missing(..))));
        std::fs::write(&path, "id = \"x\"\nstore = \"y\"\nkey = \"hunter2\"\n").unwrap();
        let mode = |m| std::os::unix::fs::PermissionsExt::from_mode(m);
        std::fs::set_permissions(&path, mode(0o644)).unwrap();
        assert!(matches!(StoreKey::load(&path), Err(KeyError::Exposed(_, 0o644))));
        std::fs::set_permissions(&path, mode(0o400)).unwrap();
        let error = StoreKey::load(&path).unwrap_err();
        assert!(matches!(error, KeyError::Damaged(_)));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
