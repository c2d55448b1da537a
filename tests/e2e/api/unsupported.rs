//! Arguments of Stytch's API that callers rely on and that this server does not support.

use super::fixture::Fixture;
use serde_json::{Value, json};

#[test]
fn unsupported_arguments_are_refused() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("unsupported arguments", |_, _| {
        let checks =
            [json!({ "resource_id": "documents", "action": "delete" }), json!({}), json!([]), json!(false)];
        for check in checks {
            for shown in
                [json!({ "session_token": fixture.alice.token }), json!({ "session_jwt": fixture.alice.jwt })]
            {
                let mut body = shown.clone();
                body["session_duration_minutes"] = json!(5000);
                body["authorization_check"] = check.clone();
                let reply = fixture.verify.post("/v1/sessions/authenticate", &body);
                reply.assert_error(400, "unsupported_argument");
                assert_eq!(reply.json["session_jwt"], Value::Null);
            }
        }
        let update = format!("/v1/users/{}", fixture.alice.id);
        for field in ["email", "emails", "phone_number", "phone_numbers"] {
            fixture
                .admin
                .put(&update, &json!({ field: "a@example.org" }))
                .assert_error(400, "unsupported_argument");
        }
        for header in ["X-Stytch-Member-Session", "x-stytch-member-sessionjwt"] {
            let fields = format!("Connection: close\r\n{header}: x\r\n");
            let head = fixture.admin.head("GET", &update, &fields);
            fixture.admin.raw(head.as_bytes()).unwrap().assert_error(400, "unsupported_argument");
        }
    });
    // The Rust SDK sends unset fields as null.
    let body = json!({ "session_token": fixture.alice.token, "authorization_check": null });
    fixture.verify.post("/v1/sessions/authenticate", &body).assert_success();
    // Arguments that Stytch only records are accepted.
    let body = json!({ "external_id": "carol", "attributes": { "ip_address": "192.0.2.1" } });
    fixture.admin.post("/v1/users", &body).assert_success();
}
