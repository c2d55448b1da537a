//! Users with several authenticators.

use crate::self_service::{DAY, later, login as su_login, su, ticket};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use totpd_e2e::pamhost::{PamHost, code, login, result};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site, api};

/// Adds an authenticator as root and confirms it.
#[track_caller]
fn add(site: &Site, name: &str) -> Phone {
    let made = site.totpd(&["enroll", "alice", "--add", "--name", name, "--json"]).assert_success().json();
    assert_eq!((&made["name"], &made["replaces"]), (&json!(name), &json!(false)));
    assert_eq!(made["recovery_codes"], json!([]), "those of the user stay");
    let phone = Phone::from(&made);
    assert!(phone.uri.contains(&format!(":alice-{}?", name.replace(' ', "-"))), "{}", phone.uri);
    site.totpd_with(&["confirm", "alice"], &format!("{}\n", phone.code(site))).assert_success();
    phone
}

fn names(site: &Site) -> Vec<String> {
    let status = site.status("alice");
    let all = status["authenticators"].as_array().unwrap().iter();
    all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn codes_of_each_authenticator_work_once() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let first = site.enroll("alice");
    let (work, safe) = (add(&site, "work phone"), add(&site, "safe"));
    assert_eq!(names(&site), ["authenticator", "work phone", "safe"]);
    let text = site.totpd(&["status", "alice"]).assert_success().stdout;
    assert!(text.contains("authenticator \"work phone\", in use since "), "{text}");
    let list = site.totpd(&["list"]).assert_success().stdout;
    assert!(list.contains("3 authenticators: \"authenticator\", \"work phone\", \"safe\""), "{list}");
    site.next_step();
    for phone in [&first, &work, &safe] {
        let typed = phone.code(&site);
        assert_eq!(login(&site, "alice", &typed), code::SUCCESS);
        assert_eq!(login(&site, "alice", &typed), code::AUTH_ERR);
        assert_eq!(site.last_login()["reason"], "replayed");
    }
    // The recovery codes belong to all of them.
    assert_eq!(login(&site, "alice", &first.recovery_codes[0]), code::SUCCESS);
    let fourth = site.totpd(&["enroll", "alice", "--add", "--name", "home"]);
    assert_eq!(fourth.code, 1);
    assert!(fourth.stderr.contains("as many authenticators as are possible"), "{fourth:?}");
}

#[test]
fn one_authenticator_is_revoked_and_the_others_work() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let first = site.enroll("alice");
    let (work, safe) = (add(&site, "work phone"), add(&site, "safe"));
    site.totpd(&["revoke", "alice", "--name", "Work Phone"]).assert_success();
    site.next_step();
    assert_eq!(login(&site, "alice", &work.code(&site)), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "wrong");
    assert_eq!(login(&site, "alice", &safe.code(&site)), code::SUCCESS);
    // The next one takes over the recovery codes of the first.
    site.totpd(&["revoke", "alice", "--name", "authenticator"]).assert_success();
    assert_eq!(login(&site, "alice", &first.code(&site)), code::AUTH_ERR);
    assert_eq!(login(&site, "alice", &first.recovery_codes[3]), code::SUCCESS);
    assert_eq!(names(&site), ["safe"]);
    let none = site.totpd(&["revoke", "alice", "--name", "home"]);
    assert!(
        none.code == 1 && none.stderr.contains("no authenticator of this name, but: \"safe\""),
        "{none:?}"
    );
}

#[test]
fn a_replacement_says_which_one_of_several() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let first = site.enroll("alice");
    let safe = add(&site, "safe");
    let which = site.totpd(&["enroll", "alice"]);
    assert_eq!(which.code, 1);
    assert!(which.stderr.contains("\"authenticator\", \"safe\". Say which one with --name"), "{which:?}");
    let other = site.totpd(&["enroll", "alice", "--name", "home"]);
    assert!(other.code == 1 && other.stderr.contains("enroll alice --add --name"), "{other:?}");
    let taken = site.totpd(&["enroll", "alice", "--add", "--name", "SAFE"]);
    assert!(taken.code == 1 && taken.stderr.contains("already"), "{taken:?}");
    let digits = ["enroll", "alice", "--add", "--name", "token", "--digits", "8"];
    let digits = site.totpd(&digits);
    assert!(digits.code == 1 && digits.stderr.contains("another number of digits"), "{digits:?}");
    assert_eq!(site.status("alice")["replacement_pending"], false, "nothing was changed");

    let made = site.totpd(&["enroll", "alice", "--name", "safe", "--json"]).assert_success().json();
    assert_eq!(made["replaces"], true);
    let new = Phone::from(&made);
    site.next_step();
    assert_eq!(login(&site, "alice", &new.code(&site)), code::SUCCESS, "its first code");
    site.next_step();
    assert_eq!(login(&site, "alice", &safe.code(&site)), code::AUTH_ERR);
    assert_eq!(login(&site, "alice", &first.code(&site)), code::SUCCESS);
}

#[test]
fn three_wrong_codes_lock_a_user_with_three() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let first = site.enroll("alice");
    add(&site, "work phone");
    add(&site, "safe");
    site.next_step();
    for _ in 0..3 {
        login(&site, "alice", &first.wrong_code(&site));
        assert_eq!(site.last_login()["reason"], "wrong");
    }
    login(&site, "alice", &first.code(&site));
    assert_eq!(site.last_login()["reason"], "locked");
}

#[test]
fn an_authenticator_of_ones_own_takes_delay_and_notice() {
    let site = Site::new();
    let old = site.enroll("alice");
    let mut shell = su(&site);
    let add = ["enroll", "--add", "--name", "safe", "--json"];
    let made = site.totpd_as("alice", &add, &format!("{}\n", old.code(&site))).assert_success().json();
    assert_eq!(made["staged"]["change"], "add");
    let safe = Phone::from(&made);
    site.next_step();
    assert_eq!(su_login(&mut shell, &safe.code(&site)), None);
    assert_eq!(site.last_login()["reason"], "not-ripe");
    later(&site, DAY);
    assert_eq!(su_login(&mut shell, &safe.code(&site)), None, "no login has shown the notice");
    let shown = su_login(&mut shell, &old.code(&site)).unwrap();
    assert!(shown.contains("for a further authenticator app (") && shown.contains(":alice-safe)"), "{shown}");
    site.next_step();
    assert!(su_login(&mut shell, &safe.code(&site)).is_some());
    site.next_step();
    let shown = su_login(&mut shell, &old.code(&site)).expect("both work");
    assert!(shown.contains("A further authenticator app was added on "), "{shown}");
    assert_eq!(names(&site), ["authenticator", "safe"]);
}

#[test]
fn a_ticket_adds_and_removes_an_authenticator_at_once() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let old = site.enroll("alice");
    let input = format!("{}\n{}\n", old.code(&site), ticket(&site));
    let add = ["enroll", "--add", "--name", "safe", "--json"];
    let made = site.totpd_as("alice", &add, &input).assert_success().json();
    assert_eq!(made["staged"], Value::Null);
    let safe = Phone::from(&made);
    site.next_step();
    // Enter answers the question that shows the notice of the change.
    let log_in = |phone: &Phone| {
        let answers = format!("{}\n\n", phone.code(&site));
        result(&PamHost::new(&site, "x", "alice").run(&["authenticate"], &answers), "authenticate")
    };
    assert_eq!(log_in(&safe), code::SUCCESS);
    // Which one is asked before a code is used up.
    site.next_step();
    let input = format!("{}\n{}\n", old.code(&site), ticket(&site));
    let which = site.totpd_as("alice", &["revoke"], &input);
    assert!(which.code == 1 && which.stderr.contains("Say which one with --name"), "{which:?}");
    site.totpd_as("alice", &["revoke", "--name", "safe"], &input).assert_success();
    site.next_step();
    assert_eq!(log_in(&safe), code::AUTH_ERR);
    assert_eq!(log_in(&old), code::SUCCESS);
}

#[test]
fn applications_see_and_delete_each_authenticator() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let first = site.enroll("alice");
    let safe = add(&site, "safe");
    site.next_step();
    let totps = || app.get("/v1/users/alice").assert_success().json["totps"].as_array().unwrap().clone();
    assert_eq!(totps().len(), 2);
    let authenticate = |phone: &Phone| {
        app.post("/v1/totps/authenticate", &json!({ "user_id": "alice", "totp_code": phone.code(&site) }))
    };
    let ids: Vec<Value> =
        [&first, &safe].map(|phone| authenticate(phone).assert_success().json["totp_id"].clone()).to_vec();
    assert_eq!(ids, totps().iter().map(|totp| totp["totp_id"].clone()).collect::<Vec<_>>());
    let deleted = format!("/v1/users/totps/{}", ids[1].as_str().unwrap());
    app.delete(&deleted).assert_success();
    site.next_step();
    authenticate(&safe).assert_error(401, "unable_to_authenticate_totp");
    authenticate(&first).assert_success();
    app.delete(&deleted).assert_error(404, "totp_not_found");
}

#[test]
fn what_a_thief_staged_ends_with_the_revoked_authenticator() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let old = site.enroll("alice");
    let add = ["enroll", "--add", "--name", "spare", "--json"];
    let made = site.totpd_as("alice", &add, &format!("{}\n", old.code(&site))).assert_success().json();
    let spare = Phone::from(&made);
    site.next_step();
    // The user is told, and the administrator revokes what the thief has.
    let answers = format!("{}\n\n", old.code(&site));
    let told = PamHost::new(&site, "x", "alice").run(&["authenticate"], &answers);
    assert!(told.stdout.contains("for a further authenticator app ("), "{told:?}");
    site.totpd(&["revoke", "alice", "--name", "authenticator"]).assert_success();
    later(&site, DAY);
    assert_eq!(login(&site, "alice", &spare.code(&site)), code::AUTH_ERR);
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn a_sweep_leaves_a_record_with_an_expired_change_readable() {
    let site = Site::new();
    site.configure("[login]\nself_change_delay = \"1h\"\n[totp]\npending = \"1h\"\n");
    site.totp_service("x", "nodelay");
    let old = site.enroll("alice");
    site.totpd_as("alice", &["revoke"], &format!("{}\n", old.code(&site))).assert_success();
    site.advance(5400);
    site.totpd(&["enroll", "alice"]).assert_success();
    site.advance(3600);
    // The sweep comes at the start, and then once a minute.
    site.end(Signal::SIGTERM);
    site.start();
    wait_until("the sweep", || site.events().iter().any(|event| event["event"] == "expire"));
    site.next_step();
    assert_eq!(login(&site, "alice", &old.code(&site)), code::SUCCESS);
}
