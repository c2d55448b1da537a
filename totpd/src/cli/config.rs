//! `totpd config check`.

use super::Context;
use super::out::{Exit, Failed, failed};
use crate::config::Config;
use serde_json::json;
use totp_core::policy::{PeerMatch, Rule};

/// `totpd config check [--strict]`. A file that can be used is no failure: the unit's reload checks it first, and
/// must not be kept from a change by a remark.
pub(super) fn check(context: &Context, strict: bool) -> Result<(), Failed> {
    let path = context.config_path.display().to_string();
    let config = Config::load_for_command(&context.config_path)
        .and_then(|config| config.whole(&context.config_path))
        .map_err(|error| failed(Exit::Refused, error))?;
    let mut findings = config.findings();
    for (place, rule) in config.policy.rules.iter().enumerate() {
        let name = config.rule_name(place);
        findings.extend(unknown_names(&config, rule).into_iter().map(|what| format!("{name} {what}")));
    }
    findings.extend(crate::http::unusable_certificate(config.api()));
    context.out.json(&json!({ "config": path, "good": findings.is_empty(), "findings": findings }))?;
    if findings.is_empty() {
        return context.out.line(format!("{path}: good"));
    }
    for finding in &findings {
        context.out.line(format!("{path}: {finding}"))?;
    }
    if strict {
        return Err(failed(
            Exit::Refused,
            "the configuration can be used, and says something else than it seems to",
        ));
    }
    Ok(())
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
