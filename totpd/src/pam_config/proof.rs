//! Proves a change of a stack: evaluates it before and after for every answer of every module, with
//! [`dispatch_numbered`].
//!
//! For each combination of answers:
//! - if our module refuses, fails or is missing, the stack does not grant (monitor: it decides as
//!   before);
//! - if our module grants, the stack grants exactly if the first factor does;
//! - if sshd proves the first factor, the stack does not grant without a key;
//! - our module is asked at most once, and under `require` whether or not the first factor
//!   succeeded;
//! - a line with `first_factor=passed` is reached only after the first factor succeeded.

use super::block::{self, Mode};
use super::dispatch::{Answer, dispatch_numbered};
use super::line::Line;
use super::stack::{ConfigDirs, Entry, Stack, is_authenticator};
use std::fmt::Write;

/// What proves the first factor in a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstFactor {
    /// The modules of the stack.
    Stack,
    /// sshd, with a key, before it asks PAM.
    Sshd,
    /// sshd or the modules of the stack. A line of the block finds out which.
    Either,
    /// The modules behind our line, which passes them the password of a locker's one field.
    OneField,
}

/// The most combinations to try.
const MAX_RUNS: usize = 300_000;
/// The answers of our module: granted, exempt, refused, no daemon, failed daemon, too many tries,
/// not loaded.
const OURS: [Answer; 7] =
    ["success", "ignore", "auth_err", "authinfo_unavail", "system_err", "maxtries", "module_unknown"];

/// A stack before and after a change.
#[derive(Debug)]
pub struct StackChange<'a> {
    /// The stack before the change.
    pub before: &'a Stack,
    /// The stack after the change.
    pub after: &'a Stack,
    /// How it asks for the code.
    pub mode: Mode,
    /// What proves the first factor.
    pub first: FirstFactor,
    roles: Vec<Role>,
}

/// The role of a module in the stack after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `pam_totp.so`.
    Ours,
    /// The line of the block that checks whether sshd has verified a key.
    KeyShown,
    /// The `pam_permit` of a block, which always succeeds.
    Permit,
    /// The module with this index in the stack before the change.
    Same(usize),
}

/// One combination of answers of the modules other than ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The answers, by the index in the stack before the change.
    pub by_module: Vec<Answer>,
    /// Whether sshd has verified a key.
    pub key_shown: bool,
}

/// The stack's decision for a combination of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The stack grants the login.
    pub lets_in: bool,
    /// How often our module was asked.
    pub asked: usize,
    /// A line with `first_factor=passed` was reached.
    pub claimed: bool,
}

impl<'a> StackChange<'a> {
    /// Compares two stacks. `dirs` has the files after the change.
    ///
    /// # Errors
    /// Which line is new, and not of a block.
    pub fn new(
        (before, after): (&'a Stack, &'a Stack),
        mode: Mode,
        first: FirstFactor,
        dirs: &ConfigDirs,
    ) -> Result<Self, String> {
        let (mut roles, mut next) = (Vec::new(), 0);
        for entry in &after.entries {
            let text =
                dirs.read(&entry.file).map_err(|error| format!("{}: {error}", entry.file.display()))?;
            let blocks = block::find(&text).map_err(|why| format!("{}: {why}", entry.file.display()))?;
            let in_block = blocks.iter().any(|block| (block.first..block.last).contains(&entry.line.number));
            let role = match entry.line.module_name() {
                _ if entry.line.is_ours() && in_block => Role::Ours,
                "pam_exec.so" if in_block => Role::KeyShown,
                "pam_permit.so" if in_block => Role::Permit,
                _ => {
                    // A locker's block has copies of the lines that its file included.
                    let copied = in_block && first == FirstFactor::OneField;
                    let same = |old: &Entry| {
                        let words = |line: &Line| {
                            (line.control_text.clone(), line.module.clone(), line.arguments.clone())
                        };
                        (copied || old.file == entry.file) && words(&old.line) == words(&entry.line)
                    };
                    let found = before.entries.iter().skip(next).position(same).map(|at| next + at);
                    let at = found.ok_or_else(|| format!("{} is new in the stack", describe(entry)))?;
                    next = at + 1;
                    Role::Same(at)
                }
            };
            roles.push(role);
        }
        Ok(Self { before, after, mode, first, roles })
    }

    /// Whether the stack granted the login before the change.
    pub fn granted_before(&self, answers: &Answers) -> bool {
        dispatch_numbered(self.before, |at, _| answers.by_module[at])
    }

    /// The stack's decision after the change, if our module answers `ours`.
    pub fn decide(&self, answers: &Answers, ours: Answer) -> Decision {
        let mut decision = Decision { lets_in: false, asked: 0, claimed: false };
        decision.lets_in = dispatch_numbered(self.after, |at, entry| match self.roles[at] {
            Role::Ours => {
                decision.asked += 1;
                decision.claimed |= entry.line.arguments.iter().any(|word| word == "first_factor=passed");
                ours
            }
            _ => self.fixed_answer(at, answers).unwrap_or(ours),
        });
        decision
    }

    /// The answer of a module of the stack after the change; `None` for ours.
    pub fn fixed_answer(&self, at: usize, answers: &Answers) -> Option<Answer> {
        match self.roles[at] {
            Role::Ours => None,
            Role::KeyShown if answers.key_shown => Some("success"),
            Role::KeyShown => Some("system_err"),
            Role::Permit => Some("success"),
            Role::Same(at) => Some(answers.by_module[at]),
        }
    }

    /// All combinations of answers.
    ///
    /// # Errors
    /// If there are too many modules to try every combination.
    pub fn combinations(&self) -> Result<Vec<Answers>, String> {
        let mut all = Vec::new();
        let choices = |few: bool| {
            self.before.entries.iter().map(move |entry| -> &'static [Answer] {
                match entry.line.module_name() {
                    "pam_permit.so" => &["success"],
                    "pam_deny.so" => &["auth_err"],
                    "pam_warn.so" => &["ignore"],
                    _ if few => &["success", "auth_err"],
                    _ => &["success", "auth_err", "ignore"],
                }
            })
        };
        let count = |few: bool| choices(few).map(<[Answer]>::len).try_fold(1_usize, usize::checked_mul);
        let fits = |few: bool| count(few).is_some_and(|count| count <= MAX_RUNS);
        let few = !fits(false);
        if few && !fits(true) {
            let modules = self.before.entries.len();
            return Err(format!("its {modules} modules are too many to prove the change. Edit it by hand"));
        }
        let choices: Vec<_> = choices(few).collect();
        let keys: &[bool] = match self.first {
            FirstFactor::Stack | FirstFactor::OneField => &[false],
            FirstFactor::Sshd => &[true],
            FirstFactor::Either => &[false, true],
        };
        for &key_shown in keys {
            let mut at = vec![0_usize; choices.len()];
            loop {
                let by_module = choices.iter().zip(&at).map(|(choice, at)| choice[*at]).collect();
                all.push(Answers { by_module, key_shown });
                let Some(digit) = (0..at.len()).find(|digit| at[*digit] + 1 < choices[*digit].len()) else {
                    break;
                };
                at[digit] += 1;
                at[..digit].fill(0);
            }
        }
        Ok(all)
    }

    /// The same answers, except that every authenticator answers `value`.
    pub fn with_first_factor(&self, answers: &Answers, value: Answer) -> Answers {
        let mut changed = answers.clone();
        for (entry, answer) in self.before.entries.iter().zip(&mut changed.by_module) {
            if is_authenticator(entry) {
                *answer = value;
            }
        }
        changed
    }

    /// Proves the change.
    ///
    /// # Errors
    /// What would go wrong, and a combination of answers that shows it.
    pub fn prove(&self) -> Result<(), String> {
        let combinations = self.combinations()?;
        let mut can_grant = false;
        for answers in &combinations {
            can_grant |= self.decide(answers, "success").lets_in;
            self.holds(answers)
                .and_then(|()| self.holds_without_key(answers))
                .map_err(|what| format!("{what} ({})", self.describe_answers(answers)))?;
        }
        self.sets_credentials()?;
        if can_grant { Ok(()) } else { Err("nobody would get in, even with a right code".to_owned()) }
    }

    /// Proves that sshd can set the credentials. It does so in a process in which no module was
    /// asked before, so libpam uses the modules' answers there, and a refusal would end a login
    /// whose code was right.
    fn sets_credentials(&self) -> Result<(), String> {
        let answer = |entry: &Entry| match entry.line.module_name() {
            "pam_deny.so" => "auth_err",
            _ => "success",
        };
        let before = dispatch_numbered(self.before, |_, entry| answer(entry));
        let after = dispatch_numbered(self.after, |at, entry| match self.roles[at] {
            Role::KeyShown => "ignore",
            _ => answer(entry),
        });
        if before && !after {
            return Err("the credentials of a login would be refused, after a right code".to_owned());
        }
        Ok(())
    }

    fn holds(&self, answers: &Answers) -> Result<(), String> {
        let before = self.granted_before(answers);
        let granted = self.decide(answers, "success");
        if granted.asked > 1 {
            return Err("the code would be asked for twice".to_owned());
        }
        for ours in OURS {
            let after = self.decide(answers, ours);
            if after.claimed && !before {
                return Err("the line would claim a first factor that did not succeed".to_owned());
            }
            if self.mode == Mode::Monitor {
                if after.lets_in != before {
                    return Err(format!(
                        "the stack would decide differently from before if totpd answers {ours}"
                    ));
                }
                continue;
            }
            self.holds_enforcing(answers, before, ours, after)?;
        }
        if before && granted.asked == 0 && !self.is_roots_su(answers) {
            return Err(format!("{} would let in before the code is asked for", self.shortcut(answers)));
        }
        if self.mode == Mode::Monitor {
            return Ok(());
        }
        if before && !granted.lets_in {
            return Err("a right code would be refused".to_owned());
        }
        let proved = self.with_first_factor(answers, "success");
        if answers.key_shown && self.granted_before(&proved) && !granted.lets_in {
            return Err("a key and a right code would be refused".to_owned());
        }
        // A module that ends the stack before the first factor (pam_nologin) tells nothing about
        // it.
        let asked = |value| self.decide(&self.with_first_factor(answers, value), "success").asked;
        if self.mode == Mode::Require && asked("success") != asked("auth_err") {
            return Err("the prompt for the code would tell whether the first factor was right".to_owned());
        }
        Ok(())
    }

    /// Proves the stack for an sshd with another configuration, which has verified no key.
    fn holds_without_key(&self, answers: &Answers) -> Result<(), String> {
        if self.first != FirstFactor::Sshd || self.mode == Mode::Monitor {
            return Ok(());
        }
        let without = Answers { key_shown: false, ..answers.clone() };
        if OURS.iter().any(|ours| self.decide(&without, ours).lets_in) {
            return Err("without a key the code would be the only factor".to_owned());
        }
        Ok(())
    }

    fn holds_enforcing(
        &self,
        answers: &Answers,
        before: bool,
        ours: Answer,
        after: Decision,
    ) -> Result<(), String> {
        let allowed = before || answers.key_shown;
        if after.asked == 0 && after.lets_in {
            // If it granted before, the caller has checked the module that ends the stack.
            return if before { Ok(()) } else { Err("the stack would let in without asking".to_owned()) };
        }
        match ours {
            "success" if after.lets_in && !allowed => Err("the code alone would let in".to_owned()),
            "ignore" if after.lets_in && !allowed => {
                Err("exempt users would get in without a first factor".to_owned())
            }
            "ignore" if self.mode == Mode::Rules && before && !after.lets_in => {
                Err("exempt users would be refused".to_owned())
            }
            "success" | "ignore" => Ok(()),
            _ if after.lets_in => Err(format!("the stack would let in although totpd answers {ours}")),
            _ => Ok(()),
        }
    }

    /// Whether su's pam_rootok succeeds: root becomes any user without a question.
    fn is_roots_su(&self, answers: &Answers) -> bool {
        let is = |(entry, answer): (&Entry, &Answer)| {
            entry.line.module_name() == "pam_rootok.so" && *answer == "success"
        };
        self.before.entries.iter().zip(&answers.by_module).any(is)
    }

    /// The last module that is asked in a stack that ends before our module.
    fn shortcut(&self, answers: &Answers) -> String {
        let mut last = None;
        dispatch_numbered(self.before, |at, _| {
            last = Some(at);
            answers.by_module[at]
        });
        last.map_or_else(|| "the stack".to_owned(), |at| describe(&self.before.entries[at]))
    }

    /// The answers as text, for an error.
    fn describe_answers(&self, answers: &Answers) -> String {
        let mut words = String::from("shown by:");
        for (entry, answer) in self.before.entries.iter().zip(&answers.by_module) {
            let _ = write!(words, " {} {answer},", entry.line.module_name());
        }
        words.trim_end_matches(',').to_owned()
    }
}

/// A line as text: `/etc/pam.d/su:5 (pam_rootok.so)`.
pub fn describe(entry: &Entry) -> String {
    format!("{}:{} ({})", entry.file.display(), entry.line.number, entry.line.module_name())
}
