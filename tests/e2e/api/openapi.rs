//! The OpenAPI document is true: real responses match it, and a client that knows nothing else
//! finds no server error.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use totpd_e2e::api::{Endpoint, Reply};
use totpd_e2e::paths::target;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::Running;
use totpd_e2e::{Api, api};

/// The OpenAPI document, and the operations whose good responses were checked.
struct Described<'a> {
    app: &'a Api,
    document: Value,
    /// How often a good response was as described, by method and path.
    good: BTreeMap<(String, String), usize>,
}

impl<'a> Described<'a> {
    #[track_caller]
    fn of(app: &'a Api) -> Self {
        let document = app.get("/openapi.json").assert_success().json;
        Self { app, document, good: BTreeMap::new() }
    }

    fn operations(&self) -> BTreeSet<(String, String)> {
        let of = |(path, methods): (&String, &Value)| {
            let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
            methods.into_iter().map(move |method| (method, path.clone())).collect::<Vec<_>>()
        };
        self.document["paths"].as_object().unwrap().iter().flat_map(of).collect()
    }

    /// Validates a value against a schema of the document.
    #[track_caller]
    fn check(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        assert!(schema.is_object(), "{what}: no schema");
        // References point into the document.
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?}: {value}");
    }

    /// Returns the schema of a response to an operation.
    #[track_caller]
    fn answer(&self, method: &str, path: &str, reply: &Reply) -> &Value {
        let operation = &self.document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not described");
        let response = &operation["responses"][reply.status.to_string()];
        assert!(
            response["description"].as_str().is_some_and(|text| !text.is_empty()),
            "{method} {path}: {reply:?}"
        );
        assert!(reply.head.contains("content-type: application/json"), "{reply:?}");
        &response["content"]["application/json"]["schema"]
    }

    /// Sends a body that matches the document, and asserts that the response does.
    fn ask(&mut self, method: &str, path: &str, filled: &str, body: &Value) -> Reply {
        let operation = &self.document["paths"][path][method];
        if operation["requestBody"].is_object() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            self.check(schema, body, &format!("the request {method} {path}"));
        }
        let reply = self.app.send(&method.to_uppercase(), filled, &body.to_string());
        self.check(self.answer(method, path, &reply), &reply.json, &format!("{method} {path}"));
        reply
    }

    /// Does the same, and asserts that the status is 200. Returns the body.
    #[track_caller]
    fn good(&mut self, method: &str, path: &str, filled: &str, body: &Value) -> Value {
        let reply = self.ask(method, path, filled, body).assert_success();
        *self.good.entry((method.to_owned(), path.to_owned())).or_default() += 1;
        reply.json
    }

    /// Sends a request that does not match the document, and asserts that its refusal does.
    #[track_caller]
    fn bad(&self, method: &str, path: &str, filled: &str, body: &Value, status: u16, error: &str) {
        let reply = self.app.send(&method.to_uppercase(), filled, &body.to_string());
        reply.assert_error(status, error);
        self.check(self.answer(method, path, &reply), &reply.json, &format!("{method} {path}"));
    }
}

/// Exchanges and removes addresses. `alice` is the path of a user with a mail address.
fn contacts(api: &mut Described<'_>, alice: &str) {
    let app = api.app;
    let exchange = "/v1/users/{user_id}/exchange_primary_factor";
    let new = json!({ "external_id": "carol", "email": "carol@example.org" });
    app.post("/v1/users", &new).assert_success();
    let number = json!({ "phone_number": "+12025550124" });
    let path_of_carol = "/v1/users/carol/exchange_primary_factor";
    let carol = api.good("put", exchange, path_of_carol, &number);
    let phone_id = carol["user"]["phone_numbers"][0]["phone_id"].as_str().unwrap();
    let numbers = "/v1/users/phone_numbers";
    api.good("delete", &format!("{numbers}/{{phone_id}}"), &format!("{numbers}/{phone_id}"), &json!({}));
    let email_id = app.get(alice).json["emails"][0]["email_id"].as_str().unwrap().to_owned();
    let emails = "/v1/users/emails";
    api.good("delete", &format!("{emails}/{{email_id}}"), &format!("{emails}/{email_id}"), &json!({}));
}

#[test]
fn every_operation_answers_as_the_openapi_document_says() {
    let site = api::site("[totp]\nrecovery_codes = \"sealed\"\n");
    let app = Api::new(&site, "admin");
    let mut api = Described::of(&app);
    let user = "/v1/users/{user_id}";
    api.good("post", "/v1/users", "/v1/users", &json!({ "external_id": "bob" }));
    let full = json!({
        "email": "alice@example.org", "phone_number": "+12025550123", "external_id": "alice",
        "name": { "first_name": "Alice", "last_name": null }, "create_user_as_pending": true,
        "trusted_metadata": { "a": [1] }, "untrusted_metadata": {}, "roles": ["x"],
    });
    let alice = api.good("post", "/v1/users", "/v1/users", &full)["user_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/users/{alice}");
    api.good("get", user, &path, &json!({}));
    api.good("put", user, &path, &json!({ "roles": ["y"], "trusted_metadata": { "a": null } }));

    let made =
        api.good("post", "/v1/totps", "/v1/totps", &json!({ "user_id": alice, "expiration_minutes": 5 }));
    let phone = Phone::from(&made);
    let totp = json!({ "user_id": alice, "totp_code": phone.code(&site) });
    let authenticate = "/v1/totps/authenticate";
    let without = api.good("post", authenticate, authenticate, &totp);
    assert_eq!(without["session"], Value::Null);
    site.next_step();
    let totp = json!({
        "user_id": alice, "totp_code": phone.code(&site), "session_duration_minutes": 60,
        "session_custom_claims": { "a": { "b": 1 } },
    });
    let session = api.good("post", authenticate, authenticate, &totp);
    let recover = "/v1/totps/recover";
    let recovery = json!({
        "user_id": alice, "recovery_code": phone.recovery_codes[0], "session_token": session["session_token"],
    });
    api.good("post", recover, recover, &recovery);
    let codes = "/v1/totps/recovery_codes";
    api.good("post", codes, codes, &json!({ "user_id": "alice" }));

    for limit in [1, 1000] {
        let query = json!({ "operator": "AND", "operands": [
            { "filter_name": "totp_verified", "filter_value": false },
            { "filter_name": "status", "filter_value": "active" },
            { "filter_name": "created_at_less_than", "filter_value": "2100-01-01T00:00:00Z" },
        ] });
        let search = "/v1/users/search";
        api.good("post", search, search, &json!({ "limit": limit, "query": query }));
        api.good("post", search, search, &json!({ "limit": limit }));
    }

    let sessions = "/v1/sessions";
    let shown = json!({ "session_token": session["session_token"], "session_duration_minutes": 5 });
    api.good("get", sessions, &format!("/v1/sessions?user_id={alice}"), &json!({}));
    api.good("post", "/v1/sessions/authenticate", "/v1/sessions/authenticate", &shown);
    let jwks = format!("/v1/sessions/jwks/{}", app.project_id);
    api.good("get", "/v1/sessions/jwks/{project_id}", &jwks, &json!({}));
    for health in ["/healthz", "/readyz"] {
        api.good("get", health, health, &json!({}));
    }
    let shown = json!({ "session_id": session["session"]["session_id"] });
    api.good("post", "/v1/sessions/revoke", "/v1/sessions/revoke", &shown);

    // Errors of every status that a client can cause.
    api.bad("post", authenticate, authenticate, &totp, 401, "totp_code_already_authenticated");
    api.bad("post", authenticate, authenticate, &json!({ "user_id": alice }), 400, "bad_request");
    api.bad(
        "post",
        recover,
        recover,
        &json!({ "user_id": "nobody", "recovery_code": phone.recovery_codes[1] }),
        404,
        "user_not_found",
    );
    api.bad("post", "/v1/totps", "/v1/totps", &json!({ "user_id": alice }), 400, "active_totp_exists");
    api.bad("get", user, "/v1/users/nobody", &json!({}), 404, "user_not_found");
    api.bad(
        "put",
        user,
        &path,
        &json!({ "trusted_metadata": { "a": "x".repeat(65_536) } }),
        413,
        "bad_request",
    );
    for _ in 0..10 {
        app.authenticate(&alice, &phone.wrong_code(&site)).assert_error(401, "unable_to_authenticate_totp");
    }
    let locked = json!({ "user_id": alice, "totp_code": phone.wrong_code(&site) });
    api.bad("post", authenticate, authenticate, &locked, 429, "user_lock_limit_reached");
    api.good("get", user, &path, &json!({}));
    let weak = Api::new(&site, "verify");
    Described { app: &weak, ..Described::of(&weak) }.bad(
        "delete",
        user,
        &path,
        &json!({}),
        403,
        "unauthorized_action",
    );

    contacts(&mut api, &path);
    let totp_id = made["totp_id"].as_str().unwrap();
    api.good("delete", "/v1/users/totps/{totp_id}", &format!("/v1/users/totps/{totp_id}"), &json!({}));
    api.good("delete", "/v1/users/{user_id}/external_id", &format!("{path}/external_id"), &json!({}));
    api.good("delete", user, &path, &json!({}));

    let tried: BTreeSet<(String, String)> = api.good.keys().cloned().collect();
    assert_eq!(tried, api.operations(), "an operation without a good response in this test");
}

#[test]
fn the_openapi_document_names_operations_and_required_fields() {
    let site = api::site("");
    let app = Api::new(&site, "verify");
    let api = Described::of(&app);
    let mut names = BTreeSet::new();
    for (method, path) in api.operations() {
        let operation = &api.document["paths"][&path][&method];
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(
                response["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path} {status}"
            );
            let schema = &response["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{method} {path} {status}");
        }
    }
    assert_eq!(names.len(), 20);
    let schema = |name: &str| &api.document["components"]["schemas"][name];
    for (name, required) in [
        ("CreateTotp", json!(["user_id"])),
        ("AuthenticateTotp", json!(["user_id", "totp_code"])),
        ("RecoverTotp", json!(["user_id", "recovery_code"])),
        ("RecoveryCodes", json!(["user_id"])),
        ("SearchUsers", Value::Null),
    ] {
        assert_eq!(schema(name)["required"], required, "{name}");
    }
    for (name, field, least, most) in [
        ("CreateTotp", "expiration_minutes", 5, 1440),
        ("AuthenticateTotp", "session_duration_minutes", 5, 527_040),
        ("RecoverTotp", "session_duration_minutes", 5, 527_040),
        ("AuthenticateSession", "session_duration_minutes", 5, 527_040),
        ("SearchUsers", "limit", 1, 1000),
    ] {
        let field = &schema(name)["properties"][field];
        assert_eq!((&field["minimum"], &field["maximum"]), (&json!(least), &json!(most)), "{name}");
    }
}

#[test]
fn schemathesis_finds_no_server_error() {
    // Schemathesis needs TCP.
    let (site, port) = api::tcp_site("[totp]\nrecovery_codes = \"sealed\"\n");
    let app = Api::at(&site, Endpoint::Tcp(port), "admin");
    let here = target().join("..");
    let mut command = Command::new(here.join(".venv-schemathesis/bin/schemathesis"));
    // Schemathesis writes its cache into the current folder.
    command.current_dir(&site.root).env("NO_COLOR", "1").env("NO_PROXY", "127.0.0.1");
    command.arg("--config-file").arg(here.join("tests/sdk/schemathesis.toml"));
    command.args(["run", &format!("http://127.0.0.1:{port}/openapi.json")]);
    command.args(["--auth", &format!("{}:{}", app.project_id, app.secret)]);
    command.args(["--max-examples", "30", "--seed", "1", "--continue-on-failure", "--request-timeout", "10"]);
    // Thousands of requests: a busy host needs minutes for them.
    let found = Running::start(command).finish_within(Duration::from_mins(5));
    // Its output contains how to reproduce a failure, without credentials.
    assert_eq!(found.code, 0, "{}\n{}", found.stdout, found.stderr);
    assert!(found.stdout.contains("Tested: 20"), "{}", found.stdout);
    // The daemon still serves, and logged no credentials.
    site.totpd(&["status"]).assert_success();
    app.user("afterwards");
    let log = site.log();
    assert!(!log.contains("panicked") && !log.contains(&app.secret), "{log}");
}
