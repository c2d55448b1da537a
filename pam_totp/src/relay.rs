//! The conversation: shows what the daemon sends, and sends back what the user types if it may be
//! sent.

use crate::attempt::{self, Messages};
use crate::host::{Echo, Host, Level, Typed};
use crate::outcome::Outcome;
use std::ffi::CStr;
use std::path::PathBuf;
use totp_wire::input_filter::{check_input, split_combined};
use totp_wire::login::{Accept, Answer, Attempt, Begin, MAX_TEXT, Prompt, RejectedInput, Step, Style};
use totp_wire::pam_args::Args;
use totp_wire::process::sockets;
use totp_wire::text::printable;
use totp_wire::{Budget, CallError, Client, SecretText};
use zeroize::Zeroizing;

/// The delay after a failure, as pam_unix asks for it. libpam varies it by half.
const FAIL_DELAY_MICROS: u32 = 2_000_000;
/// More prompts than any attempt has: a daemon that asks forever is broken.
const MAX_PROMPTS: u8 = 16;

/// Said to the user when the daemon cannot be asked.
const UNAVAILABLE: &str =
    "The second factor cannot be checked now. Try again later, or call your administrators.";
/// The same as a prompt, for programs that show messages only before one.
const UNAVAILABLE_PROMPT: &str = "The second factor cannot be checked now. \
    Press Enter, then try again later or call your administrators: ";
/// `PAM_TTY` in sshd. Before 10.3 it keeps messages until its next prompt.
const SSHD_TTY: &str = "ssh";

/// Runs `pam_sm_authenticate(3)` with the arguments of the PAM line.
pub(crate) fn authenticate(host: &mut impl Host, words: &[&CStr], messages: Messages) -> Outcome {
    let args = Args::parse(words);
    if !args.as_ref().is_ok_and(|args| args.nodelay) {
        host.fail_delay(FAIL_DELAY_MICROS);
    }
    let args = match args {
        Ok(args) => args,
        Err(why) => {
            host.log(Level::Error, &format!("{why}; refusing. Fix the PAM line"));
            return Outcome::Broken;
        }
    };
    #[cfg(feature = "fault_injection")]
    crate::guard::injected(args.panic.as_deref());
    let Ok(attempt) = attempt::collect(host, &args, messages) else {
        host.log(Level::Error, "the program names no user; refusing");
        return Outcome::NoConversation;
    };
    let mut relay = Relay { budget: Budget::new(args.timeout), args, attempt, messages };
    relay.run(host)
}

/// Whether `step` asks what `shown` asked, without messages that the user has not seen. The answer
/// is for that question alone. The words may differ: a daemon that has restarted does not know that
/// the program asked before.
fn asks_the_same(step: &Step, shown: &Prompt) -> bool {
    let new = step.prompt.clone().map(|new| Prompt { text: shown.text.clone(), ..new });
    step.messages.is_empty() && new.as_ref() == Some(shown)
}

/// The answer to [`Accept::Confirm`]. What a program or a person typed instead of Enter may be a
/// password, and is not sent.
fn confirmation(typed: Option<Typed>) -> Answer {
    let unread = match typed {
        Some(typed) if typed.is_empty() => None,
        Some(_) => Some(RejectedInput::Shape),
        None => Some(RejectedInput::Empty),
    };
    let text = unread.is_none().then(|| SecretText::from(String::new()));
    Answer { text, unusable: unread, ..Answer::default() }
}

/// One attempt.
struct Relay {
    args: Args,
    attempt: Attempt,
    budget: Budget,
    messages: Messages,
}

impl Relay {
    fn run(&mut self, host: &mut impl Host) -> Outcome {
        let (mut client, mut step) = match self.begin().or_else(|error| self.begin_again(&error)) {
            Ok(begun) => begun,
            Err(error) => return self.fail(host, &error, None),
        };
        let mut prompts = 0;
        loop {
            self.show(host, &step);
            if let Some(outcome) = Outcome::of_step(&step, prompts, self.args.tries) {
                return self.log_outcome(host, outcome, &step);
            }
            let Some(prompt) = step.prompt.take().filter(|_| prompts < MAX_PROMPTS) else {
                return self.log_outcome(host, Outcome::Failed, &step);
            };
            let mut answer = match self.ask(host, &prompt, prompts) {
                Ok(answer) => answer,
                Err(outcome) => return self.log_outcome(host, outcome, &step),
            };
            if self.args.debug {
                let usable = if answer.unusable.is_some() { "not usable" } else { "usable" };
                let id = printable(&step.id, 32);
                host.log(Level::Debug, &format!("question {prompts}: the answer is {usable} id={id}"));
            }
            let mut reply = self.answer(&mut client, &mut answer);
            // The daemon restarted while the user was typing, and has not read the answer.
            if prompts == 0 && reply.as_ref().is_err_and(|error| *error == CallError::NotReceived) {
                reply = self.begin().and_then(|(fresh, begun)| {
                    client = fresh;
                    if asks_the_same(&begun, &prompt) {
                        self.answer(&mut client, &mut answer)
                    } else {
                        Err(CallError::Broken)
                    }
                });
            }
            prompts += 1;
            step = match reply {
                Ok(step) => step,
                Err(error) => {
                    // The daemon sees that nobody waits for its answer any more.
                    drop(client);
                    return self.fail(host, &error, Some(&step.id));
                }
            };
        }
    }

    /// Connects and begins the attempt.
    fn begin(&mut self) -> Result<(Client, Step), CallError> {
        let Self { args, attempt, budget, .. } = self;
        let remaining_ms = Some(budget.remaining_millis());
        budget.spend(|deadline| {
            let sockets = sockets(&args.socket);
            let paths = sockets.iter().map(PathBuf::as_path);
            let mut client = Client::connect_first(paths, args.trust, deadline)?;
            let reply = client.call(&Begin { attempt: attempt.clone(), remaining_ms }, deadline)?;
            Ok((client, reply.step))
        })
    }

    /// Begins once more, if the connection ended before anything was typed.
    fn begin_again(&mut self, error: &CallError) -> Result<(Client, Step), CallError> {
        match error {
            CallError::NotReceived | CallError::Closed => self.begin(),
            other => Err(other.clone()),
        }
    }

    fn answer(&mut self, client: &mut Client, answer: &mut Answer) -> Result<Step, CallError> {
        answer.remaining_ms = Some(self.budget.remaining_millis());
        self.budget.spend(|deadline| client.call(answer, deadline)).map(|reply| reply.step)
    }

    /// Returns the answer to `prompt`, or why the attempt ends. The first prompt may be answered by
    /// what an earlier module has asked for.
    fn ask(&self, host: &mut impl Host, prompt: &Prompt, earlier_prompts: u8) -> Result<Answer, Outcome> {
        let for_code = prompt.accept == Accept::Code;
        if earlier_prompts == 0 && for_code && (self.args.use_first_pass || self.args.try_first_pass) {
            let earlier = host.authtok().unwrap_or_default();
            let answer = self.answer_from(host, earlier, prompt);
            if self.args.use_first_pass || answer.unusable.is_none() {
                return Ok(answer);
            }
        }
        // Under use_first_pass the user is never asked, not even for a second try.
        if self.args.use_first_pass {
            return Err(Outcome::Denied);
        }
        let text = printable(&prompt.text, MAX_TEXT - 1);
        let echo = if prompt.echo { Echo::On } else { Echo::Off };
        match host.prompt(&text, echo) {
            Ok(typed) if prompt.accept == Accept::Confirm => Ok(confirmation(typed)),
            // The code was right: a program that has no field for this question lets the user in.
            Err(_) if prompt.accept == Accept::Confirm => Ok(confirmation(None)),
            Ok(Some(typed)) => Ok(self.answer_from(host, typed, prompt)),
            // A program that reports success without an answer has none.
            Ok(None) | Err(_) => Err(Outcome::NoConversation),
        }
    }

    /// Returns the answer that `typed` makes. Under `forward_pass`, the password in it is set for
    /// the next module before the code is judged, whatever the verdict, so that the next module
    /// neither asks nor reveals the verdict.
    fn answer_from(&self, host: &mut impl Host, mut typed: Typed, prompt: &Prompt) -> Answer {
        if self.args.forward_pass && prompt.accept == Accept::Code {
            let (password, code) = match split_combined(&typed, prompt.digits) {
                Some((password, code)) => (password, code.as_bytes()),
                None => (typed.as_slice(), &b""[..]),
            };
            if !host.set_authtok(password) {
                host.log(Level::Error, "forward_pass: the password cannot be passed on");
            }
            let shape = if code.is_empty() && !typed.is_empty() { Some(RejectedInput::Shape) } else { None };
            typed = Zeroizing::new(code.to_vec());
            if shape.is_some() {
                return Answer { unusable: shape, ..Answer::default() };
            }
        }
        // Checked before it is copied: input that is not UTF-8 is a password, and stays where it is
        // wiped.
        let text = str::from_utf8(&typed).map_err(|_| RejectedInput::Shape);
        match text.and_then(|text| check_input(text, prompt).map(|()| text.to_owned())) {
            Ok(text) => Answer { text: Some(SecretText::from(text)), ..Answer::default() },
            Err(rejected) => Answer { unusable: Some(rejected), ..Answer::default() },
        }
    }

    /// Shows the messages of a step, unless the program asked for silence.
    fn show(&self, host: &mut impl Host, step: &Step) {
        if self.messages == Messages::Silent {
            return;
        }
        for message in &step.messages {
            host.show(message.style, &Zeroizing::new(printable(message.text.reveal(), MAX_TEXT - 1)));
        }
    }

    /// Logs the outcome, with the id of the daemon's audit event.
    fn log_outcome(&self, host: &mut impl Host, outcome: Outcome, step: &Step) -> Outcome {
        let identity = self.log_identity(step);
        match outcome {
            Outcome::Granted => host.log(Level::Info, &format!("granted {identity}")),
            Outcome::Exempt => host.log(Level::Info, &format!("exempt {identity}")),
            Outcome::Denied | Outcome::TriesUsedUp => host.log(Level::Notice, &format!("refused {identity}")),
            other => host.log(Level::Error, &format!("{}; refusing {identity}", other.as_str())),
        }
        if outcome == Outcome::Failed {
            self.tell_unavailable(host);
        }
        outcome
    }

    /// Returns what identifies the attempt in the log. The user name is included only if the daemon
    /// says that it is a user's: people type passwords at prompts for names, and many can read this
    /// log.
    fn log_identity(&self, step: &Step) -> String {
        let id = printable(&step.id, 32);
        if step.known == Some(true) {
            let user = printable(&self.attempt.user, 64);
            return format!("user={user} id={id}");
        }
        format!("id={id}")
    }

    /// Logs an error and tells the user. It is unknown whether the name is a user's, so it is left
    /// out of the log.
    fn fail(&self, host: &mut impl Host, error: &CallError, id: Option<&str>) -> Outcome {
        let socket = self.args.socket.display();
        let id = id.map_or_else(String::new, |id| format!(" id={}", printable(id, 32)));
        host.log(Level::Error, &format!("totpd at {socket}: {error}; refusing{id}"));
        self.tell_unavailable(host);
        Outcome::of_error(error)
    }

    /// Tells the user that the daemon cannot be asked: sudo and sshd would say that the code was
    /// wrong, or nothing. Where messages are not shown a prompt says it, and its answer is ignored;
    /// but not where the login may go on without us, since not every program can answer.
    fn tell_unavailable(&self, host: &mut impl Host) {
        let shows_messages =
            self.messages != Messages::Silent && self.attempt.tty.as_deref() != Some(SSHD_TTY);
        if shows_messages {
            host.show(Style::Error, UNAVAILABLE);
        } else if !self.args.use_first_pass && host.failure_refuses() {
            drop(host.prompt(UNAVAILABLE_PROMPT, Echo::Off));
        }
    }
}

#[cfg(test)]
mod tests;
