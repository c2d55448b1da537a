//! Ids that are nobody's, paths that are no routes, methods that a route has not.

use super::world::World;
use serde_json::json;

/// The same id with another last character.
fn turned(id: &str) -> String {
    let (rest, last) = id.split_at(id.len() - 1);
    format!("{rest}{}", if last == "a" { "b" } else { "a" })
}

#[test]
fn unknown_and_malformed_user_ids_are_refused() {
    let world = World::new("");
    let id = &world.alice.id;
    let (tail, long) = (id.strip_prefix("user-").unwrap(), "a".repeat(129));
    let unknown =
        [turned(id), id.to_uppercase(), tail.to_owned(), id[..id.len() - 1].to_owned(), "nobody".to_owned()];
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
    world.unchanged("ids", |code, recovery| {
        let users = unknown.iter().map(|id| (id.as_str(), 404, "user_not_found"));
        let users = users.chain(malformed.iter().map(|id| (*id, 400, "invalid_user_id")));
        for (user, status, error) in users.chain([("", 400, "invalid_user_id")]) {
            for (path, body) in [
                ("/v1/totps", json!({ "user_id": user })),
                ("/v1/totps/authenticate", json!({ "user_id": user, "totp_code": code })),
                ("/v1/totps/recover", json!({ "user_id": user, "recovery_code": recovery })),
                ("/v1/totps/recovery_codes", json!({ "user_id": user })),
            ] {
                world.admin.post(path, &body).expect(status, error);
            }
            let escaped: String = user.bytes().map(|b| format!("%{b:02X}")).collect();
            world.admin.get(&format!("/v1/sessions?user_id={escaped}")).expect(status, error);
            if user.is_empty() {
                continue;
            }
            let path = format!("/v1/users/{escaped}");
            world.admin.get(&path).expect(status, error);
            world.admin.put(&path, &json!({ "roles": ["x"] })).expect(status, error);
            world.admin.delete(&path).expect(status, error);
            world.admin.delete(&format!("{path}/external_id")).expect(status, error);
        }
        // Another user's code is a wrong code, and not his.
        world.admin.authenticate(&world.bob.id, code).expect(401, "unable_to_authenticate_totp");
        let body = json!({ "user_id": world.bob.id, "recovery_code": recovery });
        world.admin.post("/v1/totps/recover", &body).expect(401, "unable_to_authenticate_recovery_code");
        // Both were counted as Bob's failures, which is what the lock is for.
        world.site.totpd(&["unlock", "bob"]).ok();
    });
    world.kept_quiet(&[]);
}

#[test]
fn ids_of_another_kind_are_refused() {
    let world = World::new("");
    let (totp, session) = (&world.alice.totp, &world.alice.session);
    world.unchanged("other ids", |_, _| {
        for id in [turned(totp), format!("totp-{}", "a".repeat(26))] {
            world.admin.delete(&format!("/v1/users/totps/{id}")).expect(404, "totp_not_found");
        }
        let long = format!("totp-{}", "a".repeat(2_000));
        for id in ["x", "totp-", &world.alice.id, &totp.to_uppercase(), &long, "totp-%00", "%2e%2e", "alice"]
        {
            world.admin.delete(&format!("/v1/users/totps/{id}")).expect(400, "invalid_totp_id");
        }
        let revoke = |id: &str| world.admin.post("/v1/sessions/revoke", &json!({ "session_id": id }));
        revoke(&turned(session)).expect(404, "session_not_found");
        for id in ["x", "session-", &world.alice.id, &session.to_uppercase(), &long, "\0", "%"] {
            revoke(id).expect(400, "invalid_session_id");
        }
    });
}

#[test]
fn unknown_paths_are_404_and_segments_are_never_traversed() {
    let world = World::new("");
    let id = world.alice.id.clone();
    world.unchanged("paths", |_, _| {
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
                world.admin.send(method, &path, "{}").expect(404, "route_not_found");
            }
        }
        // One segment is one id, whatever it would mean to a file system.
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
                world.admin.send(method, &format!("/v1/users/{user}"), "{}").expect(400, "invalid_user_id");
            }
        }
        // No text at all.
        for path in ["/v1/users/%ff", "/v1/users/%c3%28", "/v1/users/totps/%ff", "/v1/users/%ff/external_id"]
        {
            world.admin.delete(path).expect(400, "bad_request");
        }
        world.admin.get("/v1/sessions?user_id=%ff").expect(400, "invalid_user_id");
        world.admin.get("/v1/sessions?user_id=alice&user_id=bob").expect(400, "bad_request");
    });
    // Every character escaped is the same user.
    let escaped: String = id.bytes().map(|b| format!("%{b:02x}")).collect();
    assert_eq!(world.admin.get(&format!("/v1/users/{escaped}?user_id=bob")).ok().json["user_id"], id);
}

#[test]
fn an_unsupported_method_gets_the_standard_405_error() {
    let world = World::new("");
    let id = world.alice.id.clone();
    world.unchanged("methods", |_, _| {
        for (path, has) in [
            ("/v1/users".to_owned(), &["POST"][..]),
            (format!("/v1/users/{id}"), &["GET", "PUT", "DELETE"]),
            (format!("/v1/users/{id}/external_id"), &["DELETE"]),
            (format!("/v1/users/totps/{}", world.alice.totp), &["DELETE"]),
            ("/v1/users/search".to_owned(), &["POST", "GET", "PUT", "DELETE"]),
            ("/v1/totps".to_owned(), &["POST"]),
            ("/v1/totps/authenticate".to_owned(), &["POST"]),
            ("/v1/totps/recover".to_owned(), &["POST"]),
            ("/v1/totps/recovery_codes".to_owned(), &["POST"]),
            ("/v1/sessions".to_owned(), &["GET"]),
            ("/v1/sessions/authenticate".to_owned(), &["POST"]),
            ("/v1/sessions/revoke".to_owned(), &["POST"]),
            (format!("/v1/sessions/jwks/{}", world.admin.project_id), &["GET"]),
            ("/openapi.json".to_owned(), &["GET"]),
        ] {
            let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"];
            for method in methods.iter().filter(|method| !has.contains(method)) {
                world.admin.send(method, &path, "{}").expect(405, "method_not_allowed");
            }
        }
    });
}
