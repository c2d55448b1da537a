//! Certificates for TLS, made by `openssl`.

use crate::programs::run;
use crate::scratch;
use crate::server::Server;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate authority that tests make, in the scratch folder.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes a certificate authority.
    pub fn new() -> Self {
        let authority = Self { folder: scratch::folder("certificates") };
        let mut openssl = authority.openssl();
        openssl.args(["req", "-x509", "-days", "2", "-subj", "/CN=Test authority", "-nodes"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.crt"]);
        run(openssl);
        // Clients of any user read it.
        std::fs::set_permissions(&authority.folder, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(authority.root(), PermissionsExt::from_mode(0o644)).unwrap();
        authority
    }

    /// Returns the authority's certificate in PEM, for `sslrootcert=`.
    pub fn root(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Makes a certificate for these names, as X.509's subjectAltName has them: `IP:127.0.0.1`,
    /// `DNS:localhost`. Returns it and its key.
    pub fn issue(&self, names: &str) -> (PathBuf, PathBuf) {
        let mut openssl = self.openssl();
        openssl.args(["req", "-x509", "-days", "2", "-subj", "/CN=server", "-nodes"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args([
            "-addext",
            &format!("subjectAltName={names}"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        openssl.args(["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.crt"]);
        run(openssl);
        (self.folder.join("server.crt"), self.folder.join("server.key"))
    }

    fn openssl(&self) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(&self.folder);
        command
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Gives the server a certificate of this authority, and turns TLS on. Clients may still
    /// connect without.
    #[track_caller]
    pub fn enable_tls(&self, authority: &Certificates, names: &str) {
        let (certificate, key) = authority.issue(names);
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            self.write(name, &read(&from));
            std::fs::set_permissions(self.data_folder().join(name), PermissionsExt::from_mode(0o600))
                .unwrap();
        }
        self.configure(&[("ssl", "on")]);
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
