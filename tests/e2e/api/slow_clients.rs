//! Clients that are slow, silent, too many, or hang up: they are closed in time, and block nobody.

use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::api::{Reply, Stream, read};
use totpd_e2e::peer::login;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site, api};

/// Returns a whole header with credentials.
fn head(app: &Api, path: &str, length: usize) -> String {
    app.head("POST", path, &format!("Content-Length: {length}\r\n"))
}

/// Writes a byte a second until the daemon closes. Returns its response.
fn drip(mut stream: Box<dyn Stream>, text: &str) -> Option<Reply> {
    for byte in text.as_bytes() {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    read(&mut *stream)
}

/// Starts a request with these bytes.
fn started(app: &Api, bytes: &str) -> Box<dyn Stream> {
    let mut stream = app.connect().unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

/// Asserts that others are served for three seconds, over HTTP and at logins.
#[track_caller]
fn assert_others_are_served(site: &Site, app: &Api, phone: &Phone) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        app.get("/v1/users/alice").assert_success();
        assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        site.next_step();
    }
}

#[test]
fn a_body_that_never_arrives_times_out_without_blocking_others() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let start = Instant::now();
    std::thread::scope(|scope| {
        // One body stops, one is slow, one never begins, and one in chunks stops.
        let body = head(&app, "/v1/users", 500);
        let pieces = body.replace("Content-Length: 500", "Transfer-Encoding: chunked");
        let mut slow = Vec::new();
        for (sent, rest) in [
            (format!("{body}{{\"external_id\":"), String::new()),
            (body.clone(), " ".repeat(40)),
            (body.clone(), String::new()),
            (format!("{pieces}5\r\n{{    \r\n"), String::new()),
        ] {
            let stream = started(&app, &sent);
            slow.push(scope.spawn(move || drip(stream, &rest)));
        }
        assert_others_are_served(&site, &app, &phone);
        for slow in slow {
            slow.join()
                .unwrap()
                .expect("an answer to a body that does not come")
                .assert_error(408, "bad_request");
        }
    });
    let took = start.elapsed();
    assert!((14..25).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_header_that_never_arrives_times_out_without_blocking() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let start = Instant::now();
    std::thread::scope(|scope| {
        // One header is slow, one stops, and one never begins.
        let long = format!("GET /v1/users/alice HTTP/1.1\r\nX-Slow: {}", "a".repeat(100));
        let mut slow = Vec::new();
        for (sent, rest) in [("", long.as_str()), ("GET /v1/users/al", ""), ("", "")] {
            let (stream, rest) = (started(&app, sent), rest.to_owned());
            slow.push(scope.spawn(move || drip(stream, &rest)));
        }
        assert_others_are_served(&site, &app, &phone);
        for slow in slow {
            // Without a request, the daemon may answer 408 or close.
            assert!(slow.join().unwrap().is_none_or(|reply| reply.status == 408));
        }
    });
    let took = start.elapsed();
    assert!((55..80).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_client_that_reads_nothing_blocks_nobody() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    for n in 0..50 {
        app.user(&format!("u-{n}"));
    }
    // Requests far more than socket buffers hold, and reads none of it.
    let search = format!("{}{{}}", head(&app, "/v1/users/search", 2));
    let deaf: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = app.connect().unwrap();
            let _ = stream.write_all(search.repeat(20).as_bytes());
            stream
        })
        .collect();
    for _ in 0..3 {
        let asked = Instant::now();
        app.authenticate("alice", &phone.code(&site)).assert_success();
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        site.next_step();
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
        site.next_step();
    }
    drop(deaf);
}

#[test]
fn unauthenticated_slow_readers_block_nobody_and_are_closed() {
    let site = api::site("connections = 8\n");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let start = Instant::now();
    let mut strangers: Vec<_> = (0..24)
        .map(|_| {
            let mut stream = app.connect().unwrap();
            // Requests far more than socket buffers hold, and reads none of it.
            let _ = stream.write_all(&asked);
            stream
        })
        .collect();
    for _ in 0..20 {
        app.get("/v1/users/alice").assert_success();
    }
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // Nobody needs their connections any more, and they are closed by the write timeout.
    for stream in &mut strangers {
        std::thread::sleep(Duration::from_secs(35).saturating_sub(start.elapsed()));
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let answers = String::from_utf8_lossy(&all).matches("HTTP/1.1 200").count();
        assert!(answers < 100, "{answers} answers were waited for");
    }
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

#[test]
fn with_all_connections_busy_new_ones_are_refused() {
    // PostgreSQL's commits are not waited for as long: the daemon would refuse the requests.
    let site = api::site_on_sqlite("connections = 8\n");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let code = phone.code(&site);
    site.faults.sync_delay_us(60_000_000);
    let mut requests = Vec::new();
    wait_until("all connections wait for their responses", || {
        // A connection without credentials may be evicted by the next one.
        let body = json!({ "external_id": format!("request-{}", requests.len()) }).to_string();
        requests.push(started(&app, &format!("{}{body}", head(&app, "/v1/users", body.len()))));
        let mut late = app.connect().unwrap();
        let _ = late.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        read(&mut *late).is_none()
    });
    assert!(requests.len() >= 8);
    site.totpd(&["status"]).assert_success();
    site.faults.sync_delay_us(0);
    assert_eq!(login(&site, "alice", &code), Ok(Verdict::Granted));
    let served = requests.iter_mut().filter_map(|request| {
        let mut first = [0; 15];
        request.read_exact(&mut first).ok().map(|()| first.starts_with(b"HTTP/1.1 200"))
    });
    assert_eq!(served.collect::<Vec<_>>(), [true; 8]);
    // Idle connections are evicted.
    for _ in 0..20 {
        app.get("/v1/users/alice").assert_success();
    }
}

fn events_of(site: &Site, user: &str, outcome: &str) -> usize {
    let of = |e: &&Value| e["user"] == user && e["outcome"] == outcome && e["event"] == "authenticate";
    site.events().iter().filter(of).count()
}

#[test]
fn a_hung_up_request_uses_up_no_code_or_is_audited_undelivered() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (alice, alices) = app.enrolled(&site, "alice");
    let (bob, bobs) = app.enrolled(&site, "bob");
    let send = |user: &str, code: &str| {
        let body = json!({ "user_id": user, "totp_code": code, "session_duration_minutes": 60 }).to_string();
        let mut stream = app.connect().unwrap();
        let head = head(&app, "/v1/totps/authenticate", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        stream
    };
    let (code_a, code_b) = (alices.code(&site), bobs.code(&site));
    site.faults.sync_delay_us(60_000_000);
    let syncs = site.faults.syncs();
    // Alice's commit begins and stalls, and Bob's waits behind it. Both clients hang up.
    let first = send(&alice, &code_a);
    site.wait_for_commit(syncs);
    let second = send(&bob, &code_b);
    drop(first);
    drop(second);
    // When a later request is answered, the daemon has noticed both.
    app.get(&format!("/v1/sessions/jwks/{}", app.project_id)).assert_success();
    site.faults.sync_delay_us(0);
    wait_until("the undelivered grant is recorded", || events_of(&site, "alice", "undelivered") == 1);
    app.authenticate(&alice, &code_a).assert_error(401, "totp_code_already_authenticated");
    let again = app.authenticate(&bob, &code_b);
    if again.status == 200 {
        // The other grant is that of the enrollment.
        assert_eq!((events_of(&site, "bob", "granted"), events_of(&site, "bob", "undelivered")), (2, 0));
    } else {
        again.assert_error(401, "totp_code_already_authenticated");
        wait_until("Bob's is recorded, too", || events_of(&site, "bob", "undelivered") == 1);
    }
    // In both cases no secret was logged.
    let credentials = app.basic();
    let log = site.log();
    for secret in [credentials.as_str(), &app.secret, &alices.secret, &bobs.secret] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_truncated_request_uses_up_no_code() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let (alice, phone) = app.enrolled(&site, "alice");
    let code = phone.code(&site);
    let body = json!({ "user_id": alice, "totp_code": code }).to_string();
    for cut in [1, body.len() / 2, body.len()] {
        let mut stream = app.connect().unwrap();
        let head = head(&app, "/v1/totps/authenticate", body.len());
        let whole = format!("{head}{body}");
        stream.write_all(&whole.as_bytes()[..whole.len() - cut]).unwrap();
        drop(stream);
        // A second request is read after the first, and the code is still unused.
        app.get("/v1/users/alice").assert_success();
    }
    app.authenticate(&alice, &code).assert_success();
}

#[test]
fn made_up_names_of_an_application_block_no_login_lookup() {
    let site = Site::without_daemon();
    site.write_config(&api::socket(&site));
    site.totpd(&["init"]).assert_success();
    // A directory that is slow for unknown users.
    let source = r#"
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
enum nss_status _nss_slow_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) {
    if (strcmp(n, "carol") != 0) { sleep(1); return NSS_STATUS_NOTFOUND; }
    strcpy(b, "carol");
    p->pw_name = b; p->pw_passwd = "x"; p->pw_uid = 7001; p->pw_gid = 7001;
    p->pw_gecos = ""; p->pw_dir = "/"; p->pw_shell = "/bin/sh";
    return NSS_STATUS_SUCCESS;
}
"#;
    totpd_e2e::directory::install(&site, "slow", source, "passwd: files slow\ngroup: files\nshadow: files\n");
    totpd_e2e::directory::start(&site);
    let app = Api::new(&site, "verify");
    let phone = site.enroll("carol");
    let (answered, first) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for n in 0..80 {
            let (app, answered) = (&app, answered.clone());
            scope.spawn(move || answered.send(app.get(&format!("/v1/users/nobody{n}")).status).unwrap());
        }
        // With the first response, all requests are in progress.
        first.recv().unwrap();
        assert_eq!(login(&site, "carol", &phone.code(&site)), Ok(Verdict::Granted));
    });
}
