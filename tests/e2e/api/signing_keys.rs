//! The signing keys of sessions: requests without a session do not need them.

use serde_json::json;
use totpd_e2e::api::{Endpoint, socket};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site};

#[test]
fn without_signing_keys_codes_work_and_sessions_are_refused() {
    let site = Site::new();
    let phone = site.enroll("alice");
    site.end(nix::sys::signal::Signal::SIGTERM);
    // With a clock before the release no keys are made, and only recovery codes work.
    let right = site.faults.offset();
    site.advance(1_000_000_000 - site.now());
    site.write_config(&socket(&site));
    site.start();
    let app = Api::add(&site, Endpoint::Unix(site.path("run/http.sock")), "admin");
    wait_until("the API listens", || app.connect().is_some());
    let keys = format!("/v1/sessions/jwks/{}", app.project_id);
    app.get(&keys).assert_error(503, "server_unavailable");

    let recover = |code: &str| json!({ "user_id": "alice", "recovery_code": code });
    app.post("/v1/totps/recover", &recover(&phone.recovery_codes[0])).assert_success();
    let mut with_session = recover(&phone.recovery_codes[1]);
    with_session["session_duration_minutes"] = json!(60);
    app.post("/v1/totps/recover", &with_session).assert_error(503, "server_unavailable");
    // HTTP has no date before 1970: no request is answered, and no code used up.
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.advance(-site.now() - 1_000_000);
    site.start();
    wait_until("the API listens", || app.connect().is_some());
    let request = format!("GET {keys} HTTP/1.1\r\nHost: totpd\r\n\r\n");
    assert!(app.raw(request.as_bytes()).is_none());
    assert!(!site.log().contains("panicked"));

    // Soon after the clock is right there are keys, and the code still works.
    site.faults.clock_offset(right);
    wait_until("there are keys", || app.get(&keys).status == 200);
    let recovered = app.post("/v1/totps/recover", &with_session).assert_success().json;
    assert_eq!(recovered["session"]["user_id"], recovered["user_id"]);
    assert_ne!(recovered["session_token"], "");
}
