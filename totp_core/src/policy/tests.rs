use super::*;
use crate::time::Time;
use proptest::prelude::*;

const NOW: Time = Time::from_unix(1_800_000_000);
const BEFORE: Time = Time::from_unix(1_790_000_000);

const fn at(now: Time) -> Moment {
    Moment { now, not_before: BEFORE }
}

fn facts() -> Facts {
    Facts {
        user: "alice".into(),
        caller: None,
        ruser: None,
        service: Some("sshd".into()),
        rhost: RemoteHost::Address("192.0.2.7".parse().unwrap()),
        peer: Peer::Root,
        ssh: vec![SshAuth::parse("publickey")],
        first_factor_passed: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a rule holds")]
fn set(words: &[&str]) -> Option<BTreeSet<String>> {
    Some(words.iter().map(|w| (*w).to_owned()).collect())
}

fn decide(rules: Vec<Rule>, facts: &Facts) -> Decision {
    Policy { rules }.decide(facts, &BTreeSet::from(["staff".to_owned()]), at(NOW))
}

fn exempt() -> Rule {
    Rule { action: Action::Exempt, ..Rule::default() }
}

/// Whether a user passes without a code or is enrolled.
fn relaxes(ruling: &Ruling) -> bool {
    !matches!(ruling, Ruling::Ask { .. } | Ruling::Deny)
}

#[test]
fn without_a_rule_a_code_is_required() {
    let decision = decide(vec![], &facts());
    assert!(matches!(decision.ruling, Ruling::Ask { unproven: false }));
    assert_eq!((decision.rule, decision.subject.as_str()), (None, "alice"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = vec![
        Rule { users: set(&["bob"]), ..exempt() },
        Rule { services: set(&["sudo"]), ..exempt() },
        Rule { networks: Some(vec!["198.51.100.0/24".parse().unwrap()]), ..exempt() },
        Rule { peers: Some(vec![PeerMatch::SelfService, PeerMatch::Uid(116)]), ..exempt() },
        Rule { ssh_methods: Some(vec![SshMatch::Hardware]), ..exempt() },
        Rule { groups: set(&["wheel"]), ..exempt() },
        Rule { groups: set(&["wheel", "staff"]), action: Action::Deny, ..Rule::default() },
        exempt(),
    ];
    let decision = decide(rules.clone(), &facts());
    assert_eq!(decision.rule, Some(6));
    assert!(matches!(decision.ruling, Ruling::Deny));
    let keys: Vec<_> = rules
        .iter()
        .take(6)
        .map(|r| r.mismatch(&facts(), &BTreeSet::new(), at(NOW)).unwrap().key())
        .collect();
    assert_eq!(keys, ["users", "services", "networks", "peers", "ssh_methods", "groups"]);
}

#[test]
fn only_groups_that_may_decide_are_looked_up() {
    let policy = Policy {
        rules: vec![
            Rule { users: set(&["bob"]), groups: set(&["other-user"]), ..exempt() },
            Rule { groups: set(&["wheel"]), ..exempt() },
            exempt(),
            Rule { groups: set(&["too-late"]), ..exempt() },
        ],
    };
    assert_eq!(Some(policy.relevant_groups(&facts(), at(NOW))), set(&["wheel"]));
}

#[test]
fn a_host_name_is_in_no_network() {
    let all = vec![Rule {
        networks: Some(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]),
        action: Action::Deny,
        ..Rule::default()
    }];
    assert_eq!(decide(all.clone(), &facts()).rule, Some(0));
    for rhost in [RemoteHost::NameOnly, RemoteHost::Local] {
        assert_eq!(decide(all.clone(), &Facts { rhost, ..facts() }).rule, None, "{rhost:?}");
    }
}

#[test]
fn no_user_passes_without_a_first_factor() {
    let kbd_only = Facts { ssh: vec![], ..facts() };
    let sudo = Facts { rhost: RemoteHost::Local, service: Some("sudo".into()), ssh: vec![], ..facts() };
    // What sudo's PAM environment says of SSH was not written by sshd.
    let forged = Facts { ssh: vec![SshAuth::parse("publickey")], ..sudo.clone() };
    let self_service = Facts { peer: Peer::SelfService, first_factor_passed: true, ..facts() };
    for unproven in [&kbd_only, &sudo, &forged, &self_service] {
        for (action, mode) in relaxing_combinations() {
            let decision =
                decide(vec![Rule { action, mode, remember: Some(HOUR), ..Rule::default() }], unproven);
            assert!(
                matches!(decision.ruling, Ruling::Ask { unproven: true }),
                "{action:?} {mode:?} {unproven:?}"
            );
            assert_eq!(decision.remember, None);
        }
    }
    let passed = Facts { first_factor_passed: true, ..kbd_only };
    for proven in [facts(), passed, Facts { peer: Peer::Trusted(116), ..facts() }] {
        for (action, mode) in relaxing_combinations() {
            let decision = decide(vec![Rule { action, mode, ..Rule::default() }], &proven);
            let is_not_enrollment = (action, mode) != (Action::Enroll, Mode::Enforce);
            let expected = proven.peer == Peer::Root || is_not_enrollment;
            assert_eq!(relaxes(&decision.ruling), expected, "{action:?} {mode:?} {proven:?}");
        }
    }
}

const HOUR: Remember = Remember { length: 3600, by: crate::remembered::RememberBy::Session };

fn relaxing_combinations() -> Vec<(Action, Mode)> {
    let mut all = vec![(Action::Exempt, Mode::Enforce), (Action::Enroll, Mode::Enforce)];
    for action in [Action::Require, Action::Exempt, Action::Enroll, Action::Deny] {
        for mode in [Mode::Monitor, Mode::MonitorAsk, Mode::Off] {
            all.push((action, mode));
        }
    }
    all
}

#[test]
fn a_local_rule_waives_the_proof_only_for_setuid_programs() {
    let rule = vec![Rule { local: true, ..exempt() }];
    let here = Facts { caller: Some(5001), rhost: RemoteHost::Local, ssh: vec![], ..facts() };
    assert!(
        matches!(decide(rule.clone(), &here).ruling, Ruling::Pass(p) if p.evidence() == Evidence::LocalRule)
    );
    for other in [
        Facts { ssh: vec![], ..facts() },
        // xrdp, cockpit, a console: no first factor was proved.
        Facts { caller: None, ..here.clone() },
        Facts { rhost: RemoteHost::NameOnly, ssh: vec![], ..facts() },
        Facts { peer: Peer::SelfService, ..here.clone() },
        Facts { peer: Peer::Trusted(116), ..here.clone() },
    ] {
        assert!(!relaxes(&decide(rule.clone(), &other).ruling), "{other:?}");
    }
}

#[test]
fn a_date_enforces_and_so_does_a_wrong_clock() {
    let rule = Rule { mode: Mode::Monitor, enforce_from: Some(NOW.plus(60)), ..Rule::default() };
    let mode = |now| rule.mode_at(at(now));
    assert_eq!(
        (mode(NOW), mode(NOW.plus(59)), mode(NOW.plus(60))),
        (Mode::Monitor, Mode::Monitor, Mode::Enforce)
    );
    assert_eq!(mode(Time::from_unix(5)), Mode::Enforce, "a clock that was set back");
}

#[test]
fn the_caller_is_the_subject_under_su_but_not_over_the_network() {
    let rule = vec![Rule { subject: Subject::Ruser, ..Rule::default() }];
    let su = Facts {
        caller: Some(5002),
        ruser: Some("bob".into()),
        rhost: RemoteHost::Local,
        service: Some("su".into()),
        ..facts()
    };
    assert_eq!(decide(rule.clone(), &su).subject, "bob");
    for other in [
        Facts { ruser: None, ..su.clone() },
        Facts { caller: None, ..su.clone() },
        Facts { ruser: Some(String::new()), ..su.clone() },
        Facts { rhost: RemoteHost::NameOnly, ..su.clone() },
        Facts { ruser: Some("bob".into()), ..facts() },
        Facts { peer: Peer::SelfService, ..su.clone() },
    ] {
        assert_eq!(decide(rule.clone(), &other).subject, "alice", "{other:?}");
    }
}

#[test]
fn rules_without_effect_are_found() {
    let found = |rules: Vec<Rule>| -> Vec<String> {
        Policy { rules }.lints().into_iter().map(|(index, lint)| format!("{}: {lint}", index + 1)).collect()
    };
    let everybody = Rule { action: Action::Deny, ..Rule::default() };
    let block = |text: &str| Some(vec![text.parse().unwrap()]);
    assert_eq!(
        found(vec![
            Rule {
                networks: block("10.0.0.0/8"),
                ssh_methods: Some(vec!["publickey".parse().unwrap()]),
                ..exempt()
            },
            Rule { networks: block("10.2.0.0/16"), ssh_methods: Some(vec![SshMatch::Hardware]), ..exempt() },
            Rule { networks: block("10.2.0.0/16"), ..exempt() },
            everybody.clone(),
            Rule { users: set(&["bob"]), ..exempt() },
        ]),
        [
            "2: never decides: rule 1 before it takes everything",
            "5: never decides: rule 4 before it takes everything"
        ]
    );
    for rule in [
        Rule::default(),
        Rule { mode: Mode::Off, ..exempt() },
        Rule { remember: Some(HOUR), ..exempt() },
        Rule { remember: Some(HOUR), ..everybody.clone() },
        Rule { local: true, ..everybody },
        Rule { local: true, networks: block("10.0.0.0/8"), ..exempt() },
        Rule { peers: Some(vec![PeerMatch::SelfService]), ..exempt() },
        Rule { subject: Subject::Ruser, networks: block("10.0.0.0/8"), ..Rule::default() },
        Rule { peers: Some(vec![PeerMatch::SelfService]), services: set(&["sshd"]), ..Rule::default() },
    ] {
        assert_eq!(found(vec![rule.clone()]).len(), 1, "{rule:?}: {:?}", found(vec![rule.clone()]));
    }
    assert_eq!(found(vec![Rule { local: true, ..exempt() }]), [""; 0]);
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let action = prop::sample::select(vec![Action::Require, Action::Exempt, Action::Enroll, Action::Deny]);
    let mode = prop::sample::select(vec![Mode::Enforce, Mode::Monitor, Mode::MonitorAsk, Mode::Off]);
    let names = |words: &'static [&'static str]| prop::option::of(prop::sample::subsequence(words, 1..=2));
    (
        action,
        mode,
        names(&["alice", "bob"]),
        names(&["sshd", "sudo"]),
        any::<bool>(),
        prop::option::of(0_u64..20),
        prop::option::of(0_u64..20),
    )
        .prop_map(|(action, mode, users, services, local, from, until)| Rule {
            action,
            mode,
            users: users.and_then(|u| set(&u)),
            services: services.and_then(|s| set(&s)),
            local,
            enforce_from: from.map(|n| NOW.plus(n)),
            until: until.map(|n| NOW.plus(n)),
            ..Rule::default()
        })
}

proptest! {
    #[test]
    fn no_rules_relax_anything_without_a_first_factor(
        rules in prop::collection::vec(any_rule(), 0..6), is_self in any::<bool>(), at in 0_u64..20
    ) {
        // A remote attempt whose methods prove nothing, or a user's own process that claims
        // everything.
        let unproven = if is_self {
            Facts { peer: Peer::SelfService, first_factor_passed: true, rhost: RemoteHost::Local, ..facts() }
        } else {
            Facts { ssh: vec![SshAuth::parse("keyboard-interactive/pam")], ..facts() }
        };
        let moment = Moment { now: NOW.plus(at), not_before: BEFORE };
        let decision = Policy { rules }.decide(&unproven, &BTreeSet::new(), moment);
        prop_assert!(!relaxes(&decision.ruling));
        prop_assert_eq!(decision.remember, None);
    }

    #[test]
    fn a_shadowed_rule_never_decides(
        rules in prop::collection::vec(any_rule(), 1..6), user in prop::sample::select(vec!["alice", "bob", "carol"]),
        service in prop::sample::select(vec!["sshd", "sudo", "su"]), later in 0_u64..20
    ) {
        let policy = Policy { rules };
        let shadowed: Vec<usize> = policy
            .lints()
            .into_iter()
            .filter_map(|(index, lint)| matches!(lint, Lint::Shadowed(_)).then_some(index))
            .collect();
        let facts = Facts { user: user.into(), service: Some(service.into()), ..facts() };
        let decided = policy.decide(&facts, &BTreeSet::new(), at(NOW.plus(later))).rule;
        prop_assert!(decided.is_none_or(|index| !shadowed.contains(&index)));
    }
}

#[test]
fn an_exemption_ends_and_later_rules_decide() {
    let until = NOW.plus(60);
    let deny = Rule { groups: set(&["staff"]), action: Action::Deny, ..Rule::default() };
    let rules = vec![Rule { until: Some(until), ..exempt() }, deny];
    let policy = Policy { rules: rules.clone() };
    let before = |time: Time| Time::from_unix(time.unix() - 1);
    let ruling = |now| policy.decide(&facts(), &BTreeSet::from(["staff".to_owned()]), at(now)).ruling;
    assert!(matches!(ruling(before(until)), Ruling::Pass(_)));
    assert!(matches!(ruling(until), Ruling::Deny));
    // A clock that is before the release does not bring it back.
    assert!(matches!(ruling(before(BEFORE)), Ruling::Deny));
    assert_eq!(rules[0].mismatch(&facts(), &BTreeSet::new(), at(until)).unwrap().key(), "until");
    // The groups of the rules behind it are looked up once it has ended, and not before.
    assert_eq!(policy.relevant_groups(&facts(), at(before(until))), BTreeSet::new());
    assert_eq!(Some(policy.relevant_groups(&facts(), at(until))), set(&["staff"]));
    assert_eq!(policy.lints(), [], "the second rule decides one day");
}

#[test]
fn remember_takes_effect_after_enforce_from() {
    let remember = Some(Remember { length: 3600, by: crate::remembered::RememberBy::Session });
    let rule = Rule { mode: Mode::Off, enforce_from: Some(NOW), remember, ..Rule::default() };
    assert_eq!(Policy { rules: vec![rule] }.lints(), []);
}

#[test]
fn a_block_of_ipv4_mapped_addresses_is_refused() {
    for text in ["::ffff:10.0.0.0/8", "::ffff:0:0/0"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

#[test]
fn the_host_key_of_hostbased_is_not_the_users_key() {
    // sshd prints the client host's key after hostbased: all accounts of that host share it.
    let line = SshAuth::parse("hostbased ssh-ed25519 QUFBQQ==");
    assert_eq!(line.fingerprint, None);
}
