//! The last good configuration: a copy of the text that served last, in the state folder.
//!
//! If `totpd.toml` has a mistake at a start, the daemon uses the copy, without exemptions: a typing
//! error neither locks users out nor lets them in without a code.
//!
//! ```text
//! # a comment
//! # SAVED STORE MAC     MAC of (SAVED, text) by the key: a damaged or foreign copy is refused
//! the text of totpd.toml
//! ```

use super::{Config, ConfigError, ConfigProblem, SelfEnroll};
use crate::clock::{self, RELEASED, from_rfc3339, rfc3339};
use crate::folder::{Existing, Folder, Owner};
use crate::key::StoreKey;
use crate::seal::Sealer;
use crate::sync::ignore_poison;
use std::io::{Read, Take};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use totp_core::Time;
use totp_core::policy::{Action, Mode, Moment};

/// The copy's name in the state folder.
const FILE: &str = "last-good.toml";
const FRESH: &str = ".last-good.toml.new";
const KIND: &str = "last-good";
const ABOUT: &str = "# The last configuration that served, kept by totpd for a start with a broken totpd.toml. Not to be edited.";
/// The most bytes to read of the copy: far more than any configuration has.
const MAX_BYTES: u64 = 1024 * 1024;

/// A configuration, and the text that it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The text of the file, to be kept as the last good one; `None` if it was not read from the
    /// file.
    pub text: Option<String>,
}

/// Why and since when the last good configuration is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// What is wrong with the file, with its location.
    pub why: String,
    /// When the daemon began to use the copy.
    pub since: Time,
    /// When the copy was saved.
    pub saved: Time,
}

impl LastGood {
    /// The message for administrators.
    pub fn notice(&self, path: &Path) -> String {
        format!(
            "THE LAST GOOD CONFIGURATION IS IN USE, with exempt, monitor, enroll and remember off: {}. \
             Fix {}; totpd uses it within seconds",
            self.why,
            path.display()
        )
    }
}

/// The folder of the copy: systemd's `StateDirectory=`, or that of the store.
#[expect(clippy::disallowed_methods, reason = "systemd sets it for the service; no user's program runs this")]
fn folder(state_dir: &Path) -> PathBuf {
    let made = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
    let first = made.as_ref().and_then(|folders| folders.to_str()?.split(':').next());
    let folder = first.map_or_else(|| state_dir.to_owned(), PathBuf::from);
    // The folder may be a link of the administrator. No link is followed below.
    folder.canonicalize().unwrap_or(folder)
}

/// The path of the copy, if it exists: this host has had a configuration file. `None` also without
/// the permission to see it.
pub(super) fn kept(state_dir: &Path) -> Option<PathBuf> {
    let copy = folder(state_dir).join(FILE);
    copy.symlink_metadata().is_ok().then_some(copy)
}

/// The order in which configurations came into use. A slow write does not replace the copy of a
/// later one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepOrder(u64);

static NEXT: AtomicU64 = AtomicU64::new(1);
static KEPT: Mutex<u64> = Mutex::new(0);

impl KeepOrder {
    /// The next place in the order.
    pub(crate) fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Loaded {
    /// The configuration of the file at `path`, or the last good one if the file has a mistake of
    /// syntax or value. `since`: when the last good one came into use, if it is in use.
    ///
    /// # Errors
    /// [`ConfigError`] of the file, which also says why there is no last good configuration.
    pub fn of_file_or_last_good(path: &Path, since: Option<Time>) -> Result<Self, ConfigError> {
        let error = match Config::load(path) {
            Err(error) if error.problem == ConfigProblem::Content => error,
            loaded => return loaded,
        };
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let file = folder(&Config::state_dir_of_broken(&text)).join(FILE);
        let now = clock::now();
        match read(&file, path, Config::key_file_of_broken(&text, path).as_deref(), now) {
            Ok((mut config, saved)) => {
                let why = error.to_string();
                config.last_good = Some(LastGood { why, since: since.unwrap_or(now), saved });
                Ok(Self { config, text: None })
            }
            Err(why) => {
                let what =
                    format!("{}. There is no last good configuration: {} {why}", error.what, file.display());
                Err(ConfigError { what, ..error })
            }
        }
    }

    /// Stores the text as the last good configuration, and waits for the disk. An error is logged
    /// and refuses no login.
    pub(crate) fn keep(&self, sealer: &Sealer, order: KeepOrder) {
        let Some(text) = &self.text else { return };
        let folder = folder(&self.config.state_dir);
        let mut kept = ignore_poison(KEPT.lock());
        if *kept > order.0 {
            return;
        }
        *kept = order.0;
        if let Err(error) = write(&folder, text, sealer, clock::now()) {
            tracing::warn!(
                "the configuration cannot be stored as the last good one in {}: {error}. With a mistake in it, the next \
                 start would refuse every login",
                folder.display()
            );
        }
    }
}

/// The text for the MAC. The time has no line break, so the parts are unambiguous.
fn mac_input(saved: &str, text: &str) -> String {
    format!("{saved}\n{text}")
}

fn write(folder: &Path, text: &str, sealer: &Sealer, now: Time) -> std::io::Result<()> {
    let folder = Folder::open_own(folder)?;
    let saved = rfc3339(now);
    let mark = sealer.mac(KIND, &mac_input(&saved, text)).map_err(std::io::Error::other)?;
    let content = format!("{ABOUT}\n# {saved} {} {mark}\n{text}", sealer.store_id());
    folder.remove(FRESH)?;
    folder.write_new(FRESH, &mut content.as_bytes(), 0o600, Owner::me())?;
    folder.rename(FRESH, FILE, Existing::Replace)?;
    folder.sync()
}

/// Reads the copy, without exemptions, and when it was saved. `key_file`: the key that totpd.toml
/// names; `None` if that line has the mistake.
///
/// # Errors
/// Why the copy cannot be used, as the end of a sentence that begins with its path.
fn read(
    file: &Path,
    config_path: &Path,
    key_file: Option<&Path>,
    now: Time,
) -> Result<(Config, Time), String> {
    let content = read_own(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is missing".to_owned(),
        std::io::ErrorKind::InvalidData => "is damaged".to_owned(),
        _ => format!("cannot be used ({error})"),
    })?;
    let damaged = || "is damaged".to_owned();
    let (_, rest) = content.split_once('\n').ok_or_else(damaged)?;
    let (header, text) = rest.split_once('\n').ok_or_else(damaged)?;
    let mut words = header.splitn(4, ' ').skip(1);
    let (Some(saved), Some(store_id), Some(mark)) = (words.next(), words.next(), words.next()) else {
        return Err(damaged());
    };
    let config = Config::parse(text, config_path).map_err(|_| damaged())?;
    // The copy must not choose the key that verifies it: someone who can write the state folder
    // could add a key.
    if !key_file.map_or_else(|| only_root_can_write(&config.key_file), |named| named == config.key_file) {
        return Err("names another key than totpd.toml does".to_owned());
    }
    let key = StoreKey::load(&config.key_file).map_err(|error| format!("cannot be verified: {error}"))?;
    if key.store_id != store_id {
        return Err("belongs to another store".to_owned());
    }
    if !Sealer::new(&key).verify_mac(KIND, &mac_input(saved, text), mark) {
        return Err(damaged());
    }
    let saved = from_rfc3339(saved).ok_or_else(damaged)?;
    Ok((without_exemptions(config, now), saved))
}

/// Whether only root can replace this file, with all links followed.
fn only_root_can_write(file: &Path) -> bool {
    let folder = file.canonicalize().ok().and_then(|file| file.parent().map(Path::to_owned));
    folder.is_some_and(|folder| {
        folder.ancestors().all(|above| {
            let roots =
                |it: std::fs::Metadata| it.uid() == 0 && (it.mode() & 0o022 == 0 || it.mode() & 0o1000 != 0);
            std::fs::metadata(above).is_ok_and(roots)
        })
    })
}

/// Reads the copy, if only this process's user can have written it.
fn read_own(file: &Path) -> std::io::Result<String> {
    let refused = |what: &str| std::io::Error::new(std::io::ErrorKind::PermissionDenied, what);
    let folder = file.parent().unwrap_or(Path::new("/"));
    let me = nix::unistd::geteuid().as_raw();
    let metadata = std::fs::metadata(folder)?;
    if (metadata.uid() != me && metadata.uid() != 0) || metadata.mode() & 0o022 != 0 {
        return Err(refused("other users can change its folder"));
    }
    let copy = Folder::open_own(folder)?.read(FILE)?;
    let metadata = copy.metadata()?;
    if metadata.uid() != me || metadata.mode() & 0o077 != 0 {
        return Err(refused("it must belong to the daemon's user alone"));
    }
    let mut text = String::new();
    let mut bounded: Take<_> = copy.take(MAX_BYTES);
    bounded.read_to_string(&mut text)?;
    Ok(text)
}

/// The same configuration without anything that grants a login, a factor or a right without a code.
/// Rules that deny at `now` still deny; every other rule requires a code. An exemption keeps its
/// end: after it a later rule that denies decides, as it would have.
fn without_exemptions(mut config: Config, now: Time) -> Config {
    for rule in &mut config.policy.rules {
        let moment = Moment { now, not_before: RELEASED };
        let denies = rule.action == Action::Deny && rule.mode_at(moment) == Mode::Enforce;
        rule.action = if denies { Action::Deny } else { Action::Require };
        rule.mode = Mode::Enforce;
        rule.enforce_from = None;
        rule.remember = None;
        rule.local = false;
    }
    config.trusted_peers.clear();
    config.administration.groups.clear();
    if config.self_enroll == SelfEnroll::Open {
        config.self_enroll = SelfEnroll::Ticket;
    }
    config
}

#[cfg(test)]
mod tests;
