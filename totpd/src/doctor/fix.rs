//! The fixes of `--fix`: owners and modes of totpd's files, and totpd's units. They never change
//! other programs' files.

use super::system::{Host, Programs};
use crate::folder::{Folder, Owner};
use nix::unistd::{Gid, Uid};
use std::path::PathBuf;

/// A fix that doctor may apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Commands about totpd's units and folders, in order.
    Run(Vec<&'static str>),
    /// The owner and mode of one of totpd's files, by its path on the host.
    Access {
        /// The file.
        path: PathBuf,
        /// The new owner's name, uid and gid.
        owner: Option<(String, u32, u32)>,
        /// The new mode.
        mode: Option<u32>,
    },
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(commands) => f.write_str(&commands.join(" && ")),
            Self::Access { path, owner, mode } => {
                let path = path.display();
                if let Some((name, ..)) = owner {
                    write!(f, "chown {name}: {path}")?;
                }
                let and = if owner.is_some() { " && " } else { "" };
                mode.map_or(Ok(()), |mode| write!(f, "{and}chmod {mode:04o} {path}"))
            }
        }
    }
}

impl Fix {
    /// Applies the fix.
    ///
    /// # Errors
    /// What did not work.
    pub fn apply(&self, host: &Host, programs: &dyn Programs) -> Result<(), String> {
        match self {
            Self::Run(commands) => commands.iter().try_for_each(|command| {
                let words: Vec<&str> = command.split(' ').collect();
                let output =
                    programs.run(&words).ok_or_else(|| format!("{command}: the command could not be run"))?;
                let why = output.stderr.lines().next().unwrap_or("it failed");
                if output.success { Ok(()) } else { Err(format!("{command}: {why}")) }
            }),
            Self::Access { path, owner, mode } => {
                let failed = |error: std::io::Error| format!("{}: {error}", path.display());
                let inside = host.inside(path);
                let none = || std::io::Error::other("it has no folder");
                let (folder, name) =
                    inside.parent().zip(inside.file_name()).ok_or_else(none).map_err(failed)?;
                let owner = owner
                    .as_ref()
                    .map(|(_, uid, gid)| Owner { uid: Uid::from_raw(*uid), gid: Gid::from_raw(*gid) });
                // Through folders that only root can change, and by descriptor, so that the owner
                // of the last folder cannot redirect it.
                let folder = Folder::open(folder).map_err(failed)?;
                folder.set_access(&name.to_string_lossy(), owner, *mode).map_err(failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::system::NoPrograms;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    #[test]
    fn a_fix_follows_no_link_and_changes_no_file_with_two_names() {
        let scratch =
            tempfile::Builder::new().tempdir_in("/var/lib").or_else(|_| tempfile::tempdir()).unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
        let make = |name: &str| {
            std::fs::write(root.join(name), "x").unwrap();
            std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(0o644)).unwrap();
        };
        make("key");
        make("roots");
        symlink(root.join("roots"), root.join("link")).unwrap();
        make("one");
        std::fs::hard_link(root.join("one"), root.join("two")).unwrap();
        let host = Host::of_tree(&root, Path::new("/etc/totpd/totpd.toml"));
        let fix = |name: &str| {
            let path = Path::new("/").join(name);
            Fix::Access { path, owner: None, mode: Some(0o400) }.apply(&host, &NoPrograms)
        };
        let mode = |name: &str| std::fs::metadata(root.join(name)).unwrap().mode() & 0o777;
        fix("key").unwrap();
        assert_eq!(mode("key"), 0o400);
        for name in ["link", "one", "missing"] {
            assert!(fix(name).is_err(), "{name}");
        }
        assert_eq!((mode("roots"), mode("one")), (0o644, 0o644));
    }

    #[test]
    fn a_fix_is_shown_as_its_command() {
        let path = PathBuf::from("/etc/totpd/totpd.key");
        let both = Fix::Access { path, owner: Some(("totpd".into(), 990, 990)), mode: Some(0o400) };
        assert_eq!(both.to_string(), "chown totpd: /etc/totpd/totpd.key && chmod 0400 /etc/totpd/totpd.key");
        let run = Fix::Run(vec!["systemctl unmask totpd.socket", "systemctl start totpd.socket"]);
        assert_eq!(run.to_string(), "systemctl unmask totpd.socket && systemctl start totpd.socket");
    }
}
