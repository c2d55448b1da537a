//! No local user pushes the events of others out of the history, or takes the connections that
//! others need.

use super::{run_against, services};
use totp_wire::login::Attempt;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::peer::begin;
use totpd_e2e::run::wait_until;

#[track_caller]
fn rows(site: &Site) -> usize {
    site.sql("SELECT count(*) FROM history").parse().unwrap()
}

#[test]
fn su_against_many_users_writes_few_history_rows() {
    let site = Site::new();
    services(&site, &["su"]);
    site.enroll("alice");
    let before = rows(&site);
    for number in 0..150 {
        let user = ["alice", "bob", "root", "u1"][number % 4];
        let answer = run_against(&site, "su", "eve", user, "no code at all");
        assert!([code::AUTH_ERR, code::SYSTEM_ERR].contains(&answer), "{answer}");
    }
    // One row a minute for each user, and after sixty refusals nothing is judged any more.
    assert!(rows(&site) - before <= 8, "{} rows", rows(&site) - before);
    // Neither eve's own logins nor those of others are limited.
    let phone = site.enroll("eve");
    assert_eq!(run_against(&site, "su", "eve", "eve", &phone.code(&site)), code::SUCCESS);
    assert_eq!(run_against(&site, "su", "bob", "alice", "no code"), code::AUTH_ERR);
}

#[test]
fn refusals_of_a_locked_user_write_one_row_a_minute() {
    let site = Site::new();
    services(&site, &["sudo"]);
    let phone = site.enroll("alice");
    let before = rows(&site);
    for _ in 0..30 {
        let wrong = phone.wrong_code(&site);
        assert_eq!(run_against(&site, "sudo", "alice", "alice", &wrong), code::AUTH_ERR);
    }
    // Ten failures that count, and one row for the twenty others.
    assert_eq!(rows(&site) - before, 11);
    assert_eq!(site.events().iter().filter(|e| e["reason"] == "locked").count(), 20, "each is in the log");
}

#[test]
fn local_exemptions_write_one_history_row_a_minute() {
    let site = Site::new();
    services(&site, &["su"]);
    site.configure("[[login.rule]]\nservices = [\"su\"]\naction = \"exempt\"\nlocal = true\n");
    let before = rows(&site);
    for _ in 0..20 {
        assert_eq!(run_against(&site, "su", "eve", "alice", ""), code::PERM_DENIED, "ignored");
    }
    assert_eq!(rows(&site) - before, 1);
}

#[test]
fn waiting_prompts_use_only_their_callers_connections() {
    let site = Site::new();
    services(&site, &["su", "sudo"]);
    let phone = site.enroll("alice");
    let as_eve = || Attempt {
        user: "alice".into(),
        service: Some("su".into()),
        real_uid: Some(5003),
        ..Attempt::default()
    };
    let xrdp = || Attempt { service: Some("xrdp-sesman".into()), real_uid: Some(0), ..as_eve() };
    let waiting: Vec<_> = (0..300).flat_map(|_| [begin(&site, as_eve()), begin(&site, xrdp())]).collect();
    assert!(waiting.iter().all(Result::is_ok));
    // 64 of eve and 64 of the service stay; each of the others is closed by its own task.
    let waiting: Vec<_> = waiting.into_iter().filter_map(Result::ok).collect();
    wait_until("the oldest connections are evicted", || {
        waiting.iter().filter(|attempt| attempt.is_open()).count() == 128
    });
    let typed = format!("{}\n", phone.code(&site));
    assert_eq!(PamHost::new(&site, "sudo", "alice").authenticate(&typed), code::SUCCESS);
}
