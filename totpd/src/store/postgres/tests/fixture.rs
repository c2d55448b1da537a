//! A store in a database of its own, on the server that the tests of a process share.

use crate::config::server_url::{PostgresSettings, ServerUrl};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::contract::fixture::{Durable, Fixture, KEPT_EVENTS, change};
use crate::store::copies::OlderCopy;
use crate::store::postgres::{Postgres, create};
use crate::store::{AccountWrite, ChangeSet, Health, OpenError, SideWrite, Store};
use crate::witness::Witness;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use totpd_test_postgres::{Database, Server, shared};

/// A store of PostgreSQL, its key and its witness.
pub(super) struct PostgresFixture {
    server: &'static Server,
    pub(super) database: String,
    pub(super) settings: PostgresSettings,
    sealer: Arc<Sealer>,
    /// The witness, and the password.
    folder: Arc<TempDir>,
}

impl PostgresFixture {
    /// An empty store in this database.
    pub(super) fn of(database: &Database<'static>, server: &'static Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Through the socket: a password costs a debug build half a second for each connection.
        let settings = settings(&database.socket_url(), &database.password, folder.path());
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        on_thread(|| create(&settings, &sealer)).unwrap();
        Self {
            server,
            database: database.name.clone(),
            settings,
            sealer: Arc::new(sealer),
            folder: Arc::new(folder),
        }
    }

    /// An empty store on a server of its own, which may be stopped.
    pub(super) fn on_own_server() -> (Self, &'static Server) {
        // The guard process of the tests ends it.
        let server: &'static Server = Box::leak(Box::new(Server::start()));
        (Self::of(&server.create_database(), server), server)
    }

    /// The same store, for daemons that know this server as well.
    pub(super) fn also_on(&mut self, other: &'static Server) {
        let url =
            format!("postgresql://{}@127.0.0.1:{}/{}", self.settings.url.user, other.port(), self.database);
        self.settings.url.servers.extend(ServerUrl::parse(&url).unwrap().servers);
    }

    /// Opens the store with this key, and a witness in this folder.
    pub(super) fn open_with(&self, sealer: &Sealer, witness: &Path) -> Result<Postgres, OpenError> {
        let keep_events = u64::try_from(KEPT_EVENTS).unwrap();
        let witness = Witness::new(witness, self.sealer.store_id());
        on_thread(|| Postgres::open(&self.settings, sealer, keep_events, witness, OlderCopy::Refuse))
    }

    /// Opens the store as a daemon of another host does, which has a witness of its own.
    pub(super) fn open_elsewhere(&self, witness: &Path) -> Arc<dyn Store> {
        Arc::new(self.open_with(&self.sealer, witness).unwrap())
    }

    /// Executes SQL as the superuser.
    pub(super) fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.database, statements)
    }

    fn witness(&self) -> Witness {
        Witness::new(self.folder.path(), self.sealer.store_id())
    }
}

/// The settings of a store at this URL.
pub(super) fn settings(url: &str, password: &str, folder: &Path) -> PostgresSettings {
    let password_file = folder.join("password");
    let _ = std::fs::remove_file(&password_file);
    std::fs::write(&password_file, password).unwrap();
    std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o400)).unwrap();
    PostgresSettings { url: ServerUrl::parse(url).unwrap(), password_file: Some(password_file) }
}

/// Runs what a daemon runs at its start, on a thread: the test's own may not wait for it.
pub(super) fn on_thread<T: Send, F: Future<Output = T>>(start: impl FnOnce() -> F + Send) -> T {
    std::thread::scope(|scope| {
        let run =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(start());
        scope.spawn(run).join().unwrap()
    })
}

/// A change of nothing but this.
pub(super) fn only(write: SideWrite) -> ChangeSet {
    ChangeSet { side_writes: vec![write], event: None, ..change(AccountWrite::Nothing) }
}

/// Waits until something holds, for at most 30 s.
pub(super) async fn wait_until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the health is as `wanted` says, for at most 30 s.
pub(super) async fn wait_for(store: &Arc<dyn Store>, wanted: impl Fn(&Health) -> bool) {
    let start = Instant::now();
    while !wanted(&store.health()) {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", store.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Fixture for PostgresFixture {
    fn new() -> Self {
        Self::of(&shared().create_database(), shared())
    }

    fn open(&self) -> Arc<dyn Store> {
        self.open_elsewhere(self.folder.path())
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn witnessed(&self) -> Vec<String> {
        self.witness().read().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Durable for PostgresFixture {
    fn copy(&self) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (server, user) = (self.server, &self.settings.url.user);
        let copy = format!("{}_{}", self.database, NUMBER.fetch_add(1, Ordering::Relaxed));
        server.copy_database(&self.database, &copy, user);
        let mut settings = self.settings.clone();
        let (servers, old) = (&mut settings.url.servers, &self.database);
        for server in servers {
            assert_eq!(server.config.get_dbname(), Some(old.as_str()));
            server.config.dbname(&copy);
        }
        let (sealer, folder) = (Arc::clone(&self.sealer), Arc::clone(&self.folder));
        Self { server, database: copy, settings, sealer, folder }
    }

    fn damage(&self, id: &str) {
        assert_eq!(self.sql(&format!("UPDATE account SET record = '{{' WHERE id = '{id}' RETURNING 1")), "1");
    }

    fn lose_witness(&self) {
        std::fs::remove_file(self.witness().path()).unwrap();
    }
}
