//! `totpd config check`.

use super::{Context, config_files};
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::config::Config;
use crate::pam_config::{ConfigDirs, siblings};
use serde_json::json;
use std::path::Path;
use totp_core::policy::{PeerMatch, Rule};

/// `totpd config check [--strict]`. A file that can be used is no failure: the unit's reload checks it first, and
/// must not be kept from a change by a remark. That the daemon's user cannot use what the file names is one, when root
/// asks: the next start would refuse everybody.
pub(super) fn check(context: &Context, strict: bool, files: bool) -> Result<(), CommandError> {
    let path = context.config_path.display().to_string();
    let config = Config::load_for_command(&context.config_path)
        .and_then(|config| config.require_valid(&context.config_path))
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    if files {
        return config_files::print_refused(context, &config);
    }
    let mut findings = config.findings();
    let services = ConfigDirs::of(Path::new("/"));
    for (place, rule) in config.policy.rules.iter().enumerate() {
        let name = config.rule_name(place);
        let unknown = unknown_names(&config, rule).into_iter().chain(unknown_services(&services, rule));
        findings.extend(unknown.map(|what| format!("{name} {what}")));
    }
    findings.extend(crate::http::unusable_certificate(config.api()));
    let problems = config_files::problems(context, &config);
    let good = findings.is_empty() && problems.is_empty();
    let all: Vec<&String> = problems.iter().chain(&findings).collect();
    context.out.json(&json!({ "config": path, "good": good, "findings": all, "problems": problems }))?;
    if good {
        return context.out.line(format!("{path}: good"));
    }
    for finding in all {
        context.out.line(format!("{path}: {finding}"))?;
    }
    if !problems.is_empty() && nix::unistd::geteuid().is_root() {
        return Err(failed(ExitStatus::Refused, "the daemon could not start with these files (see above)"));
    }
    if strict {
        return Err(failed(ExitStatus::Refused, "valid, but some rules have no effect (see above)"));
    }
    Ok(())
}

/// PAM services that no file of this host is about. A sibling that the configuration added by itself (`su-l` for `su`) is
/// missing on hosts that have none.
fn unknown_services(dirs: &ConfigDirs, rule: &Rule) -> Vec<String> {
    let named = rule.services.iter().flatten();
    let implied = |service: &str| {
        let mut others = rule.services.iter().flatten().filter(|other| other.as_str() != service);
        others.any(|other| siblings::services_of(other).contains(&service))
    };
    let missing = named.filter(|service| dirs.file(service).is_none() && !implied(service));
    let said = missing.map(|service| {
        let alike = [format!("{service}d"), service.trim_end_matches('d').to_owned(), service.to_lowercase()];
        let alike = alike.into_iter().find(|name| name != service && dirs.file(name).is_some());
        let hint = alike.map_or_else(String::new, |name| format!(". Is it {name}?"));
        format!("names a PAM service that has no file in /etc/pam.d: {service}{hint}")
    });
    said.collect()
}

/// Users, groups and peers that there are not: a rule about them alone never matches.
fn unknown_names(config: &Config, rule: &Rule) -> Vec<String> {
    let mut unknown = Vec::new();
    for user in rule.users.iter().flatten() {
        if matches!(nix::unistd::User::from_name(user), Ok(None)) {
            unknown.push(format!("names a user that this host does not know: {user}"));
        }
    }
    for group in rule.groups.iter().flatten() {
        if matches!(nix::unistd::Group::from_name(group), Ok(None)) {
            unknown.push(format!("names a group that this host does not know: {group}"));
        }
    }
    for peer in rule.peers.iter().flatten() {
        if let PeerMatch::Uid(uid) = peer
            && !config.trusted_peers.iter().any(|trusted| trusted.uid == *uid)
        {
            unknown.push(format!("names a peer that is no [[trusted_peer]]: {uid}"));
        }
    }
    unknown
}
