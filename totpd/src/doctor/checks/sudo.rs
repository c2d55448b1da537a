//! Checks what sudo allows without asking PAM. `visudo -c` names the files and `cvtsudoers` the
//! users; neither names the lines, which are searched for in the files.

use super::services::protected;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, Kind, few};
use crate::doctor::system::Host;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The main file.
const SUDOERS: &str = "/etc/sudoers";
/// The most nested includes to follow in a tree.
const MAX_DEPTH: usize = 8;

/// Checks sudo, if its PAM file has totpd's line.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    if !protected(host).iter().any(|service| matches!(service.name.as_str(), "sudo" | "sudo-i")) {
        return Vec::new();
    }
    // sudo-rs has a visudo of its own, which prints less and exits as the other does.
    let checked = host.programs.run(&["visudo", "-c"]);
    if let Some(checked) = checked.as_ref().filter(|checked| !checked.success) {
        let why =
            checked.stderr.lines().chain(checked.stdout.lines()).next().unwrap_or("it failed").to_owned();
        let finding = Finding::new(&kinds::SUDOERS_CONFIG, "sudo", format!("visudo says: {why}"));
        return vec![finding.cure("Run: visudo -c, and correct what it names").at(Path::new(SUDOERS), None)];
    }
    let files = checked.map(|checked| parsed_files(&checked.stdout)).filter(|files| !files.is_empty());
    let files = files.unwrap_or_else(|| included(host, Path::new(SUDOERS), 0));
    let exempt = exempt_users(host);
    let mut found = Vec::new();
    for file in files {
        let text = host.read(&file).unwrap_or_default();
        for (number, line) in logical_lines(&text) {
            found.extend(of_line(&file, number, &line, &exempt));
            found.extend(other_service(host, &line).map(|finding| finding.at(&file, number)));
        }
    }
    found
}

/// Rows "NOPASSWD, `!authenticate`", and a timestamp that never ends.
fn of_line(file: &Path, number: usize, line: &str, exempt: &[String]) -> Option<Finding> {
    let first = line.split_whitespace().next()?;
    let about = |kind: &'static Kind, who: &str, what: String, cure: String| {
        Finding::new(kind, who, what).cure(cure).at(file, number)
    };
    let edit = |what: &str| format!("Run: visudo -f {}, and {what} in line {number}", file.display());
    let Some(settings) = first.strip_prefix("Defaults") else {
        if !line.contains("NOPASSWD") {
            return None;
        }
        let who = first.trim_end_matches(',');
        // cvtsudoers resolves aliases, but does not say of which line.
        let is_alias =
            who.len() > 1 && who.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
        let who = if is_alias && who != "ALL" && !exempt.is_empty() {
            format!("{who} (without a password in all: {})", few(exempt))
        } else {
            who.to_owned()
        };
        let commands = line.rsplit("NOPASSWD").next().unwrap_or_default();
        let commands = commands.trim_start_matches([':', ' ', '\t']);
        let what =
            format!("sudo asks {who} for nothing before: {}", totp_wire::text::printable(commands, 60));
        return Some(about(&kinds::SUDO_NOPASSWD, &who, what, edit("remove NOPASSWD:")));
    };
    let who = settings.trim_start_matches([':', '@', '!', '>']);
    let who = if who.is_empty() { "every user" } else { who };
    let rest = line.get(first.len()..)?;
    let words: Vec<&str> = rest.split(',').map(str::trim).collect();
    if words.contains(&"!authenticate") {
        let what = format!("sudo asks {who} for nothing: !authenticate");
        return Some(about(&kinds::SUDO_NOT_AUTHENTICATE, who, what, edit("remove !authenticate")));
    }
    if let Some(group) = words.iter().find_map(|word| setting(word, "exempt_group")) {
        let what = format!("sudo asks members of the group {group} for nothing: exempt_group");
        return Some(about(&kinds::SUDO_NOT_AUTHENTICATE, group, what, edit("remove exempt_group")));
    }
    let timeout = words.iter().find_map(|word| word.strip_prefix("timestamp_timeout"))?;
    let minutes: f64 = timeout.trim_start_matches([' ', '=']).trim_matches('"').parse().ok()?;
    (minutes < 0.0).then(|| {
        let what = format!("sudo asks {who} only once until the next boot: timestamp_timeout is {minutes}");
        about(&kinds::SUDO_NEVER_ASKS_AGAIN, who, what, edit("write timestamp_timeout=15 or less"))
    })
}

/// The value of a setting of this name: `exempt_group = sudo`.
fn setting<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let value = word.strip_prefix(name)?.trim_start().strip_prefix('=')?;
    Some(value.trim().trim_matches('"'))
}

/// A setting that makes sudo use another PAM service, which has no line of totpd.
fn other_service(host: &Host, line: &str) -> Option<Finding> {
    let settings = line.strip_prefix("Defaults")?;
    let (_, settings) = settings.split_once([' ', '\t'])?;
    let of_word = |word: &str| {
        let name = |key| setting(word.trim(), key).map(|service| (key, service.to_owned()));
        ["pam_service", "pam_login_service", "pam_askpass_service"].into_iter().find_map(name)
    };
    let asks = |service: &str| protected(host).iter().any(|protected| protected.name == service);
    let (key, service) = settings.split(',').filter_map(of_word).find(|(_, service)| !asks(service))?;
    let what = format!("sudo uses the PAM service {service} ({key}), which asks for no code");
    let cure = format!("Remove {key}, or run: totpd pam enable {service}");
    Some(Finding::new(&kinds::SIBLING_WITHOUT_CODE, service, what).cure(cure))
}

/// The files that visudo has read, from lines such as `/etc/sudoers.d/alice: parsed OK`.
fn parsed_files(text: &str) -> Vec<PathBuf> {
    text.lines().filter_map(|line| line.strip_suffix(": parsed OK")).map(PathBuf::from).collect()
}

/// The files of a tree, found by `@include` and `@includedir` lines.
fn included(host: &Host, file: &Path, depth: usize) -> Vec<PathBuf> {
    let mut files = vec![file.to_owned()];
    let text = host.read(file).unwrap_or_default();
    for line in text.lines().filter(|_| depth < MAX_DEPTH) {
        let mut words = line.split_whitespace();
        let (word, path) = (words.next().unwrap_or_default(), words.next().map(PathBuf::from));
        match (word.trim_start_matches(['@', '#']), path) {
            ("include", Some(path)) if word != "include" => files.extend(included(host, &path, depth + 1)),
            ("includedir", Some(path)) if word != "includedir" => {
                let entries = std::fs::read_dir(host.inside(&path)).into_iter().flatten().flatten();
                let mut names: Vec<String> =
                    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
                names.sort();
                // sudoers(5): files that end in ~ or have a dot are left out.
                let names = names.iter().filter(|name| !name.ends_with('~') && !name.contains('.'));
                files.extend(names.flat_map(|name| included(host, &path.join(name), depth + 1)));
            }
            _ => {}
        }
    }
    files
}

/// The users and groups whom some rule asks for nothing, from cvtsudoers, which resolves aliases.
fn exempt_users(host: &Host) -> Vec<String> {
    let text = host.output(&["cvtsudoers", "-e", "-f", "json", SUDOERS]).unwrap_or_default();
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut names = BTreeSet::new();
    for spec in list(&document, "User_Specs") {
        let free = |commands: &Value| list(commands, "Options").iter().any(|o| o["authenticate"] == false);
        if list(&spec, "Cmnd_Specs").iter().any(free) {
            let members = list(&spec, "User_List");
            let member = |member: &Value| {
                let group = member["usergroup"].as_str().map(|group| format!("%{group}"));
                member["username"].as_str().map(str::to_owned).or(group)
            };
            names.extend(members.iter().filter_map(member));
        }
    }
    names.into_iter().collect()
}

/// The lines with their numbers, without comments. A continued line is one line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let (mut lines, mut pending) = (Vec::new(), None::<(usize, String)>);
    for (at, line) in text.lines().enumerate() {
        let (number, mut whole) = pending.take().unwrap_or((at + 1, String::new()));
        // "#" and digits are a uid, and "#include" an old form of "@include".
        let comment = line.find('#').filter(|at| !line[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        let line = comment.map_or(line, |at| &line[..at]);
        if let Some(more) = line.strip_suffix('\\') {
            whole.push_str(more);
            pending = Some((number, whole));
            continue;
        }
        whole.push_str(line);
        if !whole.trim().is_empty() {
            lines.push((number, whole.trim().to_owned()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_skipped_and_continued_lines_are_joined() {
        let text =
            "# x NOPASSWD\nalice ALL=(ALL) \\\n  NOPASSWD: ALL # why\n#1000 ALL=(ALL) NOPASSWD: /bin/ls\n";
        let lines = logical_lines(text);
        assert_eq!(lines[0], (2, "alice ALL=(ALL)   NOPASSWD: ALL".to_owned()));
        assert_eq!(lines[1].0, 4);
        let found = of_line(Path::new(SUDOERS), 2, &lines[0].1, &[]).unwrap();
        assert_eq!((found.kind.id, found.subject.as_str()), ("sudo-nopasswd", "alice"));
        assert!(found.what.ends_with("before: ALL"), "{}", found.what);
    }

    #[test]
    fn defaults_apply_to_the_users_that_they_name() {
        let find = |line: &str| of_line(Path::new(SUDOERS), 1, line, &[]).map(|f| (f.kind.id, f.subject));
        assert_eq!(
            find("Defaults:bob env_reset, !authenticate"),
            Some(("sudo-not-authenticate", "bob".into()))
        );
        assert_eq!(
            find("Defaults timestamp_timeout=-1"),
            Some(("sudo-never-asks-again", "every user".into()))
        );
        assert_eq!(
            find("Defaults env_reset, exempt_group = ops"),
            Some(("sudo-not-authenticate", "ops".into()))
        );
        assert_eq!(find("Defaults timestamp_timeout = 5, authenticate"), None);
        assert_eq!(find("alice ALL=(ALL:ALL) ALL"), None);
    }
    #[test]
    fn sudo_with_another_pam_service_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("sudo"), "auth required pam_unix.so\nauth required pam_totp.so\n")
            .unwrap();
        std::fs::write(folder.join("plain"), "auth required pam_unix.so\n").unwrap();
        let host = Host::of_tree(scratch.path(), Path::new("/etc/totpd/totpd.toml"));
        let find = |line: &str| other_service(&host, line).map(|f| (f.kind.id, f.subject));
        let without = Some(("sibling-without-code", "plain".to_owned()));
        assert_eq!(find("Defaults pam_service=plain"), without);
        assert_eq!(find("Defaults:bob env_reset, pam_login_service = \"plain\""), without);
        for line in ["Defaults pam_service=sudo", "Defaults env_reset", "plain ALL=(ALL) ALL"] {
            assert_eq!(find(line), None, "{line}");
        }
    }
}
