//! What one daemon stores holds on the others, and what one of them ends is ended there.

use crate::self_service::{DAY, later};
use serde_json::{Value, json};
use totp_wire::login::{Attempt, Verdict};
use totpd_e2e::api::{self, Endpoint};
use totpd_e2e::peer::{begin, from_host, local, login};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Fleet, Site};

const GRANTED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Granted);
const DENIED: Result<Verdict, totp_wire::CallError> = Ok(Verdict::Denied);

/// Two sites with one store.
struct Pair(Fleet);

impl Pair {
    #[track_caller]
    fn new(configuration: impl Fn(&Site) -> String) -> Self {
        let fleet = Fleet::without_daemons(2);
        for site in &fleet.sites {
            site.write_config(&configuration(site));
            site.start();
        }
        Self(fleet)
    }

    fn sites(&self) -> (&Site, &Site) {
        (&self.0.sites[0], &self.0.sites[1])
    }
}

/// The same application, which asks another server.
fn on(site: &Site, app: &Api) -> Api {
    let app = Api { endpoint: Endpoint::Unix(site.path("run/http.sock")), ..app.clone() };
    app.wait_until_up();
    app
}

#[test]
fn a_session_of_one_server_holds_and_ends_on_the_other() {
    let pair = Pair::new(api::socket);
    let (one, two) = pair.sites();
    let here = Api::new(one, "admin");
    let there = on(two, &here);
    let (user, phone) = here.enrolled(one, "alice");
    let begin_session = |app: &Api| {
        let code = phone.code(one);
        let body = json!({ "user_id": user, "totp_code": code, "session_duration_minutes": 5 });
        let made = app.post("/v1/totps/authenticate", &body).assert_success().json;
        // The code is used up on both.
        for app in [&here, &there] {
            app.authenticate(&user, &code).assert_error(401, "totp_code_already_authenticated");
        }
        one.next_step();
        made
    };
    let check = |app: &Api, field: &str, made: &Value, minutes: Option<u32>| {
        let body = json!({ field: made[field], "session_duration_minutes": minutes });
        app.post("/v1/sessions/authenticate", &body)
    };
    let made = begin_session(&here);
    let keys = |app: &Api| app.get(&format!("/v1/sessions/jwks/{}", app.project_id)).assert_success().json;
    assert_eq!(keys(&here)["keys"], keys(&there)["keys"]);
    // The other server accepts it, and makes it longer for both.
    check(&there, "session_jwt", &made, None).assert_success();
    check(&there, "session_token", &made, Some(60)).assert_success();
    one.advance(30 * 60);
    check(&here, "session_token", &made, None).assert_success();
    let sessions = here.get(&format!("/v1/sessions?user_id={user}")).assert_success().json;
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{sessions}");
    there.post("/v1/sessions/revoke", &json!({ "session_token": made["session_token"] })).assert_success();
    for app in [&here, &there] {
        check(app, "session_token", &made, None).assert_error(404, "session_not_found");
    }
    // Another one ends with its user, and the secret of an application with its revocation.
    one.next_step();
    let made = begin_session(&there);
    check(&here, "session_token", &made, None).assert_success();
    there.delete(&format!("/v1/users/{user}")).assert_success();
    check(&here, "session_token", &made, None).assert_error(404, "session_not_found");
    two.totpd(&["client", "revoke", "app-admin", "--secret", &here.secret_id]).assert_success();
    for app in [&here, &there] {
        app.get("/v1/users/alice").assert_error(401, "unauthorized_credentials");
    }
}

#[test]
fn a_login_that_one_server_remembers_is_forgotten_by_the_other() {
    let rule = "[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n";
    let pair = Pair::new(|_| rule.to_owned());
    let (one, two) = pair.sites();
    let phone = pair.0.enroll("alice");
    let file = one.path("keys/alice").display().to_string();
    one.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file]).assert_success();
    let key = format!("publickey {}", one.read("keys/alice.pub").rsplit_once(' ').unwrap().0);
    let attempt = || Attempt { ssh_auth: Some(vec![key.clone()]), ..from_host("alice", "192.0.2.1") };
    assert_eq!(begin(one, attempt()).unwrap().answer(&phone.code(one)), GRANTED);
    for site in [one, two] {
        assert_eq!(begin(site, attempt()).unwrap().step.verdict, Some(Verdict::Granted));
        assert_eq!(site.status("alice")["remembered"], 1);
    }
    two.totpd(&["forget", "alice"]).assert_success();
    for site in [one, two] {
        assert_eq!(begin(site, attempt()).unwrap().step.verdict, None, "nobody was asked");
    }
}

#[test]
fn a_staged_change_is_seen_and_cancelled_on_the_other_server() {
    let pair = Pair::new(|_| String::new());
    let (one, two) = pair.sites();
    let old = pair.0.enroll("alice");
    let stage = || {
        let asked = one.totpd_as("alice", &["enroll", "--json"], &format!("{}\n", old.code(one)));
        one.next_step();
        Phone::from(&asked.assert_success().json())
    };
    let confirm = |site: &Site, new: &Phone| {
        site.totpd_as("alice", &["confirm"], &format!("{}\n", new.code(site))).code
    };
    // A code at the other server cancels it.
    let new = stage();
    two.totpd_as("alice", &["cancel"], &format!("{}\n", old.code(two))).assert_success();
    one.next_step();
    assert_eq!((confirm(one, &new), confirm(two, &new)), (1, 1), "it was cancelled");
    // The notice at one and the delay let the change be done at the other, once.
    let new = stage();
    assert_eq!((confirm(one, &new), confirm(two, &new)), (1, 1), "no notice, no delay");
    let mut shell = crate::self_service::su(two);
    let shown = crate::self_service::login(&mut shell, &old.code(two)).expect("the old factor works");
    assert!(shown.contains("to replace the authenticator app"), "{shown}");
    assert_eq!(one.status("alice")["staged"]["notice_shown"], true);
    later(one, DAY);
    assert_eq!(confirm(two, &new), 0);
    one.next_step();
    let mut shell = crate::self_service::su(one);
    assert_eq!(crate::self_service::login(&mut shell, &old.code(one)), None);
    assert!(crate::self_service::login(&mut shell, &new.code(one)).is_some());
}

#[test]
fn a_clock_set_back_is_noticed_and_trusted_on_all_servers() {
    let pair = Pair::new(|_| String::new());
    let (one, two) = pair.sites();
    let (alice, bob) = (pair.0.enroll("alice"), pair.0.enroll("bob"));
    one.advance(30 * DAY);
    pair.0.sites.iter().for_each(Site::wait_until_serving);
    assert_eq!(login(one, "bob", &bob.code(one)), GRANTED);
    one.advance(-30 * DAY);
    one.next_step();
    // While the clock jumps, the other server may find that it is not the database's.
    let is_behind = |wanted: bool| {
        let status = two.totpd(&["status"]);
        status.code == 0 && status.stdout.contains("lies before that") == wanted
    };
    wait_until("the other server knows of the later login", || is_behind(true));
    assert_eq!(login(two, "alice", &alice.code(two)), DENIED);
    assert_eq!(two.last_login()["reason"], "clock");
    one.totpd(&["trust-clock"]).assert_success();
    wait_until("the other server trusts it, too", || is_behind(false));
    assert_eq!(login(two, "alice", &alice.code(two)), GRANTED);
    one.next_step();
    assert_eq!(login(one, "alice", &alice.code(one)), GRANTED);
}

#[test]
fn the_failures_of_a_day_are_counted_on_all_servers_together() {
    let pair = Pair::new(|_| String::new());
    let phone = pair.0.enroll("alice");
    let site = |number: usize| &pair.0.sites[number % 2];
    // A right code ends the count of failures in a row, and not that of the day.
    for number in 0..40 {
        let site = site(number);
        assert_eq!(begin(site, local("alice")).unwrap().answer(&phone.wrong_code(site)), DENIED);
        if number % 8 == 7 {
            site.next_step();
            let expected = if number < 30 { GRANTED } else { DENIED };
            assert_eq!(login(site, "alice", &phone.code(site)), expected, "{number}");
        }
    }
    assert_eq!(super::count_reason(&pair.0.sites, "wrong"), 30);
}
