//! A user at a terminal: a shell in its own audit session, whose programs ask and are answered.

use crate::site::Site;
use crate::users::uid_of;
use rexpect::session::{PtySession, spawn_command};
use std::process::Command;

/// The shell's prompt, which contains the exit status of the last program.
const MARK: &str = r"\[ended \d+\] ";
/// The prompts of the programs. A program whose prompt has no answer is interrupted.
const PROMPTS: &str = r"[Pp]assword[^\r\n]*: |Verification code: |call your administrators: |login: |First code from the app: |one of them to finish: ";

/// A shell. Each has a new audit session.
#[expect(missing_debug_implementations, reason = "a terminal has nothing to show")]
pub struct Shell {
    terminal: PtySession,
}

/// How a program in the shell ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; `None` if it was interrupted at a prompt without an answer.
    pub status: Option<i32>,
    /// What it printed, with its prompts.
    pub output: String,
    /// How many prompts were answered.
    pub answered: usize,
}

impl Ran {
    /// Returns whether the login succeeded: `printed` is what only the program behind the login
    /// prints.
    #[track_caller]
    pub fn let_in(&self, printed: &str) -> bool {
        let inside = self.output.contains(printed);
        assert_eq!(inside, self.status == Some(0), "{self:?}");
        inside
    }

    /// Returns how often a code was asked for.
    pub fn codes_asked(&self) -> usize {
        self.output.matches("Verification code: ").count()
    }
}

impl Shell {
    /// Starts the shell of a user of the site.
    pub fn of(site: &Site, user: &str) -> Self {
        Self::start(site.command("sh"), user)
    }

    /// Starts a shell of root in no audit session, as getty's console is.
    pub fn console(site: &Site) -> Self {
        Self::by(site.command("env"), "root")
    }

    /// Starts a user's shell by a command that is a root shell.
    pub fn start(mut root: Command, user: &str) -> Self {
        // A process that sets its login uid for the first time gets a new audit session
        // (audit_set_loginuid).
        root.args(["-c", r#"echo "$1" > /proc/self/loginuid; shift; exec "$@""#, "sh", &uid(user)]);
        Self::by(root, user)
    }

    /// Starts a user's shell by a command that drops root's rights itself and runs its arguments.
    pub fn with_command(mut command: Command) -> Self {
        command.args(["env", r"PS1=[ended $?] ", "LC_ALL=C", "TERM=dumb", "sh", "-i"]);
        let mut shell = Self { terminal: spawn_command(command, Some(20_000)).unwrap() };
        shell.until(MARK);
        shell
    }

    /// Starts a user's shell by a command of root that runs its arguments.
    fn by(mut root: Command, user: &str) -> Self {
        let uid = uid(user);
        root.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "--reset-env"]);
        root.args(["env", r"PS1=[ended $?] ", "LC_ALL=C", "TERM=dumb", "sh", "-i"]);
        let mut shell = Self { terminal: spawn_command(root, Some(20_000)).unwrap() };
        shell.until(MARK);
        shell
    }

    #[track_caller]
    fn until(&mut self, pattern: &str) -> (String, String) {
        self.terminal.exp_regex(pattern).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Runs a line and answers its prompts in order. An answer is the end of a prompt and what is
    /// typed.
    pub fn run(&mut self, line: &str, answers: &[(&str, &str)]) -> Ran {
        let prompts: String = answers.iter().map(|(prompt, _)| escaped(prompt) + "|").collect();
        let mut next = answers.iter();
        self.converse(line, &prompts, |_, asked| {
            next.next().filter(|(prompt, _)| asked.ends_with(prompt)).map(|(_, typed)| (*typed).to_owned())
        })
    }

    /// Runs a line and answers by what was printed and by the prompt. No answer interrupts the
    /// program.
    pub fn answer(&mut self, line: &str, reply: impl FnMut(&str, &str) -> Option<String>) -> Ran {
        self.converse(line, "", reply)
    }

    fn converse(
        &mut self,
        line: &str,
        prompts: &str,
        mut reply: impl FnMut(&str, &str) -> Option<String>,
    ) -> Ran {
        self.terminal.send_line(line).unwrap();
        let mut ran = Ran { status: None, output: String::new(), answered: 0 };
        let mut interrupted = false;
        loop {
            let (before, found) = self.until(&format!("{MARK}|{prompts}{PROMPTS}"));
            ran.output += &before;
            if let Some(status) = found.strip_prefix("[ended ").and_then(|rest| rest.strip_suffix("] ")) {
                ran.status = status.parse().ok().filter(|_| !interrupted);
                return ran;
            }
            ran.output += &found;
            if let Some(typed) = reply(&ran.output, &found).filter(|_| !interrupted) {
                self.terminal.send_line(&typed).unwrap();
                ran.answered += 1;
            } else {
                self.terminal.send_control('c').unwrap();
                interrupted = true;
            }
        }
    }
}

fn uid(user: &str) -> String {
    uid_of(user).unwrap_or(0).to_string()
}

impl Drop for Shell {
    fn drop(&mut self) {
        // An interactive shell ignores the signal that a dropped session sends first.
        let _ = self.terminal.process_mut().signal(nix::sys::signal::Signal::SIGKILL);
        let _ = self.terminal.process_mut().wait();
    }
}

/// Returns a regular expression that matches the text itself.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_alphanumeric() || c == ' ' { c.to_string() } else { format!("\\{c}") })
        .collect()
}
