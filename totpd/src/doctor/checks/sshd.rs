//! Checks what sshd does without PAM, with `sshd -T -C` for each important user.

use super::services::{first_factor, protected};
use super::sshd_match;
use crate::doctor::accounts::Account;
use crate::doctor::catalogue as kinds;
use crate::doctor::finding::{Finding, few};
use crate::doctor::sshd_settings::{MAIN_FILE, Settings, config_files};
use crate::doctor::stack::{authenticators, lets_in};
use crate::doctor::system::Host;
use crate::pam_config::Stack;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use totp_core::policy::{Action, SshMatch};

/// The most users for whom `sshd -T -C` is run.
const MAX_USERS: usize = 50;
/// The fewest seconds of LoginGraceTime for an enrollment inside a login, where an app must be
/// installed.
const ENROLL_GRACE: u64 = 600;
/// Groups whose members administer.
pub const ADMIN_GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];

/// Checks sshd, if its PAM file has totpd's line.
pub fn check(host: &Host) -> Vec<Finding> {
    let Some(service) = protected(host).into_iter().find(|service| service.name == "sshd") else {
        return Vec::new();
    };
    let Some(asked) = host.programs.run(&["sshd", "-T"]) else {
        let there = host.is_live() && host.stat("/usr/sbin/sshd").is_ok();
        let what = "sshd -T cannot be run, or did not end within 10 s";
        let finding = Finding::new(&kinds::NOT_CHECKED, "sshd", what).cure("Run: sshd -T");
        return Vec::from_iter(there.then_some(finding));
    };
    if !asked.success {
        let why = asked.stderr.lines().last().unwrap_or("sshd -T failed").to_owned();
        if why.contains("Missing privilege separation directory") {
            let what = "sshd has not run since the boot, and cannot print its configuration before that";
            let finding = Finding::new(&kinds::NOT_CHECKED, "sshd", what);
            return vec![finding.cure("Run: systemctl start ssh, then totpd doctor")];
        }
        if why.contains("AuthenticationMethods cannot be satisfied") {
            return vec![nobody_asked(host, format!("sshd says: {why}"))];
        }
        let finding = Finding::new(&kinds::SSHD_CONFIG, "sshd", format!("sshd says: {why}"));
        return vec![finding.cure("Run: sshd -t, and correct what it names").at(Path::new(MAIN_FILE), None)];
    }
    let settings = Settings::parse(&asked.stdout);
    let mut found = Vec::new();
    if !settings.is_on("usepam") {
        let what = "sshd runs with UsePAM no";
        return vec![
            at_setting(host, Finding::new(&kinds::SSHD_USEPAM_OFF, "sshd", what), "usepam")
                .cure(format!("Write \"UsePAM yes\". Run: {}", reload_command(host))),
        ];
    }
    found.extend(methods(host, &settings, &service.auth));
    found.extend(users(host, &settings));
    found.extend(reload(host, &settings));
    found.extend(grace_time(host, &settings));
    found.extend(keys_in_files(host, &settings));
    found
}

/// Rows "AuthenticationMethods missing", "PasswordAuthentication yes".
fn methods(host: &Host, settings: &Settings, auth: &Stack) -> Vec<Finding> {
    let enable = "Run: totpd pam enable sshd. It writes \"KbdInteractiveAuthentication yes\", \"PasswordAuthentication \
                  no\" and \"AuthenticationMethods publickey,keyboard-interactive:pam\" into \
                  /etc/ssh/sshd_config.d/00-totpd.conf";
    let mut found = Vec::new();
    let alone = settings.without_pam();
    if !alone.is_empty() {
        let what = format!("sshd lets every user in with {} alone", alone.join(" or with "));
        let finding = Finding::new(&kinds::SSHD_KEY_ALONE, "sshd", what).cure(enable);
        found.push(at_setting(host, finding, "authenticationmethods"));
    }
    if !settings.can_ask() && alone.is_empty() {
        let what = format!(
            "sshd requires {}, but has KbdInteractiveAuthentication {}",
            settings.get("authenticationmethods"),
            settings.get("kbdinteractiveauthentication")
        );
        found.push(nobody_asked(host, what));
    }
    // Without a password in the stack, PAM asks for nothing but the code.
    let code_alone = lets_in(auth, "success").is_some_and(|run| run.proved.is_empty());
    if settings.pam_alone() && code_alone {
        let what = if authenticators(auth).is_empty() {
            "sshd takes the code as the only factor: its PAM lines ask for no password, and it requires no key".to_owned()
        } else {
            format!("sshd takes the code as the only factor: {} is not needed", first_factor(auth))
        };
        let finding = Finding::new(&kinds::SSHD_CODE_ALONE, "sshd", what).cure(enable);
        found.push(at_setting(host, finding, "authenticationmethods"));
    }
    found
}

/// Row "KbdInteractiveAuthentication off".
fn nobody_asked(host: &Host, what: String) -> Finding {
    let cure = format!(
        "Write \"KbdInteractiveAuthentication yes\" before any line that says no. Run: {}",
        reload_command(host)
    );
    at_setting(
        host,
        Finding::new(&kinds::SSHD_NOBODY_ASKED, "sshd", what).cure(cure),
        "kbdinteractiveauthentication",
    )
}

/// The users for whom a Match block may differ: root, administrators and users with a factor; then
/// other users.
fn important_users(host: &Host) -> Vec<&Account> {
    let mut names: BTreeSet<&str> = BTreeSet::from(["root"]);
    names.extend(
        ADMIN_GROUPS.iter().flat_map(|group| host.members(group)).map(|account| account.name.as_str()),
    );
    names.extend(host.daemon.iter().flat_map(|daemon| &daemon.users).map(|user| user.user.as_str()));
    let accounts = host.accounts.iter();
    let mut accounts: Vec<&Account> =
        accounts.filter(|account| names.contains(account.name.as_str())).collect();
    // A block may name any user: the others follow, up to the limit.
    let others =
        host.accounts.iter().filter(|account| account.logs_in() && !names.contains(account.name.as_str()));
    accounts.extend(others);
    accounts.truncate(MAX_USERS);
    accounts
}

/// Rows about root, and "overridden by an earlier drop-in or a Match block".
fn users(host: &Host, global: &Settings) -> Vec<Finding> {
    let mut by_key: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let accounts = important_users(host);
    let example = accounts.iter().find(|account| account.uid != 0).or(accounts.first());
    found.extend(example.into_iter().flat_map(|account| sshd_match::check(host, global, &account.name)));
    for account in accounts {
        let of = format!("user={},host=localhost,addr=192.0.2.1", account.name);
        let Some(text) = host.output(&["sshd", "-T", "-C", &of]) else { continue };
        let settings = Settings::parse(&text);
        if account.uid == 0 {
            found.extend(root(host, &settings, account, global));
        } else if !settings.without_pam().is_empty()
            && global.without_pam().is_empty()
            && !is_exempt(host, &account.name)
        {
            by_key.push(account.name.clone());
        }
    }
    if !by_key.is_empty() {
        let names = few(&by_key);
        let what = format!("sshd lets {names} in without a code, by a Match block or a drop-in");
        let cure = "If that is intended, add a rule to totpd.toml: users, services = [\"sshd\"], action = \"exempt\". \
                    Otherwise remove the block; `sshd -T -C user=NAME` shows what applies";
        let finding = Finding::new(&kinds::SSHD_KEY_ALONE_FOR_SOME, by_key.join(","), what).cure(cure);
        found.push(at_setting(host, finding, "match"));
    }
    found
}

fn is_exempt(host: &Host, user: &str) -> bool {
    let rules = host.config.iter().flat_map(|config| &config.policy.rules);
    let mut about = rules.filter(|rule| {
        rule.users.as_ref().is_some_and(|users| users.contains(user))
            && rule.services.as_ref().is_none_or(|services| services.contains("sshd"))
    });
    about.any(|rule| rule.action == Action::Exempt && !rule.has_ended(host.moment()))
}

fn root(host: &Host, settings: &Settings, root: &Account, global: &Settings) -> Option<Finding> {
    let permit = settings.get("permitrootlogin");
    let keys_alone = matches!(permit, "prohibit-password" | "without-password");
    let no_keys = !has_keys(host, settings, root);
    if permit == "no" || permit == "forced-commands-only" || (no_keys && keys_alone) {
        return None;
    }
    let alone = settings.without_pam();
    if !alone.is_empty() && global.without_pam().is_empty() {
        let what = format!("sshd lets root in with {} alone", alone.join(" or with "));
        let cure = "Log in as another user and use sudo, which asks; then write \"PermitRootLogin no\"";
        return Some(at_setting(
            host,
            Finding::new(&kinds::SSHD_ROOT_KEY_ALONE, "root", what).cure(cure),
            "match",
        ));
    }
    if !keys_alone || !alone.is_empty() {
        return None;
    }
    let what = format!("root has keys and PermitRootLogin is {permit}, but sshd requires a code of root too");
    let cure = "Write \"Match User root\", \"AuthenticationMethods publickey\", \"Match all\" into a file of \
                /etc/ssh/sshd_config.d; or \"PermitRootLogin yes\", so that root is asked for a code";
    Some(at_setting(
        host,
        Finding::new(&kinds::SSHD_ROOT_REFUSED, "root", what).cure(cure),
        "permitrootlogin",
    ))
}

fn has_keys(host: &Host, settings: &Settings, account: &Account) -> bool {
    let set = |key: &str| !matches!(settings.get(key), "" | "none");
    if set("authorizedkeyscommand") || set("trustedusercakeys") {
        return true;
    }
    let home = account.home.display().to_string();
    let files = settings.get("authorizedkeysfile").split_whitespace();
    let mut files = files.map(|file| file.replace("%h", &home).replace("%u", &account.name));
    files.any(|file| {
        let path = if file.starts_with('/') { PathBuf::from(file) } else { account.home.join(file) };
        host.read(path).is_ok_and(|text| text.lines().any(|l| !l.trim().is_empty() && !l.starts_with('#')))
    })
}

/// Row "sshd running an older configuration": sshd writes its pid file after it has read its files,
/// also at a reload.
fn reload(host: &Host, settings: &Settings) -> Option<Finding> {
    let pid_file = host.stat(settings.get("pidfile")).ok()?;
    let (newest, changed) = config_files(host)
        .into_iter()
        .filter_map(|file| Some((host.stat(&file).ok()?.ctime(), file)))
        .max()?;
    if newest <= pid_file.mtime() {
        return None;
    }
    let what = format!("{} changed after sshd read its configuration", changed.display());
    let finding = Finding::new(&kinds::SSHD_RELOAD, "sshd", what);
    Some(finding.cure(format!("Run: sshd -t && {}", reload_command(host))).at(&changed, None))
}

/// The command after which sshd uses its files: a reload ends an sshd that has its socket from
/// systemd, and a restart keeps the socket and the sessions.
fn reload_command(host: &Host) -> &'static str {
    let is_active = |unit: &str| host.output(&["systemctl", "is-active", unit]).is_some();
    if is_active("ssh.socket") {
        "systemctl try-restart ssh"
    } else if is_active("sshd.socket") {
        "systemctl try-restart sshd"
    } else if is_active("sshd.service") && !is_active("ssh.service") {
        "systemctl reload sshd"
    } else {
        "systemctl reload ssh"
    }
}

/// Rows "LoginGraceTime 120 with `action = \"enroll\"`", and another LoginGraceTime than users are
/// told in an enrollment.
fn grace_time(host: &Host, settings: &Settings) -> Option<Finding> {
    let seconds: u64 = settings.get("logingracetime").parse().ok()?;
    let config = host.config.as_ref().ok()?;
    let rules = &config.policy.rules;
    let mut rules = rules.iter().filter(|rule| rule.services.as_ref().is_none_or(|s| s.contains("sshd")));
    if !rules.any(|rule| rule.action == Action::Enroll) {
        return None;
    }
    let told = config.ssh_grace_time;
    if seconds != told {
        let what = format!(
            "users who enroll inside SSH logins are told that sshd waits {told} s, but it waits {seconds} s"
        );
        let cure = format!(
            "Write ssh_grace_time = \"{seconds}s\" in [login] of totpd.toml. Run: systemctl reload totpd"
        );
        let finding = Finding::new(&kinds::SSHD_GRACE_TIME_DIFFERS, "sshd", what).cure(cure);
        return Some(at_setting(host, finding, "logingracetime"));
    }
    if seconds == 0 || seconds >= ENROLL_GRACE {
        return None;
    }
    let what = format!("a rule enrolls users inside SSH logins, but sshd ends a login after {seconds} s");
    let cure = format!(
        "Write \"LoginGraceTime {ENROLL_GRACE}\" and, in [login] of totpd.toml, ssh_grace_time = \"{ENROLL_GRACE}s\"; or enroll them before: totpd enroll USER --ticket"
    );
    Some(at_setting(host, Finding::new(&kinds::SSHD_GRACE_TIME, "sshd", what).cure(cure), "logingracetime"))
}

/// Row "ssh without hardware-backed keys where a phishing-resistant option is demanded".
fn keys_in_files(host: &Host, settings: &Settings) -> Option<Finding> {
    let rules = &host.config.as_ref().ok()?.policy.rules;
    let hardware = |method: &SshMatch| method.to_string() == "publickey:hardware";
    let demanded = rules.iter().flat_map(|rule| rule.ssh_methods.iter().flatten()).any(hardware);
    let algorithms = settings.get("pubkeyacceptedalgorithms").split(',');
    let in_files = algorithms.filter(|name| !name.is_empty() && !name.starts_with("sk-")).count() > 0;
    if !demanded || !in_files {
        return None;
    }
    let what = "sshd accepts keys in files as well as hardware-backed keys";
    let cure = "If hardware-backed keys are required, write \"PubkeyAcceptedAlgorithms sk-ssh-ed25519@openssh.com,\
                sk-ecdsa-sha2-nistp256@openssh.com\"";
    let finding = Finding::new(&kinds::SSHD_KEYS_IN_FILES, "sshd", what).cure(cure);
    Some(at_setting(host, finding, "pubkeyacceptedalgorithms"))
}

/// Adds the location of the first line that sets `key`, which is the one that counts; or the main
/// file.
fn at_setting(host: &Host, finding: Finding, key: &str) -> Finding {
    for file in config_files(host) {
        let text = host.read(&file).unwrap_or_default();
        let sets = |line: &str| {
            let word = line.trim_start().split([' ', '\t', '=']).next().unwrap_or_default();
            word.eq_ignore_ascii_case(key)
        };
        if let Some(line) = text.lines().position(sets) {
            return finding.at(&file, line + 1);
        }
    }
    finding.at(Path::new(MAIN_FILE), None)
}

/// Whether sshd asks for a code; `None` if `sshd -T` fails.
pub fn asks(host: &Host) -> Option<bool> {
    let settings = Settings::parse(&host.output(&["sshd", "-T"])?);
    Some(settings.is_on("usepam") && settings.without_pam().is_empty() && settings.can_ask())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text)
    }

    #[test]
    fn any_means_each_method_alone() {
        let any =
            settings("authenticationmethods any\npubkeyauthentication yes\npasswordauthentication yes\n");
        assert_eq!(any.without_pam(), ["publickey"]);
        assert!(any.pam_alone() && any.can_ask());
    }

    #[test]
    fn a_list_asks_if_one_of_its_methods_asks() {
        let both = settings(
            "authenticationmethods publickey,keyboard-interactive:pam publickey\nkbdinteractiveauthentication yes\n",
        );
        assert_eq!(both.without_pam(), ["publickey"]);
        let off = settings(
            "authenticationmethods publickey,keyboard-interactive:pam\nkbdinteractiveauthentication no\n",
        );
        assert!(off.without_pam().is_empty() && !off.can_ask() && !off.pam_alone());
    }
}
