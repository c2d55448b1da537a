//! The control file of the preload: it moves the clocks, and delays, fails and counts syncs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The control file; see `native/faults.c`.
#[derive(Debug)]
pub struct Faults {
    file: File,
    /// Its path, for the variable `TOTPD_FAULTS`.
    pub path: PathBuf,
}

impl Faults {
    /// Makes a control file without faults in `folder`.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("faults");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all_at(&[0; 40], 0).unwrap();
        Self { file, path }
    }

    /// Opens the control file that another site made, so that both have one clock.
    pub fn shared(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        Self { file, path: path.to_owned() }
    }

    fn set(&self, word: u64, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), word * 8).unwrap();
    }

    fn get(&self, word: u64) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// Moves the daemon's wall clock to `seconds` after the real one.
    pub fn clock_offset(&self, seconds: i64) {
        self.set(0, seconds);
    }

    /// Returns how far the clock is moved, in seconds.
    pub fn offset(&self) -> i64 {
        self.get(0)
    }

    /// Moves the daemon's time since the boot by `seconds`.
    pub fn boot_offset(&self, seconds: i64) {
        self.set(4, seconds);
    }

    /// Delays every sync by this many microseconds.
    pub fn sync_delay_us(&self, micros: i64) {
        self.set(1, micros);
    }

    /// Makes every sync fail, or succeed again.
    pub fn sync_fails(&self, fails: bool) {
        self.set(2, fails.into());
    }

    /// Returns the number of syncs so far.
    pub fn syncs(&self) -> i64 {
        self.get(3)
    }
}
