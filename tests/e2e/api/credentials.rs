//! Credentials, scopes and rate limits of clients.

use super::fixture::Fixture;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::Write as _;
use totpd_e2e::api::Reply;
use totpd_e2e::peer::login;
use totpd_e2e::{Api, Site, api};

/// Returns every route that takes credentials, with valid arguments.
fn routes(fixture: &Fixture, code: &str, recovery: &str) -> Vec<(&'static str, String, Value)> {
    let (alice, token) = (&fixture.alice, &fixture.alice.token);
    let user = json!({ "user_id": alice.id });
    let number = &alice.id["user-".len()..];
    vec![
        ("POST", "/v1/users".to_owned(), json!({ "external_id": "new" })),
        ("POST", "/v1/users/search".to_owned(), json!({})),
        ("GET", format!("/v1/users/{}", alice.id), json!({})),
        ("PUT", format!("/v1/users/{}", alice.id), json!({ "roles": ["x"] })),
        ("DELETE", format!("/v1/users/{}", alice.id), json!({})),
        ("DELETE", format!("/v1/users/totps/{}", alice.totp), json!({})),
        ("DELETE", format!("/v1/users/{}/external_id", alice.id), json!({})),
        ("DELETE", format!("/v1/users/emails/email-{number}"), json!({})),
        ("DELETE", format!("/v1/users/phone_numbers/phone-number-{number}"), json!({})),
        (
            "PUT",
            format!("/v1/users/{}/exchange_primary_factor", alice.id),
            json!({ "email_address": "new@example.org" }),
        ),
        ("POST", "/v1/totps".to_owned(), user.clone()),
        ("POST", "/v1/totps/authenticate".to_owned(), json!({ "user_id": alice.id, "totp_code": code })),
        ("POST", "/v1/totps/recover".to_owned(), json!({ "user_id": alice.id, "recovery_code": recovery })),
        ("POST", "/v1/totps/recovery_codes".to_owned(), user),
        ("GET", format!("/v1/sessions?user_id={}", alice.id), json!({})),
        ("POST", "/v1/sessions/authenticate".to_owned(), json!({ "session_token": token })),
        ("POST", "/v1/sessions/revoke".to_owned(), json!({ "session_token": token })),
    ]
}

/// Sends a request with this line in its header.
fn ask(api: &Api, method: &str, path: &str, line: &str, body: &Value) -> Reply {
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    api.raw(format!("{head}{line}\r\n{body}").as_bytes()).unwrap()
}

fn basic(text: &[u8]) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(text))
}

/// Returns header lines that are similar to the credentials of `api` and not valid.
fn wrong(api: &Api) -> Vec<String> {
    let Api { project_id, secret, secret_id, .. } = api;
    let good = format!("{project_id}:{secret}");
    let encoded = BASE64.encode(good.as_bytes());
    let named = &secret[..secret.find(secret_id.as_str()).unwrap() + secret_id.len()];
    let tail = &secret[named.len()..];
    let mut lines = vec![
        String::new(),
        "Authorization:\r\n".to_owned(),
        "Authorization: Basic\r\n".to_owned(),
        "Authorization: Basic \r\n".to_owned(),
        format!("Authorization: {encoded}\r\n"),
        format!("Authorization: Bearer {secret}\r\n"),
        format!("Authorization: Bearer {encoded}\r\n"),
        format!("Authorization: Digest {encoded}\r\n"),
        format!("Authorization: Basic {good}\r\n"),
        format!("Authorization: Basic {encoded}x\r\n"),
        format!("Authorization: Basic {encoded}, Basic {encoded}\r\n"),
        format!("Authorization: Basic %%%{encoded}\r\n"),
        format!("Proxy-Authorization: Basic {encoded}\r\n"),
        format!("X-Api-Key: {secret}\r\n"),
        format!("Authorization: Basic {}\r\n", "A".repeat(8_000)),
    ];
    let reversed: String = tail.chars().rev().collect();
    for text in [
        String::new(),
        ":".to_owned(),
        project_id.clone(),
        format!("{project_id}:"),
        format!(":{secret}"),
        format!("{secret}:{project_id}"),
        format!("project-live-{}:{secret}", "a".repeat(26)),
        format!("{}:{secret}", project_id.replace("live", "test")),
        format!("{}:{secret}", project_id.to_uppercase()),
        format!("{project_id}:{named}"),
        format!("{project_id}:{named}{reversed}"),
        format!("{project_id}:{named}{}", "a".repeat(tail.len())),
        format!("{project_id}:{}", &secret[..secret.len() - 1]),
        format!("{project_id}:{secret}a"),
        format!("{project_id}:{secret}\0"),
        format!("{project_id}:{secret}\n"),
        format!("{project_id}: {secret}"),
        format!("{project_id}::{secret}"),
        format!("{project_id}:{}", secret.to_uppercase()),
        format!("{project_id}:{tail}"),
        format!("{project_id}:secret-live-"),
        format!("{project_id}:secret-live-ääääääääääääää"),
    ] {
        lines.push(basic(text.as_bytes()));
    }
    lines.push(basic(&[good.as_bytes(), b"\xff"].concat()));
    lines
}

#[test]
fn every_route_refuses_bad_credentials_in_the_same_way() {
    let fixture = Fixture::new("");
    let (mut lines, admin) = (wrong(&fixture.admin), &fixture.admin);
    // One of two secrets, and every secret of a client.
    let revoke = |name: &str, more: &[&str]| {
        fixture.site.totpd(&[&["client", "revoke", name], more].concat()).assert_success();
    };
    let (kept, gone) = (Api::new(&fixture.site, "verify"), Api::new(&fixture.site, "verify"));
    revoke("app-verify", &["--secret", &gone.secret_id]);
    let all = fixture.enroll.clone();
    revoke("app-enroll", &[]);
    lines.extend([gone.authorization(), all.authorization()]);
    fixture.assert_unchanged("credentials", |code, recovery| {
        for (method, path, body) in routes(&fixture, code, recovery) {
            for line in &lines {
                let reply = ask(admin, method, &path, line, &body);
                reply.assert_error(401, "unauthorized_credentials");
                assert!(reply.head.contains("www-authenticate: Basic"), "{reply:?}");
            }
            // Credentials are checked before anything else.
            ask(admin, method, &path, "", &json!([1])).assert_error(401, "unauthorized_credentials");
        }
        // The name of the scheme is not case-sensitive.
        let small = admin.authorization().replace("Basic", "basic");
        assert_eq!(ask(admin, "GET", "/v1/users/alice", &small, &json!({})).status, 200);
        assert_eq!(kept.get("/v1/users/alice").status, 200);
    });
    // The public keys need no credentials.
    let jwks = format!("/v1/sessions/jwks/{}", admin.project_id);
    for line in lines.iter().filter(|line| line.len() < 8_000) {
        assert_eq!(ask(admin, "GET", &jwks, line, &json!({})).status, 200);
    }
    ask(admin, "GET", "/v1/sessions/jwks/project-live-x", "", &json!({}))
        .assert_error(404, "project_not_found");
    fixture.assert_no_secret_logged(&[&gone.secret, &all.secret, &kept.secret]);
}

#[test]
fn a_scope_allows_only_what_it_includes() {
    let fixture = Fixture::new("");
    let admins = |method: &str, path: &str| {
        let endings = ["/recovery_codes", "/exchange_primary_factor"];
        method == "DELETE" || endings.iter().any(|ending| path.ends_with(ending))
    };
    let enrolls = |method: &str, path: &str| {
        method == "PUT" || ["/v1/users", "/v1/users/search", "/v1/totps"].contains(&path)
    };
    fixture.assert_unchanged("scopes", |code, recovery| {
        for (method, path, body) in routes(&fixture, code, recovery) {
            let body = body.to_string();
            if admins(method, &path) {
                fixture.enroll.send(method, &path, &body).assert_error(403, "unauthorized_action");
            }
            if admins(method, &path) || enrolls(method, &path) {
                fixture.verify.send(method, &path, &body).assert_error(403, "unauthorized_action");
            }
        }
        // The scope `enroll` binds no factor to another login name.
        let path = format!("/v1/users/{}", fixture.alice.id);
        fixture.enroll.put(&path, &json!({ "external_id": "u1" })).assert_error(403, "unauthorized_action");
    });
    // What a scope includes is allowed.
    fixture.verify.get("/v1/users/alice").assert_success();
    fixture
        .verify
        .post("/v1/sessions/authenticate", &json!({ "session_token": fixture.alice.token }))
        .assert_success();
    fixture.enroll.user("u2");
    fixture.enroll.totp("u2");
    fixture.enroll.post("/v1/users/search", &json!({})).assert_success();
    fixture.site.next_step();
    fixture.verify.authenticate("alice", &fixture.alice.phone.code(&fixture.site)).assert_success();
}

#[track_caller]
fn audit_event(site: &Site, reply: &Reply) -> Value {
    let id = reply.json["request_id"].as_str().unwrap();
    let events: Vec<Value> = site.events().into_iter().filter(|event| event["id"] == id).collect();
    assert_eq!(events.len(), 1, "{id}: {events:?}");
    events.into_iter().next().unwrap()
}

#[test]
fn every_refusal_is_audited_under_its_request_id() {
    let fixture = Fixture::new("");
    let (site, alice) = (&fixture.site, &fixture.alice);
    let wrong = fixture.verify.authenticate(&alice.id, &alice.phone.wrong_code(site));
    wrong.assert_error(401, "unable_to_authenticate_totp");
    let event = audit_event(site, &wrong);
    assert_eq!((&event["outcome"], &event["client"]), (&json!("refused"), &json!("app-verify")));
    let code = alice.phone.code(site);
    fixture.verify.authenticate(&alice.id, &code).assert_success();
    let again = fixture.admin.authenticate(&alice.id, &code);
    again.assert_error(401, "totp_code_already_authenticated");
    assert_eq!(audit_event(site, &again)["reason"], "replayed");
    let body = json!({ "user_id": alice.id, "recovery_code": "0000-0000-0000-0000" });
    let recovery = fixture.admin.post("/v1/totps/recover", &body);
    recovery.assert_error(401, "unable_to_authenticate_recovery_code");
    assert_eq!(audit_event(site, &recovery)["outcome"], "refused");
    let credentials = ask(&fixture.admin, "GET", "/v1/users/alice", "", &json!({}));
    assert_eq!(audit_event(site, &credentials)["reason"], "bad-credentials");
    let session = fixture.verify.post("/v1/sessions/authenticate", &json!({ "session_token": "nobody's" }));
    assert_eq!(audit_event(site, &session)["reason"], "no-session");
    let forged = fixture.verify.post("/v1/sessions/authenticate", &json!({ "session_jwt": "a.b.c" }));
    assert_eq!(audit_event(site, &forged)["reason"], "bad-token");
    fixture.assert_no_secret_logged(&[&code, "0000-0000-0000-0000"]);
}

#[test]
fn credentials_revoked_during_a_request_are_refused() {
    let site = api::site("");
    let (app, admin) = (Api::new(&site, "enroll"), Api::new(&site, "admin"));
    let (alice, phone) = admin.enrolled(&site, "alice");
    let code = phone.code(&site);
    let asked = |path: &str, body: Value| {
        let body = body.to_string();
        let fields = format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
        let request = format!("{}{body}", app.head("POST", path, &fields));
        let mut stream = app.connect().unwrap();
        let (last, first) = request.as_bytes().split_last().unwrap();
        stream.write_all(first).unwrap();
        (stream, *last)
    };
    let mut begun = [
        asked("/v1/totps/authenticate", json!({ "user_id": alice, "totp_code": code })),
        asked("/v1/users", json!({ "external_id": "late" })),
    ];
    // Both requests have passed authentication when a later one is answered.
    app.get("/v1/users/alice").assert_success();
    site.totpd(&["client", "revoke", "app-enroll"]).assert_success();
    for (stream, last) in &mut begun {
        stream.write_all(&[*last]).unwrap();
        api::read(&mut **stream).unwrap().assert_error(401, "unauthorized_credentials");
    }
    admin.get("/v1/users/late").assert_error(404, "user_not_found");
    admin.authenticate(&alice, &code).assert_success();
}

#[test]
fn the_rate_limit_slows_only_the_client_that_exceeds_it() {
    let site = api::site("requests_per_minute = 5\n");
    // The harness sends no counted request before: it reads the keys, which takes no credentials.
    let (hasty, calm) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    hasty.user("alice");
    for _ in 0..4 {
        hasty.get("/v1/users/alice").assert_success();
    }
    for _ in 0..3 {
        let refused = hasty.get("/v1/users/alice");
        refused.assert_error(429, "too_many_requests");
        assert!((30..=60).contains(&refused.retry_after()), "the minute has just begun: {refused:?}");
    }
    // A request that was refused by the limit has no effect.
    hasty.delete("/v1/users/alice").assert_error(429, "too_many_requests");
    calm.get("/v1/users/alice").assert_success();
    // Another secret of the same client shares its limit.
    Api::new(&site, "admin").get("/v1/users/alice").assert_error(429, "too_many_requests");
    assert_eq!(login(&site, "alice", "123456"), Ok(totp_wire::login::Verdict::Denied));
}
