//! Sessions and signing keys: what is stored, what ends a session, and that rows without the key
//! are invalid.

use serde_json::{Value, json};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site, api};

const DAY: i64 = 86_400;

/// Creates a session of this many minutes.
#[track_caller]
fn session(site: &Site, app: &Api, user: &str, phone: &Phone, minutes: i64) -> Value {
    let code = phone.code(site);
    let body = json!({ "user_id": user, "totp_code": code, "session_duration_minutes": minutes });
    let made = app.post("/v1/totps/authenticate", &body).assert_success().json;
    site.next_step();
    made
}

fn check(app: &Api, field: &str, shown: &Value) -> api::Reply {
    app.post("/v1/sessions/authenticate", &json!({ field: shown }))
}

fn restart(site: &Site, app: &Api, between: impl FnOnce()) {
    site.end(nix::sys::signal::Signal::SIGTERM);
    between();
    site.start();
    app.wait_until_up();
}

/// Returns whether the site's store, or a file beside it, contains this text.
fn is_kept(site: &Site, text: &str) -> bool {
    let files = std::fs::read_dir(site.path("state")).unwrap();
    let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let bytes: Vec<Vec<u8>> = files.chain([site.stored()]).collect();
    bytes.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn tokens_and_secrets_are_never_stored() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 60);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    assert!(is_kept(&site, made["session"]["session_id"].as_str().unwrap()), "the store can be searched");
    let secret = &app.secret["secret-live-".len() + 16..];
    for hidden in [&text("session_token"), &text("session_jwt"), &app.secret, secret, &phone.secret] {
        assert!(!is_kept(&site, hidden) && !site.log().contains(hidden), "{hidden}");
    }
}

#[test]
fn a_session_survives_a_restart_and_expires() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 60);
    restart(&site, &app, || {});
    let checked = check(&app, "session_token", &made["session_token"]).assert_success().json;
    assert_eq!(checked["session_token"], made["session_token"]);
    assert_eq!(checked["session"]["expires_at"], made["session"]["expires_at"]);
    // The daemon accepts an expired JWT as long as its session is valid.
    site.advance(301);
    let renewed = check(&app, "session_jwt", &made["session_jwt"]).assert_success().json;
    assert_eq!(renewed["session_token"], made["session_token"]);
    assert_ne!(renewed["session_jwt"], made["session_jwt"]);
    site.advance(3600);
    check(&app, "session_token", &made["session_token"]).assert_error(404, "session_not_found");
    check(&app, "session_jwt", &renewed["session_jwt"]).assert_error(404, "session_not_found");
    // A clock that is set back does not revive it, not even one before the release.
    site.advance(-3600);
    check(&app, "session_token", &made["session_token"]).assert_error(404, "session_not_found");
    site.advance(-10 * 365 * DAY);
    check(&app, "session_token", &made["session_token"]).assert_error(404, "session_not_found");
}

#[test]
fn reading_a_session_during_its_extension_does_not_end_it() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 5);
    let token = &made["session_token"];
    site.advance(260);
    let syncs = site.faults.syncs();
    site.faults.sync_delay_us(60_000_000);
    std::thread::scope(|scope| {
        let body = json!({ "session_token": token, "session_duration_minutes": 60 });
        let app = &app;
        let extends = scope.spawn(move || app.post("/v1/sessions/authenticate", &body));
        site.wait_for_commit(syncs);
        // Until the extension is stored, the session is expired.
        site.advance(60);
        let looks = scope.spawn(|| check(app, "session_token", token));
        app.get(&format!("/v1/sessions/jwks/{}", app.project_id)).assert_success();
        site.faults.sync_delay_us(0);
        extends.join().unwrap().assert_success();
        looks.join().unwrap().assert_success();
    });
    check(&app, "session_token", token).assert_success();
}

#[test]
fn no_token_expires_after_its_session() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 7);
    let claims = |answer: &Value| -> Value {
        let jwt = answer["session_jwt"].as_str().unwrap();
        let part = jwt.split('.').nth(1).unwrap();
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    };
    let first = claims(&made);
    assert_eq!(first["exp"].as_i64().unwrap() - first["iat"].as_i64().unwrap(), 300);
    site.advance(240);
    let last = claims(&check(&app, "session_token", &made["session_token"]).assert_success().json);
    assert_eq!(last["exp"].as_i64().unwrap() - first["iat"].as_i64().unwrap(), 7 * 60);
}

#[test]
fn sessions_keep_every_number_of_custom_claims() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    // Numbers that are hard to write and read back without a change.
    let mut numbers = vec![
        0.1 + 0.2,
        5e-324,
        2.225_073_858_507_201e-308,
        1.797_693_134_862_315_7e308,
        8.988_465_674_311_58e307,
        9_007_199_254_740_993.0,
    ];
    numbers.extend((1..100).map(|n| 1.0e22 / f64::from(n).powi(7)));
    let body = json!({
        "user_id": user, "totp_code": phone.code(&site), "session_duration_minutes": 5,
        "session_custom_claims": { "numbers": numbers, "text": "line\nbreak", "big": u64::MAX },
    });
    let made = app.post("/v1/totps/authenticate", &body).assert_success().json;
    let checked = check(&app, "session_token", &made["session_token"]).assert_success().json;
    let claims = &checked["session"]["custom_claims"];
    assert_eq!((&claims["text"], &claims["numbers"]), (&json!("line\nbreak"), &json!(numbers)));
    // They stay the same in metadata, however often the record is read and written.
    let path = format!("/v1/users/{user}");
    app.put(&path, &json!({ "trusted_metadata": { "numbers": numbers } })).assert_success();
    for n in 0..5 {
        app.put(&path, &json!({ "untrusted_metadata": { "n": n } })).assert_success();
    }
    assert_eq!(app.get(&path).assert_success().json["trusted_metadata"]["numbers"], json!(numbers));
}

#[test]
fn damaged_signing_keys_are_not_replaced_repeatedly() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.sql("UPDATE signing_key SET record = replace(record, '\"v\":1', '\"v\":2')");
    site.start();
    wait_until("the API answers", || app.connect().is_some());
    // Requests without a session are judged; with a session they are refused, and use up no code.
    let code = phone.code(&site);
    let body = json!({ "user_id": user, "totp_code": code, "session_duration_minutes": 5 });
    for _ in 0..2 {
        app.post("/v1/totps/authenticate", &body).assert_error(503, "server_unavailable");
    }
    app.authenticate(&user, &code).assert_success();
    assert!(site.log().contains("the keys of tokens in the store are damaged"));
    assert_eq!(site.log().matches("\"event\":\"signing-key\"").count(), 1);
}

#[test]
fn revoke_and_user_deletion_end_the_sessions() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let first = session(&site, &app, &user, &phone, 60);
    // Deleting a TOTP leaves the sessions valid.
    let totp = first["totp_id"].as_str().unwrap();
    app.delete(&format!("/v1/users/totps/{totp}")).assert_success();
    check(&app, "session_token", &first["session_token"]).assert_success();
    let (_, phone) = app.totp(&user);
    let second = session(&site, &app, &user, &phone, 60);
    site.totpd(&["revoke", "alice"]).assert_success();
    for made in [&first, &second] {
        check(&app, "session_token", &made["session_token"]).assert_error(404, "session_not_found");
    }
    let (_, phone) = app.totp(&user);
    let third = session(&site, &app, &user, &phone, 60);
    app.delete(&format!("/v1/users/{user}")).assert_success();
    check(&app, "session_jwt", &third["session_jwt"]).assert_error(404, "session_not_found");
    app.get("/v1/users/alice").assert_error(404, "user_not_found");
}

#[test]
fn signing_keys_rotate_and_stay_published_for_a_month() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 527_040);
    let jwks =
        || app.get(&format!("/v1/sessions/jwks/{}", app.project_id)).assert_success().json["keys"].clone();
    let first = jwks()[0]["kid"].clone();
    restart(&site, &app, || site.advance(180 * DAY));
    let keys = jwks();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert_eq!(keys[1]["kid"], first);
    let renewed = check(&app, "session_jwt", &made["session_jwt"]).assert_success().json;
    let header = renewed["session_jwt"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let header: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
    assert_eq!(header["kid"], keys[0]["kid"]);
    restart(&site, &app, || site.advance(31 * DAY));
    assert_eq!(jwks().as_array().unwrap().len(), 1);
    check(&app, "session_jwt", &made["session_jwt"]).assert_error(400, "unable_to_parse_session_jwt");
    // The session token is derived from another key, which stays.
    check(&app, "session_token", &made["session_token"]).assert_success();
}

#[test]
fn rows_written_without_the_key_are_no_sessions_or_clients() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let weak = Api::new(&site, "verify");
    let (user, phone) = app.enrolled(&site, "alice");
    let made = session(&site, &app, &user, &phone, 5);
    // A longer session, a session of another user, a client with a larger scope or another name.
    restart(&site, &app, || {
        site.sql("UPDATE session SET record = replace(record, 'user-', 'user_'), expires = 1099511627776");
    });
    check(&app, "session_token", &made["session_token"]).assert_error(404, "session_not_found");
    for change in ["record = replace(record, 'verify', 'admin')", "name = 'somebody'"] {
        restart(&site, &app, || {
            site.sql(&format!("UPDATE client SET {change} WHERE secret_id = '{}'", weak.secret_id));
        });
        weak.get(&format!("/v1/users/{user}")).assert_error(401, "unauthorized_credentials");
    }
    // They can be revoked.
    assert_eq!(site.totpd(&["client", "revoke", "somebody"]).code, 0);
    app.get(&format!("/v1/users/{user}")).assert_success();
}

#[test]
fn client_secrets_rotate_without_an_outage() {
    let site = api::site("");
    let (old, new) = (Api::new(&site, "enroll"), Api::new(&site, "enroll"));
    let user = old.user("alice");
    new.get(&format!("/v1/users/{user}")).assert_success();
    let listed = site.totpd(&["client", "list", "--json"]).assert_success().json();
    assert_eq!(listed["clients"].as_array().unwrap().len(), 2);
    assert!(listed["clients"].as_array().unwrap().iter().all(|c| c["used_at"].is_string()), "{listed}");
    site.totpd(&["client", "revoke", "app-enroll", "--secret", &old.secret_id]).assert_success();
    old.get(&format!("/v1/users/{user}")).assert_error(401, "unauthorized_credentials");
    new.get(&format!("/v1/users/{user}")).assert_success();
    site.totpd(&["client", "revoke", "app-enroll"]).assert_success();
    new.get(&format!("/v1/users/{user}")).assert_error(401, "unauthorized_credentials");
    assert_eq!(site.totpd(&["client", "revoke", "app-enroll"]).code, 1);
    // A second secret reports the scope of the first.
    let first = site.totpd(&["client", "add", "shop", "--scope", "admin"]).assert_success().stdout;
    assert!(!first.contains("other secrets"), "{first}");
    let second = site.totpd(&["client", "add", "shop", "--scope", "verify"]).assert_success().stdout;
    assert!(second.contains("shop has other secrets") && second.contains("shop: admin, secret "), "{second}");
    for bad in ["", "a b", "x/y", &"x".repeat(65)] {
        assert_eq!(site.totpd(&["client", "add", bad, "--scope", "verify"]).code, 2, "{bad}");
    }
    assert_eq!(site.totpd(&["client", "add", "x", "--scope", "root"]).code, 2);
    // No secret was logged.
    assert!(!site.log().contains(&old.secret) && !site.log().contains(&new.secret));
}
