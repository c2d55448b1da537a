//! Invalid bodies on every route: each has its error, changes nothing, and uses up no code.

use super::fixture::Fixture;
use serde_json::{Value, json};
use totpd_e2e::Api;

/// The type of a field, so that a test can send every other type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Flag,
    Object,
    List,
}

use Kind::{Flag, List, Number, Object, Text};

/// A route that reads a body: method, path, a valid body, and the types of its fields.
type Route = (&'static str, String, Value, &'static [(&'static str, Kind)]);

const SESSION_FIELDS: [(&str, Kind); 4] = [
    ("session_duration_minutes", Number),
    ("session_token", Text),
    ("session_jwt", Text),
    ("session_custom_claims", Object),
];

const fn with_session_fields(first: &'static str, second: &'static str) -> [(&'static str, Kind); 6] {
    let [minutes, token, jwt, claims] = SESSION_FIELDS;
    [(first, Text), (second, Text), minutes, token, jwt, claims]
}

const CODE: [(&str, Kind); 6] = with_session_fields("user_id", "totp_code");
const RECOVERY: [(&str, Kind); 6] = with_session_fields("user_id", "recovery_code");

fn routes(fixture: &Fixture, code: &str, recovery: &str) -> Vec<Route> {
    let (alice, token) = (&fixture.alice.id, &fixture.alice.token);
    let post = |path: &str, body: Value, fields: &'static [(&'static str, Kind)]| {
        ("POST", path.to_owned(), body, fields)
    };
    vec![
        post(
            "/v1/users",
            json!({ "email": "new@example.org" }),
            &[
                ("email", Text),
                ("phone_number", Text),
                ("external_id", Text),
                ("name", Object),
                ("create_user_as_pending", Flag),
                ("trusted_metadata", Object),
                ("untrusted_metadata", Object),
                ("roles", List),
            ],
        ),
        (
            "PUT",
            format!("/v1/users/{alice}"),
            json!({ "roles": ["changed"] }),
            &[
                ("name", Object),
                ("trusted_metadata", Object),
                ("untrusted_metadata", Object),
                ("external_id", Text),
                ("roles", List),
            ],
        ),
        (
            "PUT",
            format!("/v1/users/{alice}/exchange_primary_factor"),
            json!({ "email_address": "new@example.org" }),
            &[("email_address", Text), ("phone_number", Text)],
        ),
        post(
            "/v1/users/search",
            json!({ "limit": 5 }),
            &[("cursor", Text), ("limit", Number), ("query", Object)],
        ),
        post("/v1/totps", json!({ "user_id": alice }), &[("user_id", Text), ("expiration_minutes", Number)]),
        post("/v1/totps/authenticate", json!({ "user_id": alice, "totp_code": code }), &CODE),
        post("/v1/totps/recover", json!({ "user_id": alice, "recovery_code": recovery }), &RECOVERY),
        post("/v1/totps/recovery_codes", json!({ "user_id": alice }), &[("user_id", Text)]),
        post("/v1/sessions/authenticate", json!({ "session_token": token }), &SESSION_FIELDS),
        post(
            "/v1/sessions/revoke",
            json!({ "session_token": token }),
            &[("session_id", Text), ("session_token", Text), ("session_jwt", Text)],
        ),
    ]
}

/// Returns the object with another value of one field, or without the field.
fn with_value(body: &Value, field: &str, value: Option<Value>) -> String {
    let mut body = body.clone();
    match value {
        Some(value) => body[field] = value,
        None => drop(body.as_object_mut().unwrap().remove(field)),
    }
    body.to_string()
}

#[test]
fn a_body_other_than_a_json_object_is_refused_everywhere() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("not an object", |code, recovery| {
        for (method, path, body, _) in routes(&fixture, code, recovery) {
            let good = body.to_string();
            let cut = good.trim_end_matches('}');
            let deep =
                format!("{}{}", "{\"trusted_metadata\":".repeat(200), "1".to_owned() + &"}".repeat(200));
            let lists = format!("{}{}", "[".repeat(60_000), "]".repeat(5));
            for bad in [
                cut.to_owned(),
                good.replacen('"', "'", 2),
                format!("{good}{good}"),
                format!("{cut},}}"),
                format!("[{good}]"),
                format!("\u{feff}{good}"),
                format!("{cut},\"x\":nul}}"),
                format!("{cut},\"x\":\"\u{1}\"}}"),
                Value::from(good.as_str()).to_string(),
                format!("user_id={}&totp_code={code}", fixture.alice.id),
                ["null", "true", "5", "\"\"", "[]", "[{}]", "{", "}", "\0"].concat(),
                "null".to_owned(),
                "[]".to_owned(),
                "5".to_owned(),
                "\"{}\"".to_owned(),
                "{".to_owned(),
                "<xml/>".to_owned(),
                lists,
            ] {
                fixture.admin.send(method, &path, &bad).assert_error(400, "bad_request");
            }
            if matches!(path.as_str(), "/v1/users") || method == "PUT" {
                fixture.admin.send(method, &path, &deep).assert_error(400, "bad_request");
            }
            // Bytes that are not UTF-8, inside and outside of a string.
            for place in ["{\"user_id\":\"", "{\""] {
                let bytes = [place.as_bytes(), b"\xff\xfe\":1}"].concat();
                fixture
                    .admin
                    .raw(&request(&fixture.admin, method, &path, &bytes))
                    .unwrap()
                    .assert_error(400, "bad_request");
            }
        }
    });
    fixture.assert_no_secret_logged(&[]);
}

/// Returns the bytes of a request.
fn request(api: &Api, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let fields = format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
    let head = api.head(method, path, &fields);
    [head.as_bytes(), body].concat()
}

#[test]
fn a_field_of_the_wrong_type_is_refused_on_every_route() {
    let fixture = Fixture::new("");
    let values = [
        (Text, json!("text")),
        (Number, json!(5)),
        (Flag, json!(true)),
        (Object, json!({ "first_name": "A" })),
        (List, json!(["a"])),
    ];
    fixture.assert_unchanged("another type", |code, recovery| {
        for (method, path, body, fields) in routes(&fixture, code, recovery) {
            for (field, kind) in fields {
                for (_, value) in values.iter().filter(|(other, _)| other != kind) {
                    let bad = with_value(&body, field, Some(value.clone()));
                    fixture.admin.send(method, &path, &bad).assert_error(400, "bad_request");
                }
                // A duplicate field: another parser could take the other value.
                let value = values.iter().find(|(same, _)| same == kind).unwrap().1.to_string();
                let once = with_value(&body, field, None);
                let comma = if once == "{}" { "" } else { "," };
                let twice = format!("{{\"{field}\":{value},\"{field}\":{value}{comma}{}", &once[1..]);
                fixture.admin.send(method, &path, &twice).assert_error(400, "bad_request");
            }
        }
        // An array with the values of an object's fields, which some parsers accept as the object.
        let three = json!({ "external_id": "new", "name": ["a", "b", "c"] });
        fixture.admin.post("/v1/users", &three).assert_error(400, "bad_request");
        fixture
            .admin
            .put(&format!("/v1/users/{}", fixture.alice.id), &three)
            .assert_error(400, "bad_request");
        for query in [json!([null, null]), json!({ "operands": [["totp_verified", true]] })] {
            fixture
                .admin
                .post("/v1/users/search", &json!({ "query": query }))
                .assert_error(400, "bad_request");
        }
        for roles in [json!([1]), json!([null]), json!([["a"]])] {
            fixture
                .admin
                .post("/v1/users", &json!({ "external_id": "new", "roles": roles }))
                .assert_error(400, "bad_request");
        }
        for name in [json!({ "first_name": 1 }), json!({ "last_name": ["a"] })] {
            fixture
                .admin
                .post("/v1/users", &json!({ "external_id": "new", "name": name }))
                .assert_error(400, "bad_request");
        }
    });
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn missing_fields_are_refused_and_unknown_fields_ignored() {
    let fixture = Fixture::new("");
    let missing = [
        ("/v1/users", "email", "bad_request"),
        ("/v1/totps", "user_id", "bad_request"),
        ("/v1/totps/authenticate", "user_id", "bad_request"),
        ("/v1/totps/authenticate", "totp_code", "bad_request"),
        ("/v1/totps/recover", "user_id", "bad_request"),
        ("/v1/totps/recover", "recovery_code", "bad_request"),
        ("/v1/totps/recovery_codes", "user_id", "bad_request"),
        ("/v1/sessions/authenticate", "session_token", "no_session_arguments"),
        ("/v1/sessions/revoke", "session_token", "no_session_revoke_arguments"),
    ];
    fixture.assert_unchanged("missing", |code, recovery| {
        let routes = routes(&fixture, code, recovery);
        for (path, field, error) in missing {
            let (_, _, body, _) = routes.iter().find(|(_, p, ..)| p == path).unwrap();
            for value in [None, Some(Value::Null)] {
                fixture.admin.send("POST", path, &with_value(body, field, value)).assert_error(400, error);
            }
            for nothing in ["", "{}", " \r\n\t{ }\n"] {
                fixture.admin.send("POST", path, nothing).assert_error(400, error);
            }
        }
        fixture.admin.get("/v1/sessions").assert_error(400, "bad_request");
        fixture.admin.get("/v1/sessions?user=x").assert_error(400, "bad_request");
        fixture.admin.get("/v1/sessions?user_id=").assert_error(400, "invalid_user_id");
    });
    // Null is absent, and unknown fields are ignored.
    fixture.site.next_step();
    let phone = &fixture.alice.phone;
    let code = phone.code(&fixture.site);
    let deep = format!("{}{}", "[".repeat(30), "]".repeat(30));
    let odd = format!(
        "{{\"user_id\":\"{}\",\"totp_code\":\"{code}\",\"session_duration_minutes\":null,\"session_token\":null,\
         \"session_jwt\":\"\",\"session_custom_claims\":null,\"telemetry_id\":5,\"attributes\":{{\"a\":{deep}}},\
         \"__proto__\":[],\"\":0}}",
        fixture.alice.id
    );
    let reply = fixture.admin.send("POST", "/v1/totps/authenticate", &odd).assert_success().json;
    assert_eq!((&reply["session"], &reply["session_token"]), (&Value::Null, &json!("")));
    fixture.assert_no_secret_logged(&[&code]);
}

#[test]
fn deeply_nested_json_is_refused_and_damages_no_record() {
    let fixture = Fixture::new("");
    let deep = |field: &str, depth: usize| {
        format!("\"{field}\":{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
    };
    let user = format!("/v1/users/{}", fixture.alice.id);
    fixture.assert_unchanged("nesting", |_, _| {
        for depth in [31, 60, 100, 124, 125, 126, 127, 128, 30_000] {
            for field in ["trusted_metadata", "untrusted_metadata"] {
                let body = format!("{{{}}}", deep(field, depth));
                fixture.admin.send("PUT", &user, &body).assert_error(400, "bad_request");
                let new = format!("{{\"email\":\"deep@example.com\",{}}}", deep(field, depth));
                fixture.admin.send("POST", "/v1/users", &new).assert_error(400, "bad_request");
            }
            let claims = deep("session_custom_claims", depth);
            let body = format!("{{\"session_token\":\"{}\",{claims}}}", fixture.alice.token);
            fixture.admin.send("POST", "/v1/sessions/authenticate", &body).assert_error(400, "bad_request");
        }
    });
    // What fits is stored and read again; brackets in a string do not count.
    let body = format!(
        "{{{},\"untrusted_metadata\":{{\"b\":\"{}\\\"\"}}}}",
        deep("trusted_metadata", 30),
        "[".repeat(99)
    );
    fixture.admin.send("PUT", &user, &body).assert_success();
    fixture.site.next_step();
    let code = fixture.alice.phone.code(&fixture.site);
    fixture.admin.authenticate("alice", &code).assert_success();
    assert!(
        fixture.admin.get(&user).assert_success().json["untrusted_metadata"]["b"]
            .as_str()
            .unwrap()
            .ends_with("[\"")
    );
}
