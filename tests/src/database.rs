//! The PostgreSQL server of a site, or of several sites that are one system.

use crate::faults::Faults;
use crate::paths::native;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use totpd_test_postgres::{Database, Server, Setup, Surroundings};

/// A database on a server whose clock is the sites'.
#[derive(Clone, Debug)]
pub struct SiteDatabase {
    /// The server that is the primary at first.
    pub server: Arc<Server>,
    /// The name of the database and of its owner.
    pub name: String,
    /// The owner's password.
    pub password: String,
    /// The control file of the server's clock. Sites that share the database use it too.
    pub(crate) control: PathBuf,
}

impl SiteDatabase {
    /// Starts a server and makes a database. `folder` gets the control file of the clock.
    /// It is in the host's network, or in a namespace with an address there.
    #[track_caller]
    pub fn new(folder: &Path, network: Option<(PathBuf, String)>) -> Self {
        let control = Faults::new(folder).path;
        std::fs::set_permissions(&control, PermissionsExt::from_mode(0o666)).unwrap();
        // The build's folder may be closed to the server's user.
        let preload = folder.join("faults.so");
        std::fs::copy(native("faults.so"), &preload).unwrap();
        let environment = vec![
            ("LD_PRELOAD", preload.into_os_string()),
            ("TOTPD_FAULTS", control.clone().into_os_string()),
        ];
        let server = Server::start_as(Setup {
            surroundings: Surroundings { environment, network },
            ..Setup::default()
        });
        let Database { name, password, .. } = server.create_database();
        Self { server: Arc::new(server), name, password, control }
    }

    /// Returns the database on the first server.
    pub fn database(&self) -> Database<'_> {
        self.server.database(&self.name, &self.password)
    }
}
