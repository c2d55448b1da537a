//! `totpd verify` and `totpd confirm`. Codes come from the terminal or standard input, never from
//! argv.

use super::Context;
use crate::cli::call_error::explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::{admin_call, connect, deadline};
use crate::cli::subject::{Subject, login_name, self_service_call};
use serde_json::json;
use std::io::{IsTerminal, Read, Write};
use totp_wire::login::{Answer, Attempt, Begin, Step, Verdict};
use totp_wire::{SecretText, admin, self_service};
use zeroize::Zeroizing;

/// The most bytes of a code that are read.
const MAX_TYPED_BYTES: u64 = 512;

/// `totpd verify [USER]`
pub(super) fn verify(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    let config = context.config()?;
    let user = user.map_or_else(login_name, Ok)?;
    let paths = [config.root_socket.as_path(), &config.login_socket];
    let code = ask("Code: ")?;
    let attempt = Attempt { user: user.clone(), service: Some("totpd".to_owned()), ..Attempt::default() };
    let until = deadline();
    let remaining_ms = Some(20_000);
    let answered = connect(&paths, until).and_then(|mut client| {
        client.call(&Begin { attempt, remaining_ms }, until)?;
        client.call(&Answer { text: Some(code), unusable: None, remaining_ms }, until)
    });
    let step = answered.map_err(|error| explain(&config.login_socket, &error))?.step;
    let verified = step.verdict == Some(Verdict::Granted);
    context.out.json(&json!({ "user": user, "verified": verified, "messages": texts(&step) }))?;
    for text in texts(&step) {
        context.out.line(text)?;
    }
    if !verified {
        return Err(failed(ExitStatus::Refused, format!("the code was refused. Run: totpd history {user}")));
    }
    context.out.line(format!("{user}: accepted"))
}

/// `totpd confirm [USER]`
pub(super) fn confirm(context: &Context, user: Option<String>) -> Result<(), CommandError> {
    let subject = Subject::of(user)?;
    let code = ask("First code: ")?;
    let reply = confirm_with(context, &subject, code)?;
    let user = subject.name();
    context.out.json(&json!({
        "user": user, "confirmed": reply.confirmed, "phone_offset_seconds": reply.phone_offset,
        "expected_digits": reply.digits,
    }))?;
    if !reply.confirmed {
        return Err(failed(ExitStatus::Refused, why_refused(&reply)));
    }
    context.out.line(format!("{user}: confirmed"))
}

/// Asks for the first code right after an enrollment, at most `tries` times. An empty line ends it.
/// Returns whether it was right.
pub(super) fn first_code(context: &Context, subject: &Subject, tries: u8) -> Result<bool, CommandError> {
    for _ in 0..tries {
        let code = ask("First code (empty to confirm later): ")?;
        if code.reveal().is_empty() {
            break;
        }
        let reply = confirm_with(context, subject, code)?;
        if reply.confirmed {
            return Ok(true);
        }
        context.out.line(why_refused(&reply))?;
    }
    Ok(false)
}

fn confirm_with(
    context: &Context,
    subject: &Subject,
    code: SecretText,
) -> Result<admin::ConfirmReply, CommandError> {
    let config = context.config()?;
    match subject {
        Subject::Oneself(_) => self_service_call(&config, &self_service::Confirm { code }),
        Subject::User(user) => admin_call(&config, &admin::Confirm { user: user.clone(), code }),
    }
}

fn why_refused(reply: &admin::ConfirmReply) -> String {
    if let Some(digits) = reply.digits {
        return format!(
            "refused, because codes of this enrollment have {digits} digits. If the app shows another number, it ignores \
             the setting: use another app, or enroll again with the number of digits that it shows (totpd enroll --digits)"
        );
    }
    match reply.phone_offset {
        Some(offset) => {
            let (size, side) = (offset.unsigned_abs(), if offset > 0 { "ahead of" } else { "behind" });
            format!(
                "refused, because the phone's clock is about {} {side} this host's. Set the phone to automatic time, or \
                 check this host: timedatectl",
                humantime::format_duration(std::time::Duration::from_secs(size))
            )
        }
        None => {
            "refused: this code is not accepted now. Type the one that the app shows; if you did, it may have been used \
             already, here or elsewhere: wait for the next one"
                .to_owned()
        }
    }
}

fn texts(step: &Step) -> Vec<&str> {
    step.messages.iter().map(|message| message.text.reveal()).collect()
}

/// Reads one line: from the terminal after a question, or else from standard input.
pub(super) fn ask(question: &str) -> Result<SecretText, CommandError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question}")?;
        stderr.flush()?;
    }
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_TYPED_BYTES).unwrap_or(0)));
    let mut byte = [0];
    let mut input = stdin.lock().take(MAX_TYPED_BYTES);
    loop {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(failed(ExitStatus::Refused, format!("standard input cannot be read: {error}")));
            }
        }
    }
    let text =
        str::from_utf8(&line).map_err(|_| failed(ExitStatus::Refused, "the input is not UTF-8 text"))?;
    Ok(SecretText::new(Zeroizing::new(text.trim().to_owned())))
}
