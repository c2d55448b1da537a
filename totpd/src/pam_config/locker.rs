//! Plans the change of a screen locker that runs as its own user.
//!
//! A locker has one field and gives what is typed there to every prompt of PAM, so our line comes
//! first, takes password and code from one line (`forward_pass`), and leaves the password to the
//! modules behind it:
//!
//! ```text
//! auth    [success=ignore ignore=ignore default=die]    pam_totp.so forward_pass
//! @include common-auth
//! ```
//!
//! The locker's own lines stay, since a directory's users log in by them.

use super::anchor::{PlanOptions, anchor};
use super::block::{self, Mode, Position};
use super::line::{Control, Facility, Line, parse};
use super::proof::{FirstFactor, StackChange, describe};
use super::stack::{ConfigDirs, Entry, Stack};
use std::path::{Path, PathBuf};

/// A right code alone never grants: its success is ignored, and the modules behind it decide. Every
/// other answer ends the stack, so that the modules behind ask nothing, and pam_faillock counts no
/// failure.
const CODE_OR_DIE: &str = "[success=ignore ignore=ignore default=die]";

/// The services of lockers whose program authenticates the user of the session in a process of that
/// user's.
///
/// By the packages of Debian 12 and 13, Ubuntu and Fedora. xscreensaver's helper is setuid root for
/// shadow passwords alone, and gives root up before it asks.
const LOCKERS: [&str; 15] = [
    "cinnamon-screensaver",
    "gnome-screensaver",
    "gtklock",
    "hyprlock",
    "i3lock",
    "kde",
    "kscreensaver",
    "mate-screensaver",
    "slock",
    "swaylock",
    "waylock",
    "xfce4-screensaver",
    "xlock",
    "xscreensaver",
    "xsecurelock",
];

/// Names of lockers that are not PAM services, and what to do instead.
const ELSEWHERE: [(&str, &str); 8] = [
    ("light-locker", "it shows lightdm's own screen: run totpd pam enable lightdm"),
    ("gnome-shell", "its lock screen asks by gdm: run totpd pam enable gdm-password"),
    ("kscreenlocker", "its service is kde: run totpd pam enable kde"),
    ("xlockmore", "its service is xlock: run totpd pam enable xlock"),
    ("suckless-tools", "the service of its locker is slock: run totpd pam enable slock"),
    (
        "xsecurelock",
        "it uses common-auth or system-auth, unless XSECURELOCK_PAM_SERVICE names another service",
    ),
    ("physlock", "its package brings no PAM file, and \"other\" answers for it"),
    ("vlock", "its package brings no PAM file on Debian, and \"other\" answers for it"),
];

/// Lockers with services that unlock the same screen and have no field for a code.
const BESIDE: [(&str, [&str; 2]); 1] = [("kde", ["kde-fingerprint", "kde-smartcard"])];

/// Modules without a text prompt. pam_fprintd waits for a finger.
const SILENT: [&str; 29] = [
    "pam_access.so",
    "pam_cap.so",
    "pam_debug.so",
    "pam_deny.so",
    "pam_echo.so",
    "pam_ecryptfs.so",
    "pam_env.so",
    "pam_faildelay.so",
    "pam_faillock.so",
    "pam_fprintd.so",
    "pam_gnome_keyring.so",
    "pam_group.so",
    "pam_issue.so",
    "pam_kwallet.so",
    "pam_kwallet5.so",
    "pam_listfile.so",
    "pam_localuser.so",
    "pam_nologin.so",
    "pam_oo7.so",
    "pam_permit.so",
    "pam_securetty.so",
    "pam_selinux_permit.so",
    "pam_sepermit.so",
    "pam_shells.so",
    "pam_succeed_if.so",
    "pam_time.so",
    "pam_usertype.so",
    "pam_warn.so",
    "pam_wheel.so",
];

/// Whether a service is that of a locker that runs as its own user.
pub fn is_locker(service: &str) -> bool {
    LOCKERS.contains(&service)
}

/// What to do about a locker without a PAM service of this name.
pub fn elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(known, _)| *known == name).map(|(_, what)| *what)
}

/// Other services that unlock the same screen without a code.
pub fn beside(dirs: &ConfigDirs, service: &str) -> Vec<&'static str> {
    let found = BESIDE.iter().find(|(known, _)| *known == service);
    let beside = found.into_iter().flat_map(|(_, others)| others);
    beside.copied().filter(|other| dirs.file(other).is_some()).collect()
}

/// For a service that unlocks a locker's screen and has no field for a code: why, and what to do
/// instead. `None` for any other service.
pub fn without_field(service: &str) -> Option<String> {
    let (locker, _) = BESIDE.iter().find(|(_, others)| others.contains(&service))?;
    Some(format!(
        "{service} unlocks by a finger or a card alone, and has no field for a code. To unlock by {locker} alone, \
         make \"auth required pam_deny.so\" the first line of /etc/pam.d/{service}"
    ))
}

/// Lockers that include lines of another service that ask for a code, in a second prompt: nobody
/// can unlock them.
pub fn unusable(dirs: &ConfigDirs) -> Vec<String> {
    let in_one_field = |entry: &Entry| entry.line.arguments.iter().any(|argument| argument == "forward_pass");
    let cannot_unlock = |service: &String| {
        is_locker(service)
            && dirs
                .stack(service, Facility::Auth)
                .is_ok_and(|stack| stack.ours().any(|entry| !in_one_field(entry)))
    };
    dirs.services().into_iter().filter(cannot_unlock).collect()
}

/// The text of a locker's file with a block. `plain` is the text without one.
///
/// # Errors
/// Why the locker is refused.
pub(super) fn propose(
    dirs: &ConfigDirs,
    service: &str,
    (file, plain): (&Path, &str),
    options: &PlanOptions,
) -> Result<String, String> {
    if options.mode == Mode::Monitor {
        return Err(format!(
            "{service} has one field for password and code, and a password that ends in digits looks like both, so \
             monitor would refuse its user. Use --mode require"
        ));
    }
    let bare = without_blocks(&dirs.with(file, plain), service)?;
    let before = bare.stack(service, Facility::Auth)?;
    if let Some(trouble) = before.troubles.first() {
        return Err(format!("{}:{} {}", trouble.file.display(), trouble.number, trouble.why));
    }
    if let Some(ours) = before.ours().next() {
        return Err(format!(
            "{} already asks for a code, outside of totpd's blocks. Remove that line first",
            describe(ours)
        ));
    }
    let anchor = anchor(&bare, plain, &before)?;
    let mut refused = String::new();
    for (position, lines) in candidates(&bare, plain, &anchor, options.arguments)? {
        let new = block::insert(plain, position, service, options.mode, &lines);
        let changed = dirs.with(file, &new);
        let after = changed.stack(service, Facility::Auth)?;
        let proved = StackChange::new((&before, &after), options.mode, FirstFactor::OneField, &changed)
            .and_then(|change| change.prove())
            .and_then(|()| asks_once(&after));
        match proved {
            Ok(()) => return Ok(new),
            Err(why) => refused = why,
        }
    }
    Err(refused)
}

/// The files without the blocks of the services that this one includes.
///
/// # Errors
/// Which file cannot be read, or which block is damaged.
pub fn without_blocks(dirs: &ConfigDirs, service: &str) -> Result<ConfigDirs, String> {
    let mut bare = dirs.clone();
    for entry in dirs.stack(service, Facility::Auth)?.ours() {
        let in_file = |why: String| format!("{}: {why}", entry.file.display());
        let text = dirs.read(&entry.file).map_err(|error| in_file(error.to_string()))?;
        bare = bare.with(&entry.file, &block::strip(&text).map_err(in_file)?);
    }
    Ok(bare)
}

/// The candidate blocks: before the line that asks for the password, or before every line.
fn candidates(
    bare: &ConfigDirs,
    plain: &str,
    anchor: &Line,
    arguments: &str,
) -> Result<Vec<(Position, Vec<String>)>, String> {
    let field = "# One field: the code is typed directly after the password.".to_owned();
    let ours = format!("auth    {CODE_OR_DIE}    pam_totp.so forward_pass{arguments}");
    if anchor.control == Control::Include && bare.services().contains(&anchor.module) {
        // A copy of its lines: its own block would ask here too, in a second prompt.
        let mut lines = vec![field, ours, format!("# The lines of {}:", anchor.module)];
        lines.extend(copied(bare, &anchor.module, 0)?);
        return Ok(vec![(Position::Replace(anchor.number), lines)]);
    }
    let (lines, _) = parse(plain);
    let first = lines.iter().find(|line| line.facility.is_none_or(|facility| facility == Facility::Auth));
    let lines = vec![field, ours];
    let mut candidates = vec![(Position::Before(anchor.number), lines.clone())];
    candidates.extend(first.map(|first| (Position::Before(first.number), lines)));
    Ok(candidates)
}

/// The `auth` lines of a service, and of the services that it includes.
fn copied(dirs: &ConfigDirs, service: &str, depth: usize) -> Result<Vec<String>, String> {
    let file = dirs.included(service).filter(|_| depth < 8);
    let file = file.ok_or_else(|| format!("it includes {service}, which cannot be read. Edit it by hand"))?;
    let text = dirs.read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (lines, _) = parse(&text);
    let mut copied_lines = Vec::new();
    for line in lines.iter().filter(|line| line.facility.is_none_or(|facility| facility == Facility::Auth)) {
        let original = text.lines().nth(line.number - 1).unwrap_or_default().trim();
        if original.ends_with('\\') {
            let file = file.display();
            return Err(format!("line {} of {file} continues in the next. Edit it by hand", line.number));
        }
        if line.control == Control::Include && dirs.services().contains(&line.module) {
            copied_lines.extend(copied(dirs, &line.module, depth + 1)?);
        } else if line.facility.is_none() {
            // `@include common-account` has no line of this type.
            let has_lines =
                |file: PathBuf| !dirs.stack_of_file(service, &file, Facility::Auth).entries.is_empty();
            if dirs.included(&line.module).is_some_and(has_lines) {
                copied_lines.push(format!("auth    include    {}", line.module));
            }
        } else {
            copied_lines.push(original.to_owned());
        }
    }
    Ok(copied_lines)
}

/// Checks that every module but totpd's asks nothing, or uses the password that totpd's leaves.
fn asks_once(after: &Stack) -> Result<(), String> {
    let ours = after.entries.iter().position(|entry| entry.line.is_ours());
    let ours = ours.ok_or("the line of totpd is never reached")?;
    let fits = |at: usize, entry: &Entry| {
        let module = entry.line.module_name();
        let has = |word: &str| entry.line.arguments.iter().any(|argument| argument == word);
        at == ours
            || SILENT.contains(&module)
            || at > ours
                && match module {
                    // pam_get_authtok(3) returns the password that is there, whatever the
                    // arguments.
                    "pam_unix.so" => true,
                    "pam_sss.so" => !has("prompt_always"),
                    "pam_krb5.so" | "pam_ldap.so" | "pam_winbind.so" => {
                        has("use_first_pass") || has("try_first_pass")
                    }
                    _ => false,
                }
    };
    match after.entries.iter().enumerate().find(|(at, entry)| !fits(*at, entry)) {
        None => Ok(()),
        Some((_, entry)) => Err(format!(
            "{} may ask once more, and the locker would answer with password and code again. Remove that line, or edit \
             the file by hand",
            describe(entry)
        )),
    }
}

#[cfg(test)]
#[path = "locker_tests.rs"]
mod tests;
