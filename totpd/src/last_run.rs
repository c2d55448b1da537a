//! Stores the result of the last `totpd doctor`, which `totpd status`, the daemon at root's next
//! login and the next run read.

use crate::config::Config;
use crate::folder::{Existing, Folder, Owner};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of the file of the last run.
const FILE: &str = "last.json";
/// The folder of an installed host.
const INSTALLED: &str = "/var/lib/totpd-doctor";
/// A folder of messages that pam_motd(8) shows; config/tmpfiles.d creates it.
const MOTD: &str = "/run/motd.d";
/// The most bytes to read of the file.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// When each service was last seen asking for a code, in RFC 3339.
pub type Asked = BTreeMap<String, String>;

/// The part of the last run that others need. The file has all of `totpd doctor --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When it ran, in RFC 3339.
    #[serde(default)]
    pub at: String,
    /// The number of errors.
    #[serde(default)]
    pub errors: u64,
    /// The number of warnings.
    #[serde(default)]
    pub warnings: u64,
    /// The findings, the most important first.
    #[serde(default)]
    pub findings: Vec<LastFinding>,
    /// When each service was last seen asking for a code.
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

/// The folder of the last run: /var/lib/totpd-doctor, or a folder beside the state folder for a
/// configuration elsewhere.
pub fn folder(config: &Config) -> PathBuf {
    let installed = config.store_id_file.parent() == Some(Path::new("/etc/totpd"));
    if installed { INSTALLED.into() } else { config.state_dir.with_file_name("totpd-doctor") }
}

/// Reads the last run; `None` if there is none, or it cannot be read.
pub fn read(config: &Config) -> Option<LastRun> {
    serde_json::from_value(document(config)?).ok()
}

/// The document of the last run, as `totpd doctor --json` printed it.
pub fn document(config: &Config) -> Option<serde_json::Value> {
    let file = std::fs::File::open(folder(config).join(FILE)).ok()?;
    serde_json::from_reader(file.take(MAX_BYTES)).ok()
}

/// Stores a run durably and atomically.
///
/// # Errors
/// The file system's error.
pub fn write(config: &Config, document: &serde_json::Value) -> std::io::Result<()> {
    let path = folder(config);
    if path.symlink_metadata().is_err() {
        crate::init::make_folder(&path).map_err(std::io::Error::other)?;
    }
    let (folder, new) = (Folder::open(&path)?, "last.json.new");
    folder.remove(new)?;
    folder.write_new(new, &mut format!("{document}\n").as_bytes(), 0o644, Owner::me())?;
    folder.rename(new, FILE, Existing::Replace)?;
    folder.sync()
}

/// Removes these services from those that were seen asking for a code, because `totpd pam disable`
/// ended it on purpose.
///
/// # Errors
/// The file system's error.
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

/// Writes a message for root's next login, even if no service asks for a code any more. pam_motd
/// shows the file with the rights of the user who logs in, and only root can read it. Removes it if
/// there is no error.
///
/// # Errors
/// The file system's error.
pub fn write_motd(config: &Config) -> std::io::Result<()> {
    if folder(config) != Path::new(INSTALLED) || Path::new(MOTD).symlink_metadata().is_err() {
        return Ok(());
    }
    write_message(Path::new(MOTD), notice(config))
}

fn write_message(folder: &Path, line: Option<String>) -> std::io::Result<()> {
    let (folder, name, new) = (Folder::open(folder)?, "totpd-doctor", ".totpd-doctor.new");
    let Some(line) = line else { return folder.remove(name) };
    folder.remove(new)?;
    folder.write_new(new, &mut format!("{line}\n").as_bytes(), 0o600, Owner::me())?;
    folder.rename(new, name, Existing::Replace)
}

/// The line for root's next login, if the last run found an error.
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
    fn a_run_is_stored_and_root_reads_its_errors() {
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
        // Only root can read the message, which is removed when there is no error.
        let motd = scratch.path().join("motd");
        std::fs::create_dir(&motd).unwrap();
        for line in ["one", "two"] {
            write_message(&motd, Some(line.to_owned())).unwrap();
            let shown = motd.join("totpd-doctor");
            assert_eq!(std::fs::read_to_string(&shown).unwrap(), format!("{line}\n"));
            assert_eq!(shown.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        write_message(&motd, None).unwrap();
        assert_eq!(std::fs::read_dir(&motd).unwrap().count(), 0);
        // A broken file counts as missing.
        std::fs::write(folder(&config).join(FILE), "{").unwrap();
        assert_eq!(read(&config), None);
        assert_eq!(folder(&Config::defaults(Path::new("/etc/totpd"))), Path::new("/var/lib/totpd-doctor"));
    }
}
