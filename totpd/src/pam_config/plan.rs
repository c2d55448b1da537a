//! Plans the change of one service file, and refuses files that it does not understand.
//!
//! The lines, by what proves the first factor ([`FirstFactor`]):
//!
//! | | require | rules | monitor |
//! | --- | --- | --- | --- |
//! | the stack | the include becomes a `substack`, then ours | ours with `first_factor=passed` after the include | the same, `optional` |
//! | sshd | ours instead of the include, below a `pam_exec` that wants a key | the same, and `pam_permit` | – |
//! | either | `pam_exec` skips the substack when a key was shown | the same, with two lines of ours | – |
//! | a locker's one field | ours before the first factor: [`locker`] | the same | – |
//!
//! A `substack` confines a `die`: an included common-auth of Debian ends the whole stack at a wrong
//! password, and the missing prompt for the code would tell an attacker. It confines a `done` too:
//! Fedora's system-auth ends the whole stack at a right password, before the code.

use super::anchor::{PlanOptions, anchor};
use super::block::{self, Mode, Position};
use super::line::{Control, Facility, Line};
use super::locker;
use super::proof::{FirstFactor, StackChange, describe};
use super::stack::{ConfigDirs, Entry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The control of the line that requires a key: an sshd with another configuration (`-f`, `-o`) may
/// ask PAM without one, and the code would be the only factor.
///
/// Its success is ignored, so that under `require` no user is exempt. In sshd's parent, which sets
/// the credentials and has asked no module before, `pam_exec` answers "ignore".
const KEY_OR_DIE: &str = "[success=ignore ignore=ignore default=die]";

/// The change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file.
    pub file: PathBuf,
    /// Its content; `None` if it does not exist, and a package's file is read in its place.
    pub old: Option<String>,
    /// Its content after the change.
    pub new: String,
}

/// The plan for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// Its file is changed.
    Edit(Edit),
    /// Its stack includes this file, which is changed or already asks.
    Covered(PathBuf),
    /// It already asks in this way.
    Already,
}

/// Plans the change of `service`.
///
/// # Errors
/// Why the service is refused, and what to do.
pub fn plan(dirs: &ConfigDirs, service: &str, options: &PlanOptions) -> Result<Planned, String> {
    let (file, from) = own_file(dirs, service)?;
    if let Some(why) = locker::without_field(service) {
        return Err(why);
    }
    let text = dirs.read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
    let in_file = |why: String| format!("{}: {why}", file.display());
    // Bytes that are not UTF-8 could not be written back.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(in_file("it has bytes that are not UTF-8. Edit it by hand".to_owned()));
    }
    let plain = block::strip(&text).map_err(in_file)?;
    if locker::is_locker(service) {
        let new = locker::propose(dirs, service, (&file, &plain), options)?;
        return Ok(edited(file, &from, text, new));
    }
    let stripped = dirs.with(&file, &plain);
    let before = stripped.stack(service, Facility::Auth)?;
    if let Some(trouble) = before.troubles.first() {
        return Err(format!("{}:{} {}", trouble.file.display(), trouble.number, trouble.why));
    }
    if let Some(ours) = before.ours().next() {
        return if in_a_block(dirs, ours)? {
            Ok(Planned::Covered(ours.file.clone()))
        } else {
            Err(format!(
                "{} already asks for a code, outside of totpd's blocks. Remove that line first",
                describe(ours)
            ))
        };
    }
    let anchor = anchor(&stripped, &plain, &before)?;
    let new = propose(&stripped, service, &file, &plain, &anchor, options)?;
    Ok(edited(file, &from, text, new))
}

fn edited(file: PathBuf, from: &Path, text: String, new: String) -> Planned {
    if new == text {
        return Planned::Already;
    }
    let old = (file == from).then_some(text);
    Planned::Edit(Edit { file, old, new })
}

/// The service's file in /etc/pam.d, and the file with its text. A package's file is never changed,
/// because an update would replace it: libpam reads a copy in /etc/pam.d instead.
fn own_file(dirs: &ConfigDirs, service: &str) -> Result<(PathBuf, PathBuf), String> {
    let found = dirs.file(service).ok_or_else(|| format!("there is no PAM service {service}"))?;
    let file = dirs.own(service);
    // A path that exists and is not a file is refused below.
    if found != file && std::fs::symlink_metadata(&file).is_err() {
        return Ok((file, found));
    }
    let metadata =
        std::fs::symlink_metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(&file).unwrap_or_default();
        return Err(format!(
            "{} is a link to {}, so another program manages it. Add the lines there by hand",
            file.display(),
            target.display()
        ));
    }
    if !metadata.is_file() || metadata.nlink() > 1 || metadata.mode() & 0o022 != 0 {
        return Err(format!("{} is not a file that root alone may write", file.display()));
    }
    Ok((file.clone(), file))
}

/// Whether a line is in a block of totpd.
pub fn in_a_block(dirs: &ConfigDirs, entry: &Entry) -> Result<bool, String> {
    let in_file = |why: String| format!("{}: {why}", entry.file.display());
    let text = dirs.read(&entry.file).map_err(|error| in_file(error.to_string()))?;
    let blocks = block::find(&text).map_err(in_file)?;
    Ok(blocks.iter().any(|block| (block.first..=block.last).contains(&entry.line.number)))
}

/// Tries the candidate blocks, and returns the text with the first one that is proved.
fn propose(
    dirs: &ConfigDirs,
    service: &str,
    file: &Path,
    text: &str,
    anchor: &Line,
    options: &PlanOptions,
) -> Result<String, String> {
    let before = dirs.stack(service, Facility::Auth)?;
    let mut refused = String::new();
    for (position, lines) in candidates(anchor, options) {
        if matches!(position, Position::Replace(_)) {
            refuse_other_types(dirs, anchor)?;
        }
        let new = block::insert(text, position, service, options.mode, &lines);
        let changed = dirs.with(file, &new);
        let after = changed.stack(service, Facility::Auth)?;
        let proved = StackChange::new((&before, &after), options.mode, options.first, &changed)
            .and_then(|change| change.prove());
        match proved {
            Ok(()) => return Ok(new),
            Err(why) => refused = why,
        }
    }
    let hint = match options.mode {
        Mode::Rules => ". Its first factor does not end the stack when it fails. Try --mode require",
        Mode::Require | Mode::Monitor => "",
    };
    Err(format!("{refused}{hint}"))
}

/// The candidate blocks, the best one first.
fn candidates(anchor: &Line, options: &PlanOptions) -> Vec<(Position, Vec<String>)> {
    let (number, arguments) = (anchor.number, options.arguments);
    let ours = |control: &str, more: &str| format!("auth    {control}    pam_totp.so{more}{arguments}");
    let include = matches!(anchor.control, Control::Include | Control::Substack);
    let substack = format!("auth    substack    {}", anchor.module);
    let as_it_is = match (include, anchor.facility) {
        (true, None) => format!("@include {}", anchor.module),
        (true, Some(_)) => format!("auth    {}    {}", anchor.control_text, anchor.module),
        (false, _) => String::new(),
    };
    let key_shown = |control: &str| {
        format!("auth    {control}    pam_exec.so quiet {} pam ssh-key-shown", options.program.display())
    };
    let passed = " first_factor=passed";
    let key_first =
        "# A key that sshd has verified comes first, whichever file sshd was started with.".to_owned();
    match (options.first, options.mode) {
        (FirstFactor::Stack, Mode::Require) => {
            let mut candidates = vec![(Position::After(number), vec![ours("required", "")])];
            if include {
                candidates.push((Position::Replace(number), vec![substack, ours("required", "")]));
            }
            candidates
        }
        (FirstFactor::Stack, Mode::Rules) => vec![(Position::After(number), vec![ours("required", passed)])],
        (_, Mode::Monitor) => {
            let observer = |more| ours("optional", &format!("{more} timeout=2"));
            let mut candidates = vec![
                (Position::After(number), vec![observer(passed)]),
                (Position::After(number), vec![observer("")]),
            ];
            if include {
                candidates.push((Position::Replace(number), vec![substack, observer("")]));
            }
            candidates
        }
        (FirstFactor::OneField, _) => Vec::new(),
        // A block for sshd replaces the first factor's line, and only an include is known to be
        // nothing else.
        (_, _) if !include => Vec::new(),
        (FirstFactor::Sshd, Mode::Require) => {
            vec![(Position::Replace(number), vec![key_first, key_shown(KEY_OR_DIE), ours("required", "")])]
        }
        (FirstFactor::Sshd, Mode::Rules) => vec![(
            Position::Replace(number),
            vec![
                key_first,
                key_shown(KEY_OR_DIE),
                ours("required", ""),
                "auth    required    pam_permit.so".to_owned(),
            ],
        )],
        (FirstFactor::Either, Mode::Require) => vec![(
            Position::Replace(number),
            vec![
                "# A key that sshd has verified is the first factor: no password then.".to_owned(),
                key_shown("[success=1 default=ignore]"),
                substack,
                ours("required", ""),
            ],
        )],
        (FirstFactor::Either, Mode::Rules) => vec![(
            Position::Replace(number),
            vec![
                "# A key that sshd has verified is the first factor: these three lines decide.".to_owned(),
                key_shown("[success=ignore default=2]"),
                ours("requisite", ""),
                "auth    [success=done default=die]    pam_permit.so".to_owned(),
                "# Otherwise the password is.".to_owned(),
                as_it_is,
                ours("required", passed),
            ],
        )],
    }
}

/// Refuses to replace an include that has lines of other types than `auth`.
fn refuse_other_types(dirs: &ConfigDirs, anchor: &Line) -> Result<(), String> {
    if anchor.facility.is_some() {
        return Ok(());
    }
    let Some(file) = dirs.included(&anchor.module) else { return Ok(()) };
    for facility in [Facility::Account, Facility::Password, Facility::Session] {
        if !dirs.stack_of_file("", &file, facility).entries.is_empty() {
            let (file, facility) = (file.display(), facility.as_str());
            return Err(format!("{file} has lines for {facility} as well as for auth. Edit it by hand"));
        }
    }
    Ok(())
}

/// The other services that would ask too, because they include this one.
///
/// # Errors
/// If one of them is a locker, which cannot answer a second prompt. Names the command that comes
/// first.
pub fn also_asked(before: &ConfigDirs, after: &ConfigDirs, service: &str) -> Result<Vec<String>, String> {
    let mut others = Vec::new();
    for other in after.services() {
        let asks = |dirs: &ConfigDirs| {
            dirs.stack(&other, Facility::Auth).is_ok_and(|stack| stack.ours().next().is_some())
        };
        if other == service || asks(before) || !asks(after) {
            continue;
        }
        if locker::is_locker(&other) {
            return Err(format!(
                "nobody could unlock {other}, because it includes {service} and answers every prompt with one field. \
                 Run first: totpd pam enable {other}; once it is confirmed, enable {service}"
            ));
        }
        others.push(other);
    }
    Ok(others)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
