//! The last run, which a timer makes and others read: `totpd status`, the daemon at root's next login, the next run.

use super::drift::Asked;
use crate::config::Config;
use crate::folder::{Folder, Owner};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The file in its folder.
const FILE: &str = "last.json";
/// The folder of an installed host.
const INSTALLED: &str = "/var/lib/totpd-doctor";
/// Where pam_motd(8) looks for more to show; config/tmpfiles.d makes it.
const MOTD: &str = "/run/motd.d";
/// More than this is not read.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What others need of the last run; the file has all of `totpd doctor --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When, in RFC 3339.
    #[serde(default)]
    pub at: String,
    /// How many errors it found.
    #[serde(default)]
    pub errors: u64,
    /// How many warnings.
    #[serde(default)]
    pub warnings: u64,
    /// What it found, the most important first.
    #[serde(default)]
    pub findings: Vec<LastFinding>,
    /// When each service was last seen to ask for a code.
    #[serde(default)]
    pub asked: Asked,
}

/// A finding of the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFinding {
    /// Its kind.
    pub id: String,
    /// `note`, `warning` or `error`.
    pub severity: String,
    /// What happened.
    pub what: String,
}

/// The folder of the last run: /var/lib/totpd-doctor, and beside the state folder of a configuration elsewhere.
pub fn folder(config: &Config) -> PathBuf {
    let installed = config.store_id_file.parent() == Some(Path::new("/etc/totpd"));
    if installed { INSTALLED.into() } else { config.state_dir.with_file_name("totpd-doctor") }
}

/// The last run, if there was one that can be read.
pub fn read(config: &Config) -> Option<LastRun> {
    serde_json::from_value(document(config)?).ok()
}

/// The document of the last run, as `totpd doctor --json` printed it.
pub fn document(config: &Config) -> Option<serde_json::Value> {
    let file = std::fs::File::open(folder(config).join(FILE)).ok()?;
    serde_json::from_reader(file.take(LARGEST)).ok()
}

/// Keeps a run, durably and in one step.
///
/// # Errors
/// What the file system said.
pub fn write(config: &Config, document: &serde_json::Value) -> std::io::Result<()> {
    let path = folder(config);
    if path.symlink_metadata().is_err() {
        crate::init::make_folder(&path).map_err(std::io::Error::other)?;
    }
    let (folder, new) = (Folder::open(&path)?, "last.json.new");
    folder.remove(new)?;
    folder.write_new(new, &mut format!("{document}\n").as_bytes(), 0o644, Owner::me())?;
    folder.rename(new, FILE, true)?;
    folder.sync()
}

/// Forgets that these services asked for a code: somebody has taken it away on purpose (`totpd pam disable`).
///
/// # Errors
/// What the file system said.
pub fn forget(config: &Config, services: &[&str]) -> std::io::Result<()> {
    let text = match std::fs::read_to_string(folder(config).join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut document: serde_json::Value = serde_json::from_str(&text)?;
    if let Some(asked) = document.get_mut("asked").and_then(serde_json::Value::as_object_mut) {
        asked.retain(|service, _| !services.contains(&service.as_str()));
    }
    write(config, &document)
}

/// Tells root at the next login, also where no code is asked any more: a file that pam_motd shows, with the rights of
/// the user who logs in, so that root alone reads it. Taken away when there is no error.
///
/// # Errors
/// What the file system said.
pub fn write_motd(config: &Config) -> std::io::Result<()> {
    if folder(config) != Path::new(INSTALLED) || Path::new(MOTD).symlink_metadata().is_err() {
        return Ok(());
    }
    tell(Path::new(MOTD), notice(config))
}

fn tell(folder: &Path, line: Option<String>) -> std::io::Result<()> {
    let (folder, name, new) = (Folder::open(folder)?, "totpd-doctor", ".totpd-doctor.new");
    let Some(line) = line else { return folder.remove(name) };
    folder.remove(new)?;
    folder.write_new(new, &mut format!("{line}\n").as_bytes(), 0o600, Owner::me())?;
    folder.rename(new, name, true)
}

/// The line for root's next login: nothing unless the last run found an error.
pub fn notice(config: &Config) -> Option<String> {
    let last = read(config)?;
    let first = last.findings.iter().find(|finding| finding.severity == "error")?;
    let count = if last.errors == 1 { "an error".to_owned() } else { format!("{} errors", last.errors) };
    let what = totp_wire::text::printable(&first.what, 200);
    Some(format!(
        "totpd doctor found {count} on {}: {what}. Run: totpd doctor",
        totp_wire::text::printable(&last.at, 32)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_run_is_kept_in_one_step_and_its_errors_are_told() {
        let scratch =
            tempfile::Builder::new().tempdir_in("/var/lib").or_else(|_| tempfile::tempdir()).unwrap();
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut config = Config::defaults(&scratch.path().join("etc"));
        config.state_dir = scratch.path().join("state");
        assert_eq!(folder(&config), scratch.path().join("totpd-doctor"));
        assert_eq!((read(&config), notice(&config)), (None, None));
        let run =
            |errors: u64, findings| json!({"at": "T", "errors": errors, "warnings": 0, "findings": findings});
        write(&config, &run(0, json!([]))).unwrap();
        assert_eq!(notice(&config), None);
        let found =
            json!([{"id": "stopped-asking", "severity": "error", "what": "sudo asked\u{1b}[2J", "more": 1}]);
        write(&config, &run(1, found)).unwrap();
        let line = notice(&config).unwrap();
        assert!(
            line.starts_with("totpd doctor found an error on T: sudo asked") && !line.contains('\u{1b}'),
            "{line}"
        );
        let asked = json!({"errors": 0, "findings": [], "asked": {"sudo": "T", "sshd": "T"}, "kept": 1});
        write(&config, &asked).unwrap();
        forget(&config, &["sudo"]).unwrap();
        assert_eq!(read(&config).unwrap().asked.into_keys().collect::<Vec<_>>(), ["sshd"]);
        // What root reads at a login is root's alone, and goes when there is nothing to say.
        let motd = scratch.path().join("motd");
        std::fs::create_dir(&motd).unwrap();
        for line in ["one", "two"] {
            tell(&motd, Some(line.to_owned())).unwrap();
            let shown = motd.join("totpd-doctor");
            assert_eq!(std::fs::read_to_string(&shown).unwrap(), format!("{line}\n"));
            assert_eq!(shown.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        tell(&motd, None).unwrap();
        assert_eq!(std::fs::read_dir(&motd).unwrap().count(), 0);
        // A broken file counts as missing.
        std::fs::write(folder(&config).join(FILE), "{").unwrap();
        assert_eq!(read(&config), None);
        assert_eq!(folder(&Config::defaults(Path::new("/etc/totpd"))), Path::new("/var/lib/totpd-doctor"));
    }
}
