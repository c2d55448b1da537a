//! The API and logins share a user's factor, used codes and history.

use serde_json::json;
use std::sync::Barrier;
use totp_wire::login::Verdict;
use totpd_e2e::peer::{self, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::{Api, api};

#[test]
fn api_and_logins_share_factors_used_codes_and_history() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    assert_eq!(site.status("alice")["state"], "active");
    // A code used at a login is used for the API, and the other way round.
    let code = phone.code(&site);
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
    app.authenticate("alice", &code).assert_error(401, "totp_code_already_authenticated");
    site.next_step();
    let code = phone.code(&site);
    app.authenticate(&user, &code).assert_success();
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "replayed");

    let phone = site.enroll("bob");
    let known = app.get("/v1/users/bob").assert_success().json;
    assert_eq!(known["totps"][0]["verified"], true);
    app.authenticate("bob", &phone.code(&site)).assert_success();
    // `totpd revoke` removes the factor for the API as well.
    site.totpd(&["revoke", "bob"]).assert_success();
    app.authenticate("bob", &phone.code(&site)).assert_error(404, "totps_not_found_for_user");
    // The history is shared.
    let history = site.totpd(&["history", "alice", "--json"]).assert_success().stdout;
    for word in ["user-create", "authenticate", "\"login\"", &user] {
        assert!(history.contains(word), "{word}: {history}");
    }
}

#[test]
fn an_applications_failures_lock_only_that_application() {
    let site = api::site("");
    let (first, second) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (user, phone) = first.enrolled(&site, "alice");
    for _ in 0..10 {
        let refused = second.authenticate(&user, &phone.wrong_code(&site));
        refused.assert_error(401, "unable_to_authenticate_totp");
    }
    // Right codes and recovery codes are refused as well, and a right code is not used up.
    second.authenticate(&user, &phone.code(&site)).assert_error(429, "user_lock_limit_reached");
    let recovery = json!({ "user_id": user, "recovery_code": phone.recovery_codes[0] });
    second.post("/v1/totps/recover", &recovery).assert_error(429, "user_lock_limit_reached");
    let seen = |api: &Api| api.get(&format!("/v1/users/{user}")).assert_success().json;
    assert_eq!(seen(&second)["is_locked"], true);
    for field in ["lock_created_at", "lock_expires_at"] {
        assert!(seen(&second)[field].is_string() && seen(&first)[field].is_null(), "{field}");
    }
    assert_eq!(seen(&first)["is_locked"], false);
    first.authenticate(&user, &phone.code(&site)).assert_success();
    site.next_step();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    // A new secret of the same client does not reset the lock.
    let again = Api::new(&site, "verify");
    site.next_step();
    again.authenticate(&user, &phone.code(&site)).assert_error(429, "user_lock_limit_reached");
    // `totpd unlock` ends the lock.
    site.totpd(&["unlock", "alice"]).assert_success();
    again.authenticate(&user, &phone.code(&site)).assert_success();
}

#[test]
fn no_change_of_a_user_resets_a_lock() {
    let site = api::site("");
    let (admin, guesser) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (user, phone) = admin.enrolled(&site, "alice");
    for _ in 0..10 {
        guesser
            .authenticate(&user, &phone.wrong_code(&site))
            .assert_error(401, "unable_to_authenticate_totp");
    }
    let totp = admin.get(&format!("/v1/users/{user}")).assert_success().json["totps"][0]["totp_id"].clone();
    let locked = |phone: &Phone| {
        site.next_step();
        guesser.authenticate(&user, &phone.code(&site)).assert_error(429, "user_lock_limit_reached");
    };
    locked(&phone);
    admin.put(&format!("/v1/users/{user}"), &json!({ "external_id": "bob" })).assert_success();
    locked(&phone);
    admin.delete(&format!("/v1/users/{user}/external_id")).assert_success();
    locked(&phone);
    admin.delete(&format!("/v1/users/totps/{}", totp.as_str().unwrap())).assert_success();
    let (_, other) = admin.totp(&user);
    locked(&other);
    admin.authenticate(&user, &other.code(&site)).assert_success();
    locked(&other);
}

/// Sends the code by HTTP and at logins at the same time. Returns how many were accepted.
#[track_caller]
fn together(site: &totpd_e2e::Site, app: &Api, user: &str, code: &str, http: usize, logins: usize) -> usize {
    let waiting: Vec<_> = (0..logins).map(|_| peer::begin(site, peer::local("alice")).unwrap()).collect();
    let barrier = Barrier::new(http + logins);
    let barrier = &barrier;
    std::thread::scope(|scope| {
        let mut threads: Vec<std::thread::ScopedJoinHandle<'_, bool>> = Vec::new();
        for _ in 0..http {
            threads.push(scope.spawn(move || {
                barrier.wait();
                let reply = app.authenticate(user, code);
                if reply.status != 200 {
                    reply.assert_error(401, "totp_code_already_authenticated");
                }
                reply.status == 200
            }));
        }
        for waiting in waiting {
            threads.push(scope.spawn(move || {
                barrier.wait();
                waiting.answer(code) == Ok(Verdict::Granted)
            }));
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|granted| *granted).count()
    })
}

#[test]
fn one_code_used_64_times_over_http_and_pam_works_once() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    for (http, logins) in [(8, 0), (4, 4), (64, 0), (32, 32)] {
        for round in 0..totpd_e2e::short_or_long(5, 10) {
            let code = phone.code(&site);
            assert_eq!(
                together(&site, &app, &user, &code, http, logins),
                1,
                "{http}+{logins}, round {round}"
            );
            site.next_step();
        }
    }
}

#[test]
fn a_recovery_code_sent_eight_times_works_once() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    for code in &phone.recovery_codes[..4] {
        let recovered = std::thread::scope(|scope| {
            let send = || {
                let body = json!({ "user_id": user, "recovery_code": code, "session_duration_minutes": 5 });
                app.post("/v1/totps/recover", &body).status == 200
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(recovered, 1);
    }
    // Refused requests left no session.
    let sessions = app.get(&format!("/v1/sessions?user_id={user}")).assert_success().json;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 4);
}

#[test]
fn an_external_id_of_a_later_user_needs_to_be_set_again() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    // The user is enrolled before the host knows the name: an external id is not a login name then.
    let (user, phone) = app.enrolled(&site, "carol");
    site.append("etc/passwd", "carol:x:5077:5077::/:/bin/sh\n");
    assert_eq!(login(&site, "carol", &phone.code(&site)), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "uid-changed");
    app.authenticate(&user, &phone.code(&site)).assert_success();
    site.next_step();
    app.put(&format!("/v1/users/{user}"), &json!({ "external_id": "carol" })).assert_success();
    assert_eq!(login(&site, "carol", &phone.code(&site)), Ok(Verdict::Granted));
    // Without the external id, the name is unknown again.
    site.next_step();
    app.delete(&format!("/v1/users/{user}/external_id")).assert_success();
    assert_eq!(login(&site, "carol", &phone.code(&site)), Ok(Verdict::Denied));
    assert_eq!(site.last_login()["reason"], "not-enrolled");
}

#[test]
fn login_names_are_escaped_in_external_ids() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    site.append("etc/passwd", "dave@corp:x:5078:5078::/:/bin/sh\n");
    let (user, phone) = app.enrolled(&site, "dave||40corp");
    assert_eq!(login(&site, "dave@corp", &phone.code(&site)), Ok(Verdict::Granted));
    let seen = app.get("/v1/users/dave%7C%7C40corp").assert_success().json;
    assert_eq!((&seen["external_id"], &seen["user_id"]), (&json!("dave||40corp"), &json!(user)));
    // Another spelling of the name is invalid.
    app.get("/v1/users/dave%40corp").assert_error(400, "invalid_user_id");
    app.get("/v1/users/d%7C%7C61ve").assert_error(400, "invalid_user_id");
    // A user whose external id is the name of a route.
    app.user("search");
    assert_eq!(app.get("/v1/users/search").assert_success().json["external_id"], "search");
    app.delete("/v1/users/search").assert_success();
}

#[test]
fn an_unconfirmed_api_enrollment_expires() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let user = app.user("alice");
    let made =
        app.post("/v1/totps", &json!({ "user_id": "alice", "expiration_minutes": 5 })).assert_success().json;
    let phone = Phone::from(&made);
    site.advance(301);
    app.authenticate(&user, &phone.code(&site)).assert_error(401, "expired_totp");
    assert_eq!(app.get(&format!("/v1/users/{user}")).assert_success().json["totps"], json!([]));
    app.authenticate(&user, &phone.code(&site)).assert_error(401, "expired_totp");
    // A second enrollment replaces an unconfirmed first one.
    let (_, first) = app.totp(&user);
    let (_, second) = app.totp(&user);
    app.authenticate(&user, &first.code(&site)).assert_error(401, "unable_to_authenticate_totp");
    app.authenticate(&user, &second.code(&site)).assert_success();
    app.post("/v1/totps", &json!({ "user_id": user })).assert_error(400, "active_totp_exists");
}

#[test]
fn a_lock_ends_after_the_announced_time() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (alice, phone) = app.enrolled(&site, "alice");
    let wrong = phone.wrong_code(&site);
    for _ in 0..10 {
        app.authenticate(&alice, &wrong).assert_error(401, "unable_to_authenticate_totp");
    }
    let ask = || {
        let refused = app.authenticate(&alice, &phone.code(&site));
        refused.assert_error(429, "user_lock_limit_reached");
        refused.retry_after()
    };
    let first = ask();
    assert!((3_580..=3_600).contains(&first), "{first}");
    site.advance(600);
    let then = ask();
    assert!((2_980..=3_000).contains(&then), "{then}");
    let body = json!({ "user_id": alice, "recovery_code": phone.recovery_codes[0] });
    let recover = app.post("/v1/totps/recover", &body);
    assert!(recover.status == 429 && (2_980..=3_000).contains(&recover.retry_after()), "{recover:?}");
    site.advance(then);
    app.authenticate(&alice, &phone.code(&site)).assert_success();
}
