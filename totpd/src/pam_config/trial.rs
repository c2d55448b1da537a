//! Builds the test logins of a change: service files with stand-ins for every module but ours, and
//! the expected outcome.
//!
//! The real libpam reads these files as those of su, so its reading of includes, controls and jumps
//! is compared with [`super::dispatch()`]. `pam_permit`, `pam_deny` and `pam_warn` (which answers
//! "ignore") stand in for modules that ask a person or a directory. Lines of another type, which
//! libpam loads and never asks, show whether the real modules can be loaded.
//!
//! For a locker, the real `pam_unix` runs with a test password: it must use the password that our
//! line leaves, and must not ask again.

use super::block::Mode;
use super::dispatch::Answer;
use super::line::{Control, Facility, Line, parse};
use super::proof::{Answers, FirstFactor, StackChange};
use super::stack::{ConfigDirs, Entry, is_authenticator};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The PAM service of the test logins: su makes them.
pub const SERVICE: &str = "su";
/// The module that checks the password in a locker's test logins.
const UNIX: &str = "pam_unix.so";
/// The prefix of an included file's name, so that no file is taken for [`SERVICE`].
const INCLUDED: &str = "totpd-trial-";
/// root's password in a locker's test logins only, by [`SHADOW`] mounted over /etc/shadow.
pub const PASSWORD: &str = "totpd-trial-Passw0rd";
/// `openssl passwd -6 -salt totpdtrial totpd-trial-Passw0rd`
pub const SHADOW: &str = "root:$6$totpdtrial$5kGLNjMOrc7QCLeDG/R6283XZkc3uelreL9MCkKga/8uUa3D0XgsnVafjVmCEOt7lvLXcPhaVTM6N0zXZEKqH0:20000:0:99999:7:::\n";

/// The test daemon's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It grants: a right code is typed.
    Grants,
    /// It refuses: something else is typed.
    Refuses,
    /// No daemon listens.
    Missing,
}

/// What is typed into a locker's one field, which answers every prompt. The password is
/// [`PASSWORD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The password and the code behind it.
    PasswordAndCode,
    /// The password alone.
    Password,
    /// The code alone.
    Code,
    /// Another password and the code.
    WrongPasswordAndCode,
}

/// One test login.
#[derive(Clone, Debug)]
pub struct Case {
    /// The answers of the modules other than ours.
    pub answers: Answers,
    /// The answer to our module.
    pub daemon: Daemon,
    /// What is typed into a locker's field; `None` for other services. With a field, `pam_unix` is
    /// the real one.
    pub field: Option<Field>,
    /// Whether the login must be granted.
    pub expected: bool,
    /// A description, for errors.
    pub what: String,
}

/// The test logins of a change.
///
/// # Errors
/// Why no test login can show the change.
pub fn cases(change: &StackChange) -> Result<Vec<Case>, String> {
    let keys: &[bool] = match change.first {
        FirstFactor::OneField => return locker_cases(change),
        FirstFactor::Stack => &[false],
        FirstFactor::Sshd => &[true],
        FirstFactor::Either => &[false, true],
    };
    let usual: Vec<Answer> = change.before.entries.iter().map(usual_answer).collect();
    let mut cases = Vec::new();
    for &key_shown in keys {
        let usual = Answers { by_module: usual.clone(), key_shown };
        let fits = |answers: &Answers| {
            answers.key_shown == key_shown
                && change.granted_before(answers)
                && change.decide(answers, "success").asked == 1
                && is_consistent(change, answers)
        };
        let proved = if fits(&usual) { Some(usual) } else { change.combinations()?.into_iter().find(fits) };
        let proved = proved.ok_or("no test login can show the change. Edit it by hand")?;
        let failed = change.with_first_factor(&proved, "auth_err");
        let first = match (change.first, key_shown) {
            (FirstFactor::Stack | FirstFactor::OneField, _) => "first factor right",
            (_, true) => "key shown",
            (_, false) => "no key, first factor right",
        };
        let mut add = |answers: &Answers, daemon: Daemon, first: &str| {
            let (ours, word) = match daemon {
                Daemon::Grants => ("success", "code right"),
                Daemon::Refuses => ("auth_err", "code wrong"),
                Daemon::Missing => ("authinfo_unavail", "no daemon"),
            };
            let expected = change.decide(answers, ours).lets_in;
            let what = format!("{first}, {word}");
            cases.push(Case { answers: answers.clone(), daemon, field: None, expected, what });
        };
        for daemon in [Daemon::Grants, Daemon::Refuses, Daemon::Missing] {
            add(&proved, daemon, first);
        }
        if !key_shown {
            add(&failed, Daemon::Grants, "first factor wrong");
        }
        if change.first == FirstFactor::Sshd && change.mode != Mode::Monitor {
            add(&Answers { key_shown: false, ..proved }, Daemon::Grants, "no key");
        }
    }
    // Checked without the evaluation: the expected outcomes must be the intended ones.
    for case in &cases {
        let wanted = match (case.daemon, change.mode) {
            (Daemon::Grants, Mode::Require | Mode::Rules)
                if change.first == FirstFactor::Sshd && !case.answers.key_shown =>
            {
                false
            }
            (Daemon::Grants, _) => change.granted_before(&case.answers) || case.answers.key_shown,
            (_, Mode::Monitor) => change.granted_before(&case.answers),
            (_, Mode::Require | Mode::Rules) => false,
        };
        if case.expected != wanted {
            return Err(format!("with {} the stack would decide wrongly", case.what));
        }
    }
    Ok(cases)
}

/// The test logins of a locker. The real `pam_unix` checks the password that our line leaves, and
/// every other authenticator refuses.
fn locker_cases(change: &StackChange) -> Result<Vec<Case>, String> {
    let entries = &change.before.entries;
    let with = |others: &[Answer], unix: Answer| {
        let by_module = entries.iter().zip(others).map(|(entry, other)| match entry.line.module_name() {
            UNIX => unix,
            _ if is_authenticator(entry) => "auth_err",
            _ => *other,
        });
        Answers { by_module: by_module.collect(), key_shown: false }
    };
    let fits = |others: &Vec<Answer>| {
        let right = with(others, "success");
        change.granted_before(&right)
            && !change.granted_before(&with(others, "auth_err"))
            && is_consistent(change, &right)
    };
    let usual: Vec<Answer> = entries.iter().map(usual_answer).collect();
    let others = if fits(&usual) {
        Some(usual)
    } else {
        change.combinations()?.into_iter().map(|answers| answers.by_module).find(fits)
    };
    let others = others.ok_or_else(|| {
        format!("{UNIX} alone does not decide, so no test login can show it. Edit it by hand")
    })?;
    let answers = |password_right: bool| with(&others, if password_right { "success" } else { "auth_err" });
    let case = |field, daemon, password_right: bool, what: &str| {
        let answers = answers(password_right);
        let ours = match (field, daemon) {
            (_, Daemon::Missing) => "authinfo_unavail",
            (Field::Password, _) | (_, Daemon::Refuses) => "auth_err",
            (_, Daemon::Grants) => "success",
        };
        let expected = change.decide(&answers, ours).lets_in;
        let wanted = (field, daemon) == (Field::PasswordAndCode, Daemon::Grants);
        if expected == wanted {
            return Ok(Case { answers, daemon, field: Some(field), expected, what: what.to_owned() });
        }
        Err(format!("with {what} the stack would decide wrongly"))
    };
    [
        (Field::PasswordAndCode, Daemon::Grants, true, "password and code in one field"),
        (Field::Password, Daemon::Grants, true, "password alone"),
        (Field::Code, Daemon::Grants, false, "code alone"),
        (Field::WrongPasswordAndCode, Daemon::Grants, false, "another password and a code"),
        (Field::PasswordAndCode, Daemon::Missing, true, "password and code, no daemon"),
    ]
    .into_iter()
    .map(|(field, daemon, password_right, what)| case(field, daemon, password_right, what))
    .collect()
}

/// A module's answer on most hosts, if the first factor is right.
fn usual_answer(entry: &Entry) -> Answer {
    let argument = |word: &str| entry.line.arguments.iter().any(|argument| argument == word);
    match entry.line.module_name() {
        "pam_deny.so" | "pam_rootok.so" | "pam_wheel.so" => "auth_err",
        "pam_faillock.so" if argument("authfail") => "auth_err",
        "pam_warn.so" => "ignore",
        _ => "success",
    }
}

/// Whether each line has only one answer: a file that is included twice is written once.
fn is_consistent(change: &StackChange, answers: &Answers) -> bool {
    let mut seen: BTreeMap<(&Path, usize), Answer> = BTreeMap::new();
    change
        .before
        .entries
        .iter()
        .zip(&answers.by_module)
        .all(|(entry, answer)| *seen.entry((&entry.file, entry.line.number)).or_insert(answer) == *answer)
}

/// The service files of a test login, by name. `dirs` has the files after the change.
///
/// # Errors
/// Which file cannot be read.
pub fn files(
    dirs: &ConfigDirs,
    change: &StackChange,
    case: &Case,
) -> Result<BTreeMap<String, String>, String> {
    let mut answer_of: BTreeMap<(PathBuf, usize), Answer> = BTreeMap::new();
    for (at, entry) in change.after.entries.iter().enumerate() {
        if case.field.is_some() && entry.line.module_name() == UNIX {
            continue;
        }
        if let Some(answer) = change.fixed_answer(at, &case.answers) {
            answer_of.insert((entry.file.clone(), entry.line.number), answer);
        }
    }
    let mut files = BTreeMap::new();
    render(dirs, &change.after.file, SERVICE, &answer_of, &mut files)?;
    if let Some(text) = files.get_mut(SERVICE) {
        for entry in change.after.entries.iter().filter(|entry| !entry.line.optional_file) {
            // Loaded and never asked, because su changes no password.
            text.push_str(&format!("password    optional    {}\n", entry.line.module));
        }
        text.push_str("account    required    pam_permit.so\nsession    required    pam_permit.so\n");
    }
    Ok(files)
}

fn render(
    dirs: &ConfigDirs,
    file: &Path,
    name: &str,
    answers: &BTreeMap<(PathBuf, usize), Answer>,
    files: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    if files.contains_key(name) {
        return Ok(());
    }
    files.insert(name.to_owned(), String::new());
    let text = dirs.read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (lines, _) = parse(&text);
    let mut rendered = String::new();
    for line in lines.iter().filter(|line| line.facility.is_none_or(|of| of == Facility::Auth)) {
        if matches!(line.control, Control::Include | Control::Substack) {
            let Some(next) = dirs.included(&line.module) else { continue };
            let included = format!("{INCLUDED}{}", line.module.replace('/', "-"));
            let control = if line.facility.is_none() { "include" } else { &line.control_text };
            rendered.push_str(&format!("auth    {control}    {included}\n"));
            render(dirs, &next, &included, answers, files)?;
        } else {
            rendered.push_str(&module_line(line, answers.get(&(file.to_owned(), line.number)).copied()));
        }
    }
    files.insert(name.to_owned(), rendered);
    Ok(())
}

/// The line with a stand-in that gives this answer, or the line itself.
fn module_line(line: &Line, answer: Option<Answer>) -> String {
    let words = match answer {
        None => format!("{} {}", line.module, line.arguments.join(" ")),
        Some("success") => "pam_permit.so".to_owned(),
        Some("ignore") => "pam_warn.so".to_owned(),
        Some(_) => "pam_deny.so".to_owned(),
    };
    format!("auth    {}    {words}\n", line.control_text)
}
