//! A person at a terminal: a shell in an audit session of its own, in which programs ask and are answered.

use crate::setup::{Site, uid_of};
use rexpect::session::{PtySession, spawn_command};
use std::process::Command;

/// What the shell prints when a program has ended, with its exit status.
const MARK: &str = r"\[ended \d+\] ";
/// What any of the programs asks. Whoever is not answered is interrupted.
const PROMPTS: &str =
    r"[Pp]assword[^\r\n]*: |Verification code: |login: |First code from the app: |one of them to finish: ";

/// The shell. Each has a new audit session.
#[expect(missing_debug_implementations, reason = "a terminal has nothing to show")]
pub struct Shell {
    terminal: PtySession,
}

/// How one program ended in it.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; none if it was interrupted at a prompt that nobody was to answer.
    pub status: Option<i32>,
    /// All that it printed.
    pub output: String,
    /// How many of the prepared answers were asked for.
    pub answered: usize,
}

impl Ran {
    /// Whether it went through and printed what only the program behind the login prints.
    #[track_caller]
    pub fn let_in(&self, printed: &str) -> bool {
        let inside = self.output.contains(printed);
        assert_eq!(inside, self.status == Some(0), "{self:?}");
        inside
    }

    /// How often a code was asked for.
    pub fn codes_asked(&self) -> usize {
        self.output.matches("Verification code: ").count()
    }
}

impl Shell {
    /// Of a user of the site.
    pub fn of(site: &Site, user: &str) -> Self {
        Self::start(site.command("sh"), user)
    }

    /// Of root at a console, as getty has one: in no audit session.
    pub fn console(site: &Site) -> Self {
        Self::by(site.command("env"), "root")
    }

    /// Of a user, by a command that is a shell of root.
    pub fn start(mut root: Command, user: &str) -> Self {
        // Whoever writes his login uid for the first time is given a new audit session (audit_set_loginuid).
        root.args(["-c", r#"echo "$1" > /proc/self/loginuid; shift; exec "$@""#, "sh", &uid(user)]);
        Self::by(root, user)
    }

    /// Of a user, by a command that ends root's rights itself and runs what stands behind it.
    pub fn with_command(mut command: Command) -> Self {
        command.args(["env", r"PS1=[ended $?] ", "LC_ALL=C", "TERM=dumb", "sh", "-i"]);
        let mut shell = Self { terminal: spawn_command(command, Some(20_000)).unwrap() };
        shell.until(MARK);
        shell
    }

    /// Of a user, by a command of root's that runs what stands behind it.
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

    /// Runs a line, and answers each prompt in its turn: the prompt's end, and what is typed.
    pub fn run(&mut self, line: &str, answers: &[(&str, &str)]) -> Ran {
        let prompts: String = answers.iter().map(|(prompt, _)| escaped(prompt) + "|").collect();
        let mut next = answers.iter();
        self.converse(line, &prompts, |_, asked| {
            next.next().filter(|(prompt, _)| asked.ends_with(prompt)).map(|(_, typed)| (*typed).to_owned())
        })
    }

    /// Runs a line, and answers by what was printed and what is asked; no answer interrupts it.
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

/// The text as a regular expression that matches itself.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_alphanumeric() || c == ' ' { c.to_string() } else { format!("\\{c}") })
        .collect()
}
