//! A store of SQLite in a folder of its own.

use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::store::contract::fixture::{Durable, Embedded, Fixture, KEPT_EVENTS};
use crate::store::files::{database_file, log_file};
use crate::store::sqlite::{Sqlite, Start, check_snapshot, create};
use crate::store::{OpenError, Store};
use crate::witness::Witness;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The bytes of a small disk: more than a store makes room for ahead, and not much more.
const DISK_BYTES: u64 = 32 << 20;

/// A store of SQLite, its key and its witness.
pub(in crate::store::sqlite) struct SqliteFixture {
    /// Unmounted before its folder is removed.
    disk: Option<Mounted>,
    folder: TempDir,
    sealer: Arc<Sealer>,
    witness: Arc<TempDir>,
}

/// A file system that is unmounted when it is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

impl SqliteFixture {
    fn in_folder(folder: TempDir, disk: Option<Mounted>) -> Self {
        let sealer = Sealer::new(&StoreKey::generate().unwrap());
        create(folder.path(), &sealer).unwrap();
        Self { disk, folder, sealer: Arc::new(sealer), witness: Arc::new(tempfile::tempdir().unwrap()) }
    }

    /// Opens the store with this key.
    pub(super) fn open_with(&self, sealer: &Sealer) -> Result<Sqlite, OpenError> {
        open(self.folder.path(), sealer, self.witness())
    }

    /// Opens the store, which keeps so many events.
    pub(super) fn open_keeping(&self, events: u64) -> Sqlite {
        Sqlite::open(self.folder.path(), &self.sealer, events, self.witness(), Start::default()).unwrap()
    }

    /// A connection to the database beside the store's own.
    pub(super) fn connection(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(database_file(self.folder.path())).unwrap()
    }

    fn witness(&self) -> Witness {
        Witness::new(self.witness.path(), self.sealer.store_id())
    }
}

fn open(folder: &Path, sealer: &Sealer, witness: Witness) -> Result<Sqlite, OpenError> {
    let keep_events = u64::try_from(KEPT_EVENTS).unwrap();
    Sqlite::open(folder, sealer, keep_events, witness, Start::default())
}

impl Fixture for SqliteFixture {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), None)
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.open_with(&self.sealer).unwrap())
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn witnessed(&self) -> Vec<String> {
        self.witness().read().unwrap().iter().map(ToString::to_string).collect()
    }
}

impl Durable for SqliteFixture {
    fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in [database_file, log_file] {
            std::fs::copy(file(self.folder.path()), file(folder.path())).unwrap();
        }
        Self { disk: None, folder, sealer: Arc::clone(&self.sealer), witness: Arc::clone(&self.witness) }
    }

    fn damage(&self, id: &str) {
        let changed =
            self.connection().execute("UPDATE account SET record = '{' WHERE id = ?1", [id]).unwrap();
        assert_eq!(changed, 1);
    }

    fn lose_witness(&self) {
        std::fs::remove_file(self.witness().path()).unwrap();
    }
}

impl Embedded for SqliteFixture {
    fn open_snapshot(&self, file: &str) -> Arc<dyn Store> {
        // Not removed: the store that is returned uses it. Its name is in the test's output.
        let elsewhere = tempfile::tempdir_in(self.witness.path()).unwrap().keep();
        std::fs::copy(self.folder.path().join(file), database_file(&elsewhere)).unwrap();
        check_snapshot(&elsewhere, &self.sealer).unwrap();
        let other = Sealer::new(&StoreKey::generate().unwrap());
        assert!(check_snapshot(&elsewhere, &other).is_err(), "another key");
        Arc::new(open(&elsewhere, &self.sealer, Witness::new(&elsewhere, "x")).unwrap())
    }

    fn on_small_disk() -> Self {
        // In a mount namespace of this thread and of those that it starts: nothing else sees the
        // disk.
        unshare(CloneFlags::CLONE_NEWNS).expect("this test mounts a disk: run it as root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={DISK_BYTES}");
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
        let disk = Mounted(folder.path().to_owned());
        Self::in_folder(folder, Some(disk))
    }

    fn fill_disk(&self) {
        assert!(self.disk.is_some(), "not somebody else's disk");
        let mut ballast = std::fs::File::create(self.folder.path().join("ballast")).unwrap();
        for chunk in [1 << 16, 1] {
            while ballast.write_all(&vec![0; chunk]).is_ok() {}
        }
    }

    fn free_disk(&self) {
        std::fs::remove_file(self.folder.path().join("ballast")).unwrap();
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}
