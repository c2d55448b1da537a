//! The conversation: what the daemon says is shown, what the person types and fits is sent back.

use crate::attempt;
use crate::host::{Host, Level, Typed};
use crate::outcome::Outcome;
use std::ffi::CStr;
use std::path::PathBuf;
use totp_wire::input_filter::{check_input, split_combined};
use totp_wire::login::{Accept, Answer, Attempt, Begin, MAX_TEXT, Prompt, RejectedInput, Step};
use totp_wire::pam_args::Args;
use totp_wire::process::sockets;
use totp_wire::text::printable;
use totp_wire::{Budget, CallError, Client, SecretText};
use zeroize::Zeroizing;

/// The delay after a failure, as pam_unix asks for it. libpam varies it by half.
const FAIL_DELAY_MICROS: u32 = 2_000_000;
/// More questions than any attempt has: a daemon that asks for ever is broken.
const MOST_PROMPTS: u8 = 16;

/// `pam_sm_authenticate`.
pub(crate) fn authenticate(host: &mut impl Host, words: &[&CStr], silent: bool) -> Outcome {
    let args = Args::parse(words);
    if !args.as_ref().is_ok_and(|args| args.nodelay) {
        host.fail_delay(FAIL_DELAY_MICROS);
    }
    let args = match args {
        Ok(args) => args,
        Err(why) => {
            host.log(Level::Error, &format!("{why}; refusing. Mend the PAM line"));
            return Outcome::Broken;
        }
    };
    #[cfg(feature = "fault_injection")]
    crate::guard::injected(args.panic.as_deref());
    let Ok(attempt) = attempt::collect(host, &args, silent) else {
        host.log(Level::Error, "the program names no user; refusing");
        return Outcome::NoConversation;
    };
    let mut relay = Relay { budget: Budget::new(args.timeout), args, attempt, silent };
    relay.run(host)
}

struct Relay {
    args: Args,
    attempt: Attempt,
    budget: Budget,
    silent: bool,
}

impl Relay {
    fn run(&mut self, host: &mut impl Host) -> Outcome {
        let (mut client, mut step) = match self.begin().or_else(|error| self.begin_anew(&error)) {
            Ok(begun) => begun,
            Err(error) => return self.failed(host, &error, None),
        };
        let mut prompts = 0;
        loop {
            self.show(host, &step);
            if let Some(outcome) = Outcome::of_step(&step, prompts, self.args.tries) {
                return self.ended(host, outcome, &step);
            }
            let Some(prompt) = step.prompt.take().filter(|_| prompts < MOST_PROMPTS) else {
                return self.ended(host, Outcome::Failed, &step);
            };
            let mut answer = match self.ask(host, &prompt, prompts == 0) {
                Ok(answer) => answer,
                Err(outcome) => return self.ended(host, outcome, &step),
            };
            if self.args.debug {
                let usable = if answer.unusable.is_some() { "not usable" } else { "usable" };
                let id = printable(&step.id, 32);
                host.log(Level::Debug, &format!("question {prompts}: the answer is {usable} id={id}"));
            }
            let mut reply = self.answer(&mut client, &mut answer);
            // The daemon restarted while the person was typing and has seen nothing of this attempt.
            if prompts == 0 && reply.as_ref().is_err_and(|error| *error == CallError::NotSent) {
                reply = self.begin().and_then(|(fresh, begun)| {
                    client = fresh;
                    // The answer is one to the question that was shown: to no other, and to none with lines that
                    // nobody has seen.
                    let same = begun.messages.is_empty() && begun.prompt.is_some_and(|new| new == prompt);
                    if same { self.answer(&mut client, &mut answer) } else { Err(CallError::Broken) }
                });
            }
            prompts += 1;
            step = match reply {
                Ok(step) => step,
                Err(error) => return self.failed(host, &error, Some(&step.id)),
            };
        }
    }

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

    /// Once more, when the connection ended before anything was typed.
    fn begin_anew(&mut self, error: &CallError) -> Result<(Client, Step), CallError> {
        match error {
            CallError::NotSent | CallError::Closed => self.begin(),
            other => Err(other.clone()),
        }
    }

    fn answer(&mut self, client: &mut Client, answer: &mut Answer) -> Result<Step, CallError> {
        answer.remaining_ms = Some(self.budget.remaining_millis());
        self.budget.spend(|deadline| client.call(answer, deadline)).map(|reply| reply.step)
    }

    /// What the person has to say to `prompt`, or why the attempt ends.
    fn ask(&self, host: &mut impl Host, prompt: &Prompt, first: bool) -> Result<Answer, Outcome> {
        let for_code = prompt.accept == Accept::Code;
        if first && for_code && (self.args.use_first_pass || self.args.try_first_pass) {
            let earlier = host.authtok().unwrap_or_default();
            let answer = self.answer_from(host, earlier, prompt);
            if self.args.use_first_pass || answer.unusable.is_none() {
                return Ok(answer);
            }
        }
        // Under use_first_pass the person is asked nothing, not a second time either.
        if self.args.use_first_pass {
            return Err(Outcome::Denied);
        }
        let text = printable(&prompt.text, MAX_TEXT - 1);
        match host.prompt(&text, prompt.echo) {
            Ok(Some(typed)) => Ok(self.answer_from(host, typed, prompt)),
            // A program that says "success" and hands over nothing has no answer to give.
            Ok(None) | Err(_) => Err(Outcome::NoConversation),
        }
    }

    /// The answer that `typed` makes. Under `forward_pass` the password in it is left for the next module
    /// before anything is judged, whatever comes of it, so that the next module asks nothing and tells nothing.
    fn answer_from(&self, host: &mut impl Host, mut typed: Typed, prompt: &Prompt) -> Answer {
        if self.args.forward_pass && prompt.accept == Accept::Code {
            let (password, code) = match split_combined(&typed, prompt.digits) {
                Some((password, code)) => (password, code.as_bytes()),
                None => (typed.as_slice(), &b""[..]),
            };
            if !host.set_authtok(password) {
                host.log(Level::Error, "forward_pass: the password cannot be handed on");
            }
            let shape = if code.is_empty() && !typed.is_empty() { Some(RejectedInput::Shape) } else { None };
            typed = Zeroizing::new(code.to_vec());
            if shape.is_some() {
                return Answer { unusable: shape, ..Answer::default() };
            }
        }
        // Checked before it is copied: what is no text is a password, and is left where it is wiped.
        let fitting = str::from_utf8(&typed).map_err(|_| RejectedInput::Shape);
        match fitting.and_then(|text| check_input(text, prompt).map(|()| text.to_owned())) {
            Ok(text) => Answer { text: Some(SecretText::from(text)), ..Answer::default() },
            Err(unfit) => Answer { unusable: Some(unfit), ..Answer::default() },
        }
    }

    fn show(&self, host: &mut impl Host, step: &Step) {
        if self.silent {
            return;
        }
        for message in &step.messages {
            host.show(message.style, &Zeroizing::new(printable(message.text.reveal(), MAX_TEXT - 1)));
        }
    }

    /// Logs how it ended. The id is that of the daemon's audit event: the two logs can be laid side by side.
    fn ended(&self, host: &mut impl Host, outcome: Outcome, step: &Step) -> Outcome {
        let who = self.who(step);
        match outcome {
            Outcome::Granted => host.log(Level::Info, &format!("granted {who}")),
            Outcome::Exempt => host.log(Level::Info, &format!("exempt {who}")),
            Outcome::Denied | Outcome::TriesUsedUp => host.log(Level::Notice, &format!("refused {who}")),
            other => host.log(Level::Error, &format!("{}; refusing {who}", other.as_str())),
        }
        outcome
    }

    /// Names the attempt. The user's name stands there only if the daemon says that it is a user's: people type
    /// passwords at prompts for names, and many read this log.
    fn who(&self, step: &Step) -> String {
        let id = printable(&step.id, 32);
        if step.known == Some(true) {
            let user = printable(&self.attempt.user, 64);
            return format!("user={user} id={id}");
        }
        format!("id={id}")
    }

    /// Logs an error. Nobody says whether the name is a user's, and so it is left out.
    fn failed(&self, host: &mut impl Host, error: &CallError, id: Option<&str>) -> Outcome {
        let socket = self.args.socket.display();
        let id = id.map_or_else(String::new, |id| format!(" id={}", printable(id, 32)));
        host.log(Level::Error, &format!("totpd at {socket}: {error}; refusing{id}"));
        Outcome::of_error(error)
    }
}

#[cfg(test)]
mod tests;
