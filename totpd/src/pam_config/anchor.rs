//! How a service shall ask, and the line of its file beside which a block is put.

use super::block::Mode;
use super::line::{Control, Facility, Line, parse};
use super::proof::FirstFactor;
use super::stack::{ConfigDirs, Entry, Stack, is_authenticator};
use std::path::Path;

/// How a service shall ask for the code.
#[derive(Clone, Debug)]
pub struct PlanOptions<'a> {
    /// How the code is asked for.
    pub mode: Mode,
    /// What proves the first factor.
    pub first: FirstFactor,
    /// More arguments of totpd's line (`socket=…`), each with a blank before it.
    pub arguments: &'a str,
    /// The path of totpd, which a block for sshd's key runs.
    pub program: &'a Path,
}

/// The one line of the file that authenticates users, by itself or by what it includes.
pub(super) fn anchor(dirs: &ConfigDirs, text: &str, before: &Stack) -> Result<Line, String> {
    let file = before.file.display();
    let (lines, _) = parse(text);
    let auth = |line: &&Line| line.facility.is_none_or(|facility| facility == Facility::Auth);
    let mut anchors = Vec::new();
    for line in lines.iter().filter(auth) {
        if authenticates(dirs, before, line)? {
            anchors.push(line.clone());
        }
    }
    let anchor = match anchors.as_slice() {
        [one] => one.clone(),
        [] => {
            return Err(format!("no line of {file} is known to check a password or a key. Edit it by hand"));
        }
        [first, second, ..] => {
            return Err(format!(
                "lines {} and {} of {file} both authenticate users. Edit it by hand",
                first.number, second.number
            ));
        }
    };
    if text.lines().nth(anchor.number - 1).is_some_and(|line| line.trim_end().ends_with('\\')) {
        return Err(format!("line {} of {file} continues in the next. Edit it by hand", anchor.number));
    }
    Ok(anchor)
}

fn authenticates(dirs: &ConfigDirs, before: &Stack, line: &Line) -> Result<bool, String> {
    let included = match line.control {
        Control::Include | Control::Substack => dirs.included(&line.module),
        Control::Actions { .. } | Control::Unreadable => None,
    };
    let Some(included) = included else {
        let own = |entry: &&Entry| entry.file == before.file && entry.line.number == line.number;
        return Ok(before.entries.iter().find(own).is_some_and(is_authenticator));
    };
    let stack = dirs.stack_of_file(&before.service, &included, Facility::Auth);
    if let Some(trouble) = stack.troubles.first() {
        return Err(format!("{}:{} {}", trouble.file.display(), trouble.number, trouble.why));
    }
    Ok(stack.entries.iter().any(is_authenticator))
}
