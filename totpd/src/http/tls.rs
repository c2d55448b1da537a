//! The certificate: read at the start, and anew when its files change. A new one that is wrong leaves the old one in
//! force.

use crate::config::http::Tls;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// What tells that a file has changed.
type Mark = Option<(SystemTime, u64, u64)>;

/// A certificate, its key, and the files they came from.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    seen: Mutex<(Mark, Mark)>,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn load(files: &Tls) -> Result<Self, String> {
        let seen = marks(files);
        let config = RwLock::new(read(files)?);
        Ok(Self { files: files.clone(), seen: Mutex::new(seen), config })
    }

    /// What a new connection is served with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again if they have changed.
    pub(super) fn refresh(&self) {
        let now = marks(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("the HTTP API has read its certificate anew");
            }
            // Between the two files of a renewal they do not fit; the next look finds both.
            Err(why) => tracing::warn!("the HTTP API keeps its old certificate: {why}"),
        }
    }
}

fn marks(files: &Tls) -> (Mark, Mark) {
    use std::os::unix::fs::MetadataExt;
    let mark =
        |path: &Path| std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.ino(), m.len())));
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
    let private = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| format!("{key} cannot be read as PEM ({})", described(&error)))?;
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

/// Never anything of the content.
fn described(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it".to_owned(),
        _ => "it is damaged".to_owned(),
    }
}
