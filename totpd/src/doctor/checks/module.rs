//! Checks the module's file: it exists, is complete, is of this release, and is the one that
//! programs have loaded.

use super::services::protected;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, few};
use crate::doctor::stack::is_near;
use crate::doctor::system::Host;
use crate::pam_config::{Entry, Facility, MODULE};
use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mark before the version in the file (pam_totp/src/lib.rs).
const VERSION_MARK: &[u8] = b"totpd-module-version=";
/// The most bytes to read of the file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Rows about the module.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let mut found = typo(host);
    let mut looked_at = BTreeSet::new();
    for service in protected(host) {
        for entry in service.auth.ours() {
            let path = file_of(host, &entry.line.module);
            if looked_at.insert(path.clone()) {
                found.extend(of_file(host, &path, entry));
            }
        }
    }
    found.extend(loaded(host));
    found
}

/// The path at which libpam looks for this module.
fn file_of(host: &Host, module: &str) -> PathBuf {
    if module.starts_with('/') {
        return module.into();
    }
    let folders = folders(host);
    let with = |folder: &&PathBuf| host.stat(folder.join(module)).is_ok();
    let folder = folders.iter().find(with).or(folders.first());
    folder.map_or_else(|| Path::new("/usr/lib/security").join(module), |folder| folder.join(module))
}

/// The folders of modules: those with pam_unix.so.
fn folders(host: &Host) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["/usr/lib64", "/usr/lib", "/lib64", "/lib"] {
        folders.push(Path::new(lib).join("security"));
        let triplets = std::fs::read_dir(host.inside(Path::new(lib))).into_iter().flatten().flatten();
        let names = triplets.filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.filter(|name| name.contains("-linux-"));
        folders.extend(names.map(|name| Path::new(lib).join(name).join("security")));
    }
    folders.retain(|folder| host.stat(folder.join("pam_unix.so")).is_ok());
    folders
}

/// Row "module file missing, truncated, of another version".
fn of_file(host: &Host, path: &Path, entry: &Entry) -> Option<Finding> {
    let (file, line) = (host.shown(&entry.file), entry.line.number);
    let shown = path.display();
    let find = |kind, what: String, cure: &str| {
        Some(Finding::new(kind, shown.to_string(), what).cure(cure).at(&file, line))
    };
    let install = "Install the package of totpd again";
    let Ok(metadata) = std::fs::metadata(host.inside(path)) else {
        return find(
            &kinds::MODULE_MISSING,
            format!("{shown} is missing, and line {line} needs it"),
            install,
        );
    };
    if metadata.mode() & 0o022 != 0 || (host.is_live() && metadata.uid() != 0) {
        let cure = format!("Run: chown root: {shown} && chmod 0644 {shown}");
        return find(&kinds::MODULE_WRITABLE, format!("users other than root can change {shown}"), &cure);
    }
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(host.inside(path)).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    let broken =
        read.err().map(|error| error.to_string()).or_else(|| damaged(&bytes)).or_else(|| dlopen(host, path));
    if let Some(why) = broken {
        return find(&kinds::MODULE_BROKEN, format!("{shown} cannot be loaded: {why}"), install);
    }
    let version = version_of(&bytes).unwrap_or_else(|| "an unknown version".to_owned());
    if version != env!("CARGO_PKG_VERSION") {
        let what = format!("{shown} is version {version}, but totpd is {}", env!("CARGO_PKG_VERSION"));
        return find(&kinds::MODULE_VERSION, what, install);
    }
    None
}

/// Whether an ELF file is truncated: its section table, whose position is in its header, is at its
/// end.
fn damaged(bytes: &[u8]) -> Option<String> {
    if bytes.get(..4) != Some(b"\x7fELF") {
        return Some("it is not an ELF file".to_owned());
    }
    let is_64 = bytes.get(4) == Some(&2);
    let little = bytes.get(5) == Some(&1);
    let number = |at: usize, length: usize| -> Option<usize> {
        let field = bytes.get(at..at + length)?.iter().copied().map(usize::from);
        let join = |sum: usize, byte: usize| sum << 8 | byte;
        Some(if little { field.rev().fold(0, join) } else { field.fold(0, join) })
    };
    let (at, size, count) = if is_64 {
        (number(40, 8), number(58, 2), number(60, 2))
    } else {
        (number(32, 4), number(46, 2), number(48, 2))
    };
    let end =
        at.zip(size).zip(count).and_then(|((at, size), count)| at.checked_add(size.checked_mul(count)?));
    match end {
        Some(end) if end <= bytes.len() => None,
        _ => Some(format!("it is truncated to {} bytes", bytes.len())),
    }
}

/// The loader's error, from a separate process that loads the file with `LD_PRELOAD`.
fn dlopen(host: &Host, path: &Path) -> Option<String> {
    let preload = format!("LD_PRELOAD={}", path.display());
    let output = host.programs.run(&["env", "-i", "LD_BIND_NOW=1", &preload, "/bin/true"])?;
    let said =
        output.stderr.lines().find(|line| line.contains("cannot be preloaded") || line.contains("error"));
    said.map(|line| totp_wire::text::printable(line.trim_end_matches(": ignored."), 200))
}

fn version_of(bytes: &[u8]) -> Option<String> {
    let at =
        bytes.windows(VERSION_MARK.len()).position(|window| window == VERSION_MARK)? + VERSION_MARK.len();
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(rest.get(..end.min(64))?).ok().map(str::to_owned)
}

/// Row "typo in its name": a missing module whose name is similar to ours.
fn typo(host: &Host) -> Vec<Finding> {
    let dirs = host.pam();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for name in dirs.services() {
        let Ok(stack) = dirs.stack(&name, Facility::Auth) else { continue };
        for entry in &stack.entries {
            let module = entry.line.module_name();
            let missing = || host.stat(file_of(host, &entry.line.module)).is_err();
            let near = is_near(module);
            if near && missing() && seen.insert((entry.file.clone(), entry.line.number)) {
                let (file, line) = (host.shown(&entry.file), entry.line.number);
                let what = format!("line {line} of {} names {module}, which does not exist", file.display());
                let cure = format!("Write {MODULE} instead");
                found.push(Finding::new(&kinds::MODULE_NAME, &name, what).cure(cure).at(&file, line));
            }
        }
    }
    found
}

/// Row "loaded module ≠ installed": programs that have loaded a file that was replaced.
fn loaded(host: &Host) -> Option<Finding> {
    let processes = std::fs::read_dir(host.inside(Path::new("/proc"))).ok()?.flatten();
    let mut names = BTreeSet::new();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let maps = std::fs::read_to_string(process.path().join("maps")).unwrap_or_default();
        if maps.lines().any(|line| line.ends_with(&format!("{MODULE} (deleted)"))) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            names.insert(format!("{} (pid {pid})", name.trim()));
        }
    }
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        let what = format!("{} still use a module that was replaced", few(&names));
        Finding::new(&kinds::MODULE_OUTDATED, "processes", what)
            .cure("Restart these programs, or log out and in")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names_are_near() {
        for name in ["pam_topt.so", "pam_totpd.so", "pam-totp.so", "pam_tot.so"] {
            assert!(is_near(name), "{name}");
        }
        for name in ["pam_unix.so", "pam_oath.so", "pam_permit.so"] {
            assert!(!is_near(name), "{name}");
        }
    }

    #[test]
    fn a_file_that_ends_early_is_truncated() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(damaged(&bytes), None);
        assert!(damaged(&bytes[..bytes.len() / 2]).unwrap().contains("truncated"));
        assert!(damaged(b"#!/bin/sh\n").is_some());
        assert_eq!(version_of(b"xx totpd-module-version=1.2.3\nyy").as_deref(), Some("1.2.3"));
    }
}
