//! Reads the file: for the daemon, for a command, or as text.

use super::file::{ConfigFile, folder_of};
use super::{Config, ConfigError, ConfigProblem, Loaded, last_good, raw};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The path of the configuration without `--config`.
pub const DEFAULT_PATH: &str = "/etc/totpd/totpd.toml";

impl Config {
    /// Reads and checks the file for the daemon. Only root and the daemon's user may be able to
    /// change it.
    ///
    /// # Errors
    /// [`ConfigError`], with line and column where there is one.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let of_file = |error| ConfigError::of_file(path, error);
        if is_default_and_absent(path) {
            return Ok(Loaded { config: Self::without_file(path)?, text: None });
        }
        let file = ConfigFile::read(path).map_err(of_file)?;
        file.check_owner(&[nix::unistd::geteuid().as_raw()]).map_err(of_file)?;
        let config = Self::parse(&file.text, path)?;
        Ok(Loaded { config, text: Some(file.text) })
    }

    /// The defaults, on a host that never had a file. A host that had one is not served without its
    /// rules.
    fn without_file(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::defaults(folder_of(path));
        let Some(copy) = last_good::kept(&config.state_dir) else { return Ok(config) };
        let (file, copy) = (path.display(), copy.display());
        let what = format!(
            "the file is missing, but this host had one ({copy}). Restore it; to use the defaults, run: touch {file}"
        );
        Err(ConfigError { location: file.to_string(), what, problem: ConfigProblem::Unreadable })
    }

    /// Reads and checks the file for a command, which another user may run. The owner of the state
    /// folder counts as the daemon's user.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_for_command(path: &Path) -> Result<Self, ConfigError> {
        let of_file = |error| ConfigError::of_file(path, error);
        if is_default_and_absent(path) {
            return Self::without_file(path);
        }
        let file = ConfigFile::read(path).map_err(of_file)?;
        let config = Self::parse(&file.text, path)?;
        let daemon = std::fs::metadata(&config.state_dir).map(|folder| folder.uid()).ok();
        let users: Vec<u32> = daemon.into_iter().chain([nix::unistd::geteuid().as_raw()]).collect();
        file.check_owner(&users).map_err(of_file)?;
        Ok(config)
    }

    /// The same configuration, if `[http]` is valid too: a reload requires it, although a start
    /// does not.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn require_valid(self, path: &Path) -> Result<Self, ConfigError> {
        match &self.http {
            Ok(_) => Ok(self),
            Err(what) => Err(ConfigError::content(path, what.clone())),
        }
    }

    /// Parses and checks `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let folder = folder_of(path);
        let raw: raw::Raw = toml::from_str(text).map_err(|error| {
            // Not the rendered error, which quotes the line.
            let offset = error.span().map_or(0, |span| span.start);
            let what = error.message().to_owned();
            ConfigError { location: location(path, text, offset), what, problem: ConfigProblem::Content }
        })?;
        raw.check(Self::defaults(folder), |offset| line_and_column(text, offset).0)
            .map_err(|what| ConfigError::content(path, what))
    }
}

/// Whether this is the default path and no file or link exists there: the host was never
/// configured, and the defaults ask every user. A file that was named with `--config` must exist.
fn is_default_and_absent(path: &Path) -> bool {
    path == Path::new(DEFAULT_PATH)
        && path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn location(path: &Path, text: &str, offset: usize) -> String {
    let (line, column) = line_and_column(text, offset);
    format!("{}:{line}:{column}", path.display())
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}
