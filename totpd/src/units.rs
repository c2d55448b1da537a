//! The settings of the installed systemd units (systemd.unit(5)). They are read from the files,
//! because systemd cannot be asked on a host that was not booted with it.

use crate::permission::Credentials;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folders of units, below the root folder. The first one that has a unit wins.
const FOLDERS: [&str; 7] = [
    // `systemctl set-property` writes there.
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// The name of the daemon's unit.
pub const SERVICE: &str = "totpd.service";

/// Returns the `User=` of the daemon's unit, if the unit is installed below `root` and has one.
pub fn daemon_user(root: &Path) -> Option<String> {
    values(root, SERVICE, "User")?.pop()
}

/// Returns the command that creates key and store. It names the owner where needed: the files must
/// belong to the user that the daemon runs as.
pub(crate) fn init_command() -> String {
    let process = Credentials::of_process();
    let user = daemon_user(Path::new("/"));
    let owner = user.or_else(|| (!process.uid.is_root()).then(|| process.owner()));
    owner.map_or_else(|| "totpd init".to_owned(), |owner| format!("totpd init --owner {owner}"))
}

/// Returns the values of a unit's setting in their order, with those of its drop-ins. An empty
/// value removes the values before it. Returns `None` when no such unit is installed below `root`.
pub fn values(root: &Path, unit: &str, key: &str) -> Option<Vec<String>> {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let main = folders.iter().find_map(|folder| std::fs::read_to_string(folder.join(unit)).ok())?;
    // Of two drop-ins with the same name, the one in the first folder wins.
    let mut drop_ins = BTreeMap::new();
    for folder in folders.iter().rev() {
        let entries = std::fs::read_dir(folder.join(format!("{unit}.d"))).into_iter().flatten().flatten();
        let is_conf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "conf");
        drop_ins.extend(
            entries
                .map(|entry| entry.path())
                .filter(is_conf)
                .map(|path| (path.file_name().map(ToOwned::to_owned), path)),
        );
    }
    let mut found = Vec::new();
    let texts = drop_ins.into_values().filter_map(|path| std::fs::read_to_string(path).ok());
    for text in std::iter::once(main).chain(texts) {
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            let Some((name, value)) = line.split_once('=') else { continue };
            match (name.trim() == key, value.trim()) {
                (true, "") => found.clear(),
                (true, value) => found.push(value.to_owned()),
                (false, _) => {}
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_ins_add_values_and_an_empty_value_removes_them() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(values(root.path(), SERVICE, "User"), None);
        put("usr/lib/systemd/system/totpd.service", "[Service]\nUser=totpd\n#User=x\n");
        assert_eq!(daemon_user(root.path()).as_deref(), Some("totpd"));
        put("usr/lib/systemd/system/totpd.service.d/a.conf", "[Service]\nUser = other\n");
        assert_eq!(daemon_user(root.path()).as_deref(), Some("other"));
        put("etc/systemd/system/totpd.service.d/a.conf", "[Service]\nUser=\n");
        assert_eq!(daemon_user(root.path()), None);
        put("etc/systemd/system/totpd.service", "[Service]\nUser=etc\n");
        put("etc/systemd/system/totpd.service.d/a.txt", "[Service]\nUser=no\n");
        put("etc/systemd/system/totpd.service.d/a.conf", "");
        assert_eq!(daemon_user(root.path()).as_deref(), Some("etc"));
        put("usr/lib/systemd/system/totpd.socket", "[Socket]\nListenStream=/a\nListenStream=/b\n");
        assert_eq!(values(root.path(), "totpd.socket", "ListenStream").unwrap(), ["/a", "/b"]);
    }
}
