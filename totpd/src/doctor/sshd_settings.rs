//! sshd's settings, as `sshd -T` prints them, and its configuration files.

use super::system::Host;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The main file of sshd's configuration.
pub(super) const MAIN_FILE: &str = "/etc/ssh/sshd_config";

/// sshd's settings, by keywords in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    pub(super) fn parse(text: &str) -> Self {
        let mut settings = BTreeMap::<String, Vec<String>>::new();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            settings.entry(key.to_ascii_lowercase()).or_default().push(value.to_owned());
        }
        Self(settings)
    }

    pub(super) fn get(&self, key: &str) -> &str {
        self.0.get(key).and_then(|values| values.first()).map_or("", String::as_str)
    }

    pub(super) fn is_on(&self, key: &str) -> bool {
        self.get(key) == "yes"
    }

    /// The lists of methods that are enough for a login. "any" stands for each method alone.
    pub(super) fn method_lists(&self) -> Vec<Vec<&str>> {
        let methods = self.get("authenticationmethods");
        if !methods.is_empty() && methods != "any" {
            return methods.split_whitespace().map(|list| list.split(',').collect()).collect();
        }
        let alone = [
            ("pubkeyauthentication", "publickey"),
            ("hostbasedauthentication", "hostbased"),
            ("gssapiauthentication", "gssapi-with-mic"),
            ("kbdinteractiveauthentication", "keyboard-interactive"),
            ("passwordauthentication", "password"),
        ];
        alone.into_iter().filter(|(key, _)| self.is_on(key)).map(|(_, method)| vec![method]).collect()
    }

    /// The lists that do not ask PAM.
    pub(super) fn without_pam(&self) -> Vec<String> {
        let lists = self.method_lists().into_iter();
        lists.filter(|list| !list.iter().any(|method| asks_pam(method))).map(|list| list.join(",")).collect()
    }

    /// Whether PAM alone is enough for some list.
    pub(super) fn pam_alone(&self) -> bool {
        let possible = |method: &&str| self.has(method);
        let lists = self.method_lists();
        lists.iter().any(|list| list.iter().all(|method| asks_pam(method)) && list.iter().all(possible))
    }

    pub(super) fn has(&self, method: &str) -> bool {
        match method.split(':').next() {
            Some("keyboard-interactive") => self.is_on("kbdinteractiveauthentication"),
            Some("password") => self.is_on("passwordauthentication"),
            _ => true,
        }
    }

    /// Whether some list that asks PAM is possible.
    pub(super) fn can_ask(&self) -> bool {
        let lists = self.method_lists();
        lists.iter().any(|l| l.iter().any(|m| asks_pam(m)) && l.iter().all(|m| self.has(m)))
    }
}

/// Whether the method asks PAM's `auth` lines.
fn asks_pam(method: &str) -> bool {
    matches!(method.split(':').next(), Some("keyboard-interactive" | "password"))
}

/// sshd's configuration files, drop-ins first, as Debian and Fedora include them.
pub(super) fn config_files(host: &Host) -> Vec<PathBuf> {
    let folder = host.inside(Path::new("/etc/ssh/sshd_config.d"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .map(|path| host.shown(&path))
        .collect();
    files.sort();
    files.push(MAIN_FILE.into());
    files
}
