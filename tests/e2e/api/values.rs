//! Values of the right type that are invalid: each has its error, and uses up no code.

use super::fixture::Fixture;
use serde_json::{Value, json};

/// Returns the object with one more field.
fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

#[test]
fn out_of_range_numbers_are_refused_and_use_up_no_code() {
    let fixture = Fixture::new("");
    let out_of_range = |least: i64, most: i64| {
        [json!(least - 1), json!(most + 1), json!(0), json!(-least), json!(i64::MIN), json!(i64::MAX)]
    };
    let no_number = [json!(5.5), json!(60.0), json!("60"), json!(1_u64 << 63), json!(u64::MAX), json!(1e300)];
    fixture.assert_unchanged("numbers", |code, recovery| {
        let user = &fixture.alice.id;
        let lengths = [
            ("/v1/totps/authenticate", json!({ "user_id": user, "totp_code": code })),
            ("/v1/totps/recover", json!({ "user_id": user, "recovery_code": recovery })),
            ("/v1/sessions/authenticate", json!({ "session_token": fixture.alice.token })),
        ];
        for (path, body) in lengths {
            for bad in out_of_range(5, 527_040) {
                let body = with(&body, "session_duration_minutes", bad);
                fixture.admin.post(path, &body).assert_error(400, "invalid_session_duration_minutes");
            }
            for bad in &no_number {
                let body = with(&body, "session_duration_minutes", bad.clone());
                fixture.admin.post(path, &body).assert_error(400, "bad_request");
            }
        }
        let carol = json!({ "user_id": "nobody-yet" });
        for bad in out_of_range(5, 1440) {
            fixture
                .admin
                .post("/v1/totps", &with(&carol, "expiration_minutes", bad))
                .assert_error(400, "invalid_expiration");
        }
        for bad in out_of_range(1, 1000) {
            fixture
                .admin
                .post("/v1/users/search", &json!({ "limit": bad }))
                .assert_error(400, "user_search_invalid_limit");
        }
        for bad in &no_number {
            fixture
                .admin
                .post("/v1/totps", &with(&carol, "expiration_minutes", bad.clone()))
                .assert_error(400, "bad_request");
            fixture.admin.post("/v1/users/search", &json!({ "limit": bad })).assert_error(400, "bad_request");
        }
    });
    for good in [1, 1000] {
        fixture.admin.post("/v1/users/search", &json!({ "limit": good })).assert_success();
    }
    for good in [5, 527_040] {
        fixture.site.next_step();
        let code = fixture.alice.phone.code(&fixture.site);
        let body = json!({ "user_id": "alice", "totp_code": code, "session_duration_minutes": good });
        fixture.admin.post("/v1/totps/authenticate", &body).assert_success();
    }
    fixture.admin.user("carol");
    for good in [5, 1440] {
        fixture
            .admin
            .post("/v1/totps", &json!({ "user_id": "carol", "expiration_minutes": good }))
            .assert_success();
    }
}

#[test]
fn malformed_codes_are_distinguished_from_wrong_ones() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("no codes", |code, recovery| {
        let totp = |code: &str| json!({ "user_id": fixture.alice.id, "totp_code": code });
        let recover = |code: &str| json!({ "user_id": fixture.alice.id, "recovery_code": code });
        let long = "1".repeat(60_000);
        for bad in [
            "",
            " ",
            "12345",
            "1234567",
            "123456789",
            "12345a",
            "12.34.56",
            "²23456",
            "-12345",
            "0x1234",
            &long,
            "1234\u{0}56",
        ] {
            fixture.admin.post("/v1/totps/authenticate", &totp(bad)).assert_error(400, "invalid_totp_code");
        }
        fixture
            .admin
            .post("/v1/totps/authenticate", &totp(recovery))
            .assert_error(400, "recovery_code_used_as_totp_code");
        fixture
            .admin
            .post("/v1/totps/recover", &recover(code))
            .assert_error(400, "totp_code_used_as_recovery_code");
        for bad in ["", "a1b2-c3d4-e5f6", "xxxx", "u000-0000-0000-0000", &long, &recovery[..18]] {
            fixture.admin.post("/v1/totps/recover", &recover(bad)).assert_error(400, "invalid_recovery_code");
        }
        // Codes of the real service's sandbox are not valid here.
        let sandbox =
            json!({ "user_id": "user-test-e3795c81-f849-4167-bfda-e4a6e9c280fd", "totp_code": "000000" });
        fixture.admin.post("/v1/totps/authenticate", &sandbox).assert_error(404, "user_not_found");
    });
    // None of these requests used it up.
    let body = json!({ "user_id": fixture.alice.id, "recovery_code": fixture.alice.phone.recovery_codes[0] });
    fixture.admin.post("/v1/totps/recover", &body).assert_success();
    fixture.admin.post("/v1/totps/recover", &body).assert_error(401, "unable_to_authenticate_recovery_code");
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn codes_are_read_as_phones_show_them() {
    let fixture = Fixture::new("");
    let digit = |b: u8| char::from_u32(u32::from('۰') + u32::from(b - b'0')).unwrap();
    let code = fixture.alice.phone.code(&fixture.site);
    let shown: String = code.bytes().map(digit).collect();
    let spelled = format!("\u{200f}{} {}", &shown[..6], &shown[6..]);
    let totp = |code: &str| json!({ "user_id": "alice", "totp_code": code });
    fixture.admin.post("/v1/totps/authenticate", &totp(&spelled)).assert_success();
    let again = fixture.admin.post("/v1/totps/authenticate", &totp(&code));
    again.assert_error(401, "totp_code_already_authenticated");
    let recovery = fixture.alice.phone.recovery_codes[0].replace('-', ".");
    let body = json!({ "user_id": "alice", "recovery_code": recovery });
    fixture.admin.post("/v1/totps/recover", &body).assert_success();
}

#[test]
fn invalid_searches_are_refused() {
    let fixture = Fixture::new("");
    let query = |name: &str, value: Value| json!({ "query": { "operator": "AND", "operands": [{ "filter_name": name, "filter_value": value }] } });
    fixture.assert_unchanged("searches", |_, _| {
        let refused = |body: Value, error: &str| {
            fixture.admin.post("/v1/users/search", &body).assert_error(400, error);
        };
        for operator in ["and", "NOT", "XOR"] {
            refused(json!({ "query": { "operator": operator } }), "user_search_invalid_operator");
        }
        for name in ["", "nope", "user_id ", "USER_ID", "'; DROP TABLE users; --"] {
            refused(query(name, json!(["x"])), "user_search_filter_name_not_recognized");
        }
        refused(json!({ "query": { "operands": [{}] } }), "user_search_filter_name_not_recognized");
        let many = vec!["x"; 101];
        for name in ["user_id", "external_id", "email_address", "phone_number", "totp_id"] {
            for bad in [json!(null), json!("x"), json!([]), json!([1]), json!([null]), json!({}), json!(many)]
            {
                refused(query(name, bad), "user_search_invalid_filter_value");
            }
        }
        for name in ["email_address_fuzzy", "phone_number_fuzzy", "status", "totp_verified"] {
            for bad in [json!(null), json!(""), json!(["x"]), json!(1), json!({})] {
                refused(query(name, bad), "user_search_invalid_filter_value");
            }
        }
        for name in ["created_at_greater_than", "created_at_less_than", "created_at_between"] {
            for bad in
                [json!(null), json!("yesterday"), json!("2026-01-01"), json!(5), json!(["x"]), json!({})]
            {
                refused(query(name, bad), "user_search_invalid_filter_value");
            }
        }
        let range = json!({ "greater_than": "2026-01-01T00:00:00Z", "less_than": "2027-01-01T00:00:00Z" });
        let mut either = query("created_at_between", range);
        either["query"]["operator"] = json!("OR");
        refused(either, "user_search_invalid_operator");
        let operand = json!({ "filter_name": "totp_verified", "filter_value": true });
        refused(json!({ "query": { "operands": vec![operand; 101] } }), "bad_request");
        for shape in [
            json!([]),
            json!("x"),
            json!({ "operands": {} }),
            json!({ "operands": [1] }),
            json!({ "operator": 1 }),
        ] {
            refused(json!({ "query": shape }), "bad_request");
        }
    });
    // SQL and patterns find nobody.
    for (name, odd) in [
        ("email_address_fuzzy", json!("%")),
        ("email_address_fuzzy", json!("' OR 1=1 --")),
        ("phone_number_fuzzy", json!("_")),
        ("user_id", json!(["' OR 1=1 --", "%", "\u{0}"])),
        ("external_id", json!(["ALICE\u{0}", "*"])),
    ] {
        let found = fixture.admin.post("/v1/users/search", &query(name, odd.clone())).assert_success().json;
        assert_eq!(found["results"], json!([]), "{name} {odd}");
    }
}

#[test]
fn unknown_cursors_are_refused() {
    let fixture = Fixture::new("");
    let first = fixture.admin.post("/v1/users/search", &json!({ "limit": 1 })).assert_success().json;
    let cursor = first["results_metadata"]["next_cursor"].as_str().unwrap().to_owned();
    let encoded = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let bad = [
        cursor[1..].to_owned(),
        format!("{cursor}="),
        format!("{cursor}A"),
        "x".repeat(10_000),
        "../../etc".to_owned(),
        "0".to_owned(),
        encoded("5"),
        encoded("5 "),
        encoded("x user-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        encoded("-5 user-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        encoded("99999999999999999999 user-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        encoded("5 totp-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        encoded("5 ' OR 1=1 --"),
    ];
    for cursor in bad {
        let body = json!({ "cursor": cursor });
        fixture.admin.post("/v1/users/search", &body).assert_error(400, "user_search_invalid_cursor");
    }
    let latest = encoded(&format!("{} user-aaaaaaaaaaaaaaaaaaaaaaaaaa", u64::MAX));
    let reply = fixture.admin.post("/v1/users/search", &json!({ "cursor": latest }));
    assert!(reply.status == 200 || reply.error() == "user_search_invalid_cursor", "{reply:?}");
    let second = fixture.admin.post("/v1/users/search", &json!({ "cursor": cursor })).assert_success().json;
    assert_eq!(second["results"].as_array().unwrap().len(), 1);
    assert_eq!(second["results_metadata"]["next_cursor"], Value::Null);
}

#[test]
fn invalid_users_are_refused_and_leave_nothing_behind() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("users", |_, _| {
        for email in [
            "x",
            "@",
            "a@",
            "@b",
            "a b@example.org",
            "a:b@example.org",
            "a@example.org\n",
            "a@b@c",
            "Bob <bob@example.org>",
            "\"bob\"@example.org",
            "bob(his)@example.org",
            "bob@[192.0.2.1]",
            "bob\u{200b}@example.org",
            "\u{202e}bob@example.org",
            "bo\u{301}b@example.org",
        ] {
            fixture.admin.post("/v1/users", &json!({ "email": email })).assert_error(400, "invalid_email");
        }
        for phone in ["1", "+", "+0123456789", "12025550123", "+1 202", "+12025550123456789", "+1202555012x"]
        {
            fixture
                .admin
                .post("/v1/users", &json!({ "phone_number": phone }))
                .assert_error(400, "invalid_phone_number");
        }
        let (long, update) = ("a".repeat(129), format!("/v1/users/{}", fixture.alice.id));
        for id in [
            "",
            " ",
            "a b",
            "a/b",
            "alice@corp",
            "a||",
            "a||6",
            "a||61",
            "a||4x",
            "ä",
            "a\u{0}",
            "alice||E2||80||8B",
            "jose||CC||81",
            &long,
            &fixture.bob.id,
            ".",
            "..",
        ] {
            let body = json!({ "external_id": id });
            fixture.admin.post("/v1/users", &body).assert_error(400, "invalid_external_id");
            fixture.admin.put(&update, &body).assert_error(400, "invalid_external_id");
        }
        let taken = json!({ "external_id": "bob" });
        fixture.admin.post("/v1/users", &taken).assert_error(400, "duplicate_user_external_id");
        fixture.admin.put(&update, &taken).assert_error(400, "duplicate_user_external_id");
        let large = json!({ "external_id": "new", "trusted_metadata": { "a": "x".repeat(17_000) } });
        fixture.admin.post("/v1/users", &large).assert_error(400, "bad_request");
        fixture
            .admin
            .put(&update, &json!({ "untrusted_metadata": { "a": "x".repeat(17_000) } }))
            .assert_error(400, "bad_request");
        fixture
            .admin
            .put(&update, &json!({ "roles": vec!["x".repeat(100); 200] }))
            .assert_error(400, "bad_request");
    });
    fixture
        .admin
        .post("/v1/users", &json!({ "email": "a@example.org", "phone_number": "+12025550123" }))
        .assert_success();
    for (body, error) in [
        (json!({ "email": "a@example.org" }), "duplicate_email"),
        (json!({ "email": "A@EXAMPLE.org" }), "duplicate_email"),
        (json!({ "phone_number": "+12025550123", "external_id": "new" }), "duplicate_phone_number"),
    ] {
        fixture.admin.post("/v1/users", &body).assert_error(400, error);
    }
    // An address is stored and found in one spelling, whatever spelling was sent.
    let made =
        fixture.admin.post("/v1/users", &json!({ "email": "Carol@Example.ORG" })).assert_success().json;
    assert_eq!(made["user"]["emails"][0]["email"], "carol@example.org");
    let operand = json!({ "filter_name": "email_address", "filter_value": ["CAROL@example.org"] });
    let query = json!({ "query": { "operator": "AND", "operands": [operand] } });
    let found = fixture.admin.post("/v1/users/search", &query).assert_success().json;
    assert_eq!(found["results"][0]["user_id"], made["user_id"]);
    fixture.admin.get("/v1/users/new").assert_error(404, "user_not_found");
}
