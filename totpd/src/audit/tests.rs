//! The audit as docs/reference/audit.md describes it.

use super::*;
use std::collections::BTreeSet;
use totp_core::{Reason, RejectedInput};

const DOCUMENT: &str = include_str!("../../../docs/reference/audit.md");

/// Every reason that judging can find. The match below fails to compile when one is missing.
const JUDGED: [Reason; 14] = [
    Reason::Wrong,
    Reason::Replayed,
    Reason::Locked,
    Reason::Expired,
    Reason::NotEnrolled,
    Reason::Clock,
    Reason::NotRipe,
    Reason::Denied,
    Reason::NoFirstFactor,
    Reason::NotShown,
    Reason::Raced,
    Reason::Rejected(RejectedInput::Empty),
    Reason::Rejected(RejectedInput::Shape),
    Reason::Rejected(RejectedInput::HostJunk),
];

const fn is_listed(reason: Reason) -> bool {
    match reason {
        Reason::Wrong
        | Reason::Replayed
        | Reason::Locked
        | Reason::Expired
        | Reason::NotEnrolled
        | Reason::Clock
        | Reason::NotRipe
        | Reason::Denied
        | Reason::NoFirstFactor
        | Reason::NotShown
        | Reason::Raced
        | Reason::Rejected(RejectedInput::Empty | RejectedInput::Shape | RejectedInput::HostJunk) => true,
    }
}

/// The words in backquotes in `text`.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The cells of the tables in `text`, of rows whose first cell is in backquotes.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| {
        let mut cells = line.trim_matches('|').splitn(2, " | ");
        Some((cells.next()?, cells.next()?))
    })
}

fn fields_part() -> &'static str {
    DOCUMENT.split("## Reasons").next().unwrap()
}

/// The words that the row of `field` lists, without what its parentheses quote.
#[track_caller]
fn words_of(field: &str) -> BTreeSet<&'static str> {
    let mut row = rows(fields_part()).filter(|(name, _)| name.trim() == format!("`{field}`"));
    let (_, cell) = row.next().unwrap_or_else(|| panic!("{field} has no row"));
    let mut words = BTreeSet::new();
    let mut depth = 0_usize;
    for (at, part) in cell.split('`').enumerate() {
        if at % 2 == 1 {
            if depth == 0 {
                words.insert(part);
            }
        } else {
            depth = (depth + part.matches('(').count()).saturating_sub(part.matches(')').count());
        }
    }
    words
}

fn full_event() -> Event {
    let text = || Some("x".to_owned());
    Event {
        id: text(),
        user_id: text(),
        session_id: text(),
        target: text(),
        reason: Some(Reason::Wrong.into()),
        unknown: true,
        rule: text(),
        mode: Some(Mode::Monitor),
        would: Some(Would::Ask),
        would_reason: Some(UnjudgedReason::Damaged.into()),
        first_factor: Some(Evidence::Ssh),
        method: Some(Method::Totp),
        totp_id: text(),
        class: Some(SourceClass::Others),
        left_out: Some(1),
        locks: true,
        confirmed: true,
        enrolled: true,
        key_shown: Some(2),
        given: true,
        step_offset: Some(1),
        recovery_codes_left: Some(1),
        remembered_age: Some(1),
        repeated: Some(1),
        dropped: Some(Dropped::one_of_each()),
        from: EventSource {
            service: text(),
            ruser: text(),
            caller_uid: Some(1),
            login_uid: Some(1),
            rhost: text(),
            tty: text(),
            ssh_methods: text(),
            ssh_key: text(),
            client: text(),
            peer_address: text(),
            peer_uid: Some(1),
            peer_user: text(),
            peer_pid: Some(1),
        },
        ..Event::new(EventKind::Login, "x", Time::default(), EventSource::default())
    }
}

#[test]
fn every_field_is_documented_and_every_documented_one_exists() {
    let value: serde_json::Value = serde_json::from_str(&full_event().json()).unwrap();
    let fields: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let documented: BTreeSet<&str> = rows(fields_part()).flat_map(|(cell, _)| quoted(cell)).collect();
    assert_eq!(fields, documented);
}

#[test]
fn the_documented_words_are_those_of_the_code() {
    let words = |all: &[&'static str]| all.iter().copied().collect::<BTreeSet<_>>();
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(words_of("event"), words(&kinds));
    let outcomes: Vec<_> = EventOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(words_of("outcome"), words(&outcomes));
    let methods: Vec<_> = Method::ALL.iter().map(|method| method.as_str()).collect();
    assert_eq!(words_of("method"), words(&methods));
    let would: Vec<_> = Would::ALL.iter().map(|would| would.as_str()).collect();
    assert_eq!(words_of("would"), words(&would));
    assert_eq!(words_of("mode"), words(&[Mode::Monitor, Mode::MonitorAsk, Mode::Off].map(Mode::as_str)));
    let evidence = [Evidence::Ssh, Evidence::PamLine, Evidence::LocalRule].map(Evidence::as_str);
    assert_eq!(words_of("first_factor"), words(&evidence));
    let classes = [
        SourceClass::Known(totp_core::Source::of([192, 0, 2, 1].into())),
        SourceClass::Local,
        SourceClass::OwnProcess,
        SourceClass::Console,
        SourceClass::Client("shop".to_owned()),
        SourceClass::LocalStranger(1),
        SourceClass::Others,
    ];
    assert_eq!(words_of("class"), words(&classes.each_ref().map(SourceClass::as_str)));
}

#[test]
fn the_documented_reasons_are_those_of_the_code() {
    assert!(JUDGED.into_iter().all(is_listed));
    let judged = JUDGED.map(Reason::as_str);
    let unjudged = UnjudgedReason::ALL.iter().map(|reason| reason.as_str());
    let reasons: BTreeSet<&str> = judged.into_iter().chain(unjudged).collect();
    let table = DOCUMENT.split("## Reasons").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let documented: BTreeSet<&str> = rows(table).flat_map(|(cell, _)| quoted(cell)).collect();
    assert_eq!(reasons, documented);
}

#[test]
fn a_word_is_written_as_it_is_named_and_read_back() {
    for kind in EventKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
    for reason in UnjudgedReason::ALL {
        assert_eq!(serde_json::to_value(EventReason::from(*reason)).unwrap(), reason.as_str());
    }
    for outcome in EventOutcome::ALL {
        let event = Event { outcome: *outcome, ..full_event() };
        assert_eq!(recorded_outcome(&event.json()), Some(*outcome));
    }
    assert_eq!(recorded_outcome(r#"{"outcome":"something else"}"#), None);
}
