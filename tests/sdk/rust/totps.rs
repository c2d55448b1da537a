//! Enrollments, codes, recovery codes, locks.

use crate::kit::{NAME, NOBODY, Walk, has, ok, phone, refused};
use crate::users::query;
use data_encoding::BASE64;
use serde_json::json;
use stytch::consumer::totps::{
    AuthenticateRequest, AuthenticateResponse, CreateRequest, RecoverRequest, RecoveryCodesRequest,
};
use stytch::consumer::users;
use totpd_e2e::phone::Phone;
use totpd_e2e::qr;

pub(crate) fn create(user_id: &str) -> CreateRequest {
    CreateRequest { user_id: user_id.to_owned(), expiration_minutes: None }
}

pub(crate) fn proof(user_id: &str, code: &str) -> AuthenticateRequest {
    AuthenticateRequest {
        user_id: user_id.to_owned(),
        totp_code: code.to_owned(),
        ..AuthenticateRequest::default()
    }
}

pub(crate) fn recover(user_id: &str, code: &str) -> RecoverRequest {
    RecoverRequest {
        user_id: user_id.to_owned(),
        recovery_code: code.to_owned(),
        ..RecoverRequest::default()
    }
}

/// Reads a QR code in a data URI.
fn camera(walk: &Walk, data_uri: &str) -> String {
    let data = data_uri.strip_prefix("data:image/png;base64,").unwrap();
    let picture = walk.folder.join("qr.png");
    std::fs::write(&picture, BASE64.decode(data.trim().as_bytes()).unwrap()).unwrap();
    qr::read(&picture)
}

/// An enrollment, its QR code, and a first code of the previous time step, without a session.
pub(crate) async fn enrolling(walk: &Walk, alice: &str) -> Phone {
    let totps = &walk.stytch.totps;
    refused(totps.create(create(NOBODY)).await, 404, "user_not_found");
    let short = CreateRequest { expiration_minutes: Some(4), ..create(alice) };
    refused(totps.create(short).await, 400, "invalid_expiration");
    refused(totps.authenticate(proof(alice, "123456")).await, 404, "totps_not_found_for_user");
    ok(totps.create(create(alice)).await);
    let made = ok(totps.create(CreateRequest { expiration_minutes: Some(30), ..create(NAME) }).await);
    let totp = |verified: bool| json!([{ "totp_id": made.totp_id, "verified": verified }]);
    has(&made, &json!({ "/user_id": alice, "/user/totps": totp(false) }));
    assert_eq!(made.recovery_codes.len(), 10);
    let seen = camera(walk, &made.qr_code);
    let (head, fields) = seen.split_once('?').unwrap();
    assert!(head.starts_with("otpauth://totp/"), "{seen}");
    assert!(fields.split('&').any(|field| field == format!("secret={}", made.secret)), "{seen}");

    let phone = phone(&made);
    let code = walk.code(&phone, -1);
    let proven = ok(totps.authenticate(proof(NAME, &code)).await);
    has(
        &proven,
        &json!({
            "/session": null,
            "/session_token": "",
            "/session_jwt": "",
            "/user_id": alice,
            "/totp_id": made.totp_id,
            "/user/totps": totp(true),
        }),
    );
    refused(totps.authenticate(proof(NAME, &code)).await, 401, "totp_code_already_authenticated");
    refused(totps.create(create(alice)).await, 400, "active_totp_exists");
    let found = ok(walk.stytch.users.search(query("totp_id", &json!([made.totp_id]))).await);
    assert_eq!(found.results[0].user_id, alice);
    phone
}

/// Refused codes, a code that opens a session, and a second code that is added to it.
pub(crate) async fn proving(walk: &Walk, phone: &Phone, alice: &str) -> AuthenticateResponse {
    let totps = &walk.stytch.totps;
    let wrong = proof(alice, &walk.wrong_code(phone));
    refused(totps.authenticate(wrong).await, 401, "unable_to_authenticate_totp");
    refused(totps.authenticate(proof(alice, "12345")).await, 400, "invalid_totp_code");
    let recovery = proof(alice, &phone.recovery_codes[0]);
    refused(totps.authenticate(recovery).await, 400, "recovery_code_used_as_totp_code");
    let right = proof(alice, &walk.code(phone, 0));
    let short = AuthenticateRequest { session_duration_minutes: Some(4), ..right.clone() };
    refused(totps.authenticate(short).await, 400, "invalid_session_duration_minutes");
    let (token, jwt) = (Some("a".to_owned()), Some("b".to_owned()));
    let both = AuthenticateRequest { session_token: token, session_jwt: jwt, ..right.clone() };
    refused(totps.authenticate(both).await, 400, "too_many_session_arguments");

    let right = AuthenticateRequest {
        session_duration_minutes: Some(60),
        session_custom_claims: Some(json!({ "team": "blue", "gone": 1, "iss": "evil" })),
        ..right
    };
    let opened = ok(totps.authenticate(right).await);
    has(
        &opened,
        &json!({
            "/session/user_id": alice,
            "/session/roles": [],
            "/session/custom_claims": { "team": "blue", "gone": 1 },
            "/session/authentication_factors/0/type": "totp",
            "/session/authentication_factors/0/delivery_method": "authenticator_app",
            "/session/authentication_factors/0/authenticator_app_factor/totp_id": opened.totp_id,
        }),
    );
    let session = opened.session.unwrap();
    assert_eq!(session.authentication_factors.len(), 1);
    assert_eq!((session.expires_at.unwrap() - session.started_at.unwrap()).num_minutes(), 60);

    let next = AuthenticateRequest {
        session_token: Some(opened.session_token.clone()),
        session_duration_minutes: Some(90),
        session_custom_claims: Some(json!({ "gone": null, "more": true })),
        ..proof(alice, &walk.code(phone, 1))
    };
    let added = ok(totps.authenticate(next).await);
    has(
        &added,
        &json!({
            "/session/session_id": session.session_id,
            "/session_token": opened.session_token,
            "/session/custom_claims": { "team": "blue", "more": true },
        }),
    );
    assert!(added.session.as_ref().unwrap().expires_at > session.expires_at);
    added
}

/// Recovery codes are shown, used once, and added to a session.
pub(crate) async fn recovering(walk: &Walk, phone: &Phone, alice: &str, open: &AuthenticateResponse) {
    let totps = &walk.stytch.totps;
    let codes = &phone.recovery_codes;
    refused(totps.recover(recover(alice, "123456")).await, 400, "totp_code_used_as_recovery_code");
    refused(totps.recover(recover(alice, "what is this")).await, 400, "invalid_recovery_code");
    let plain = ok(totps.recover(recover(alice, &codes[0])).await);
    has(&plain, &json!({ "/session": null, "/session_token": "", "/session_jwt": "" }));
    let again = totps.recover(recover(alice, &codes[0])).await;
    refused(again, 401, "unable_to_authenticate_recovery_code");
    let more = RecoverRequest { session_jwt: Some(open.session_jwt.clone()), ..recover(NAME, &codes[1]) };
    let added = ok(totps.recover(more).await);
    assert_eq!(added.session_token, open.session_token);
    let factors = serde_json::to_value(added.session.unwrap().authentication_factors).unwrap();
    let factors = factors.as_array().unwrap();
    let recovery = factors.iter().find(|factor| factor["type"] == "recovery_codes").unwrap();
    assert_eq!(recovery["delivery_method"], "recovery_code");
    assert!(recovery["recovery_code_factor"]["totp_recovery_code_id"].is_string());
    assert!(factors.iter().any(|factor| factor["type"] == "totp"));
    let left = ok(totps.recovery_codes(RecoveryCodesRequest { user_id: NAME.to_owned() }).await);
    has(
        &left,
        &json!({ "/user_id": alice, "/totps/0/verified": true, "/totps/0/recovery_codes": codes[2..] }),
    );
}

/// Another user's session is refused; ten wrong codes lock.
pub(crate) async fn locking(walk: &Walk, token: &str) {
    let totps = &walk.stytch.totps;
    let new = users::CreateRequest {
        email: Some("locked@example.com".to_owned()),
        ..users::CreateRequest::default()
    };
    let user_id = ok(walk.stytch.users.create(new).await).user_id;
    let phone = phone(&ok(totps.create(create(&user_id)).await));
    ok(totps.authenticate(proof(&user_id, &walk.code(&phone, 0))).await);
    let right = proof(&user_id, &walk.code(&phone, 1));
    let stolen = AuthenticateRequest { session_token: Some(token.to_owned()), ..right.clone() };
    refused(totps.authenticate(stolen).await, 400, "user_id_mismatch");
    let wrong = proof(&user_id, &walk.wrong_code(&phone));
    for _ in 0..10 {
        refused(totps.authenticate(wrong.clone()).await, 401, "unable_to_authenticate_totp");
    }
    refused(totps.authenticate(right).await, 429, "user_lock_limit_reached");
    let seen = ok(walk.stytch.users.get(users::GetRequest { user_id }).await);
    assert!(seen.is_locked && seen.lock_created_at.unwrap() < seen.lock_expires_at.unwrap());
}
