//! Checks totpd.toml: whether it is valid, and whether its rules name existing services, users and
//! groups.

use super::services::protected;
use crate::config::{Config, Ending};
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::system::Host;
use crate::pam_config::siblings::services_of;
use std::os::unix::fs::MetadataExt;
use totp_wire::admin::{ConfigurationInUse, DaemonReply, DaemonState};

/// Rows about the configuration and its rules.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let path = &host.config_path;
    if let Some(finding) = writable(host) {
        return vec![finding];
    }
    let config = match &host.config {
        Ok(config) => config,
        // A missing file stands for the defaults.
        Err(_) if host.stat(path).is_err() => return Vec::new(),
        Err(error) => return vec![invalid(host, error)],
    };
    let mut found = Vec::new();
    if let Err(what) = &config.http {
        let finding = Finding::new(&kinds::CONFIG_INVALID, "http", format!("[http]: {what}"));
        found.push(finding.cure("Correct [http], then run: totpd config check").at(path, None));
    }
    let sentence = |what: String| {
        let cure = format!("Correct the rule in {}, then run: totpd config check", path.display());
        Finding::new(&kinds::RULE_WITHOUT_EFFECT, what.clone(), what).cure(cure).at(path, None)
    };
    found.extend(config.findings().into_iter().map(sentence));
    found.extend(exemptions(host, config));
    for index in 0..config.policy.rules.len() {
        found.extend(services(host, config, index));
        found.extend(names(host, config, index));
    }
    found
}

/// Exemptions that have ended, and those that end within a week.
fn exemptions(host: &Host, config: &Config) -> Vec<Finding> {
    let finding = |ending: Ending| {
        let (kind, cure) = if ending.has_ended {
            (&kinds::RULE_ENDED, "Remove the rule")
        } else {
            (&kinds::RULE_ENDS_SOON, "Enroll its users (totpd enroll USER), or have a later `until` approved")
        };
        let line = config.rule_lines.get(ending.index).copied();
        Finding::new(kind, &ending.rule, ending.to_string()).cure(cure).at(&host.config_path, line)
    };
    config.ending_exemptions(host.now).into_iter().map(finding).collect()
}

/// Row "totpd.toml writable by others": it, or its folder.
fn writable(host: &Host) -> Option<Finding> {
    let path = &host.config_path;
    let daemon = host.daemon_account().map(|account| account.uid);
    let foreign = |uid: u32| host.is_live() && uid != 0 && Some(uid) != daemon;
    for (which, path) in [(path.as_path(), path), (path.parent()?, path)] {
        let Ok(metadata) = std::fs::metadata(host.inside(which)) else { continue };
        let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
        if (metadata.mode() & 0o022 != 0 && !sticky) || foreign(metadata.uid()) {
            let which = which.display();
            let what =
                format!("users other than root can change {which}, so totpd refuses {}", path.display());
            let finding = Finding::new(&kinds::CONFIG_WRITABLE, which.to_string(), what);
            let fix = crate::doctor::fix::Fix::Access {
                path: which.to_string().into(),
                owner: foreign(metadata.uid()).then(|| ("root".to_owned(), 0, 0)),
                mode: Some(metadata.mode() & 0o755),
            };
            return Some(finding.fixed_by(fix).at(path, None));
        }
    }
    None
}

/// Row "totpd.toml invalid while the daemon runs on an older one".
fn invalid(host: &Host, error: &crate::config::ConfigError) -> Finding {
    let reply = host.daemon.as_ref().and_then(|daemon| daemon.reply.as_ref().ok());
    let last_good = |reply: &DaemonReply| {
        reply.configuration.as_ref().is_some_and(|c| c.in_use == ConfigurationInUse::LastGood)
    };
    let still = match reply.filter(|reply| reply.state == DaemonState::Serving) {
        Some(reply) if last_good(reply) => {
            ". The daemon uses its last good configuration, which exempts nobody"
        }
        Some(_) => ". The daemon uses an older configuration until it stops",
        None => "",
    };
    let line = error.location.rsplit(':').nth(1).and_then(|line| line.parse().ok());
    Finding::new(&kinds::CONFIG_INVALID, host.config_path.display().to_string(), format!("{error}{still}"))
        .cure("Correct it, then run: totpd config check && systemctl try-reload-or-restart totpd")
        .at(&host.config_path, line)
}

/// Row "a rule names a service that is no PAM service (`ssh`), or `sudo` without `sudo-i`".
fn services(host: &Host, config: &Config, index: usize) -> Vec<Finding> {
    let Some(rule) = config.policy.rules.get(index) else { return Vec::new() };
    let (name, line) = (config.rule_name(index), config.rule_lines.get(index).copied());
    let (known, protected) = (host.pam().names(), protected(host));
    let mut found = Vec::new();
    for service in rule.services.iter().flatten() {
        // A sibling that the configuration added, such as sudo-i for sudo, may have no file.
        let is_added = rule
            .services
            .iter()
            .flatten()
            .any(|o| o != service && services_of(o).contains(&service.as_str()));
        if !known.contains(service) && !is_added {
            let meant = ["sshd", "sudo", "login", "su"]
                .into_iter()
                .find(|s| s.starts_with(service) || service.starts_with(s));
            let meant = meant
                .filter(|meant| *meant != service)
                .map_or_else(String::new, |m| format!(" (perhaps {m})"));
            let what =
                format!("{name} names the service {service}, but there is no PAM file of this name{meant}");
            let cure = "Correct the name. Run: ls /etc/pam.d";
            let finding = Finding::new(&kinds::RULE_UNKNOWN_SERVICE, service, what).cure(cure);
            found.push(finding.at(&host.config_path, line));
        }
        let missed = services_of(service).into_iter().find(|sibling| {
            let has = rule.services.as_ref().is_some_and(|services| services.contains(*sibling));
            !has && protected.iter().any(|service| service.name == *sibling)
        });
        if let Some(sibling) = missed {
            let what = format!("{name} names {service}, but not {sibling}");
            let cure = format!("If both are intended, write services = [\"{service}\"] without \"=\"");
            let finding = Finding::new(&kinds::RULE_SIBLING, sibling, what).cure(cure);
            found.push(finding.at(&host.config_path, line));
        }
    }
    found
}

/// Row "a group in a rule that does not exist", and users that do not exist.
fn names(host: &Host, config: &Config, index: usize) -> Vec<Finding> {
    let Some(rule) = config.policy.rules.get(index) else { return Vec::new() };
    let (name, line) = (config.rule_name(index), config.rule_lines.get(index).copied());
    let groups: Vec<String> =
        crate::doctor::accounts::groups(&host.root).into_iter().map(|(name, ..)| name).collect();
    let mut found = Vec::new();
    let mut unknown = |kind: &str, database: &str, who: &String| {
        // A directory may have the name. If it does not answer, nothing is reported.
        if host.is_live() && host.programs.run(&["getent", database, who]).is_none_or(|output| output.success)
        {
            return;
        }
        let what = format!("{name} names the {kind} {who}, which does not exist on this host");
        let finding = Finding::new(&kinds::RULE_UNKNOWN_NAME, who, what);
        found.push(finding.cure("Correct or remove the name").at(&host.config_path, line));
    };
    for user in rule.users.iter().flatten().filter(|user| host.account(user).is_none()) {
        unknown("user", "passwd", user);
    }
    for group in rule.groups.iter().flatten().filter(|group| !groups.contains(group)) {
        unknown("group", "group", group);
    }
    found
}
