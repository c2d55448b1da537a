//! Builds the stack of a service: its lines with what they include, in libpam's order.

use super::authenticators::is_authenticator_module;
use super::line::{Control, Facility, Line, Malformed, parse};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// libpam's limit of nested includes (`PAM_SUBSTACK_MAX_LEVEL` in pam_handlers.c).
const MAX_DEPTH: usize = 16;
/// The most bytes of a service file, which usually has a few hundred.
const MAX_BYTES: u64 = 256 * 1024;

/// The folders of service files. libpam reads the file in the first folder that has one.
#[derive(Clone, Debug)]
pub struct ConfigDirs {
    folders: Vec<PathBuf>,
    /// Files that are read as if they had this text.
    proposed: BTreeMap<PathBuf, String>,
}

/// A module in a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file of the line.
    pub file: PathBuf,
    /// The line.
    pub line: Line,
    /// How many substacks contain it.
    pub level: usize,
    /// The number of its substack; 0 outside of a substack.
    pub substack: usize,
}

/// A line that libpam cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub number: usize,
    /// What is wrong, as the end of a sentence that begins with the line's number.
    pub why: String,
}

/// The modules of one type of a service, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The service.
    pub service: String,
    /// The service's file, or that of `other`.
    pub file: PathBuf,
    /// The modules.
    pub entries: Vec<Entry>,
    /// The lines that libpam cannot use. A missing or unreadable file makes the whole stack fail.
    pub troubles: Vec<Trouble>,
}

impl Stack {
    /// The lines of totpd's module.
    pub fn ours(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.line.is_ours())
    }
}

/// Whether the module of this line authenticates users. Unknown modules do not count as such.
pub fn is_authenticator(entry: &Entry) -> bool {
    is_authenticator_module(entry.line.module_name())
}

impl ConfigDirs {
    /// The folders of the system at `root`, which are those of Linux-PAM 1.7.
    pub fn of(root: &Path) -> Self {
        let folders = ["etc/pam.d", "usr/lib/pam.d", "usr/share/pam.d"];
        let folders = folders.into_iter().map(|folder| root.join(folder)).collect();
        Self { folders, proposed: BTreeMap::new() }
    }

    /// The same files, except that `file` has `text`.
    #[must_use]
    pub fn with(&self, file: &Path, text: &str) -> Self {
        let mut changed = self.clone();
        changed.proposed.insert(file.to_owned(), text.to_owned());
        changed
    }

    /// Reads a service file.
    ///
    /// # Errors
    /// The file system's error, or that the file is too long for a service file.
    pub fn read(&self, file: &Path) -> std::io::Result<String> {
        self.proposed.get(file).map_or_else(|| read(file), |text| Ok(text.clone()))
    }

    /// The file of a service, if there is one.
    pub fn file(&self, service: &str) -> Option<PathBuf> {
        // A service is a file name, never a path.
        if service.is_empty() || service.contains('/') || service.starts_with('.') {
            return None;
        }
        let is_there = |path: &PathBuf| self.proposed.contains_key(path) || path.is_file();
        self.folders.iter().map(|folder| folder.join(service)).find(is_there)
    }

    /// The path of this service's file in /etc/pam.d, whether or not it exists.
    pub fn own(&self, service: &str) -> PathBuf {
        self.folders.first().map(|folder| folder.join(service)).unwrap_or_default()
    }

    /// A package's file of this service, which libpam reads only without one in /etc/pam.d.
    pub fn packaged(&self, service: &str) -> Option<PathBuf> {
        self.folders.iter().skip(1).map(|folder| folder.join(service)).find(|path| path.is_file())
    }

    /// The services with `auth` lines of their own that authenticate users, or that ask for a code.
    /// For a service without such lines libpam uses `other`, which refuses.
    pub fn authenticating(&self) -> Vec<String> {
        let checks = |service: &String| {
            let own = self.stack(service, Facility::Auth).ok();
            own.filter(|stack| Some(&stack.file) == self.file(service).as_ref() && service != "other")
                .is_some_and(|stack| {
                    stack.entries.iter().any(is_authenticator) || stack.ours().next().is_some()
                })
        };
        self.services().into_iter().filter(checks).collect()
    }

    /// The stack of one type that this file would be, as the file of this service.
    pub fn stack_of_file(&self, service: &str, file: &Path, facility: Facility) -> Stack {
        self.collect(service, file, facility)
    }

    /// The names of all service files, including those that other files only include.
    pub fn names(&self) -> BTreeSet<String> {
        let entries =
            self.folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| is_service_name(name) && self.file(name).is_some()).collect()
    }

    /// The services, without files that other files only include. `other` is one of them.
    pub fn services(&self) -> BTreeSet<String> {
        let names = self.names();
        let mut included = BTreeSet::new();
        for name in &names {
            let Some(text) = self.file(name).and_then(|file| self.read(&file).ok()) else { continue };
            let (lines, _) = parse(&text);
            let includes = lines.iter().filter(|l| matches!(l.control, Control::Include | Control::Substack));
            included.extend(includes.map(|line| line.module_name().to_owned()));
        }
        // A service may include another one: on some hosts "gdm-fingerprint" includes
        // "gdm-password".
        let is_service = |name: &String| {
            let shared =
                name.starts_with("common-") || name.ends_with("-auth") || name.starts_with("postlogin");
            !(included.contains(name) || shared) || KNOWN_SERVICES.contains(&name.as_str())
        };
        names.into_iter().filter(is_service).collect()
    }

    /// The stack of a service. It is that of `other` if the service has no file, or no line of this
    /// type.
    ///
    /// # Errors
    /// Why there is no stack.
    pub fn stack(&self, service: &str, facility: Facility) -> Result<Stack, String> {
        let own = self.file(service);
        let file = own.clone().or_else(|| self.file("other"));
        let file =
            file.ok_or_else(|| format!("there is no PAM service {service}, and no \"other\" instead"))?;
        let mut stack = self.collect(service, &file, facility);
        let other = self.file("other");
        if stack.entries.is_empty()
            && stack.troubles.is_empty()
            && let (Some(_), Some(other)) = (own, other)
        {
            stack = self.collect(service, &other, facility);
        }
        Ok(stack)
    }

    fn collect(&self, service: &str, file: &Path, facility: Facility) -> Stack {
        let mut stack = Stack {
            service: service.to_owned(),
            file: file.to_owned(),
            entries: Vec::new(),
            troubles: Vec::new(),
        };
        let mut substacks = 0;
        self.read_into(&mut stack, file, facility, (0, 0), 0, &mut substacks);
        stack
    }

    fn read_into(
        &self,
        stack: &mut Stack,
        file: &Path,
        facility: Facility,
        (level, substack): (usize, usize),
        depth: usize,
        substacks: &mut usize,
    ) {
        let trouble = |number: usize, why: String| Trouble { file: file.to_owned(), number, why };
        let text = match self.read(file) {
            Ok(text) => text,
            Err(error) => return stack.troubles.push(trouble(1, format!("cannot be read: {error}"))),
        };
        let (lines, malformed) = parse(&text);
        stack
            .troubles
            .extend(malformed.into_iter().map(|Malformed { number, why }| trouble(number, why.to_owned())));
        for line in lines.into_iter().filter(|line| line.facility.is_none_or(|of| of == facility)) {
            let position = match line.control {
                Control::Include => (level, substack),
                Control::Substack => {
                    *substacks += 1;
                    (level + 1, *substacks)
                }
                Control::Unreadable | Control::Actions { .. } => {
                    if line.control == Control::Unreadable {
                        let why = format!(
                            "libpam cannot read its control \"{}\", so every answer fails",
                            line.control_text
                        );
                        stack.troubles.push(trouble(line.number, why));
                    }
                    stack.entries.push(Entry { file: file.to_owned(), line, level, substack });
                    continue;
                }
            };
            match self.included(&line.module) {
                Some(next) if depth < MAX_DEPTH => {
                    self.read_into(stack, &next, facility, position, depth + 1, substacks);
                }
                Some(_) => {
                    stack.troubles.push(trouble(line.number, "includes files in a circle".to_owned()));
                }
                None => {
                    let why = format!("includes {}, which does not exist", line.module);
                    stack.troubles.push(trouble(line.number, why));
                }
            }
        }
    }

    /// The file that an include names, by its name in the folders or by its path.
    pub(super) fn included(&self, name: &str) -> Option<PathBuf> {
        if !name.starts_with('/') {
            return self.file(name);
        }
        // An absolute path is in the same tree: its root is two levels above etc/pam.d.
        let root = self.folders.first()?.ancestors().nth(2)?;
        Some(root.join(name.trim_start_matches('/'))).filter(|path| path.is_file())
    }
}

/// Services that other files include, and that programs use under their own name too.
const KNOWN_SERVICES: [&str; 7] = ["login", "su", "sudo", "sshd", "gdm-password", "passwd", "remote"];

/// Whether a file of this name is a service file, and not a backup of an editor or a package
/// manager.
fn is_service_name(name: &str) -> bool {
    let left = [".dpkg-", ".rpm", ".ucf-", ".bak", ".orig", ".pam-old", ".swp"];
    !name.starts_with('.') && !name.ends_with('~') && !left.iter().any(|part| name.contains(part))
}

fn read(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is too long for a PAM service file"));
    }
    // libpam reads bytes. Those that are not UTF-8 are in comments.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let scratch = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = scratch.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(scratch)
        }

        fn modules(&self, service: &str) -> Vec<String> {
            let stack = ConfigDirs::of(self.0.path()).stack(service, Facility::Auth).unwrap();
            stack.entries.iter().map(|entry| entry.line.module.clone()).collect()
        }
    }

    #[test]
    fn a_stack_has_what_its_files_include_in_libpams_order() {
        let tree = Tree::new(&[
            ("etc/pam.d/sudo", "session required x.so\n@include common-auth\nauth required pam_totp.so\n"),
            ("etc/pam.d/common-auth", "auth required pam_unix.so\naccount required y.so\n"),
            ("usr/lib/pam.d/sudo", "auth required never.so\n"),
            ("usr/lib/pam.d/vendor", "auth include sudo\n"),
            ("etc/pam.d/other", "auth required pam_deny.so\n"),
            ("etc/pam.d/cron", "account required pam_unix.so\n"),
        ]);
        assert_eq!(tree.modules("sudo"), ["pam_unix.so", "pam_totp.so"]);
        assert_eq!(tree.modules("vendor"), ["pam_unix.so", "pam_totp.so"]);
        assert_eq!(tree.modules("none-such"), ["pam_deny.so"]);
        // No line of this type: "other" is used instead.
        assert_eq!(tree.modules("cron"), ["pam_deny.so"]);
    }

    #[test]
    fn a_circle_of_includes_and_a_missing_file_are_reported() {
        let tree = Tree::new(&[
            ("etc/pam.d/a", "auth include b\n"),
            ("etc/pam.d/b", "\nauth include a\nauth include c\n"),
        ]);
        let stack = ConfigDirs::of(tree.0.path()).stack("a", Facility::Auth).unwrap();
        assert!(stack.entries.is_empty());
        assert!(stack.troubles.iter().any(|t| t.why.contains("in a circle")));
        let missing = stack.troubles.iter().find(|t| t.why == "includes c, which does not exist").unwrap();
        assert_eq!((missing.number, missing.file.file_name().unwrap()), (3, "b".as_ref()));
    }

    #[test]
    fn included_files_and_backups_are_not_services() {
        let tree = Tree::new(&[
            ("etc/pam.d/sudo", "@include common-auth\n"),
            ("etc/pam.d/sudo-i", "auth include sudo\n"),
            ("etc/pam.d/common-auth", "auth required pam_unix.so\n"),
            ("etc/pam.d/sudo.dpkg-old", ""),
            ("etc/pam.d/sshd~", ""),
        ]);
        let services = ConfigDirs::of(tree.0.path()).services();
        assert_eq!(services.into_iter().collect::<Vec<_>>(), ["sudo", "sudo-i"]);
    }
}
