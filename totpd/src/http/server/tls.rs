//! The certificate of the API. It is read at the start, and again when its files change; a new
//! certificate that cannot be used leaves the old one in force.

use crate::config::http::Tls;
use crate::sync::ignore_poison;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

/// Inode, length, mtime and ctime of a file, which change when its content or its permissions do.
/// `None` if the file cannot be looked at.
type FileStamp = Option<(u64, u64, [i64; 4])>;

/// A certificate with its private key, and the files that they are read from.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    last_read: Mutex<LastRead>,
    config: RwLock<Arc<ServerConfig>>,
}

/// The files as they were when they were last read.
#[derive(Debug)]
struct LastRead {
    stamps: (FileStamp, FileStamp),
    /// Why the files could not be used, if so.
    error: Option<String>,
}

impl Certificate {
    /// Reads the files. The error names the file and says what is wrong with it.
    pub(crate) fn load(files: &Tls) -> Result<Self, String> {
        let last_read = Mutex::new(LastRead { stamps: stamps(files), error: None });
        let config = RwLock::new(read(files)?);
        Ok(Self { files: files.clone(), last_read, config })
    }

    /// The TLS configuration for a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        ignore_poison(self.config.read()).clone()
    }

    /// Reads the files again if they have changed or could not be used the last time. Returns what
    /// `totpd status` adds behind the address of the API, if that changes.
    pub(crate) fn refresh(&self) -> Option<String> {
        let now = stamps(&self.files);
        let mut last = ignore_poison(self.last_read.lock());
        if last.stamps == now && last.error.is_none() {
            return None;
        }
        last.stamps = now;
        match read(&self.files) {
            Ok(config) => {
                *ignore_poison(self.config.write()) = config;
                tracing::info!("the HTTP API has reloaded its certificate");
                last.error = None;
                Some(String::new())
            }
            // A renewal writes two files, which do not match in between. The next refresh reads
            // both.
            Err(why) => {
                if last.error.as_ref() == Some(&why) {
                    return None;
                }
                tracing::warn!("the HTTP API keeps its old certificate: {why}");
                last.error = Some(why.clone());
                Some(format!(" with its old certificate: {why}"))
            }
        }
    }
}

fn stamps(files: &Tls) -> (FileStamp, FileStamp) {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &Path| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.ino(), m.len(), [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]))
    };
    (stamp(&files.certificate), stamp(&files.private_key))
}

fn read(files: &Tls) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key) = (files.certificate.display(), files.private_key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{certificate} cannot be read as PEM ({})", without_content(&error)))?;
    if chain.is_empty() {
        return Err(format!("{certificate} holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| {
        if is_encrypted(&files.private_key) {
            return format!(
                "{key} is encrypted; `openssl pkey -in {key} -out FILE` writes a copy that is not"
            );
        }
        format!("{key} cannot be read as PEM ({})", without_content(&error))
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| format!("{certificate} and {key} do not fit together ({error})"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Whether a key is protected by a passphrase, which cannot be entered at boot.
fn is_encrypted(key: &Path) -> bool {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(key).unwrap_or_default());
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// Describes an error without quoting the file, which holds a private key.
fn without_content(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it".to_owned(),
        _ => "it is damaged".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_change_of_permissions_is_a_change_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&private_key, "").unwrap();
        let files = Tls { certificate, private_key };
        let before = stamps(&files);
        assert_eq!(before, stamps(&files));
        std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(0o640)).unwrap();
        // The clock of a file system may be coarse: change the mode until the time differs.
        while stamps(&files) == before {
            let other = std::fs::metadata(&files.private_key).unwrap().permissions().mode() ^ 0o4;
            std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(other)).unwrap();
        }
    }
}
