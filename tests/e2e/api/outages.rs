//! The API of a daemon that is killed, or whose disk is full, fails or has no store.

use nix::sys::signal::Signal;
use serde_json::json;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site, api};

/// Asserts that every request about users is refused with 503.
#[track_caller]
fn assert_refuses(app: &Api, code: &str) {
    let (code, user) = (json!({ "user_id": "alice", "totp_code": code }), json!({ "external_id": "new" }));
    for reply in [
        app.get("/v1/users/alice"),
        app.delete("/v1/users/alice"),
        app.post("/v1/users", &user),
        app.post("/v1/users/search", &json!({})),
        app.post("/v1/totps", &json!({ "user_id": "alice" })),
        app.post("/v1/totps/authenticate", &code),
        app.get("/v1/sessions?user_id=alice"),
        app.post("/v1/sessions/authenticate", &json!({ "session_token": "x" })),
        app.post("/v1/sessions/revoke", &json!({ "session_token": "x" })),
    ] {
        reply.assert_error(503, "server_unavailable");
        assert!(reply.head.contains("retry-after: "), "{reply:?}");
    }
}

#[track_caller]
fn wait_until_back(app: &Api) {
    wait_until("the API is back", || app.connect().is_some() && app.get("/v1/users/alice").status == 200);
}

/// Extends a session until the daemon has ended, and counts the good responses.
fn extend(app: &Api, token: &str, answered: &AtomicUsize) {
    let body = json!({ "session_token": token, "session_duration_minutes": 60 }).to_string();
    let fields = format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
    let request = format!("{}{body}", app.head("POST", "/v1/sessions/authenticate", &fields));
    while let Some(mut stream) = app.connect() {
        let _ = stream.write_all(request.as_bytes());
        if api::read(&mut *stream).is_some_and(|reply| reply.status == 200) {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn an_acknowledged_session_survives_kill_9() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (alice, phone) = app.enrolled(&site, "alice");
    for round in 0..totpd_e2e::short_or_long(5, 10) {
        let code = phone.code(&site);
        let body = json!({ "user_id": alice, "totp_code": code, "session_duration_minutes": 5 });
        let opened = app.post("/v1/totps/authenticate", &body).assert_success().json;
        let shown = json!({ "session_token": opened["session_token"] });
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| extend(&app, shown["session_token"].as_str().unwrap(), &answered));
            wait_until("the load works", || answered.load(Ordering::Relaxed) > round);
            site.end(Signal::SIGKILL);
        });
        site.start();
        wait_until_back(&app);
        // The acknowledged extension counts, and the code of the session stays used.
        site.advance(6 * 60);
        app.post("/v1/sessions/authenticate", &shown).assert_success();
        site.advance(-6 * 60);
        app.authenticate(&alice, &code).assert_error(401, "totp_code_already_authenticated");
        // A revoked session stays revoked.
        app.post("/v1/sessions/revoke", &shown).assert_success();
        site.end(Signal::SIGKILL);
        site.start();
        wait_until_back(&app);
        app.post("/v1/sessions/authenticate", &shown).assert_error(404, "session_not_found");
        site.next_step();
    }
}

#[test]
fn on_a_full_disk_codes_are_verified_and_no_user_is_created() {
    let site = Site::on_small_disk();
    site.write_config(&api::socket(&site));
    site.start();
    let app = Api::new(&site, "admin");
    let (alice, phone) = app.enrolled(&site, "alice");
    site.fill_disk();
    for round in 0..totpd_e2e::short_or_long(5, 10) {
        let code = phone.code(&site);
        app.authenticate(&alice, &code).assert_success();
        app.authenticate(&alice, &code).assert_error(401, "totp_code_already_authenticated");
        let made = app.post("/v1/users", &json!({ "external_id": format!("new-{round}") }));
        made.assert_error(503, "server_unavailable");
        app.post("/v1/totps", &json!({ "user_id": "alice" })).assert_error(400, "active_totp_exists");
        site.next_step();
    }
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    app.get("/v1/users/new-0").assert_error(404, "user_not_found");
    site.free_disk();
    app.user("new-0");
}

#[test]
fn after_a_failed_sync_the_api_refuses_until_a_restart() {
    let site = api::site_on_sqlite("");
    let app = Api::new(&site, "admin");
    let (alice, phone) = app.enrolled(&site, "alice");
    let code = phone.code(&site);
    site.faults.sync_fails(true);
    app.authenticate(&alice, &code).assert_error(503, "server_unavailable");
    site.faults.sync_fails(false);
    assert_refuses(&app, &code);
    // A new process reads whether the commit reached the disk: the code is used and recorded, or
    // unused.
    site.end(Signal::SIGTERM);
    site.start();
    wait_until_back(&app);
    let again = app.authenticate(&alice, &code);
    assert!(again.status == 200 || again.error() == "totp_code_already_authenticated", "{again:?}");
    site.next_step();
    app.authenticate(&alice, &phone.code(&site)).assert_success();
    for secret in [code.as_str(), &app.secret, &phone.secret] {
        assert!(
            !site.log().split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == secret)
        );
    }
}

#[test]
fn without_a_store_the_api_refuses_every_request() {
    let site = api::site_on_sqlite("");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    site.end(Signal::SIGTERM);
    let (state, away) = (site.path("state"), site.path("away"));
    std::fs::rename(&state, &away).unwrap();
    site.start();
    wait_until("the API listens", || app.connect().is_some());
    let code = phone.code(&site);
    assert_refuses(&app, &code);
    let jwks = format!("/v1/sessions/jwks/{}", app.project_id);
    app.get(&jwks).assert_error(503, "server_unavailable");
    app.get("/v1/nowhere").assert_error(404, "route_not_found");
    assert_ne!(login(&site, "alice", &code), Ok(Verdict::Granted));
    site.end(Signal::SIGTERM);
    let _ = std::fs::remove_dir_all(&state);
    std::fs::rename(&away, &state).unwrap();
    site.start();
    wait_until_back(&app);
    app.authenticate("alice", &code).assert_success();
}
