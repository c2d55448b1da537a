//! `totpd config check`: finds mistakes in the configuration, and rules without effect.

use super::args::ConfigCheck;
use super::{Context, config_files};
use crate::cli::output::{CommandError, ExitStatus, failed};
use crate::config::Config;
use crate::pam_config::{ConfigDirs, siblings};
use serde_json::json;
use std::path::Path;
use totp_core::policy::{PeerMatch, Rule};

/// `totpd config check [--strict]`
///
/// Rules without effect are no failure without `--strict`: the unit's reload runs this check first,
/// and must not be stopped by a remark. Files that the daemon's user cannot use are a failure for
/// root: the next start would refuse every login.
pub(super) fn check(context: &Context, args: &ConfigCheck) -> Result<(), CommandError> {
    let path = context.config_path.display().to_string();
    let config = Config::load_for_command(&context.config_path)
        .and_then(|config| config.require_valid(&context.config_path))
        .map_err(|error| failed(ExitStatus::Refused, error))?;
    if args.files {
        return config_files::print_refused(context, &config);
    }
    let mut findings = config.findings();
    let services = ConfigDirs::of(Path::new("/"));
    for (index, rule) in config.policy.rules.iter().enumerate() {
        let name = config.rule_name(index);
        let unknown = unknown_names(&config, rule).into_iter().chain(unknown_services(&services, rule));
        findings.extend(unknown.map(|what| format!("{name} {what}")));
    }
    findings.extend(unknown_admin_groups(&config));
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
        return Err(failed(ExitStatus::Refused, "the daemon cannot start with these files (see above)"));
    }
    if args.strict {
        return Err(failed(ExitStatus::Refused, "valid, but some rules have no effect (see above)"));
    }
    Ok(())
}

/// Groups of administrators that do not exist.
fn unknown_admin_groups(config: &Config) -> impl Iterator<Item = String> {
    let administration = &config.administration;
    let groups = administration.groups.iter().map(|(group, _)| group);
    let unknown = groups.filter(|group| matches!(nix::unistd::Group::from_name(group), Ok(None)));
    unknown.map(|group| {
        let key = administration.key_of(group);
        format!("{key} names a group that does not exist on this host, so nobody is in it: {group}")
    })
}

/// PAM services of a rule that have no file on this host, except siblings that the configuration
/// added (`su-l` for `su`).
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

/// Users, groups and peers of a rule that do not exist: a rule about them alone never matches.
fn unknown_names(config: &Config, rule: &Rule) -> Vec<String> {
    let mut unknown = Vec::new();
    for user in rule.users.iter().flatten() {
        if matches!(nix::unistd::User::from_name(user), Ok(None)) {
            unknown.push(format!("names a user who does not exist on this host: {user}"));
        }
    }
    for group in rule.groups.iter().flatten() {
        if matches!(nix::unistd::Group::from_name(group), Ok(None)) {
            unknown.push(format!("names a group that does not exist on this host: {group}"));
        }
    }
    for peer in rule.peers.iter().flatten() {
        if let PeerMatch::Uid(uid) = peer
            && !config.trusted_peers.iter().any(|trusted| trusted.uid == *uid)
        {
            unknown.push(format!("names a peer that is not a [[trusted_peer]]: {uid}"));
        }
    }
    unknown
}
