//! Exemptions with an end: those that have ended, and those that end soon.

use super::Config;
use crate::clock::RELEASED;
use crate::local_time::local;
use totp_core::Time;
use totp_core::policy::Moment;

/// How long before its end an exemption is reported: a week, in seconds.
const NOTICE: u64 = 7 * DAY;
const DAY: u64 = 24 * 3600;

/// An exemption that has ended, or ends within a week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The index of its rule.
    pub index: usize,
    /// The rule in messages, as [`Config::rule_name`] calls it.
    pub rule: String,
    /// From this moment on the rule matches nothing.
    pub until: Time,
    /// That moment has come.
    pub has_ended: bool,
    /// Who approved it, if the rule says so.
    pub approved_by: Option<String>,
    /// Whole days that are left, rounded up.
    days: u64,
}

impl Config {
    /// The exemptions that have ended or end within a week of `now`, in the order of the rules.
    pub fn ending_exemptions(&self, now: Time) -> Vec<Ending> {
        let rules = self.policy.rules.iter().enumerate();
        let ending = rules.filter_map(|(index, rule)| {
            let until = rule.until?;
            let has_ended = rule.has_ended(Moment { now, not_before: RELEASED });
            let left = until.since(now);
            (has_ended || left <= NOTICE).then(|| Ending {
                index,
                rule: self.rule_name(index),
                until,
                has_ended,
                approved_by: rule.approved_by.clone(),
                days: left.div_ceil(DAY),
            })
        });
        ending.collect()
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let until = local(self.until);
        if self.has_ended {
            write!(f, "{} ended at {until} and exempts nobody any more", self.rule)?;
        } else {
            let days = if self.days == 1 { "day" } else { "days" };
            write!(f, "{} exempts users until {until}, for {} {days} more", self.rule, self.days)?;
        }
        match &self.approved_by {
            Some(who) => write!(f, " (approved by {who})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_rfc3339;
    use std::path::Path;

    #[test]
    fn an_exemption_is_reported_a_week_before_its_end() {
        let rule = "[[login.rule]]\nname = \"travel\"\naction = \"exempt\"\napproved_by = \"CISO, case 12\"\n\
                    until = 2027-03-08T12:00:00Z\n[[login.rule]]\nusers = [\"a\"]\naction = \"exempt\"\n";
        let config = Config::parse(rule, Path::new("/etc/totpd/totpd.toml")).unwrap();
        let report = |now: &str| {
            let ending = config.ending_exemptions(from_rfc3339(now).unwrap());
            ending.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let until = local(from_rfc3339("2027-03-08T12:00:00Z").unwrap());
        assert_eq!(report("2027-03-01T11:59:59Z"), [""; 0]);
        for (now, days) in [("2027-03-01T12:00:00Z", "7 days"), ("2027-03-08T11:59:59Z", "1 day")] {
            let text = format!(
                "rule 1 \"travel\" (line 1) exempts users until {until}, for {days} more (approved by CISO, case 12)"
            );
            assert_eq!(report(now), [text]);
        }
        let ended = format!(
            "rule 1 \"travel\" (line 1) ended at {until} and exempts nobody any more (approved by CISO, case 12)"
        );
        assert_eq!(report("2027-03-08T12:00:00Z"), [ended.as_str()]);
        assert_eq!(report("1970-01-01T00:00:00Z"), [ended.as_str()], "a wrong clock prolongs nothing");
    }
}
