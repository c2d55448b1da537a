//! Checks Match blocks of sshd about addresses, hosts and ports, where a key alone may be enough.

use crate::doctor::catalogue as kinds;
use crate::doctor::finding::Finding;
use crate::doctor::sshd_settings::{Settings, config_files};
use crate::doctor::system::Host;
use totp_core::policy::Action;

/// The most blocks to check.
const MAX_BLOCKS: usize = 20;

/// Row "overridden by a Match block", for blocks that name an address, a host or a port. Each is
/// checked with a matching connection, of `user` if the block names no user.
pub(super) fn check(host: &Host, global: &Settings, user: &str) -> Vec<Finding> {
    let rules = host.config.iter().flat_map(|config| &config.policy.rules);
    let mut exempt = rules.filter(|rule| {
        rule.action == Action::Exempt && rule.networks.is_some() && !rule.has_ended(host.moment())
    });
    let meant = exempt.any(|rule| rule.services.as_ref().is_none_or(|services| services.contains("sshd")));
    if meant || !global.without_pam().is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut left = MAX_BLOCKS;
    for file in config_files(host) {
        for (at, line) in host.read(&file).unwrap_or_default().lines().enumerate() {
            let Some(connection) = connection(host, line, user).filter(|_| left > 0) else { continue };
            left -= 1;
            let text = host.output(&["sshd", "-T", "-C", &connection]).unwrap_or_default();
            let alone = Settings::parse(&text).without_pam();
            if !alone.is_empty() {
                found.push(finding(line.trim(), &alone).at(&file, at + 1));
            }
        }
    }
    found
}

fn finding(line: &str, alone: &[String]) -> Finding {
    let what = format!("sshd lets users in with {} alone under \"{line}\"", alone.join(" or with "));
    let cure = "If that is intended, add a rule to totpd.toml: networks, services = [\"sshd\"], action = \"exempt\". \
                Otherwise remove the block";
    Finding::new(&kinds::SSHD_KEY_ALONE_FOR_SOME, line, what).cure(cure)
}

/// A connection that matches the line, if it is a Match line about more than users:
/// `user=…,host=…,addr=…`.
fn connection(host: &Host, line: &str, user: &str) -> Option<String> {
    let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
    words.next().filter(|word| word.eq_ignore_ascii_case("match"))?;
    let (mut user, mut name, mut address) = (user.to_owned(), "localhost".to_owned(), "192.0.2.1".to_owned());
    let (mut more, mut about_source) = (String::new(), false);
    while let (Some(criterion), Some(patterns)) = (words.next(), words.next()) {
        let patterns = patterns.trim_matches('"');
        // "*" and "?" match letters and digits.
        let first = patterns.split(',').find(|pattern| !pattern.starts_with('!'))?.replace(['*', '?'], "1");
        match criterion.to_ascii_lowercase().as_str() {
            "user" => user = first,
            "group" => user.clone_from(&host.members(&first).first()?.name),
            "host" => (name, about_source) = (first, true),
            "address" => {
                let network = first.split('/').next().unwrap_or_default();
                // 10.* is a pattern too.
                let missing = 3_usize.saturating_sub(network.matches('.').count());
                let rest = if network.contains(':') { String::new() } else { ".1".repeat(missing) };
                (address, about_source) = (format!("{network}{rest}"), true);
            }
            "localaddress" => (more, about_source) = (format!("{more},laddr={first}"), true),
            "localport" => (more, about_source) = (format!("{more},lport={first}"), true),
            _ => return None,
        }
    }
    about_source.then(|| format!("user={user},host={name},addr={address}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_connection_matches_its_block() {
        let host = Host::of_tree(Path::new("/nonexistent"), Path::new("/etc/totpd/totpd.toml"));
        let of = |line: &str| connection(&host, line, "ann");
        let fits = |text: &str| Some(text.to_owned());
        assert_eq!(of("Match Address 10.0.0.0/8"), fits("user=ann,host=localhost,addr=10.0.0.0"));
        assert_eq!(
            of("match  user bob address !10.1.0.0/16,10.*"),
            fits("user=bob,host=localhost,addr=10.1.1.1")
        );
        assert_eq!(
            of("Match Host *.example.org LocalPort 2222"),
            fits("user=ann,host=1.example.org,addr=192.0.2.1,lport=2222")
        );
        assert_eq!(of("Match Address 2001:db8::/32"), fits("user=ann,host=localhost,addr=2001:db8::"));
        for line in [
            "Match User bob",
            "Match all",
            "Match Group none Address 10.0.0.0/8",
            "# Match Address ::/0",
            "UsePAM yes",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
