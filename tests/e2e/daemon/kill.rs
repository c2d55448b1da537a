//! `kill -9` of the daemon under load: what it acknowledged stays true.

use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use totp_wire::login::Verdict;
use totpd_e2e::Site;
use totpd_e2e::peer::{begin, local};
use totpd_e2e::phone::Phone;

#[test]
fn kill_9_loses_neither_used_codes_nor_enrollments() {
    let site = Site::new();
    let users = ["u1", "u2", "u3", "u4", "u5", "u6"];
    let phones: Vec<Phone> = users.iter().map(|u| site.stage(u)).collect();
    let rounds = totpd_e2e::short_or_long(5, 50_u64);
    let mut replaced = BTreeSet::new();
    for round in 0..rounds {
        let codes: Vec<String> = phones.iter().map(|phone| phone.code(&site)).collect();
        let stop = AtomicBool::new(false);
        let (accepted, enrolled) = std::thread::scope(|scope| {
            let logins: Vec<_> = users
                .iter()
                .zip(&codes)
                .map(|(user, code)| {
                    let site = &site;
                    scope.spawn(move || {
                        begin(site, local(user)).and_then(|waiting| waiting.answer(code))
                            == Ok(Verdict::Granted)
                    })
                })
                .collect();
            let enroll = scope.spawn(|| {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let done = site.totpd(&["enroll", "bob", "--json"]);
                    if done.code == 0 {
                        acknowledged.push(done.json()["totp_id"].as_str().unwrap().to_owned());
                    }
                }
                acknowledged
            });
            // Another moment of the load in each round, over 50 ms.
            std::thread::sleep(Duration::from_millis(2 * (round * 50 / rounds % 25)));
            site.end(Signal::SIGKILL);
            stop.store(true, Ordering::Relaxed);
            let accepted: Vec<bool> = logins.into_iter().map(|login| login.join().unwrap()).collect();
            (accepted, enroll.join().unwrap())
        });
        site.start();
        for ((user, code), accepted) in users.iter().zip(&codes).zip(&accepted) {
            if *accepted {
                let again = begin(&site, local(user)).unwrap().answer(code);
                assert_eq!(again, Ok(Verdict::Denied), "round {round}: {user}'s code was accepted twice");
            }
        }
        if let Some((last, older)) = enrolled.split_last() {
            replaced.extend(older.iter().cloned());
            let kept = site.status("bob")["totp_id"].as_str().unwrap().to_owned();
            // A newer enrollment may be in the store whose reply the kill cut off. One that was
            // replaced never comes back.
            assert!(!replaced.contains(&kept), "round {round}: {last} is lost, {kept} came back");
            replaced.insert(last.clone());
            replaced.insert(kept);
        }
        site.next_step();
    }
    let granted = site.events().iter().filter(|e| e["outcome"] == "granted").count();
    assert!(granted > totpd_e2e::short_or_long(0, 10), "no load: {granted} logins in {rounds} rounds");
}
