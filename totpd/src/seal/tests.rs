use super::*;
use totp_core::authenticator::AuthenticatorName;
use totp_core::new_factor::NewFactor;
use totp_core::self_service::ChangeKind;
use totp_core::{Factor, Time, UserName};

fn account(name: &str) -> Account {
    let name = UserName::parse(name).ok();
    let mut account = Account::new(name, Some(1), Time::default(), &mut Kernel).unwrap();
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    account.enroll(&new, Time::default(), &mut Kernel).unwrap();
    account
}

#[test]
fn what_is_sealed_opens_for_the_same_row_only() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let (alice, bob) = (account("alice"), account("bob"));
    let sealed = sealer.seal(alice.clone(), 1).unwrap();
    assert_eq!(sealer.open(sealed.clone(), 1), Ok(alice));
    // Alice's ciphertext in Bob's row.
    // An older record under a newer version, and the other way round.
    for version in [0, 2] {
        assert_eq!(sealer.open(sealed.clone(), version), Err(SealError::Damaged));
    }
    let mut moved = sealer.seal(bob, 1).unwrap();
    moved.pending.as_mut().unwrap().secrets = sealed.pending.as_ref().unwrap().secrets.clone();
    assert_eq!(sealer.open(moved, 1), Err(SealError::Damaged));
    // Every plaintext field, edited.
    let edits: [fn(&mut SealedAccount); 9] = [
        |a| {
            let key =
                totp_core::remembered::RememberKey::ssh_key(1, "sshd", "192.0.2.1", &["SHA256:x"]).unwrap();
            let grant = totp_core::remembered::Remembered { key, since: Time::default(), length: 60 };
            a.pending.as_mut().unwrap().remembered.push(grant);
        },
        |a| a.pending.as_mut().unwrap().id.push('x'),
        |a| a.pending.as_mut().unwrap().last_step = Some(1),
        |a| a.pending.as_mut().unwrap().state = FactorState::Active { since: Time::default() },
        |a| a.uid = Some(0),
        |a| a.uid = None,
        |a| a.name = UserName::parse("root").ok(),
        |a| a.name = None,
        |a| a.id.push('x'),
    ];
    for edit in edits {
        let mut edited = sealed.clone();
        edit(&mut edited);
        assert_eq!(sealer.open(edited, 1), Err(SealError::Damaged));
    }
    let other = Sealer::new(&StoreKey::generate().unwrap());
    assert_eq!(other.open(sealed, 1), Err(SealError::OtherKey));
}

#[test]
fn records_without_staged_changes_keep_their_seal() {
    let text = r#"{"id":"totp-x","params":{"algorithm":"SHA1","digits":6,"period":30},"created":1,
        "state":{"active":{"since":2}},"last_step":3,"secrets":null,
        "remembered":[{"key":"k+/9","since":4,"length":5}]}"#;
    let factor: Factor<()> = serde_json::from_str(text).unwrap();
    assert_eq!(factor_aad("row", &factor), "row\ntotp-x\nSHA1 6 30\n1\nactive 2\n3\nk+/9 4 5");
    // Used steps affect no grant and are not covered.
    let used = Factor { used_steps: vec![1, 2, 3], ..factor.clone() };
    assert_eq!(factor_aad("row", &used), factor_aad("row", &factor));
}

#[test]
fn a_staged_change_cannot_be_altered_without_the_key() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let now = Time::from_unix(1_800_000_000);
    let mut account = account("alice");
    assert!(account.activate_imported(now));
    let new = NewFactor { lifetime: 60, ..NewFactor::default() };
    let change = |kind| StagedChange::new(kind, now, 86_400, 86_400, "this host");
    account.stage_replacement(&new, change(ChangeKind::Replace), now, &mut Kernel).unwrap();
    let active = account.active.as_mut().unwrap();
    active.staged = Some(change(ChangeKind::Remove));
    active.cancels = vec![now, now];
    let key = totp_core::remembered::RememberKey::ssh_key(1, "sshd", "192.0.2.1", &["SHA256:x"]).unwrap();
    active.remembered = vec![totp_core::remembered::Remembered { key, since: now, length: 60 }];
    let sealed = sealer.seal(account.clone(), 1).unwrap();
    assert_eq!(sealer.open(sealed.clone(), 1), Ok(account));
    let edits: [fn(&mut SealedAccount); 11] = [
        |a| a.pending.as_mut().unwrap().staged = None,
        |a| a.pending.as_mut().unwrap().staged.as_mut().unwrap().shown_at = Some(Time::default()),
        |a| a.pending.as_mut().unwrap().staged.as_mut().unwrap().at = Time::default(),
        |a| a.pending.as_mut().unwrap().staged.as_mut().unwrap().delay = 0,
        |a| a.pending.as_mut().unwrap().staged.as_mut().unwrap().kind = ChangeKind::Remove,
        |a| a.pending.as_mut().unwrap().staged.as_mut().unwrap().expires = Time::from_unix(u64::MAX),
        |a| a.active.as_mut().unwrap().staged = None,
        |a| a.active.as_mut().unwrap().staged.as_mut().unwrap().shown_at = Some(Time::default()),
        |a| a.active.as_mut().unwrap().cancels.clear(),
        |a| a.active.as_mut().unwrap().cancels.truncate(1),
        // A cancel is rewritten as part of the key of a remembered login.
        |a| {
            let active = a.active.as_mut().unwrap();
            active.cancels.truncate(1);
            let text = serde_json::to_string(&active.remembered).unwrap();
            let text = text.replacen("\"key\":\"", "\"key\":\"cancelled 1800000000\\n", 1);
            active.remembered = serde_json::from_str(&text).unwrap();
        },
    ];
    for edit in edits {
        let mut edited = sealed.clone();
        edit(&mut edited);
        assert_ne!(edited, sealed);
        assert_eq!(sealer.open(edited, 1), Err(SealError::Damaged));
    }
}

#[test]
fn a_pending_factor_is_not_moved_to_the_active_ones() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let mut sealed = sealer.seal(account("alice"), 1).unwrap();
    sealed.active = sealed.pending.take();
    assert_eq!(sealer.open(sealed, 1), Err(SealError::Damaged));
}

#[test]
fn an_authenticator_is_neither_doubled_nor_renamed() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let mut alice = account("alice");
    assert!(alice.activate_imported(Time::default()));
    let named = |name| Factor {
        id: format!("totp-{name}"),
        name: AuthenticatorName::parse(name),
        ..alice.active.clone().unwrap()
    };
    alice.added = vec![named("work"), named("safe")];
    let sealed = sealer.seal(alice.clone(), 1).unwrap();
    assert_eq!(sealer.open(sealed.clone(), 1), Ok(alice));
    // A code of a factor that is there twice would work twice.
    let edits: [fn(&mut SealedAccount); 5] = [
        // An unconfirmed factor is not made one whose recovery codes are accepted.
        |a| a.pending = a.active.take(),
        |a| a.added.push(a.added[0].clone()),
        |a| a.added.push(a.active.clone().unwrap()),
        |a| a.added[0].name = None,
        |a| a.added[0].name = a.added[1].name.clone(),
    ];
    for edit in edits {
        let mut edited = sealed.clone();
        edit(&mut edited);
        assert_eq!(sealer.open(edited, 1), Err(SealError::Damaged));
    }
}

#[test]
fn a_ticket_is_bound_to_the_factor_and_to_its_requirements() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let mut alice = account("alice");
    let first = sealer.seal_ticket(&alice, "ABCD", Time::from_unix(9), None).unwrap();
    assert_eq!((first.totp_id.as_ref(), first.lost), (None, false), "no factor could be lost");
    assert!(alice.activate_imported(Time::default()));
    let bound_to = alice.active.as_ref().map(|active| (active.id.as_str(), ActiveFactor::Usable));
    let ticket = sealer.seal_ticket(&alice, "ABCD", Time::from_unix(9), bound_to).unwrap();
    assert!(sealer.is_ticket(&alice, &ticket, "ABCD") && alice.is_ticket_for_active_factor(&ticket));
    assert!(!alice.is_ticket_for_active_factor(&first));
    for edited in [
        EnrollmentTicket { lost: true, ..ticket.clone() },
        EnrollmentTicket { totp_id: None, ..ticket.clone() },
        EnrollmentTicket { totp_id: Some("totp-other".into()), ..ticket.clone() },
        EnrollmentTicket { totp_id: ticket.totp_id.clone(), ..first },
    ] {
        assert!(!sealer.is_ticket(&alice, &edited, "ABCD"), "{edited:?}");
    }
}

#[test]
fn every_changed_byte_is_detected_and_no_ciphertext_repeats() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let account = account("alice");
    let sealed = sealer.seal(account.clone(), 1).unwrap();
    assert_ne!(sealed, sealer.seal(account, 1).unwrap());
    let bytes = BASE64.decode(sealed.pending.as_ref().unwrap().secrets.data.as_bytes()).unwrap();
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 1;
        let mut record = sealed.clone();
        record.pending.as_mut().unwrap().secrets.data = BASE64.encode(&damaged);
        assert_eq!(sealer.open(record, 1), Err(SealError::Damaged));
    }
}

#[test]
fn a_ticket_is_bound_to_its_account_and_expiry() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let (alice, bob) = (account("alice"), account("bob"));
    let bound_to = alice.active.as_ref().map(|active| (active.id.as_str(), ActiveFactor::Usable));
    let ticket = sealer.seal_ticket(&alice, "ABCD", Time::from_unix(9), bound_to).unwrap();
    assert!(sealer.is_ticket(&alice, &ticket, "ABCD"));
    assert!(!sealer.is_ticket(&alice, &ticket, "ABCE") && !sealer.is_ticket(&alice, &ticket, ""));
    assert!(!sealer.is_ticket(&bob, &ticket, "ABCD"));
    let longer = EnrollmentTicket { expires: Time::from_unix(10), ..ticket };
    assert!(!sealer.is_ticket(&alice, &longer, "ABCD"));
    assert!(!longer.sealed.contains("ABCD"));
}

#[test]
fn a_passcode_is_bound_to_its_account_and_times() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let (mut alice, mut bob) = (account("alice"), account("bob"));
    let (passcode, code) = Passcode::generate(60, Time::from_unix(9), &mut Kernel).unwrap();
    alice.set_passcode(passcode);
    bob.set_passcode(Passcode::generate(60, Time::from_unix(9), &mut Kernel).unwrap().0);
    let sealed = sealer.seal(alice.clone(), 1).unwrap();
    assert_eq!(sealer.open(sealed.clone(), 1), Ok(alice));
    assert!(!serde_json::to_string(&sealed).unwrap().contains(&*code.reveal()));
    let mut moved = sealer.seal(bob, 1).unwrap();
    moved.passcode.clone_from(&sealed.passcode);
    assert_eq!(sealer.open(moved, 1), Err(SealError::Damaged));
    let edits: [fn(&mut Passcode); 2] =
        [|p| p.expires = Time::from_unix(u64::MAX), |p| p.made = Time::default()];
    for edit in edits {
        let mut edited = sealed.clone();
        edit(edited.passcode.as_mut().unwrap());
        assert_eq!(sealer.open(edited, 1), Err(SealError::Damaged));
    }
}

#[test]
fn a_mac_is_valid_for_its_kind_and_text_only() {
    let sealer = Sealer::new(&StoreKey::generate().unwrap());
    let mac = sealer.mac("session", "text").unwrap();
    assert!(sealer.verify_mac("session", "text", &mac));
    assert!(!sealer.verify_mac("session", "texts", &mac) && !sealer.verify_mac("client", "text", &mac));
    assert!(!sealer.verify_mac("session", "text", "") && !sealer.verify_mac("session", "text", "{}"));
    assert!(!Sealer::new(&StoreKey::generate().unwrap()).verify_mac("session", "text", &mac));
    let sealed = sealer.seal_named("a", b"bytes").unwrap();
    assert_eq!(*sealer.open_named("a", &sealed).unwrap(), b"bytes");
    assert_eq!(sealer.open_named("b", &sealed), Err(SealError::Damaged));
}

#[test]
fn the_check_value_opens_with_its_own_key_only() {
    let key = StoreKey::generate().unwrap();
    let check = Sealer::new(&key).seal_check().unwrap();
    assert!(Sealer::new(&key).opens_check(&check));
    assert!(!Sealer::new(&StoreKey::generate().unwrap()).opens_check(&check));
    assert!(!Sealer::new(&key).opens_check("nonsense"));
}
