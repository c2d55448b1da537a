//! The fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).

use serde_json::json;
use std::io::Write as _;
use totpd_e2e::api::Reply;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, api};

/// Returns the value of a field of the header.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Returns a parameter of a policy in `RateLimit`.
#[track_caller]
fn limit(reply: &Reply, policy: &str, parameter: &str) -> Option<i64> {
    let all = field(reply, "ratelimit").unwrap_or_else(|| panic!("no RateLimit: {reply:?}"));
    let item = all.split(", ").find(|item| item.starts_with(&format!("\"{policy}\""))).unwrap();
    item.split(';')
        .find_map(|part| part.strip_prefix(parameter)?.strip_prefix('='))
        .map(|n| n.parse().unwrap())
}

#[test]
fn every_authenticated_response_has_the_clients_quota() {
    let site = api::site("requests_per_minute = 20\n");
    let (app, other) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let policy = "\"minute\";q=20;w=60, \"concurrent\";q=256;qu=\"concurrent-requests\"";
    let mut left = 20;
    for (method, path, body, status) in [
        ("POST", "/v1/users", r#"{"external_id":"alice"}"#, 200),
        ("GET", "/v1/users/alice", "", 200),
        ("GET", "/v1/users/nobody", "", 404),
        ("POST", "/v1/users", "{", 400),
        ("POST", "/v1/users", r#"{"external_id":"alice"}"#, 400),
    ] {
        let reply = app.send(method, path, body);
        left -= 1;
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(field(&reply, "ratelimit-policy"), Some(policy));
        assert_eq!(limit(&reply, "minute", "r"), Some(left));
        assert!((1..=60).contains(&limit(&reply, "minute", "t").unwrap()), "{reply:?}");
        assert_eq!(limit(&reply, "concurrent", "r"), Some(255));
    }
    // Another client has its own.
    assert_eq!(limit(&other.get("/v1/users/alice"), "minute", "r"), Some(19));
    while left > 0 {
        left -= 1;
        assert_eq!(limit(&app.get("/v1/users/alice").assert_success(), "minute", "r"), Some(left));
    }
    let late = app.get("/v1/users/alice");
    late.assert_error(429, "too_many_requests");
    assert_eq!(
        (limit(&late, "minute", "r"), limit(&late, "minute", "t")),
        (Some(0), Some(late.retry_after()))
    );
    assert_eq!(field(&late, "ratelimit-policy"), Some(policy));
    // The limits of a reload are those of the next response.
    site.configure(&format!("{}requests_per_minute = 50\n", api::socket(&site)));
    let reply = app.get("/v1/users/alice").assert_success();
    assert!(field(&reply, "ratelimit-policy").unwrap().starts_with("\"minute\";q=50;w=60"), "{reply:?}");
}

#[test]
fn strangers_are_told_no_quota() {
    let site = api::site("");
    let app = Api::new(&site, "verify");
    let stranger = Api { secret: format!("{}x", app.secret), ..app.clone() };
    for reply in [
        stranger.get("/v1/users/alice"),
        stranger.get("/v1/nowhere"),
        app.get("/v1/nowhere"),
        app.get("/openapi.json"),
        app.get(&format!("/v1/sessions/jwks/{}", app.project_id)),
    ] {
        assert_eq!(
            (field(&reply, "ratelimit"), field(&reply, "ratelimit-policy")),
            (None, None),
            "{reply:?}"
        );
    }
}

#[test]
fn a_client_with_too_many_requests_at_once_has_none_left() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    app.user("alice");
    site.faults.sync_delay_us(60_000_000);
    let body = json!({ "roles": ["x"] }).to_string();
    let mut waiting = Vec::new();
    let mut refused = None;
    wait_until("256 requests wait", || {
        let mut stream = app.connect().unwrap();
        stream.write_all(app.request("PUT", "/v1/users/alice", &body).as_bytes()).unwrap();
        waiting.push(stream);
        let reply = app.get("/v1/users/alice");
        if reply.status == 429 {
            refused = Some(reply);
        }
        refused.is_some()
    });
    site.faults.sync_delay_us(0);
    let refused = refused.unwrap();
    refused.assert_error(429, "too_many_requests");
    assert_eq!((limit(&refused, "concurrent", "r"), refused.retry_after()), (Some(0), 1));
    // The minute ends after Retry-After, so its end is not named.
    assert!(limit(&refused, "minute", "r").unwrap() > 0);
    assert_eq!(limit(&refused, "minute", "t"), None);
}
