use super::*;
use crate::factor::Factor;
use crate::new_factor::NewFactor;
use crate::random::testing::Counting;
use crate::recovery::RecoveryStorage;
use crate::self_service::{ChangeKind, StagedChange};
use crate::{Attempt, JudgeSettings, Origin, UserName, judge, otp};

const NOW: Time = Time::from_unix(1_800_000_000);
const SETTINGS: JudgeSettings =
    JudgeSettings { skew: 1, not_before: Time::from_unix(0), latest_grant: Time::from_unix(0) };

fn entry(counter: u64, kind: Kind, id: &str) -> Entry {
    Entry { counter, what: Withdrawal::new(kind, id), at: NOW }
}

fn mark(counter: u64, generation: &str) -> StorePosition {
    StorePosition { counter, generation: Generation::parse(generation).unwrap_or_default() }
}

fn new() -> NewFactor {
    NewFactor { lifetime: 60, ..NewFactor::default() }
}

fn enrolled(seed: u64) -> (Account, Vec<crate::recovery::RecoveryCode>) {
    let mut account = Account::new(UserName::parse("alice").ok(), Some(1), NOW, &mut Counting(seed)).unwrap();
    let codes = account.enroll(&new(), NOW, &mut Counting(seed + 1)).unwrap();
    assert!(granted(&mut account, NOW));
    (account, codes)
}

fn code(factor: &Factor, at: Time) -> Input {
    Typed::parse(&otp::totp_at(factor.secrets.secret(), factor.params, at))
}

fn granted(account: &mut Account, at: Time) -> bool {
    let factor = account.pending.as_ref().or(account.active.as_ref()).unwrap();
    let attempt = Attempt::plain(Origin::OwnProcess, code(factor, at));
    matches!(judge(account, &attempt, at, &SETTINGS).outcome, crate::Outcome::Granted(_))
}

#[test]
fn a_line_reads_back_and_a_cut_off_one_does_not() {
    let line = entry(7, Kind::Recovery, "totp-abc").to_string();
    assert_eq!(line, "7 recovery totp-abc 1800000000");
    assert_eq!(Entry::parse(&line), Some(entry(7, Kind::Recovery, "totp-abc")));
    for cut_off in
        ["", "7", "7 recovery", "7 recovery totp-abc ", "x recovery a 1", "7 other a 1", "7 factor a 1 2"]
    {
        assert_eq!(Entry::parse(cut_off), None, "{cut_off}");
    }
}

#[test]
fn an_unreadable_generation_never_hides_a_restore() {
    for unreadable in ["", "3", "x-abcd", "-abcd"] {
        assert_eq!(Generation::parse(unreadable), None, "{unreadable}");
    }
    let restored = entry(3, Kind::Generation, "1-abcd");
    assert_eq!(compare(&mark(9, "damaged"), std::slice::from_ref(&restored)), Comparison::Replaced(vec![]));
    // The latest line of the witness is damaged: the one before it still counts.
    let witness = [restored, entry(5, Kind::Generation, "damaged")];
    assert_eq!(compare(&mark(9, ""), &witness), Comparison::Replaced(vec![]));
    assert_eq!(compare(&mark(9, "1-abcd"), &witness), Comparison::Current);
}

#[test]
fn a_store_is_current_behind_or_replaced() {
    let witness = [5, 6, 7].map(|n| entry(n, Kind::Factor, "totp-a"));
    assert_eq!(compare(&mark(9, ""), &[]), Comparison::NoWitness);
    assert_eq!(compare(&mark(7, ""), &witness), Comparison::Current);
    assert_eq!(compare(&mark(9, ""), &witness), Comparison::Current, "the witness is caught up");
    assert_eq!(compare(&mark(6, ""), &witness), Comparison::Behind(witness[2..].to_vec()));
    assert_eq!(compare(&mark(4, ""), &witness), Comparison::Behind(witness.to_vec()));
    assert_eq!(compare(&mark(2, ""), &witness), Comparison::BehindByMore(witness.to_vec(), 2));
    let holed = [entry(5, Kind::Factor, "totp-a"), entry(7, Kind::Factor, "totp-a")];
    assert_eq!(compare(&mark(4, ""), &holed), Comparison::BehindByMore(holed.to_vec(), 1));
    let restored = [entry(6, Kind::Factor, "totp-a"), entry(7, Kind::Generation, "2-x")];
    assert_eq!(compare(&mark(99, "1-y"), &restored), Comparison::Replaced(Vec::new()));
    assert_eq!(compare(&mark(99, "2-y"), &restored), Comparison::Replaced(Vec::new()), "a second restore");
    assert_eq!(compare(&mark(7, "2-x"), &restored), Comparison::Current);
    assert_eq!(compare(&mark(8, "3-z"), &restored), Comparison::Current, "restored elsewhere");
}

#[test]
fn every_way_to_lose_a_factor_code_or_ticket_is_recorded() {
    let (alice, codes) = enrolled(1);
    let id = alice.active.as_ref().unwrap().id.clone();
    let only = |kind, id: &str| BTreeSet::from([Withdrawal::new(kind, id)]);
    let after = |change: &dyn Fn(&mut Account)| {
        let mut after = alice.clone();
        change(&mut after);
        withdrawn(&alice, Some(&after), NOW)
    };
    assert_eq!(after(&|_| ()), BTreeSet::new());
    assert_eq!(after(&|a| assert!(granted(a, NOW.plus(60)))), BTreeSet::new(), "a login");
    assert_eq!(after(&|a| drop(a.enroll(&new(), NOW, &mut Counting(7)))), BTreeSet::new(), "a pending one");
    assert_eq!(after(&|a| assert!(a.revoke())), only(Kind::Factor, &id));
    assert_eq!(withdrawn(&alice, None, NOW), only(Kind::Factor, &id), "the account is gone");
    let spend = |a: &mut Account| {
        let attempt = Attempt::plain(Origin::OwnProcess, Typed::parse(&codes[3].reveal()));
        assert!(matches!(judge(a, &attempt, NOW, &SETTINGS).outcome, crate::Outcome::Granted(_)));
    };
    assert_eq!(after(&spend), only(Kind::Recovery, &id));
    let renew = |a: &mut Account| drop(a.replace_recovery_codes(RecoveryStorage::Hashed, &mut Counting(50)));
    assert_eq!(after(&renew), only(Kind::Recovery, &id));
    // A replacement: the old factor goes when the first code of the new one is accepted.
    let mut staged = alice.clone();
    staged.enroll(&new(), NOW, &mut Counting(90)).unwrap();
    let mut replaced = staged.clone();
    assert!(granted(&mut replaced, NOW));
    assert_eq!(withdrawn(&staged, Some(&replaced), NOW), only(Kind::Factor, &id));
    let pending = staged.pending.as_ref().unwrap().id.clone();
    assert_eq!(withdrawn(&staged, Some(&alice), NOW), only(Kind::Factor, &pending), "cancelled");
    assert_eq!(withdrawn(&staged, Some(&alice), NOW.plus(60)), BTreeSet::new(), "expired");
    // A staged change: cancelled, shown, expired.
    let mut changing = alice.clone();
    let change = StagedChange::new(ChangeKind::RecoveryCodes, NOW, 60, 60, "here");
    changing.active.as_mut().unwrap().staged = Some(change.clone());
    let staged = BTreeSet::from([Withdrawal::new(Kind::Staged, &id)]);
    assert_eq!(withdrawn(&changing, Some(&alice), NOW), staged);
    assert_eq!(withdrawn(&changing, Some(&alice), change.expires), BTreeSet::new());
    let mut shown = changing.clone();
    shown.active.as_mut().unwrap().staged = Some(StagedChange { shown_at: Some(NOW), ..change });
    assert_eq!(withdrawn(&changing, Some(&shown), NOW.plus(9)), BTreeSet::new());
    let refusals = Refusals { withdrawn: staged, floor: None };
    refusals.apply(&mut changing, 1);
    assert_eq!(changing, alice);
    let mut ticket = alice.clone();
    ticket.ticket =
        Some(EnrollmentTicket { expires: NOW.plus(9), sealed: "x".into(), lost: false, totp_id: None });
    assert_eq!(withdrawn(&ticket, Some(&alice), NOW), only(Kind::Ticket, &alice.id));
    assert_eq!(withdrawn(&ticket, Some(&alice), NOW.plus(9)), BTreeSet::new(), "expired");
}

#[test]
fn only_what_was_withdrawn_is_refused() {
    let (alice, codes) = enrolled(1);
    let id = alice.active.as_ref().unwrap().id.clone();
    let refusals =
        |kind, id: &str| Refusals { withdrawn: BTreeSet::from([Withdrawal::new(kind, id)]), floor: None };
    let recovery = Typed::parse(&codes[0].reveal());
    let apply = |refusals: &Refusals| {
        let mut account = alice.clone();
        refusals.apply(&mut account, 1);
        account
    };
    let factor = refusals(Kind::Factor, &id);
    assert_eq!(apply(&factor).active, None);
    assert!(factor.explains(&alice, &recovery, Reason::NotEnrolled));
    let spent = refusals(Kind::Recovery, &id);
    let mut account = apply(&spent);
    assert!(spent.explains(&alice, &recovery, Reason::Wrong));
    assert!(!spent.explains(&alice, &code(alice.active.as_ref().unwrap(), NOW), Reason::Wrong));
    assert_eq!(account.active.as_ref().unwrap().secrets.recovery_left(), 0);
    assert!(granted(&mut account, NOW.plus(60)), "the phone goes on working");
    let others = refusals(Kind::Factor, "totp-other");
    assert_eq!(apply(&others), alice);
    assert!(!others.explains(&alice, &recovery, Reason::NotEnrolled));
}

#[test]
fn only_codes_above_the_floor_are_accepted() {
    let (alice, _) = enrolled(1);
    let floor = NOW.plus(300);
    let refusals = Refusals { withdrawn: BTreeSet::new(), floor: Some(floor) };
    // Every code that the window had at that moment, whenever it is typed.
    for (code_at, now, fresh) in
        [(0, 0, false), (0, 30, false), (30, 30, false), (30, 59, false), (60, 60, true)]
    {
        let mut account = alice.clone();
        refusals.apply(&mut account, 1);
        let typed = code(account.active.as_ref().unwrap(), floor.plus(code_at));
        let judged =
            judge(&mut account, &Attempt::plain(Origin::OwnProcess, typed), floor.plus(now), &SETTINGS);
        assert_eq!(matches!(judged.outcome, crate::Outcome::Granted(_)), fresh, "{code_at} at {now}");
    }
    // A factor that was made after it: the user enrolls right after a restore.
    let mut bob = Account::new(UserName::parse("bob").ok(), Some(2), NOW, &mut Counting(3)).unwrap();
    bob.enroll(&new(), NOW, &mut Counting(4)).unwrap();
    let second_before = Time::from_unix(NOW.unix() - 1);
    Refusals { withdrawn: BTreeSet::new(), floor: Some(second_before) }.apply(&mut bob, 1);
    assert!(granted(&mut bob, NOW));
}
