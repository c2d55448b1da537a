//! Session tokens and JWTs that are invalid: forged, expired, revoked, or of another user.

use super::fixture::Fixture;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use std::process::Command;
use totpd_e2e::run::run;

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn read(part: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// Returns what `openssl dgst` prints for a text, as the last part of a token.
#[track_caller]
fn signed(fixture: &Fixture, text: &str, how: &[&str]) -> String {
    let output = fixture.site.path("keys/signature");
    fixture.site.write("keys/signed", text);
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-binary", "-out"]).arg(&output).args(how);
    command.arg(fixture.site.path("keys/signed"));
    run(command, "").assert_success();
    BASE64URL_NOPAD.encode(&std::fs::read(output).unwrap())
}

/// Makes a key pair that is not the site's. Returns its path.
#[track_caller]
fn own_key(fixture: &Fixture) -> String {
    let path = fixture.site.path("keys/own.pem").display().to_string();
    let mut command = Command::new("openssl");
    command.args(["genrsa", "-out", &path, "2048"]);
    run(command, "").assert_success();
    path
}

/// Returns the site's public key in every form that a verifier could take for a shared secret.
#[track_caller]
fn public_forms(jwk: &Value) -> Vec<Vec<u8>> {
    let number = |field: &str| BASE64URL_NOPAD.decode(jwk[field].as_str().unwrap().as_bytes()).unwrap();
    let (n, e) = (number("n"), number("e"));
    // RSAPublicKey (RFC 8017, A.1.1) of 2048 bits.
    let der =
        [&[0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00], &n[..], &[0x02, 0x03], &e[..]].concat();
    let mut command = Command::new("openssl");
    command.args(["rsa", "-RSAPublicKey_in", "-pubout"]);
    let pkcs1 = data_encoding::BASE64.encode(&der);
    let pkcs1 = pkcs1.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let pkcs1 = pkcs1.collect::<Vec<_>>().join("\n");
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{pkcs1}\n-----END RSA PUBLIC KEY-----\n");
    let spki = run(command, &pem).assert_success().stdout;
    vec![
        n,
        der,
        pem.into_bytes(),
        spki.trim_end().into(),
        spki.into_bytes(),
        jwk.to_string().into_bytes(),
        vec![0],
    ]
}

/// Returns tokens that claim to be Bob's session and that the site did not sign.
#[track_caller]
fn forgeries(fixture: &Fixture) -> Vec<String> {
    let jwks =
        fixture.admin.get(&format!("/v1/sessions/jwks/{}", fixture.admin.project_id)).assert_success().json;
    let jwk = &jwks["keys"][0];
    let kid = jwk["kid"].clone();
    let parts: Vec<&str> = fixture.bob.jwt.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let alices: Vec<&str> = fixture.alice.jwt.split('.').collect();
    let mut forged = vec![
        format!("{header}.{claims}.{}", alices[2]),
        format!("{}.{claims}.{}", alices[0], alices[2]),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 2]),
        format!(" {}", fixture.bob.jwt),
        format!("{header}.{}.{signature}", alices[1]),
        "..".to_owned(),
        "x".repeat(60_000),
        fixture.bob.token.clone(),
    ];
    for alg in ["none", "None", "NONE", "", "RS512", "PS256", "HS256", "ES256", "rs256"] {
        let head = part(&json!({ "alg": alg, "kid": kid, "typ": "JWT" }));
        forged.extend([format!("{head}.{claims}."), format!("{head}.{claims}.{signature}")]);
    }
    let head = part(&json!({ "alg": "HS256", "kid": kid, "typ": "JWT" }));
    for secret in public_forms(jwk) {
        let text = format!("{head}.{claims}");
        let key = format!("hexkey:{}", HEXLOWER.encode(&secret));
        forged.push(format!("{text}.{}", signed(fixture, &text, &["-mac", "HMAC", "-macopt", &key])));
    }
    let own = own_key(fixture);
    for head in [
        json!({ "alg": "RS256", "kid": kid, "typ": "JWT" }),
        json!({ "alg": "RS256", "typ": "JWT" }),
        json!({ "alg": "RS256", "kid": "jwk-other", "typ": "JWT" }),
        json!({ "alg": "RS256", "kid": "../../dev/null", "typ": "JWT" }),
        json!({ "alg": "RS256", "kid": kid, "jku": "https://example.org/jwks", "typ": "JWT" }),
        json!({ "alg": "RS256", "kid": kid, "jwk": jwk, "typ": "JWT" }),
    ] {
        let text = format!("{}.{claims}", part(&head));
        forged.push(format!("{text}.{}", signed(fixture, &text, &["-sign", &own])));
    }
    // The site's signature with other claims.
    for (claim, value) in [
        ("sub", json!(fixture.alice.id)),
        ("aud", json!(["project-live-other"])),
        ("iss", json!("stytch.com/project-live-other")),
        ("exp", json!(99_999_999_999_u64)),
        ("https://stytch.com/session", json!({ "id": fixture.alice.session })),
    ] {
        let mut changed = read(claims);
        changed[claim] = value;
        forged.push(format!("{header}.{}.{signature}", part(&changed)));
    }
    forged
}

#[test]
fn forged_tokens_are_refused_and_use_up_no_code() {
    let fixture = Fixture::new("");
    let forged = forgeries(&fixture);
    fixture.assert_unchanged("forged", |code, recovery| {
        for jwt in &forged {
            for (path, body) in [
                ("/v1/sessions/authenticate", json!({ "session_jwt": jwt })),
                ("/v1/sessions/revoke", json!({ "session_jwt": jwt })),
                (
                    "/v1/totps/authenticate",
                    json!({ "user_id": "alice", "totp_code": code, "session_jwt": jwt }),
                ),
                (
                    "/v1/totps/recover",
                    json!({ "user_id": "alice", "recovery_code": recovery, "session_jwt": jwt }),
                ),
            ] {
                fixture.admin.post(path, &body).assert_error(400, "unable_to_parse_session_jwt");
            }
        }
        let long = "x".repeat(60_000);
        let halves = format!("{}{}", &fixture.bob.token[..22], &fixture.alice.token[22..]);
        for token in [
            "x",
            "\0",
            &long,
            &halves,
            &fixture.alice.jwt,
            &fixture.alice.session,
            &fixture.bob.token.to_lowercase(),
        ] {
            for (path, body) in [
                ("/v1/sessions/authenticate", json!({ "session_token": token })),
                ("/v1/sessions/revoke", json!({ "session_token": token })),
                (
                    "/v1/totps/authenticate",
                    json!({ "user_id": "alice", "totp_code": code, "session_token": token }),
                ),
                (
                    "/v1/totps/recover",
                    json!({ "user_id": "alice", "recovery_code": recovery, "session_token": token }),
                ),
            ] {
                fixture.admin.post(path, &body).assert_error(404, "session_not_found");
            }
        }
    });
    let sent: Vec<&str> = forged.iter().map(String::as_str).filter(|jwt| jwt.len() > 40).collect();
    fixture.assert_no_secret_logged(&sent);
    let recovery = json!({ "user_id": "alice", "recovery_code": fixture.alice.phone.recovery_codes[0] });
    fixture.admin.post("/v1/totps/recover", &recovery).assert_success();
}

#[test]
fn another_users_session_or_two_sessions_use_up_no_code() {
    let fixture = Fixture::new("");
    let (alice, bob) = (&fixture.alice, &fixture.bob);
    fixture.assert_unchanged("sessions", |code, recovery| {
        let totp = json!({ "user_id": alice.id, "totp_code": code });
        let recover = json!({ "user_id": alice.id, "recovery_code": recovery });
        let refused = |path: &str, body: &Value, more: Value, error: &str| {
            let mut body = body.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fixture.admin.post(path, &body).assert_error(400, error);
        };
        let both = json!({ "session_token": alice.token, "session_jwt": alice.jwt });
        for (path, body) in [("/v1/totps/authenticate", &totp), ("/v1/totps/recover", &recover)] {
            for length in [json!(null), json!(60)] {
                let of = |field: &str, token: &str| {
                    json!({ field: token, "session_duration_minutes": length, "session_custom_claims": { "a": 1 } })
                };
                refused(path, body, of("session_token", &bob.token), "user_id_mismatch");
                refused(path, body, of("session_jwt", &bob.jwt), "user_id_mismatch");
            }
            refused(path, body, both.clone(), "too_many_session_arguments");
            let large = json!({ "a": "x".repeat(5_000) });
            for with in [json!({ "session_duration_minutes": 5 }), json!({ "session_token": alice.token })] {
                let mut more = with;
                more["session_custom_claims"] = large.clone();
                refused(path, body, more, "custom_claims_too_large");
            }
            // Claims without a session would be lost.
            for claims in [json!({ "a": 1 }), large] {
                refused(path, body, json!({ "session_custom_claims": claims }), "no_session_arguments");
            }
        }
        refused("/v1/sessions/authenticate", &both, json!({}), "too_many_session_arguments");
        let large = json!({ "session_custom_claims": { "a": "x".repeat(5_000) } });
        refused("/v1/sessions/authenticate", &json!({ "session_token": alice.token }), large, "custom_claims_too_large");
        for two in [
            both,
            json!({ "session_token": alice.token, "session_id": alice.session }),
            json!({ "session_jwt": alice.jwt, "session_id": alice.session }),
            json!({ "session_jwt": alice.jwt, "session_id": alice.session, "session_token": alice.token }),
        ] {
            refused("/v1/sessions/revoke", &two, json!({}), "too_many_session_revoke_arguments");
        }
        // The id of a session does not authenticate it.
        let named = json!({ "session_id": alice.session });
        refused("/v1/sessions/authenticate", &named, json!({}), "no_session_arguments");
    });
    let recovery = json!({ "user_id": "alice", "recovery_code": alice.phone.recovery_codes[0] });
    fixture.admin.post("/v1/totps/recover", &recovery).assert_success();
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn custom_claims_never_replace_registered_claims() {
    let fixture = Fixture::new("");
    let before = read(fixture.alice.jwt.split('.').nth(1).unwrap());
    let claims = json!({
        "iss": "stytch.com/other", "sub": fixture.bob.id, "aud": ["other"], "exp": 99_999_999_999_u64, "nbf": 0, "iat": 0,
        "https://stytch.com/session": { "id": fixture.bob.session }, "role": "admin",
    });
    let body = json!({ "session_token": fixture.alice.token, "session_custom_claims": claims });
    let reply = fixture.admin.post("/v1/sessions/authenticate", &body).assert_success().json;
    let jwt = reply["session_jwt"].as_str().unwrap();
    let after = read(jwt.split('.').nth(1).unwrap());
    for claim in ["iss", "sub", "aud"] {
        assert_eq!(after[claim], before[claim], "{after}");
    }
    assert_eq!(after["https://stytch.com/session"]["id"], json!(fixture.alice.session));
    assert_eq!(after["exp"].as_u64().unwrap(), after["iat"].as_u64().unwrap() + 300);
    assert_eq!(
        (&after["role"], &reply["session"]["custom_claims"]),
        (&json!("admin"), &json!({ "role": "admin" }))
    );
}

#[test]
fn a_revoked_or_expired_session_is_refused_and_uses_up_no_code() {
    let fixture = Fixture::new("");
    let (alice, bob) = (&fixture.alice, &fixture.bob);
    fixture.admin.post("/v1/sessions/revoke", &json!({ "session_jwt": alice.jwt })).assert_success();
    let gone = |token: &str, jwt: &str, session: &str| {
        fixture.assert_unchanged("gone", |code, recovery| {
            for (field, shown) in [("session_token", token), ("session_jwt", jwt)] {
                for (path, body) in [
                    ("/v1/sessions/authenticate", json!({ field: shown, "session_duration_minutes": 60 })),
                    ("/v1/sessions/authenticate", json!({ field: shown })),
                    ("/v1/sessions/revoke", json!({ field: shown })),
                    (
                        "/v1/totps/authenticate",
                        json!({ field: shown, "user_id": alice.id, "totp_code": code }),
                    ),
                    (
                        "/v1/totps/recover",
                        json!({ field: shown, "user_id": alice.id, "recovery_code": recovery }),
                    ),
                ] {
                    fixture.admin.post(path, &body).assert_error(404, "session_not_found");
                }
            }
            fixture
                .admin
                .post("/v1/sessions/revoke", &json!({ "session_id": session }))
                .assert_error(404, "session_not_found");
        });
    };
    gone(&alice.token, &alice.jwt, &alice.session);
    // Bob's session lasts an hour. Until its end the daemon accepts its expired JWT, and no second
    // longer.
    fixture.site.advance(50 * 60);
    fixture.admin.post("/v1/sessions/authenticate", &json!({ "session_jwt": bob.jwt })).assert_success();
    fixture.site.advance(11 * 60);
    gone(&bob.token, &bob.jwt, &bob.session);
    let sessions = fixture.admin.get(&format!("/v1/sessions?user_id={}", bob.id)).assert_success().json;
    assert_eq!(sessions["sessions"], json!([]));
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn deleting_a_user_ends_their_sessions() {
    let fixture = Fixture::new("");
    let (bob, path) = (&fixture.bob, format!("/v1/users/{}", fixture.bob.id));
    fixture.admin.delete(&path).assert_success();
    for body in [json!({ "session_token": bob.token }), json!({ "session_jwt": bob.jwt })] {
        fixture.admin.post("/v1/sessions/authenticate", &body).assert_error(404, "session_not_found");
        fixture.admin.post("/v1/sessions/revoke", &body).assert_error(404, "session_not_found");
    }
    fixture.admin.delete(&path).assert_error(404, "user_not_found");
    fixture.admin.delete(&format!("/v1/users/totps/{}", bob.totp)).assert_error(404, "totp_not_found");
    // A new user of the same name is another user.
    assert_ne!(fixture.admin.user("bob"), bob.id);
    let sessions = fixture.admin.get("/v1/sessions?user_id=bob").assert_success().json;
    assert_eq!(sessions["sessions"], json!([]));
}
