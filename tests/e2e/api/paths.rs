//! Unknown ids, unknown paths, and methods that a route does not support.

use super::fixture::Fixture;
use serde_json::json;

/// Returns the id with another last character.
fn altered(id: &str) -> String {
    let (rest, last) = id.split_at(id.len() - 1);
    format!("{rest}{}", if last == "a" { "b" } else { "a" })
}

#[test]
fn unknown_and_malformed_user_ids_are_refused() {
    let fixture = Fixture::new("");
    let id = &fixture.alice.id;
    let (tail, long) = (id.strip_prefix("user-").unwrap(), "a".repeat(129));
    let unknown =
        [altered(id), id.to_uppercase(), tail.to_owned(), id[..id.len() - 1].to_owned(), "nobody".to_owned()];
    let malformed = [
        "a b",
        "alice@corp",
        "a/b",
        "../alice",
        "alice\0",
        "\0",
        "%61lice",
        "a||",
        "a||6",
        "\u{e4}",
        &long,
        " alice",
        "alice\n",
    ];
    fixture.assert_unchanged("ids", |code, recovery| {
        let users = unknown.iter().map(|id| (id.as_str(), 404, "user_not_found"));
        let users = users.chain(malformed.iter().map(|id| (*id, 400, "invalid_user_id")));
        for (user, status, error) in users.chain([("", 400, "invalid_user_id")]) {
            for (path, body) in [
                ("/v1/totps", json!({ "user_id": user })),
                ("/v1/totps/authenticate", json!({ "user_id": user, "totp_code": code })),
                ("/v1/totps/recover", json!({ "user_id": user, "recovery_code": recovery })),
                ("/v1/totps/recovery_codes", json!({ "user_id": user })),
            ] {
                fixture.admin.post(path, &body).assert_error(status, error);
            }
            let escaped: String = user.bytes().map(|b| format!("%{b:02X}")).collect();
            fixture.admin.get(&format!("/v1/sessions?user_id={escaped}")).assert_error(status, error);
            if user.is_empty() {
                continue;
            }
            let path = format!("/v1/users/{escaped}");
            fixture.admin.get(&path).assert_error(status, error);
            fixture.admin.put(&path, &json!({ "roles": ["x"] })).assert_error(status, error);
            fixture.admin.delete(&path).assert_error(status, error);
            fixture.admin.delete(&format!("{path}/external_id")).assert_error(status, error);
        }
        // Another user's code is a wrong code.
        fixture.admin.authenticate(&fixture.bob.id, code).assert_error(401, "unable_to_authenticate_totp");
        let body = json!({ "user_id": fixture.bob.id, "recovery_code": recovery });
        fixture
            .admin
            .post("/v1/totps/recover", &body)
            .assert_error(401, "unable_to_authenticate_recovery_code");
        // Both counted as failures of Bob.
        fixture.site.totpd(&["unlock", "bob"]).assert_success();
    });
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn ids_of_another_kind_are_refused() {
    let fixture = Fixture::new("");
    let (totp, session) = (&fixture.alice.totp, &fixture.alice.session);
    fixture.assert_unchanged("other ids", |_, _| {
        for id in [altered(totp), format!("totp-{}", "a".repeat(26))] {
            fixture.admin.delete(&format!("/v1/users/totps/{id}")).assert_error(404, "totp_not_found");
        }
        let long = format!("totp-{}", "a".repeat(2_000));
        for id in
            ["x", "totp-", &fixture.alice.id, &totp.to_uppercase(), &long, "totp-%00", "%2e%2e", "alice"]
        {
            fixture.admin.delete(&format!("/v1/users/totps/{id}")).assert_error(400, "invalid_totp_id");
        }
        let revoke = |id: &str| fixture.admin.post("/v1/sessions/revoke", &json!({ "session_id": id }));
        revoke(&altered(session)).assert_error(404, "session_not_found");
        for id in ["x", "session-", &fixture.alice.id, &session.to_uppercase(), &long, "\0", "%"] {
            revoke(id).assert_error(400, "invalid_session_id");
        }
    });
}

#[test]
fn unknown_paths_are_404_and_segments_are_never_traversed() {
    let fixture = Fixture::new("");
    let id = fixture.alice.id.clone();
    fixture.assert_unchanged("paths", |_, _| {
        for path in [
            format!("/v1/users/x/../{id}"),
            format!("/v1/users/%2e%2e/users/{id}"),
            format!("/v1//users/{id}"),
            format!("/v1/users//{id}"),
            format!("/v1/users/{id}/"),
            format!("//v1/users/{id}"),
            format!("/v1/users/{id}/totps"),
            format!("/V1/users/{id}"),
            format!("/v1/Users/{id}"),
            format!("/v1/users/{id}/external_id/"),
            format!("/v2/users/{id}"),
            "/v1/users/totps/a/b".to_owned(),
            "/v1/magic_links/authenticate".to_owned(),
            "/v1/users/".to_owned(),
            "/v1/".to_owned(),
            "/v1".to_owned(),
            "/".to_owned(),
            "/.".to_owned(),
            "/etc/passwd".to_owned(),
            "/v1/users/search/x".to_owned(),
            "/openapi.json/".to_owned(),
        ] {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
                fixture.admin.send(method, &path, "{}").assert_error(404, "route_not_found");
            }
        }
        // A segment is one id, whatever it would mean to a file system.
        let long = "a".repeat(8_000);
        for user in [
            format!("x%2F..%2F{id}"),
            format!("{id}%2Fexternal_id"),
            format!("{id};x"),
            format!("{id}%00"),
            format!("%00{id}"),
            format!("{id}%20"),
            format!("{id}%0d%0aX:%20y"),
            format!("%2525{id}"),
            "..%2f..%2fetc%2fpasswd".to_owned(),
            long,
        ] {
            for method in ["GET", "PUT", "DELETE"] {
                fixture
                    .admin
                    .send(method, &format!("/v1/users/{user}"), "{}")
                    .assert_error(400, "invalid_user_id");
            }
        }
        // Bytes that are not UTF-8.
        for path in ["/v1/users/%ff", "/v1/users/%c3%28", "/v1/users/totps/%ff", "/v1/users/%ff/external_id"]
        {
            fixture.admin.delete(path).assert_error(400, "bad_request");
        }
        fixture.admin.get("/v1/sessions?user_id=%ff").assert_error(400, "invalid_user_id");
        fixture.admin.get("/v1/sessions?user_id=alice&user_id=bob").assert_error(400, "bad_request");
    });
    // The id with every character escaped is the same user.
    let escaped: String = id.bytes().map(|b| format!("%{b:02x}")).collect();
    assert_eq!(
        fixture.admin.get(&format!("/v1/users/{escaped}?user_id=bob")).assert_success().json["user_id"],
        id
    );
}

#[test]
fn an_unsupported_method_gets_the_standard_405_error() {
    let fixture = Fixture::new("");
    let id = fixture.alice.id.clone();
    fixture.assert_unchanged("methods", |_, _| {
        for (path, has) in [
            ("/v1/users".to_owned(), &["POST"][..]),
            (format!("/v1/users/{id}"), &["GET", "PUT", "DELETE"]),
            (format!("/v1/users/{id}/external_id"), &["DELETE"]),
            (format!("/v1/users/totps/{}", fixture.alice.totp), &["DELETE"]),
            ("/v1/users/search".to_owned(), &["POST", "GET", "PUT", "DELETE"]),
            ("/v1/totps".to_owned(), &["POST"]),
            ("/v1/totps/authenticate".to_owned(), &["POST"]),
            ("/v1/totps/recover".to_owned(), &["POST"]),
            ("/v1/totps/recovery_codes".to_owned(), &["POST"]),
            ("/v1/sessions".to_owned(), &["GET"]),
            ("/v1/sessions/authenticate".to_owned(), &["POST"]),
            ("/v1/sessions/revoke".to_owned(), &["POST"]),
            (format!("/v1/sessions/jwks/{}", fixture.admin.project_id), &["GET"]),
            ("/openapi.json".to_owned(), &["GET"]),
        ] {
            let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"];
            for method in methods.iter().filter(|method| !has.contains(method)) {
                fixture.admin.send(method, &path, "{}").assert_error(405, "method_not_allowed");
            }
        }
    });
}
