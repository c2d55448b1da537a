//! `totpd explain USER SERVICE`: which rule decides, why others do not, and what would happen.

use super::Context;
use super::args::Explain;
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::cli::rpc::admin_call;
use crate::clock;
use crate::pam_config::{ConfigDirs, Facility, MODULE, dispatch};
use serde_json::json;
use std::path::Path;
use totp_core::Time;
use totp_wire::admin::{self, ExpectedOutcome, ExplainReply};

/// `totpd explain`
pub(super) fn explain(context: &Context, args: Explain) -> Result<(), CommandError> {
    let at = match &args.at {
        None => None,
        Some(text) => {
            let time = clock::from_rfc3339(text);
            let usage = || {
                failed(ExitStatus::Usage, "--at takes an RFC 3339 time with its zone: 2027-01-31T08:00:00Z")
            };
            Some(time.ok_or_else(usage)?)
        }
    };
    if args.rhost.is_none() && !args.ssh_auth.is_empty() {
        let why = "--ssh-auth needs --rhost, because sshd verifies only remote users. Add --rhost IP";
        return Err(failed(ExitStatus::Usage, why));
    }
    let call = admin::Explain {
        user: args.user.clone(),
        service: args.service.clone(),
        ruser: args.ruser,
        rhost: args.rhost,
        ssh_auth: (!args.ssh_auth.is_empty()).then_some(args.ssh_auth),
        first_factor: args.first_factor.then_some(true),
        peer_uid: args.peer,
        at: at.map(Time::unix),
    };
    let mut reply = admin_call(&context.config()?, &call)?;
    let dirs = ConfigDirs::of(Path::new("/"));
    if let Some(hindrance) = stack_overrules(&dirs, &args.service, reply.outcome) {
        reply.obstacles.get_or_insert_default().push(hindrance);
    }
    context.out.json(&json!(reply))?;
    for checked in &reply.checked {
        let why = match (&checked.mismatch, checked.decides) {
            (_, true) => "decides".to_owned(),
            (Some(key), false) => format!("does not match: {key}"),
            (None, false) => "does not match".to_owned(),
        };
        context.out.line(format!("{}: {why}", checked.rule))?;
    }
    if !reply.checked.iter().any(|checked| checked.decides) {
        context.out.line("no rule matches, so the default applies: require")?;
    }
    context.out.line(outcome(&reply, &args.user))?;
    for hindrance in reply.obstacles.iter().flatten() {
        context.out.line(format!("{}: {hindrance}", args.user))?;
    }
    Ok(())
}

/// Why the PAM stack of this host overrules totpd's answer: it does not ask totpd, or refuses an
/// exempt user.
fn stack_overrules(dirs: &ConfigDirs, service: &str, fate: ExpectedOutcome) -> Option<String> {
    let stack = dirs.stack(service, Facility::Auth).ok()?;
    let file = stack.file.display();
    if stack.ours().next().is_none() {
        return Some(format!("this does not happen, because {file} does not ask totpd"));
    }
    if !matches!(fate, ExpectedOutcome::Exempt | ExpectedOutcome::AskedAndPassed) {
        return None;
    }
    // The module answers PAM_IGNORE for an exempt user, so another module has to succeed.
    let passes = dispatch(&stack, |entry| match entry.line.module_name() {
        MODULE => "ignore",
        "pam_deny.so" => "auth_err",
        _ => "success",
    });
    (!passes).then(|| {
        format!(
            "refused all the same, because no other module in {file} succeeds. Use the lines of \
             config/pam.d/sshd-rules or sudo-rules"
        )
    })
}

/// What would happen, as text.
fn outcome(reply: &ExplainReply, user: &str) -> String {
    let reason = reply.reason.as_deref();
    let mut text = match (reply.outcome, reason) {
        (ExpectedOutcome::Asked, Some("no-first-factor")) => {
            "a code would be asked for, because the rule exempts only users who have proved \
             a first factor (a key or password in SSH, or first_factor=passed in the PAM line)"
                .to_owned()
        }
        (ExpectedOutcome::Asked, _) => "a code would be asked for".to_owned(),
        (ExpectedOutcome::AskedAndPassed, _) => {
            "a code would be asked for, and any answer would pass".to_owned()
        }
        (ExpectedOutcome::Exempt, _) => "would pass without a code".to_owned(),
        (ExpectedOutcome::Enrolled, _) => "would be enrolled inside the login".to_owned(),
        (ExpectedOutcome::Refused, Some("no-first-factor")) => {
            "would be asked for a code and refused: no-first-factor. The rule \
             applies only to users who have proved a first factor: add --rhost IP --ssh-auth publickey, or \
             --first-factor if the PAM line says first_factor=passed"
                .to_owned()
        }
        (ExpectedOutcome::Refused, Some("not-shown")) => {
            "would be asked for a code and refused: not-shown. The rule enrolls, and this \
             service may log the key that it shows. If it does not, add it to login.show_secrets_services"
                .to_owned()
        }
        (ExpectedOutcome::Refused, None) => "would be refused".to_owned(),
        (ExpectedOutcome::Refused, Some(reason)) => {
            format!("would be asked for a code and refused: {reason}")
        }
    };
    if let Some(proof) = &reply.first_factor {
        text.push_str(&format!("; first factor proved by {proof}"));
    }
    if reply.subject != user {
        text.push_str(&format!("; with the factor of {}", reply.subject));
    }
    if let Some(would) = &reply.would {
        text.push_str(&format!("; mode {}, enforced it would be {would}", reply.mode));
    }
    if let Some(seconds) = reply.remember {
        let length = humantime::format_duration(std::time::Duration::from_secs(seconds));
        text.push_str(&format!("; a grant would be remembered for {length}"));
    }
    format!("{user}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_where_no_other_module_succeeds_refuses_the_exempt() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        let ours = "auth required pam_totp.so\n";
        let rules = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n";
        for (service, lines) in [
            ("alone", ours.to_owned()),
            ("rules", format!("{rules}{ours}")),
            ("other", "auth required pam_unix.so\n".to_owned()),
        ] {
            std::fs::write(folder.join(service), lines).unwrap();
        }
        let dirs = ConfigDirs::of(root.path());
        let said = |service: &str, fate| stack_overrules(&dirs, service, fate).unwrap_or_default();
        assert!(said("alone", ExpectedOutcome::Exempt).contains("refused all the same"));
        assert_eq!(said("alone", ExpectedOutcome::Asked), "");
        assert_eq!(said("rules", ExpectedOutcome::Exempt), "");
        assert!(said("other", ExpectedOutcome::Asked).contains("does not ask totpd"));
    }
}
