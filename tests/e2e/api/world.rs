//! Two users with everything that an application can get wrong about them, and a look at all of it.

use serde_json::{Value, json};
use site::api::Reply;
use site::phone::Phone;
use site::{Api, Site, api};

/// A site with Alice and Bob, who each have a TOTP and a session.
pub(super) struct World {
    pub(super) site: Site,
    /// May everything.
    pub(super) admin: Api,
    /// Enrolls.
    pub(super) enroll: Api,
    /// Verifies.
    pub(super) verify: Api,
    pub(super) alice: Guest,
    pub(super) bob: Guest,
}

/// One of them.
pub(super) struct Guest {
    /// The user's id.
    pub(super) id: String,
    /// The enrollment's.
    pub(super) totp: String,
    /// The session's.
    pub(super) session: String,
    pub(super) token: String,
    pub(super) jwt: String,
    pub(super) phone: Phone,
}

impl World {
    /// With these lines at the end of the configuration, which ends in `[http]`.
    pub(super) fn new(more: &str) -> Self {
        let site = api::site(more);
        let [admin, enroll, verify] = ["admin", "enroll", "verify"].map(|scope| Api::new(&site, scope));
        let (alice, bob) = (guest(&site, &admin, "alice"), guest(&site, &admin, "bob"));
        site.next_step();
        Self { site, admin, enroll, verify, alice, bob }
    }

    /// Everything that can be seen of users, sessions and enrollments.
    pub(super) fn seen(&self) -> Value {
        let get = |path: String| bare(self.admin.get(&path).ok());
        let of = |name: &str, guest: &Guest| {
            json!([
                get(format!("/v1/users/{}", guest.id)),
                get(format!("/v1/sessions?user_id={}", guest.id)),
                self.site.status(name),
            ])
        };
        let all = bare(self.admin.post("/v1/users/search", &json!({})).ok());
        json!([of("alice", &self.alice), of("bob", &self.bob), all])
    }

    /// Does something by which nothing is changed, and no code of Alice's used up.
    pub(super) fn unchanged(&self, what: &str, table: impl FnOnce(&str, &str)) {
        self.site.next_step();
        let phone = &self.alice.phone;
        let (code, recovery) = (phone.code(&self.site), &phone.recovery_codes[0]);
        let before = self.seen();
        table(&code, recovery);
        assert_eq!(self.seen(), before, "{what}");
        // All of it came with this code, and it is still as good as new.
        self.admin.authenticate(&self.alice.id, &code).ok();
    }

    /// Nothing that lets anybody in has been logged: neither what everybody has here, nor `more`.
    pub(super) fn kept_quiet(&self, more: &[&str]) {
        let log = self.site.log();
        let mut secrets: Vec<&str> = more.to_vec();
        for api in [&self.admin, &self.enroll, &self.verify] {
            secrets.push(&api.secret);
        }
        for Guest { token, jwt, phone, .. } in [&self.alice, &self.bob] {
            secrets.extend([token.as_str(), jwt.as_str(), phone.secret.as_str()]);
            secrets.extend(phone.recovery_codes.iter().map(String::as_str));
        }
        let bare: Vec<String> = secrets.iter().map(|secret| secret.replace('-', "")).collect();
        for secret in secrets.into_iter().chain(bare.iter().map(String::as_str)) {
            // Six digits may stand in the middle of an id by chance, and not by themselves.
            let at = |c: char| !c.is_ascii_alphanumeric();
            let logged = match secret.len() {
                6 => log.split(at).any(|word| word == secret),
                _ => log.contains(secret),
            };
            assert!(!logged, "{secret} is in the log");
        }
    }
}

fn guest(site: &Site, app: &Api, name: &str) -> Guest {
    let id = app.user(name);
    let (totp, phone) = app.totp(&id);
    let body = json!({ "user_id": id, "totp_code": phone.code(site), "session_duration_minutes": 60 });
    let made = app.post("/v1/totps/authenticate", &body).ok().json;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let [token, jwt] = ["session_token", "session_jwt"].map(|field| text(&made[field]));
    Guest { id, totp, session: text(&made["session"]["session_id"]), token, jwt, phone }
}

/// An answer without what names the request.
fn bare(reply: Reply) -> Value {
    let mut json = reply.json;
    json["request_id"].take();
    json
}
