//! Fairness: one application delays others by little, and never a login.

use serde_json::json;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, api};

#[test]
fn writes_by_an_application_delay_no_login_of_the_user() {
    let site = api::site("");
    let (app, other) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (alice, phone) = app.enrolled(&site, "alice");
    let code = phone.code(&site);
    let syncs = site.faults.syncs();
    site.faults.sync_delay_us(300_000);
    std::thread::scope(|scope| {
        let flood: Vec<_> = (0..60)
            .map(|n| {
                let (app, path) = (&app, format!("/v1/users/{alice}"));
                scope.spawn(move || app.put(&path, &json!({ "trusted_metadata": { "n": n } })))
            })
            .collect();
        wait_until("the flood has begun", || site.faults.syncs() > syncs + 1);
        let before = site.faults.syncs();
        assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
        let waited = site.faults.syncs() - before;
        // The write in progress, one of the flood, and its own; one more may begin before the
        // count.
        assert!(waited <= 4, "a login waited for {waited} syncs");
        // Another application waits as little.
        let before = site.faults.syncs();
        other.authenticate(&alice, &code).assert_error(401, "totp_code_already_authenticated");
        let waited = site.faults.syncs() - before;
        assert!(waited <= 7, "an application waited for {waited} syncs");
        site.faults.sync_delay_us(0);
        for request in flood {
            request.join().unwrap().assert_success();
        }
    });
}

#[test]
fn a_client_waits_for_few_signatures_of_another() {
    let site = api::site("requests_per_minute = 10000000\n");
    let (flood, other) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let user = flood.user("alice");
    let (_, phone) = flood.totp(&user);
    let body = json!({ "user_id": user, "totp_code": phone.code(&site), "session_duration_minutes": 60 });
    let token = flood.post("/v1/totps/authenticate", &body).assert_success().json["session_token"].clone();
    let body = json!({ "session_token": token }).to_string();
    let request = flood.request("POST", "/v1/sessions/authenticate", &body);
    let (signed, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let mut stream = flood.connect().unwrap();
                while !over.load(Ordering::SeqCst) {
                    stream.write_all(request.as_bytes()).unwrap();
                    api::read_open(&mut *stream).assert_success();
                    signed.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        wait_until("the flood has begun", || signed.load(Ordering::SeqCst) > 200);
        let mut waits: Vec<usize> = (0..60)
            .map(|_| {
                let before = signed.load(Ordering::SeqCst);
                other.get("/v1/users/alice").assert_success();
                signed.load(Ordering::SeqCst) - before
            })
            .collect();
        over.store(true, Ordering::SeqCst);
        waits.sort_unstable();
        println!("{waits:?}");
        assert!(waits[30] <= 8, "{waits:?}");
    });
}

#[test]
fn repeated_refusals_are_stored_once_a_minute() {
    let site = api::site("");
    let (app, guesser) = (Api::new(&site, "admin"), Api::new(&site, "verify"));
    let (alice, phone) = app.enrolled(&site, "alice");
    let rows = || {
        let shown = site.totpd(&["history", "alice", "-n", "1000", "--json"]).assert_success().json();
        shown["events"].as_array().unwrap().len()
    };
    let (start, logged) = (rows(), site.events().len());
    let wrong = phone.wrong_code(&site);
    for _ in 0..10 {
        guesser.authenticate(&alice, &wrong).assert_error(401, "unable_to_authenticate_totp");
    }
    let (judged, syncs) = (rows(), site.faults.syncs());
    assert_eq!(judged, start + 10);
    for _ in 0..40 {
        guesser.authenticate(&alice, &wrong).assert_error(429, "user_lock_limit_reached");
    }
    assert_eq!(rows(), judged + 1, "one row says that the locked class was asked");
    // A refusal of another application, or for another reason, has its own row.
    let code = phone.code(&site);
    app.authenticate(&alice, &code).assert_success();
    for _ in 0..40 {
        app.authenticate(&alice, &code).assert_error(401, "totp_code_already_authenticated");
    }
    assert_eq!(rows(), judged + 3);
    assert!(site.faults.syncs() - syncs <= 6, "{} syncs", site.faults.syncs() - syncs);
    assert_eq!(site.events().len(), logged + 10 + 40 + 1 + 40, "each is in the log");
}

#[test]
fn unread_large_responses_take_little_memory_and_block_nobody() {
    let site = api::site("");
    let (app, other) = (Api::new(&site, "admin"), Api::new(&site, "enroll"));
    let metadata = json!({ "large": "x".repeat(15_000) });
    let users: Vec<String> = (0..150)
        .map(|n| {
            let new = json!({ "external_id": format!("u-{n}"), "trusted_metadata": metadata });
            app.post("/v1/users", &new).assert_success().json["user_id"].as_str().unwrap().to_owned()
        })
        .collect();
    // A page ends when it is large enough, and the pages together hold every user.
    let (mut cursor, mut found, mut pages) = (json!(null), Vec::new(), 0);
    loop {
        let page =
            app.post("/v1/users/search", &json!({ "limit": 1000, "cursor": cursor })).assert_success().json;
        let results = page["results"].as_array().unwrap();
        found.extend(results.iter().map(|user| user["user_id"].as_str().unwrap().to_owned()));
        pages += 1;
        cursor = page["results_metadata"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((pages, found.len()), (3, users.len()));
    assert!(users.iter().all(|user| found.contains(user)));

    let before = site.resident_kib();
    let search = app.request("POST", "/v1/users/search", "{\"limit\":1000}");
    let deaf: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = app.connect().unwrap();
            stream.write_all(search.repeat(2).as_bytes()).unwrap();
            stream
        })
        .collect();
    // Another application's searches are answered, and other requests of the same one.
    for _ in 0..5 {
        assert_eq!(
            other.post("/v1/users/search", &json!({ "limit": 3 })).assert_success().json["results"][2]["user_id"],
            found[2]
        );
        app.get(&format!("/v1/users/{}", users[0])).assert_success();
    }
    let grown = site.resident_kib() - before;
    assert!(grown < 40 * 1024, "{grown} KiB for {} answers", deaf.len());
}

#[test]
fn unauthenticated_connections_never_exceed_the_limit() {
    let site = api::site("connections = 64\n");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let files = format!("/proc/{}/fd", site.daemon_pid());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut strangers = std::collections::VecDeque::new();
                while !over.load(Ordering::SeqCst) {
                    strangers.extend(app.connect());
                    if strangers.len() > 300 {
                        strangers.pop_front();
                    }
                }
            });
        }
        let (start, mut most, mut logins) = (Instant::now(), 0, 0);
        while start.elapsed() < Duration::from_secs(4) {
            most = most.max(std::fs::read_dir(&files).unwrap().count());
            if logins < start.elapsed().as_secs() {
                assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
                site.next_step();
                logins += 1;
            }
        }
        over.store(true, Ordering::SeqCst);
        assert!(logins > 2);
        // Connections, those that are being evicted, and the daemon's files.
        assert!(most < 64 + 64 + 64, "{most} files");
    });
    app.get("/v1/users/alice").assert_success();
}
