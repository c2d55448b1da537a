//! What one application can take from others: a part, and never a login.

use serde_json::json;
use site::peer::login;
use site::run::wait_until;
use site::{Api, api};
use totp_wire::login::Verdict;

#[test]
fn an_application_that_floods_one_user_holds_up_no_login_of_his() {
    let site = api::site("");
    let (app, other) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (alice, phone) = app.enrolled(&site, "alice");
    let code = phone.code(&site);
    let syncs = site.faults.syncs();
    site.faults.sync_delay_us(300_000);
    std::thread::scope(|scope| {
        let flood: Vec<_> = (0..60)
            .map(|n| {
                let (app, path) = (&app, format!("/v1/users/{alice}"));
                scope.spawn(move || app.put(&path, &json!({ "trusted_metadata": { "n": n } })))
            })
            .collect();
        wait_until("the flood has begun", || site.faults.syncs() > syncs + 1);
        let before = site.faults.syncs();
        assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
        let waited = site.faults.syncs() - before;
        // What was being written, one of the flood, and its own; one more may begin before we look.
        assert!(waited <= 4, "a login waited for {waited} syncs");
        // And another application waits as little.
        let before = site.faults.syncs();
        other.authenticate(&alice, &code).expect(401, "totp_code_already_authenticated");
        let waited = site.faults.syncs() - before;
        assert!(waited <= 7, "an application waited for {waited} syncs");
        site.faults.sync_delay_us(0);
        for request in flood {
            request.join().unwrap().ok();
        }
    });
}

#[test]
fn what_says_nothing_new_is_logged_and_written_once_a_minute() {
    let site = api::site("");
    let (app, guesser) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (alice, phone) = app.enrolled(&site, "alice");
    let rows = || {
        let shown = site.totpd(&["history", "alice", "-n", "1000", "--json"]).ok().json();
        shown["events"].as_array().unwrap().len()
    };
    let (start, logged) = (rows(), site.events().len());
    let wrong = phone.wrong_code(&site);
    for _ in 0..10 {
        guesser.authenticate(&alice, &wrong).expect(401, "unable_to_authenticate_totp");
    }
    let (judged, syncs) = (rows(), site.faults.syncs());
    assert_eq!(judged, start + 10);
    for _ in 0..40 {
        guesser.authenticate(&alice, &wrong).expect(429, "user_lock_limit_reached");
    }
    assert_eq!(rows(), judged + 1, "one row says that the locked class was asked");
    // Another application's is told apart, and so is another reason.
    let code = phone.code(&site);
    app.authenticate(&alice, &code).ok();
    for _ in 0..40 {
        app.authenticate(&alice, &code).expect(401, "totp_code_already_authenticated");
    }
    assert_eq!(rows(), judged + 3);
    assert!(site.faults.syncs() - syncs <= 6, "{} syncs", site.faults.syncs() - syncs);
    assert_eq!(site.events().len(), logged + 10 + 40 + 1 + 40, "each is in the log");
}
