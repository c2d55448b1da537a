//! Simultaneous logins: one code is accepted once, limits hold, and users do not disturb each
//! other.

use std::sync::Barrier;
use totp_wire::login::Verdict;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::ssh::Sshd;

fn pam(site: &Site) {
    site.totp_service("x", "nodelay timeout=30");
}

/// Starts a login for each user, and answers all prompts at the same time.
fn answer_together(site: &Site, users: &[&str], codes: &[String]) -> Vec<Verdict> {
    let waiting: Vec<_> = users.iter().map(|user| begin(site, local(user)).unwrap()).collect();
    let barrier = Barrier::new(waiting.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = waiting
            .into_iter()
            .zip(codes)
            .map(|(waiting, code)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    waiting.answer(code).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn granted(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|v| **v == Verdict::Granted).count()
}

#[test]
fn of_64_logins_with_one_code_exactly_one_succeeds() {
    let site = Site::new();
    let phone = site.enroll("alice");
    for round in 0..totpd_e2e::short_or_long(5, 50) {
        let code = phone.code(&site);
        let verdicts = answer_together(&site, &["alice"; 64], &vec![code; 64]);
        assert_eq!(granted(&verdicts), 1, "round {round}");
        site.next_step();
    }
}

#[test]
fn of_64_pam_clients_with_one_code_exactly_one_succeeds() {
    let site = Site::new();
    pam(&site);
    let phone = site.enroll("alice");
    for round in 0..5 {
        let code = phone.code(&site);
        let mut clients: Vec<_> = (0..64).map(|_| PamHost::new(&site, "x", "alice").start()).collect();
        for client in &mut clients {
            client.say(&format!("{code}\n"));
        }
        let results: Vec<i32> = clients.into_iter().map(|c| result(&c.finish(), "authenticate")).collect();
        assert_eq!(results.iter().filter(|r| **r == code::SUCCESS).count(), 1, "round {round}: {results:?}");
        assert!(results.iter().all(|r| [code::SUCCESS, code::AUTH_ERR].contains(r)), "{results:?}");
        site.next_step();
    }
}

#[test]
fn of_six_ssh_logins_with_one_code_exactly_one_succeeds() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    for round in 0..totpd_e2e::short_or_long(5, 40) {
        let crowd = sshd.start_waiting_clients("alice", 6);
        let code = phone.code(&site);
        assert_eq!(sshd.answer_together(crowd, &code), 1, "round {round}");
        site.next_step();
    }
}

#[test]
fn simultaneous_wrong_codes_never_exceed_the_limit() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let wrong = phone.wrong_code(&site);
    let verdicts = answer_together(&site, &["alice"; 32], &vec![wrong; 32]);
    assert_eq!(granted(&verdicts), 0);
    let reasons: Vec<_> =
        site.events().iter().map(|e| e["reason"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(reasons.iter().filter(|r| *r == "wrong").count(), 10);
    assert_eq!(reasons.iter().filter(|r| *r == "locked").count(), 22);
    // While the class is locked it refuses right codes as well; the user's own class is not locked.
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Denied));
    assert_eq!(site.status("alice")["locked"], true);
    pam(&site);
    let own = PamHost::new(&site, "x", "alice").run_as("alice");
    assert_eq!(own.answer(&phone.code(&site)), code::SUCCESS);
    // `totpd unlock` ends the lock.
    site.totpd(&["unlock", "alice"]).assert_success();
    site.next_step();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}

#[test]
fn simultaneous_codes_of_eight_users_are_all_accepted() {
    let site = Site::new();
    let users = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"];
    let phones: Vec<Phone> = users.iter().map(|u| site.stage(u)).collect();
    for round in 0..totpd_e2e::short_or_long(5, 20) {
        let codes: Vec<String> = phones.iter().map(|phone| phone.code(&site)).collect();
        assert_eq!(granted(&answer_together(&site, &users, &codes)), 8, "round {round}");
        site.next_step();
    }
}
