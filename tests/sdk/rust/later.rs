//! What runs when the daemon's clock is five minutes later.

use crate::kit::{Walk, ok, phone, refused};
use crate::sessions::{by_jwt, by_token};
use crate::totps::{create, proof, recover};
use serde_json::{Value, json};
use stytch::consumer::totps::{CreateRequest, RecoverRequest, RecoveryCodesRequest};
use stytch::consumer::users;
use totpd_e2e::phone::Phone;

/// Prepares it: a short session beside the long one, and an unconfirmed enrollment.
pub(crate) async fn keep(walk: &Walk, code: &str, alice: &str, token: &str) {
    let (users, totps, sessions) = (&walk.stytch.users, &walk.stytch.totps, &walk.stytch.sessions);
    let new = users::CreateRequest {
        email: Some("later@example.com".to_owned()),
        ..users::CreateRequest::default()
    };
    let user_id = ok(users.create(new).await).user_id;
    let made = CreateRequest { expiration_minutes: Some(5), ..create(&user_id) };
    let made = ok(totps.create(made).await);
    let short = RecoverRequest { session_duration_minutes: Some(5), ..recover(alice, code) };
    let short = ok(totps.recover(short).await);
    let long = ok(sessions.authenticate(by_token(token)).await);
    let kept = json!({
        "user_id": user_id,
        "secret": made.secret,
        "short": [short.session_token, short.session_jwt],
        "long": [token, long.session_jwt],
    });
    std::fs::write(walk.folder.join("kept.json"), kept.to_string()).unwrap();
}

/// What has expired, and what has not.
pub(crate) async fn walk(walk: &Walk) {
    let (users, totps, sessions) = (&walk.stytch.users, &walk.stytch.totps, &walk.stytch.sessions);
    let kept = std::fs::read_to_string(walk.folder.join("kept.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let text = |field: &str| kept.pointer(field).and_then(Value::as_str).unwrap().to_owned();
    // An expired session is refused by its token and by its JWT.
    refused(sessions.authenticate(by_token(&text("/short/0"))).await, 404, "session_not_found");
    refused(sessions.authenticate(by_jwt(&text("/short/1"))).await, 404, "session_not_found");
    // The server accepts an expired JWT as long as its session is valid.
    let renewed = ok(sessions.authenticate(by_jwt(&text("/long/1"))).await);
    assert_eq!(renewed.session_token, text("/long/0"));
    assert_ne!(renewed.session_jwt, text("/long/1"));
    // An enrollment that has expired without a confirmation.
    let user_id = text("/user_id");
    let late = Phone { secret: text("/secret"), recovery_codes: Vec::new(), uri: String::new() };
    refused(totps.authenticate(proof(&user_id, &walk.code(&late, 0))).await, 401, "expired_totp");
    let seen = ok(users.get(users::GetRequest { user_id: user_id.clone() }).await);
    assert_eq!(seen.totps.len(), 0);
    // A new enrollment has recovery codes that can be used, and not be read again.
    let new = phone(&ok(totps.create(create(&user_id)).await));
    ok(totps.authenticate(proof(&user_id, &walk.code(&new, 0))).await);
    let show = RecoveryCodesRequest { user_id: user_id.clone() };
    refused(totps.recovery_codes(show).await, 404, "recovery_codes_not_found");
    ok(totps.recover(recover(&user_id, &new.recovery_codes[0])).await);
}
