//! Where the daemon listens, also as far as a broken file still says it.

use super::Config;
use std::path::{Path, PathBuf};

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPaths {
    /// For root's programs.
    pub root: PathBuf,
    /// For everybody.
    pub login: PathBuf,
    /// For administrators.
    pub admin: PathBuf,
}

/// Root's socket lies where the module looks for it: beside the one for everybody.
pub(super) fn root_socket_beside(login: &Path) -> PathBuf {
    login.with_file_name("root.sock")
}

impl Config {
    /// Where the daemon listens.
    pub fn socket_paths(&self) -> SocketPaths {
        SocketPaths {
            root: self.root_socket.clone(),
            login: self.login_socket.clone(),
            admin: self.admin_socket.clone(),
        }
    }

    /// The sockets that a broken configuration still names, so that the daemon can refuse on them and be asked why.
    /// `None` when a line about them is what is broken.
    pub fn sockets_of_broken(text: &str) -> Option<SocketPaths> {
        let defaults = Self::defaults(Path::new("/"));
        let path = |key: &str, default: PathBuf| broken_path(text, key).unwrap_or(Some(default));
        let login = path("login_socket", defaults.login_socket)?;
        let root = path("root_socket", root_socket_beside(&login))?;
        Some(SocketPaths { root, login, admin: path("admin_socket", defaults.admin_socket)? })
    }

    /// The state folder that a broken configuration still names, or the default.
    pub(super) fn state_dir_of_broken(text: &str) -> PathBuf {
        let named = broken_path(text, "state_dir").flatten();
        named.unwrap_or_else(|| Self::defaults(Path::new("/")).state_dir)
    }
}

/// The absolute path that a top-level `key` has in a text with a mistake elsewhere: each line is read by itself. The
/// outer `None`: there is no such key. The inner one: its value is of no use.
fn broken_path(text: &str, key: &str) -> Option<Option<PathBuf>> {
    let top = text.lines().map(str::trim_start).take_while(|line| !line.starts_with('['));
    let line = top.filter(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')));
    let line = line.last()?;
    let table: Option<toml::Table> = line.parse().ok();
    let path = table.and_then(|table| Some(PathBuf::from(table.get(key)?.as_str()?)));
    Some(path.filter(|path| path.is_absolute()))
}
