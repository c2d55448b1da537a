//! Checks the stacks that ask for a code: no login without one, and logins with one.

use super::services::{Protected, protected};
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, Kind};
use crate::doctor::stack::{self, Run, lets_in, lets_in_with_all, name_of, reached_without_proof, runs};
use crate::doctor::system::Host;
use crate::pam_config::one_field::{self, has_one_field};
use crate::pam_config::{Action, Entry, Facility, Stack};
use std::os::unix::fs::MetadataExt;
use totp_core::policy::{Action as RuleAction, Mode, Rule};
use totp_wire::pam_args::Args;

/// Checks each service that has totpd's line.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    protected(host).iter().flat_map(|service| of_service(host, service)).collect()
}

fn of_service(host: &Host, service: &Protected) -> Vec<Finding> {
    let mut found = misread(host, service);
    found.extend(arguments(host, service));
    found.extend(writable(host, service));
    found.extend(account(host, service));
    let monitored = watches_only(host, service);
    found.extend(monitored.then(|| monitor_note(host, service)));
    if found.iter().any(|finding| finding.kind == &kinds::PAM_LINE_MISREAD) {
        // libpam cannot read this stack, so other findings about it are meaningless.
        return found;
    }
    if !monitored {
        let open = decides_nothing(host, service);
        if open.as_ref().is_none_or(|finding| finding.kind != &kinds::ANSWER_DECIDES_NOTHING) {
            found.extend(code_alone(host, service));
        }
        found.extend(open);
        found.extend(exempt_refused(host, service));
        found.extend(one_field(host, service));
    }
    found.extend(nobody_passes(host, service));
    found.extend(twice(host, service));
    found.extend(first_factor(host, service));
    found
}

fn at(host: &Host, kind: &'static Kind, service: &Protected, entry: &Entry, what: String) -> Finding {
    Finding::new(kind, &service.name, what).at(&host.shown(&entry.file), entry.line.number)
}

/// The line of totpd that a finding about the whole stack names.
fn ours(service: &Protected) -> Option<&Entry> {
    service.auth.ours().next()
}

/// Row "control typo", and other lines that libpam cannot read.
fn misread(host: &Host, service: &Protected) -> Vec<Finding> {
    let troubles = service.auth.troubles.iter();
    let finding = |trouble: &crate::pam_config::Trouble| {
        let file = host.shown(&trouble.file);
        let what =
            format!("{}: line {} of {}: {}", service.name, trouble.number, file.display(), trouble.why);
        Finding::new(&kinds::PAM_LINE_MISREAD, &service.name, what)
            .cure(format!("Correct line {} of {}, see pam.conf(5)", trouble.number, file.display()))
            .at(&file, trouble.number)
    };
    troubles.map(finding).collect()
}

/// Rows "unknown argument in the PAM line" and "`socket=` not the daemon's".
fn arguments(host: &Host, service: &Protected) -> Vec<Finding> {
    let mut found = Vec::new();
    let socket = host.config_or_defaults().login_socket;
    for entry in service.auth.ours() {
        let line = format!("line {} of {}", entry.line.number, host.shown(&entry.file).display());
        match parse(entry) {
            Err(why) => {
                found.push(
                    at(host, &kinds::UNKNOWN_ARGUMENT, service, entry, format!("{line}: {why}"))
                        .cure("Correct or remove the argument, see pam_totp(8)"),
                );
            }
            Ok(args) => {
                if args.socket != socket {
                    let what = format!(
                        "{line} asks at {}, but the daemon listens at {}",
                        args.socket.display(),
                        socket.display()
                    );
                    let cure = format!("Write socket={} there, or leave the argument out", socket.display());
                    found.push(at(host, &kinds::SOCKET_ARGUMENT, service, entry, what).cure(cure));
                }
                if args.nodelay {
                    let what = format!("{line} has the argument nodelay");
                    let cure = "Remove nodelay if an auditor requires a delay";
                    found.push(at(host, &kinds::NO_DELAY, service, entry, what).cure(cure));
                }
            }
        }
    }
    found
}

fn parse(entry: &Entry) -> Result<Args, String> {
    let words: Vec<std::ffi::CString> =
        entry.line.arguments.iter().filter_map(|word| std::ffi::CString::new(word.as_str()).ok()).collect();
    Args::parse(&words.iter().map(std::ffi::CString::as_c_str).collect::<Vec<_>>())
}

/// Files of the stack that users other than root can change.
fn writable(host: &Host, service: &Protected) -> Vec<Finding> {
    let mut files: Vec<_> = service.auth.entries.iter().map(|entry| entry.file.clone()).collect();
    files.dedup();
    let is_open = |file: &std::path::PathBuf| {
        std::fs::metadata(file).is_ok_and(|m| m.mode() & 0o022 != 0 || (host.is_live() && m.uid() != 0))
    };
    let finding = |file: std::path::PathBuf| {
        let file = host.shown(&file);
        let what = format!("users other than root can change {}", file.display());
        Finding::new(&kinds::PAM_FILE_WRITABLE, file.display().to_string(), what)
            .cure(format!("Run: chown root: {0} && chmod go-w {0}", file.display()))
            .at(&file, None)
    };
    files.into_iter().filter(is_open).map(finding).collect()
}

/// Row of cron: totpd's module answers "ignore" in `account` and `session`.
fn account(host: &Host, service: &Protected) -> Vec<Finding> {
    let mut found = Vec::new();
    for facility in [Facility::Account, Facility::Session] {
        let Ok(stack) = host.pam().stack(&service.name, facility) else { continue };
        let Some(entry) = stack.ours().next() else { continue };
        let refuses =
            !crate::pam_config::dispatch(
                &stack,
                |entry| {
                    if entry.line.is_ours() { "ignore" } else { "success" }
                },
            );
        if refuses {
            let what = format!("{}: the {} lines refuse every user", service.name, facility.as_str());
            let cure = format!("Add the line \"{} required pam_unix.so\"", facility.as_str());
            found.push(at(host, &kinds::ACCOUNT_REFUSES, service, entry, what).cure(cure));
        }
    }
    found
}

/// Whether totpd's line only watches, as `totpd pam enable --mode monitor` or a rule intends.
fn watches_only(host: &Host, service: &Protected) -> bool {
    let optional = service.auth.ours().all(|entry| entry.line.control.action("auth_err") == Action::Ignore);
    optional
        && (marked_monitor(service)
            || lenient_rules(host, service).iter().any(|rule| rule.1 != Mode::Enforce))
}

fn marked_monitor(service: &Protected) -> bool {
    let text = ours(service).and_then(|entry| std::fs::read_to_string(&entry.file).ok()).unwrap_or_default();
    text.lines().any(|line| line.starts_with("# BEGIN totpd (") && line.contains("--mode monitor)"))
}

fn monitor_note(host: &Host, service: &Protected) -> Finding {
    let what = format!("{} only watches: it ignores whether the code is right", service.name);
    let finding = Finding::new(&kinds::MONITOR_STACK, &service.name, what)
        .cure(format!("Once every user is enrolled, run: totpd pam enable {} --mode rules", service.name));
    match ours(service) {
        Some(entry) => finding.at(&host.shown(&entry.file), entry.line.number),
        None => finding,
    }
}

/// The rules that exempt users of this service from the code, each with its mode now.
fn lenient_rules<'a>(host: &'a Host, service: &Protected) -> Vec<(&'a Rule, Mode)> {
    let Ok(config) = &host.config else { return Vec::new() };
    let about = |rule: &&Rule| rule.services.as_ref().is_none_or(|named| named.contains(&service.name));
    let moment = host.moment();
    let rules = config.policy.rules.iter().filter(about).filter(|rule| !rule.has_ended(moment));
    let with_mode = rules.map(|rule| (rule, rule.mode_at(moment)));
    with_mode.filter(|(rule, mode)| rule.action == RuleAction::Exempt || *mode != Mode::Enforce).collect()
}

/// Rows "`sufficient` before or as our control; password-only path", "`authinfo_unavail=ignore`;
/// with pam_permit behind".
fn decides_nothing(host: &Host, service: &Protected) -> Option<Finding> {
    let entry = ours(service)?;
    let refused = ["auth_err", "maxtries"]
        .into_iter()
        .find_map(|answer| Some((answer, lets_in(&service.auth, answer)?)));
    if let Some((_, run)) = refused {
        let (how, name) = (how(&service.auth, &run), &service.name);
        if run.unusual.is_empty() {
            let what = format!("{name}: {how}, whatever totpd's line answers");
            let cure = "Put totpd's line with the control \"required\" before every line that can end the stack with \
                        success. Run: totpd pam enable "
                .to_owned();
            return Some(at(host, &kinds::ANSWER_DECIDES_NOTHING, service, entry, what).cure(cure + name));
        }
        let condition = run.unusual.first().and_then(|at| service.auth.entries.get(*at))?;
        let what = format!(
            "{name}: for some users line {} ({}) skips totpd's line, and {how}",
            condition.line.number,
            [&[condition.line.module_name().to_owned()], &condition.line.arguments[..]].concat().join(" ")
        );
        let cure = "If that is intended, exempt these users by a rule of totpd.toml, which is audited. Otherwise remove \
                    the line";
        return Some(at(host, &kinds::LINE_SKIPPED, service, condition, what).cure(cure));
    }
    // The module's answers if there is no daemon, a broken one, or no module.
    let failures = ["authinfo_unavail", "system_err", "service_err", "conv_err", "module_unknown"];
    let (answer, run) = failures.into_iter().find_map(|a| Some((a, lets_in(&service.auth, a)?)))?;
    let what = format!(
        "{}: {} when totpd's line answers {answer} (control {})",
        service.name,
        how(&service.auth, &run),
        entry.line.control_text
    );
    Some(
        at(host, &kinds::STOPPED_DAEMON_LETS_IN, service, entry, what)
            .cure("Write \"required\" as its control"),
    )
}

/// The modules that are enough for a login, as text.
fn how(stack: &Stack, run: &Run) -> String {
    let proved = run.proved.iter().filter_map(|at| stack.entries.get(*at));
    let proved: Vec<String> =
        proved.map(|entry| format!("{} (line {})", name_of(entry), entry.line.number)).collect();
    if proved.is_empty() {
        return "every user gets in without a question".to_owned();
    }
    format!("{} lets in", proved.join(" with "))
}

/// Row "exempt or monitor rule under a stack that needs PAM_SUCCESS".
fn exempt_refused(host: &Host, service: &Protected) -> Option<Finding> {
    if lets_in_with_all(&service.auth, "ignore") || !lets_in_with_all(&service.auth, "success") {
        return None;
    }
    let (rule, mode) = *lenient_rules(host, service).first()?;
    let config = host.config.as_ref().ok()?;
    let index = config.policy.rules.iter().position(|other| std::ptr::eq(other, rule))?;
    let what = format!(
        "{}: {} exempts users ({}), but this stack refuses them",
        service.name,
        config.rule_name(index),
        if rule.action == RuleAction::Exempt { "exempt" } else { mode.as_str() }
    );
    let cure = format!(
        "Run: totpd pam enable {} --mode rules. By hand, the lines are in docs/how-to/hosts.md",
        service.name
    );
    Some(at(host, &kinds::EXEMPT_REFUSED, service, ours(service)?, what).cure(cure))
}

/// The stack refuses every login, even with the right password and code.
fn nobody_passes(host: &Host, service: &Protected) -> Option<Finding> {
    if lets_in(&service.auth, "success").is_some() {
        return None;
    }
    let what =
        format!("{}: the auth lines refuse every user, even with the right password and code", service.name);
    let cure =
        format!("Compare the lines with docs/how-to/hosts.md, or run: totpd pam enable {}", service.name);
    Some(at(host, &kinds::NOBODY_PASSES, service, ours(service)?, what).cure(cure))
}

/// Row "the code is the only factor", for programs other than sshd, which can prove a first factor
/// itself.
fn code_alone(host: &Host, service: &Protected) -> Option<Finding> {
    let alone = lets_in(&service.auth, "success").is_some_and(|run| run.proved.is_empty());
    if service.name == "sshd" || !alone {
        return None;
    }
    let what = format!("{} takes the code as the only factor: no password is needed", service.name);
    let cure = format!(
        "Put \"auth required pam_unix.so\" above totpd's line, or run: totpd pam enable {}",
        service.name
    );
    Some(at(host, &kinds::CODE_ALONE, service, ours(service)?, what).cure(cure))
}

/// Row "our line twice in one stack".
fn twice(host: &Host, service: &Protected) -> Option<Finding> {
    let run = runs(&service.auth, "success").into_iter().find(|run| run.ours_reached.len() > 1)?;
    let lines: Vec<&Entry> = run.ours_reached.iter().filter_map(|at| service.auth.entries.get(*at)).collect();
    let name = |entry: &&Entry| format!("{}:{}", host.shown(&entry.file).display(), entry.line.number);
    let names: Vec<String> = lines.iter().map(name).collect();
    let what = format!("{} asks for two codes: {}", service.name, names.join(" and "));
    let cure = format!("Remove one of the two lines, preferably {}", names.first()?);
    Some(at(host, &kinds::LINE_TWICE, service, lines.last()?, what).cure(cure))
}

/// A program with one field, whose stack asks for password and code in two questions.
fn one_field(host: &Host, service: &Protected) -> Option<Finding> {
    let asks = |entry: &&Entry| parse(entry).is_ok_and(|args| !args.forward_pass);
    if !has_one_field(&service.name) || stack::authenticators(&service.auth).is_empty() {
        return None;
    }
    let entry = service.auth.ours().find(asks)?;
    let file = host.shown(&entry.file);
    let what = format!(
        "{} has one field for the password, and line {} of {} asks a second question",
        service.name,
        entry.line.number,
        file.display()
    );
    Some(at(host, &kinds::ONE_FIELD, service, entry, what).cure(one_field::CURE))
}

/// Row "`first_factor=passed` not below `requisite` / `die`".
fn first_factor(host: &Host, service: &Protected) -> Option<Finding> {
    let entries = service.auth.entries.iter().enumerate();
    let mut claims =
        entries.filter(|(_, e)| e.line.is_ours() && parse(e).is_ok_and(|args| args.first_factor));
    let (_, entry) = claims.find(|(index, _)| reached_without_proof(&service.auth, *index))?;
    let above: Vec<_> = stack::authenticators(&service.auth).into_iter().map(name_of).collect();
    let what = format!(
        "{}: line {} says first_factor=passed, but is reached although {} failed",
        service.name,
        entry.line.number,
        if above.is_empty() { "every module before it".to_owned() } else { above.join(" or ") }
    );
    let cure =
        "Write \"requisite\" as the control of the line that asks for the password, above totpd's line";
    Some(at(host, &kinds::FIRST_FACTOR_NOT_PROVED, service, entry, what).cure(cure))
}
