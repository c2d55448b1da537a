//! `totpd pam status`: which services ask for a code, how, and by which lines.

use super::{dirs, sshd, state};
use crate::cli::Context;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::local_time::local;
use crate::pam_config::siblings::services_of;
use crate::pam_config::undo::Pending;
use crate::pam_config::{ConfigDirs, Entry, Facility, Stack, block};
use serde_json::{Value, json};
use totp_core::Time;

/// `totpd pam status [SERVICE…]`
pub(super) fn status(context: &Context, names: &[String]) -> Result<(), CommandError> {
    let pending = state()?.pending().map_err(|error| failed(ExitStatus::Refused, error))?;
    let dirs = dirs();
    let services: Vec<String> = if names.is_empty() {
        dirs.authenticating()
    } else {
        names.iter().flat_map(|name| services_of(name)).map(str::to_owned).collect()
    };
    let mut documents = Vec::new();
    for service in &services {
        let stack = match dirs.stack(service, Facility::Auth) {
            Ok(stack) if dirs.file(service).is_some() => stack,
            _ => {
                context.out.line(format!("{service}: this host has no such PAM service"))?;
                continue;
            }
        };
        let document = describe(&dirs, &stack, pending.as_ref());
        context.out.line(sentence(&document))?;
        for line in document["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            context.out.line(format!("    {line}"))?;
        }
        documents.push(document);
    }
    if let Some(pending) = &pending {
        let until = local(Time::from_unix(pending.until));
        context.out.line(format!(
            "a change waits for logins: what is not confirmed by {until} is taken back. To do it now: totpd pam take-back"
        ))?;
    }
    let drop_in = sshd::drop_in().exists().then(sshd::drop_in);
    context.out.json(&json!({ "services": documents, "pending": pending, "sshd_drop_in": drop_in }))
}

fn describe(dirs: &ConfigDirs, stack: &Stack, pending: Option<&Pending>) -> Value {
    let mut lines: Vec<String> = Vec::new();
    let (mut mode, mut by_hand) = (None, false);
    for entry in stack.ours() {
        let text = dirs.read(&entry.file).unwrap_or_default();
        let blocks = block::find(&text).unwrap_or_default();
        let found = blocks.iter().find(|block| (block.first..=block.last).contains(&entry.line.number));
        mode = mode.or(found.map(|block| block.mode));
        by_hand |= found.is_none();
        let text = text.lines().nth(entry.line.number - 1).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.push(format!("{}:{}: {text}", entry.file.display(), entry.line.number));
    }
    let one_field = stack.ours().any(|entry| entry.line.arguments.iter().any(|word| word == "forward_pass"));
    let first = stack.entries.iter().position(|entry| entry.line.is_ours()).unwrap_or(stack.entries.len());
    let before: Vec<&str> =
        stack.entries[..first].iter().map(|entry: &Entry| entry.line.module_name()).collect();
    let waits =
        pending.and_then(|pending| pending.services.iter().find(|service| service.name == stack.service));
    let state = match (lines.is_empty(), by_hand, waits) {
        (true, _, _) => "off",
        (_, true, _) => "by-hand",
        (_, _, Some(service)) if service.confirmed.is_none() => "armed",
        _ => "confirmed",
    };
    json!({
        "service": stack.service, "file": stack.file, "state": state, "mode": mode,
        "lines": lines, "before": before, "one_field": one_field,
    })
}

fn sentence(document: &Value) -> String {
    let text = |key: &str| document[key].as_str().unwrap_or_default();
    let before: Vec<&str> =
        document["before"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let before = if before.is_empty() { "nothing".to_owned() } else { before.join(", ") };
    let position = match document["one_field"].as_bool() {
        Some(true) => "in one field with the password".to_owned(),
        _ => format!("after {before}"),
    };
    let (service, mode) = (text("service"), text("mode"));
    match text("state") {
        "off" => format!("{service}: asks for no code ({before})"),
        "by-hand" => format!("{service}: asks for a code by lines that were written by hand, {position}"),
        "armed" => format!("{service}: {mode}, not yet confirmed by a login, {position}"),
        _ => format!("{service}: {mode}, {position}"),
    }
}
