//! The certificate: read at the start, and anew when its files change. A new one that is wrong leaves the old one in
//! force.

use crate::config::http::Tls;
use crate::sync::ignore_poison;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

/// What tells that a file, or who may read it, has changed: inode, length, and both times.
type Mark = Option<(u64, u64, [i64; 4])>;

/// A certificate, its key, and the files they came from.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    seen: Mutex<Seen>,
    config: RwLock<Arc<ServerConfig>>,
}

/// What the last look saw.
#[derive(Debug)]
struct Seen {
    marks: (Mark, Mark),
    /// Why the files could not be taken over, if so.
    wrong: Option<String>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(files: &Tls) -> Result<Self, String> {
        let seen = Mutex::new(Seen { marks: marks(files), wrong: None });
        let config = RwLock::new(read(files)?);
        Ok(Self { files: files.clone(), seen, config })
    }

    /// What a new connection is served with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        ignore_poison(self.config.read()).clone()
    }

    /// Reads the files again if they have changed, or could not be taken over the last time. What there is to say
    /// about it behind where the API answers, if that is anything new.
    pub(crate) fn refresh(&self) -> Option<String> {
        let now = marks(&self.files);
        let mut seen = ignore_poison(self.seen.lock());
        if seen.marks == now && seen.wrong.is_none() {
            return None;
        }
        seen.marks = now;
        match read(&self.files) {
            Ok(config) => {
                *ignore_poison(self.config.write()) = config;
                tracing::info!("the HTTP API has read its certificate anew");
                seen.wrong = None;
                Some(String::new())
            }
            // Between the two files of a renewal they do not fit; the next look finds both.
            Err(why) => {
                if seen.wrong.as_ref() == Some(&why) {
                    return None;
                }
                tracing::warn!("the HTTP API keeps its old certificate: {why}");
                seen.wrong = Some(why.clone());
                Some(format!(" with its old certificate: {why}"))
            }
        }
    }
}

fn marks(files: &Tls) -> (Mark, Mark) {
    use std::os::unix::fs::MetadataExt;
    let mark = |path: &Path| {
        let m = std::fs::metadata(path).ok()?;
        Some((m.ino(), m.len(), [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]))
    };
    (mark(&files.certificate), mark(&files.private_key))
}

fn read(files: &Tls) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key) = (files.certificate.display(), files.private_key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{certificate} cannot be read as PEM ({})", described(&error)))?;
    if chain.is_empty() {
        return Err(format!("{certificate} holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| {
        if is_encrypted(&files.private_key) {
            return format!("{key} is encrypted; `openssl pkey -in {key} -out FILE` writes one that is not");
        }
        format!("{key} cannot be read as PEM ({})", described(&error))
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

/// Whether a key is under a passphrase, which nobody could type at a boot.
fn is_encrypted(key: &Path) -> bool {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(key).unwrap_or_default());
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// Never anything of the content.
fn described(error: &rustls::pki_types::pem::Error) -> String {
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
    fn who_may_read_a_file_is_a_change_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&private_key, "").unwrap();
        let files = Tls { certificate, private_key };
        let before = marks(&files);
        assert_eq!(before, marks(&files));
        std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(0o640)).unwrap();
        // The clock of a file system may be coarse: as long as it takes.
        while marks(&files) == before {
            let other = std::fs::metadata(&files.private_key).unwrap().permissions().mode() ^ 0o4;
            std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(other)).unwrap();
        }
    }
}
