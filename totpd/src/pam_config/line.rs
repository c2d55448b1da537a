//! Parses the lines of a service file as `_pam_parse_conf_file` and `_pam_parse_control` of libpam
//! do.

use std::collections::BTreeMap;

/// The first word of a line: the type of the stack that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facility {
    /// `auth`: authenticates the user.
    Auth,
    /// `account`: checks whether the user may log in now.
    Account,
    /// `password`: changes the password.
    Password,
    /// `session`: prepares and ends the session.
    Session,
}

impl Facility {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Account => "account",
            Self::Password => "password",
            Self::Session => "session",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Auth, Self::Account, Self::Password, Self::Session]
            .into_iter()
            .find(|facility| facility.as_str().eq_ignore_ascii_case(word))
    }
}

/// What libpam does after a module's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the answer does not count.
    Ignore,
    /// A failure; the stack goes on.
    Bad,
    /// A failure that ends the stack.
    Die,
    /// A success; the stack goes on.
    Ok,
    /// A success that ends the stack, unless a module failed before.
    Done,
    /// Forgets the answers before.
    Reset,
    /// Skips this many lines.
    Jump(usize),
}

/// The answers that a `[value=action]` control can name, in libpam's order
/// (`_pam_return_values.h`).
pub const VALUES: [&str; 32] = [
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
];

/// The second field of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `include FILE`, or `@include FILE`: the lines of that file, as if they were written here.
    Include,
    /// `substack FILE`: the lines of that file; `done` and `die` end only the substack.
    Substack,
    /// An action for each answer; answers that are not listed take the default.
    Actions {
        /// The listed answers, by their names in [`VALUES`].
        named: BTreeMap<String, Action>,
        /// The action of every other answer.
        default: Action,
    },
    /// libpam cannot read it ("requird"), and treats every answer, even a success, as a failure.
    Unreadable,
}

impl Control {
    /// The action after this answer (a name of [`VALUES`]).
    pub fn action(&self, value: &str) -> Action {
        match self {
            Self::Actions { named, default } => named.get(value).copied().unwrap_or(*default),
            Self::Include | Self::Substack | Self::Unreadable => Action::Bad,
        }
    }

    /// Whether `auth_err` ends the stack at once, as with `requisite`.
    pub fn dies_on_failure(&self) -> bool {
        self.action("auth_err") == Action::Die
    }

    fn keyword(success: Action, default: Action) -> Self {
        let mut named = BTreeMap::from([("success", success), ("new_authtok_reqd", success)]);
        named.insert("ignore", Action::Ignore);
        let named = named.into_iter().map(|(value, action)| (value.to_owned(), action)).collect();
        Self::Actions { named, default }
    }

    /// Parses the field: a keyword, or `[value=action …]`.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "required" => return Self::keyword(Action::Ok, Action::Bad),
            "requisite" => return Self::keyword(Action::Ok, Action::Die),
            "sufficient" => return Self::keyword(Action::Done, Action::Ignore),
            "optional" => return Self::keyword(Action::Ok, Action::Ignore),
            "include" => return Self::Include,
            "substack" => return Self::Substack,
            _ => {}
        }
        let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
            return Self::Unreadable;
        };
        // `_pam_parse_control` allows blanks around "=".
        let spaced = inner.replace('=', " = ");
        let mut words = spaced.split_whitespace();
        // Answers that are not listed fail, without a default (`_PAM_ACTION_UNSET` becomes bad).
        let (mut named, mut default) = (BTreeMap::new(), Action::Bad);
        while let Some(value) = words.next() {
            let known = value == "default" || VALUES.contains(&value);
            let (Some("="), Some(action)) = (words.next(), words.next().and_then(action)) else {
                return Self::Unreadable;
            };
            match (known, value) {
                (false, _) => return Self::Unreadable,
                (true, "default") => default = action,
                (true, value) => _ = named.insert(value.to_owned(), action),
            }
        }
        Self::Actions { named, default }
    }
}

fn action(word: &str) -> Option<Action> {
    Some(match word {
        "ignore" => Action::Ignore,
        "bad" => Action::Bad,
        "die" => Action::Die,
        "ok" => Action::Ok,
        "done" => Action::Done,
        "reset" => Action::Reset,
        number => Action::Jump(number.parse().ok().filter(|count| *count > 0)?),
    })
}

/// A line of a service file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1. The first number of a continued line.
    pub number: usize,
    /// Its first word. `None` for `@include FILE`, which includes lines of every type.
    pub facility: Option<Facility>,
    /// The line begins with `-`: libpam does not log a missing module.
    pub optional_file: bool,
    /// The control field.
    pub control: Control,
    /// The control field as it is written.
    pub control_text: String,
    /// The module's file, or the file that is included.
    pub module: String,
    /// The arguments of the module.
    pub arguments: Vec<String>,
}

impl Line {
    /// The last part of the module's path.
    pub fn module_name(&self) -> &str {
        self.module.rsplit('/').next().unwrap_or_default()
    }

    /// Whether this is a line of totpd's module.
    pub fn is_ours(&self) -> bool {
        self.module_name() == super::MODULE && !matches!(self.control, Control::Include | Control::Substack)
    }
}

/// A line that libpam refuses, so that the type or the whole file fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its number in the file, from 1.
    pub number: usize,
    /// What is wrong with the line.
    pub why: &'static str,
}

/// Parses a file: its lines, and those that libpam cannot read.
pub fn parse(text: &str) -> (Vec<Line>, Vec<Malformed>) {
    let (mut lines, mut malformed) = (Vec::new(), Vec::new());
    for (number, text) in logical_lines(text) {
        match parse_line(number, &text) {
            Ok(line) => lines.extend(line),
            Err(why) => malformed.push(Malformed { number, why }),
        }
    }
    (lines, malformed)
}

/// The lines with their numbers, without comments. A line that ends in a backslash continues in the
/// next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, raw) in text.lines().enumerate() {
        let code = raw.split('#').next().unwrap_or_default().trim_end();
        // A backslash in a comment does not continue the line.
        let (code, continued) = match code.strip_suffix('\\') {
            Some(code) if !raw.contains('#') => (code, true),
            _ => (code, false),
        };
        match lines.last_mut().filter(|_| open) {
            Some((_, line)) => {
                line.push(' ');
                line.push_str(code);
            }
            None => lines.push((index + 1, code.to_owned())),
        }
        open = continued;
    }
    lines.retain(|(_, line)| !line.trim().is_empty());
    lines
}

fn parse_line(number: usize, text: &str) -> Result<Option<Line>, &'static str> {
    let mut words = words(text).into_iter();
    let Some(first) = words.next() else { return Ok(None) };
    if first.eq_ignore_ascii_case("@include") {
        let module = words.next().ok_or("@include names no file")?;
        return Ok(Some(Line {
            number,
            facility: None,
            optional_file: false,
            control: Control::Include,
            control_text: first,
            module,
            arguments: Vec::new(),
        }));
    }
    let optional_file = first.starts_with('-');
    let facility = Facility::parse(first.strip_prefix('-').unwrap_or(&first))
        .ok_or("its first word is not auth, account, password or session")?;
    let control_text = words.next().ok_or("it has no control field")?;
    let module = words.next().ok_or("it names no module")?;
    Ok(Some(Line {
        number,
        facility: Some(facility),
        optional_file,
        control: Control::parse(&control_text),
        control_text,
        module,
        arguments: words.collect(),
    }))
}

/// Splits a line into words (`_pam_tokenize`). `[…]` is one word with its blanks and brackets.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = if rest.starts_with('[') {
            // "\]" does not end the word.
            let mut before = ' ';
            rest.char_indices()
                .find(|(_, c)| {
                    let ends = *c == ']' && before != '\\';
                    before = *c;
                    ends
                })
                .map_or(rest.len(), |(at, _)| at + 1)
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Line {
        let (lines, malformed) = parse(text);
        assert_eq!((lines.len(), malformed.len()), (1, 0), "{text}");
        lines.into_iter().next().unwrap()
    }

    #[test]
    fn a_line_has_facility_control_module_and_arguments() {
        let line = one("auth  required\tpam_totp.so first_factor=passed [a b] # why\n");
        assert_eq!((line.facility, line.module.as_str()), (Some(Facility::Auth), "pam_totp.so"));
        assert_eq!(line.arguments, ["first_factor=passed", "[a b]"]);
        assert!(line.is_ours());
        let line = one("-AUTH Required /usr/lib/x86_64-linux-gnu/security/pam_totp.so");
        assert!(line.optional_file && line.is_ours());
        assert_eq!(line.control.action("success"), Action::Ok);
    }

    #[test]
    fn a_line_continues_after_a_backslash_and_ends_at_a_comment() {
        let (lines, _) = parse(
            "auth required \\\n  pam_unix.so \\\n nullok\n# auth x y\\\naccount required pam_unix.so\n",
        );
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].number, lines[0].arguments.as_slice()), (1, ["nullok".to_owned()].as_slice()));
        assert_eq!(lines[1].number, 5);
    }

    #[test]
    fn controls_are_read_as_libpam_reads_them() {
        let actions = Control::parse("[success=2 new_authtok_reqd = ok default=die]");
        assert_eq!(actions.action("success"), Action::Jump(2));
        assert_eq!(actions.action("new_authtok_reqd"), Action::Ok);
        assert!(actions.dies_on_failure());
        assert!(Control::parse("requisite").dies_on_failure());
        // An answer that is not listed is a failure.
        assert_eq!(Control::parse("[success=ok]").action("auth_err"), Action::Bad);
        for typo in ["requird", "[success=okay]", "[succes=ok]", "[success]", "[success=ok", "[success=0]"] {
            assert_eq!(Control::parse(typo), Control::Unreadable, "{typo}");
            assert_eq!(Control::parse(typo).action("success"), Action::Bad);
        }
    }

    #[test]
    fn a_line_that_libpam_refuses_is_reported_with_its_number() {
        let (lines, malformed) =
            parse("auth required pam_unix.so\nautth required pam_totp.so\nauth required\n@include\n");
        assert_eq!(lines.len(), 1);
        assert_eq!(malformed.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 3, 4]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(text in "[\\[\\]\\\\=# \n\\-@a-z0-9.]{0,200}") {
            let (lines, malformed) = parse(&text);
            let last = text.lines().count();
            for number in lines.iter().map(|l| l.number).chain(malformed.iter().map(|m| m.number)) {
                proptest::prop_assert!((1..=last).contains(&number));
            }
        }
    }
}
