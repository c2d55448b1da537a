//! What errors say: the expected type, the number of digits, and what to do before a recovery code.

use super::fixture::Fixture;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use totpd_e2e::paths::repository;
use totpd_e2e::{Api, api};

#[track_caller]
fn assert_says(reply: &api::Reply, status: u16, error: &str, words: &str) {
    reply.assert_error(status, error);
    let message = reply.json["error_message"].as_str().unwrap();
    assert!(message.contains(words), "{message}");
}

#[test]
fn an_error_names_the_expected_type_and_quotes_nothing() {
    let fixture = Fixture::new("");
    let wrong = |path: &str, body: Value, words: &str| {
        let reply = fixture.admin.post(path, &body);
        assert_says(&reply, 400, "bad_request", words);
        assert!(!reply.json.to_string().contains("987654"), "{reply:?}");
    };
    fixture.assert_unchanged("types", |_, _| {
        let authenticate = "/v1/totps/authenticate";
        let user = &fixture.alice.id;
        wrong(
            authenticate,
            json!({ "user_id": user, "totp_code": 987_654 }),
            "totp_code has the wrong type (expected a string)",
        );
        wrong(authenticate, json!({ "user_id": user }), "totp_code is missing (expected a string)");
        let minutes = json!({ "user_id": user, "totp_code": "987654", "session_duration_minutes": "987654" });
        wrong(authenticate, minutes, "session_duration_minutes has the wrong type (expected an integer)");
        let name = json!({ "email": "a@example.org", "name": { "first_name": 987_654 } });
        wrong("/v1/users", name, "name.first_name has the wrong type (expected a string)");
        wrong("/v1/users", json!({ "roles": "987654" }), "roles has the wrong type (expected a list)");
        wrong(
            "/v1/users",
            json!({ "create_user_as_pending": "987654" }),
            "create_user_as_pending has the wrong type (expected true or false)",
        );
    });
}

#[test]
fn a_code_of_another_length_is_told_the_expected_one() {
    let fixture = Fixture::new("");
    let [carol, _] = ["carol", "dave"].map(|name| fixture.admin.user(name));
    fixture.site.configure(&format!("{}[totp]\ndigits = 8\n", api::socket(&fixture.site)));
    fixture.admin.totp(&carol);
    for code in ["1234567", "12345678", "12345", "x"] {
        assert_says(&fixture.admin.authenticate("alice", code), 400, "invalid_totp_code", "have 6 digits");
    }
    for code in ["123456", "1234567", "123"] {
        assert_says(&fixture.admin.authenticate("carol", code), 400, "invalid_totp_code", "have 8 digits");
    }
    // A user without a TOTP is told what a new one would have.
    assert_says(&fixture.admin.authenticate("dave", "123"), 400, "invalid_totp_code", "have 8 digits");
    fixture.admin.authenticate("dave", "123456").assert_error(404, "totps_not_found_for_user");
    fixture.admin.authenticate("nobody", "123").assert_error(404, "user_not_found");
}

#[test]
fn recovery_codes_before_the_first_code_count_nothing() {
    let site = api::site("");
    let app = Api::new(&site, "enroll");
    let alice = app.user("alice");
    let (_, phone) = app.totp(&alice);
    let recover =
        |code: &str| app.post("/v1/totps/recover", &json!({ "user_id": alice, "recovery_code": code }));
    // More often than the lock allows, with right and with wrong ones.
    for code in phone
        .recovery_codes
        .iter()
        .chain(["0000-0000-0000-0000", "zzzz-zzzz-zzzz-zzzz"].map(str::to_owned).iter())
    {
        assert_says(&recover(code), 401, "unable_to_authenticate_recovery_code", "not confirmed yet");
    }
    assert_eq!(app.get("/v1/users/alice").json["is_locked"], false);
    app.authenticate(&alice, &phone.code(&site)).assert_success();
    recover(&phone.recovery_codes[0]).assert_success();
    assert_says(
        &recover(&phone.recovery_codes[0]),
        401,
        "unable_to_authenticate_recovery_code",
        "wrong or was used",
    );
    // Each is in the log, and no code is.
    let log = site.log();
    assert_eq!(log.matches("\"reason\":\"code-needed\"").count(), phone.recovery_codes.len() + 2, "{log}");
    assert!(phone.recovery_codes.iter().all(|code| !log.contains(code.as_str())), "{log}");
}

#[test]
fn a_locked_user_is_told_so_before_the_first_code() {
    let site = api::site("");
    let app = Api::new(&site, "enroll");
    let alice = app.user("alice");
    let (_, phone) = app.totp(&alice);
    for _ in 0..10 {
        app.authenticate(&alice, &phone.wrong_code(&site)).assert_error(401, "unable_to_authenticate_totp");
    }
    let body = json!({ "user_id": alice, "recovery_code": phone.recovery_codes[0] });
    app.post("/v1/totps/recover", &body).assert_error(429, "user_lock_limit_reached");
}

#[test]
fn users_named_like_a_segment_of_a_route_can_be_reached() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    for name in ["search", "totps", "users", "external_id", "v1"] {
        let id = app.user(name);
        let path = format!("/v1/users/{name}");
        assert_eq!(app.get(&path).assert_success().json["user_id"], json!(id));
        app.put(&path, &json!({ "roles": ["x"] })).assert_success();
        let changed = app.delete(&format!("{path}/external_id")).assert_success().json;
        assert_eq!((&changed["user_id"], &changed["user"]["external_id"]), (&json!(id), &Value::Null));
        app.get(&path).assert_error(404, "user_not_found");
        app.user(name);
        app.delete(&path).assert_success();
    }
}

/// Returns method and path of every request that the Node SDK's client for consumers can make, with
/// `x` for each parameter.
#[track_caller]
fn sdk_requests() -> BTreeSet<(String, String)> {
    let folder = repository().join("tests/sdk/node/node_modules/stytch/dist/b2c");
    assert!(folder.exists(), "scripts/bootstrap.sh test installs it");
    let files = std::fs::read_dir(&folder).unwrap();
    let mut requests = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for part in text.split("method: \"").skip(1) {
            let (method, rest) = part.split_once('"').unwrap();
            let Some((_, url)) = rest.split_once("url: `").filter(|(between, _)| between.len() < 30) else {
                continue;
            };
            let (url, _) = url.split_once('`').unwrap();
            let (mut path, mut rest) = (String::new(), url);
            while let Some((before, after)) = rest.split_once("${") {
                path += before;
                path.push('x');
                rest = after.split_once('}').unwrap().1;
            }
            requests.insert((method.to_owned(), path + rest));
        }
    }
    requests
}

#[test]
fn unsupported_methods_of_the_sdk_are_route_not_found() {
    let fixture = Fixture::new("");
    let requests = sdk_requests();
    assert!(requests.len() > 80, "{requests:?}");
    let mut supported = Vec::new();
    fixture.assert_unchanged("methods of the SDK", |_, _| {
        for (method, path) in &requests {
            let reply = fixture.admin.send(method, path, "{}");
            if reply.error() == "route_not_found" {
                reply.assert_error(404, "route_not_found");
            } else {
                assert_ne!(reply.status, 405, "{method} {path}");
                supported.push(path.as_str());
            }
        }
    });
    assert_eq!(supported.len(), 18, "{supported:?}");
}
