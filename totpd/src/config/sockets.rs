//! The paths of the daemon's sockets, also from a file with mistakes.

use super::Config;
use super::file::folder_of;
use std::path::{Path, PathBuf};

/// The paths of the daemon's sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPaths {
    /// The socket of root's programs.
    pub root: PathBuf,
    /// The socket of every other program.
    pub login: PathBuf,
    /// The socket of administrators.
    pub admin: PathBuf,
}

/// The path of root's socket, which the module looks for beside the login socket.
pub(super) fn root_socket_beside(login: &Path) -> PathBuf {
    login.with_file_name("root.sock")
}

impl Config {
    /// The paths of the sockets.
    pub fn socket_paths(&self) -> SocketPaths {
        SocketPaths {
            root: self.root_socket.clone(),
            login: self.login_socket.clone(),
            admin: self.admin_socket.clone(),
        }
    }

    /// The sockets in a configuration with a mistake, so that the daemon can refuse on them and
    /// tell why. `None` if the mistake is in a line about them.
    pub fn sockets_of_broken(text: &str) -> Option<SocketPaths> {
        let defaults = Self::defaults(Path::new("/"));
        let path = |key: &str, default: PathBuf| Some(broken_path(text, key).ok()?.unwrap_or(default));
        let login = path("login_socket", defaults.login_socket)?;
        let root = path("root_socket", root_socket_beside(&login))?;
        Some(SocketPaths { root, login, admin: path("admin_socket", defaults.admin_socket)? })
    }

    /// The state folder that a broken configuration still names, or the default.
    pub(super) fn state_dir_of_broken(text: &str) -> PathBuf {
        let named = broken_path(text, "state_dir").ok().flatten();
        named.unwrap_or_else(|| Self::defaults(Path::new("/")).state_dir)
    }

    /// The key that a broken configuration at `path` still names, or the default. `None` when that
    /// line is what is broken.
    pub(super) fn key_file_of_broken(text: &str, path: &Path) -> Option<PathBuf> {
        let named = broken_path(text, "key_file").ok()?;
        Some(named.unwrap_or_else(|| Self::defaults(folder_of(path)).key_file))
    }
}

/// A line that should say where, and cannot be used.
struct Unusable;

/// The absolute path that a top-level `key` has in a text with a mistake elsewhere, if it has one:
/// each line is read by itself.
fn broken_path(text: &str, key: &str) -> Result<Option<PathBuf>, Unusable> {
    let top = text.lines().map(str::trim_start).take_while(|line| !line.starts_with('['));
    let is_key = |line: &&str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let Some(line) = top.filter(is_key).last() else { return Ok(None) };
    let table: toml::Table = line.parse().map_err(|_| Unusable)?;
    let path = table.get(key).and_then(toml::Value::as_str).map(PathBuf::from);
    path.filter(|path| path.is_absolute()).map(Some).ok_or(Unusable)
}
