//! Two users with TOTP and session, and assertions that requests change nothing and log no secret.

use serde_json::{Value, json};
use totpd_e2e::api::Reply;
use totpd_e2e::phone::Phone;
use totpd_e2e::{Api, Site, api};

/// A site with Alice and Bob, who each have a TOTP and a session.
pub(super) struct Fixture {
    pub(super) site: Site,
    /// A client with the scope `admin`.
    pub(super) admin: Api,
    /// A client with the scope `enroll`.
    pub(super) enroll: Api,
    /// A client with the scope `verify`.
    pub(super) verify: Api,
    pub(super) alice: TestUser,
    pub(super) bob: TestUser,
}

/// A user of the fixture.
pub(super) struct TestUser {
    /// The user's id.
    pub(super) id: String,
    /// The id of the enrollment.
    pub(super) totp: String,
    /// The id of the session.
    pub(super) session: String,
    pub(super) token: String,
    pub(super) jwt: String,
    pub(super) phone: Phone,
}

impl Fixture {
    /// Makes the site with these lines at the end of its configuration, which ends with `[http]`.
    pub(super) fn new(more: &str) -> Self {
        let site = api::site(more);
        let [admin, enroll, verify] = ["admin", "enroll", "verify"].map(|scope| Api::new(&site, scope));
        let (alice, bob) = (test_user(&site, &admin, "alice"), test_user(&site, &admin, "bob"));
        site.next_step();
        Self { site, admin, enroll, verify, alice, bob }
    }

    /// Returns everything that the API shows of users, sessions and enrollments.
    #[track_caller]
    pub(super) fn snapshot(&self) -> Value {
        let get = |path: String| without_request_id(self.admin.get(&path).assert_success());
        let of = |name: &str, user: &TestUser| {
            json!([
                get(format!("/v1/users/{}", user.id)),
                get(format!("/v1/sessions?user_id={}", user.id)),
                self.site.status(name),
            ])
        };
        let all = without_request_id(self.admin.post("/v1/users/search", &json!({})).assert_success());
        json!([of("alice", &self.alice), of("bob", &self.bob), all])
    }

    /// Asserts that `table` changes nothing and uses up no code of Alice. It gets a valid code and
    /// recovery code.
    #[track_caller]
    pub(super) fn assert_unchanged(&self, what: &str, table: impl FnOnce(&str, &str)) {
        self.site.next_step();
        let phone = &self.alice.phone;
        let (code, recovery) = (phone.code(&self.site), &phone.recovery_codes[0]);
        let before = self.snapshot();
        table(&code, recovery);
        assert_eq!(self.snapshot(), before, "{what}");
        // Every request came with this code, which still works.
        self.admin.authenticate(&self.alice.id, &code).assert_success();
    }

    /// Asserts that neither a secret of the fixture nor one of `more` was logged.
    #[track_caller]
    pub(super) fn assert_no_secret_logged(&self, more: &[&str]) {
        let log = self.site.log();
        let mut secrets: Vec<&str> = more.to_vec();
        for api in [&self.admin, &self.enroll, &self.verify] {
            secrets.push(&api.secret);
        }
        for TestUser { token, jwt, phone, .. } in [&self.alice, &self.bob] {
            secrets.extend([token.as_str(), jwt.as_str(), phone.secret.as_str()]);
            secrets.extend(phone.recovery_codes.iter().map(String::as_str));
        }
        let bare: Vec<String> = secrets.iter().map(|secret| secret.replace('-', "")).collect();
        for secret in secrets.into_iter().chain(bare.iter().map(String::as_str)) {
            // Six digits may be part of an id by chance, but not a word.
            let at = |c: char| !c.is_ascii_alphanumeric();
            let logged = match secret.len() {
                6 => log.split(at).any(|word| word == secret),
                _ => log.contains(secret),
            };
            assert!(!logged, "{secret} is in the log");
        }
    }
}

#[track_caller]
fn test_user(site: &Site, app: &Api, name: &str) -> TestUser {
    let id = app.user(name);
    let (totp, phone) = app.totp(&id);
    let body = json!({ "user_id": id, "totp_code": phone.code(site), "session_duration_minutes": 60 });
    let made = app.post("/v1/totps/authenticate", &body).assert_success().json;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let [token, jwt] = ["session_token", "session_jwt"].map(|field| text(&made[field]));
    TestUser { id, totp, session: text(&made["session"]["session_id"]), token, jwt, phone }
}

/// Returns a body without its request id.
fn without_request_id(reply: Reply) -> Value {
    let mut json = reply.json;
    json["request_id"].take();
    json
}
