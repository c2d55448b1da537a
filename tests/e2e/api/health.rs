//! `/healthz` and `/readyz` answer strangers, tell them nothing else, and let them block nobody.

use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::api::{Reply, Stream, read, read_open};
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, api};

const PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Returns a request of a stranger.
fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
}

/// Sends a request without credentials.
#[track_caller]
fn ask(app: &Api, method: &str, path: &str) -> Reply {
    app.raw(request(method, path, "Connection: close\r\n").as_bytes()).unwrap()
}

#[test]
fn health_needs_no_credentials_and_tells_nothing_else() {
    let site = api::site("");
    let app = Api::new(&site, "verify");
    for path in PATHS {
        let mut reply = ask(&app, "GET", path).assert_success();
        let fields = reply.json.as_object_mut().unwrap();
        let request_id = fields.remove("request_id").unwrap();
        assert_eq!(reply.json, serde_json::json!({ "status_code": 200, "status": "ok" }));
        let head = reply.head.to_lowercase();
        assert!(head.contains("cache-control: no-store"), "{head}");
        // Neither program, version nor store.
        let store = app.project_id.strip_prefix("project-live-").unwrap();
        for told in ["totpd", env!("CARGO_PKG_VERSION"), store, "server:", "ratelimit"] {
            assert!(!head.contains(told), "{told}: {head}");
        }
        // Good, bad and no credentials get the same.
        for fields in [app.authorization(), "Authorization: Basic eDp5\r\n".to_owned()] {
            let request = request("GET", path, &format!("Connection: close\r\n{fields}"));
            let mut same = app.raw(request.as_bytes()).unwrap().assert_success();
            assert_ne!(same.json.as_object_mut().unwrap().remove("request_id").unwrap(), request_id);
            assert_eq!((same.json, same.head.len()), (reply.json.clone(), reply.head.len()));
        }
        let head = ask(&app, "HEAD", path);
        assert_eq!((head.status, &head.json), (200, &Value::Null));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            ask(&app, method, path).assert_error(405, "method_not_allowed");
        }
        ask(&app, "GET", &format!("{path}/")).assert_error(404, "route_not_found");
    }
    assert!(site.events().iter().all(|event| event["event"] != "client"), "{}", site.log());
}

#[track_caller]
fn assert_not_ready(app: &Api, secrets: &[&str]) {
    ask(app, "GET", "/healthz").assert_success();
    // The last check is fresh for a second.
    wait_until("the API is not ready", || ask(app, "GET", "/readyz").status == 503);
    let reply = ask(app, "GET", "/readyz");
    reply.assert_error(503, "server_unavailable");
    assert!(reply.retry_after() > 0);
    let said = format!("{reply:?}").replace("cache-control: no-store", "");
    for secret in secrets {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[track_caller]
fn wait_until_ready(app: &Api) {
    wait_until("the API is ready", || app.connect().is_some() && ask(app, "GET", "/readyz").status == 200);
}

#[test]
fn without_store_key_or_clock_the_api_is_not_ready() {
    let site = api::site_on_sqlite("");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    wait_until_ready(&app);
    let root = site.root.display().to_string();
    let secrets = [root.as_str(), "store", "key", "sqlite", "clock"];

    // A clock before the release.
    let years = 40 * 365 * 24 * 3600;
    site.advance(-years);
    assert_not_ready(&app, &secrets);
    site.advance(years);
    wait_until_ready(&app);

    for away in ["state", "etc/totpd.key"].map(|path| site.path(path)).iter().filter(|path| path.exists()) {
        site.end(Signal::SIGTERM);
        let aside = site.path("aside");
        std::fs::rename(away, &aside).unwrap();
        site.start();
        wait_until("the API listens", || app.connect().is_some());
        assert_not_ready(&app, &secrets);
        site.end(Signal::SIGTERM);
        let _ = std::fs::remove_dir_all(away);
        std::fs::rename(&aside, away).unwrap();
        site.start();
        wait_until_ready(&app);
    }

    // A store that failed while writing refuses until a restart.
    site.faults.sync_fails(true);
    app.authenticate("alice", &phone.code(&site)).assert_error(503, "server_unavailable");
    site.faults.sync_fails(false);
    assert_not_ready(&app, &secrets);
    let log = site.log();
    assert!(log.matches("an application was refused").count() < 5, "strangers fill the log: {log}");
    site.end(Signal::SIGTERM);
    site.start();
    wait_until_ready(&app);
}

#[test]
fn strangers_who_ask_for_health_delay_nobody() {
    let site = api::site("connections = 64\n");
    let app = Api::new(&site, "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    let (asked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    // No stranger ends a connection with credentials.
    let mut kept = app.connect().unwrap();
    kept.write_all(app.request("GET", "/v1/users/alice", "").as_bytes()).unwrap();
    read_open(&mut *kept).assert_success();
    std::thread::scope(|scope| {
        for n in 0..40 {
            let (app, asked, over) = (&app, &asked, &over);
            let one = request("GET", PATHS[n % 2], "");
            scope.spawn(move || {
                let mut stream = None;
                while !over.load(Ordering::SeqCst) {
                    let Some(open) = stream.take().or_else(|| app.connect()) else { continue };
                    let mut open: Box<dyn Stream> = open;
                    // Half of them hang up before the answer.
                    if open.write_all(one.as_bytes()).is_ok() && n % 4 < 2 {
                        let mut first = [0; 15];
                        if open.read_exact(&mut first).is_ok() && first.starts_with(b"HTTP/1.1 200") {
                            stream = drain(open);
                        }
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A failed assertion ends the flood as well.
        let _over = SetOnDrop(&over);
        wait_until("the flood has begun", || asked.load(Ordering::Relaxed) > 200);
        let (start, mut logins) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(4) {
            let before = Instant::now();
            kept.write_all(app.request("GET", "/v1/users/alice", "").as_bytes()).unwrap();
            read_open(&mut *kept).assert_success();
            assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
            if logins < start.elapsed().as_secs() {
                assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
                site.next_step();
                logins += 1;
            }
        }
        assert!(logins > 2);
    });
    assert!(!site.log().contains("cannot accept"), "{}", site.log());
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Reads the rest of a response; `None` if the connection ended.
fn drain(mut stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
    let mut space = [0; 4096];
    loop {
        match stream.read(&mut space) {
            Ok(count) if count > 0 => {
                if space[..count].ends_with(b"}") {
                    return Some(stream);
                }
            }
            _ => return None,
        }
    }
}

#[test]
fn a_stranger_who_asks_for_health_gives_way_to_clients() {
    let site = api::site("connections = 8\n");
    let app = Api::new(&site, "admin");
    app.user("alice");
    // All connections belong to strangers, who keep them busy.
    let mut strangers: Vec<Box<dyn Stream>> = (0..8).map(|_| app.connect().unwrap()).collect();
    for (n, stream) in strangers.iter_mut().enumerate() {
        stream.write_all(request("GET", PATHS[n % 2], "").as_bytes()).unwrap();
        read_open(&mut **stream).assert_success();
    }
    for _ in 0..20 {
        app.get("/v1/users/alice").assert_success();
    }
    // At least one of them was closed for it.
    let closed = strangers.iter_mut().filter_map(|stream| {
        let _ = stream.write_all(request("GET", "/healthz", "Connection: close\r\n").as_bytes());
        read(&mut **stream).is_none().then_some(())
    });
    assert!(closed.count() >= 1);
}

#[test]
fn a_body_for_health_is_not_waited_for() {
    let site = api::site("");
    let app = Api::new(&site, "verify");
    for path in PATHS {
        for fields in [
            "Content-Length: 9999999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
        ] {
            let start = Instant::now();
            let mut stream = app.connect().unwrap();
            stream.write_all(request("GET", path, fields).as_bytes()).unwrap();
            let reply = read_open(&mut *stream);
            assert!(reply.status == 200 && start.elapsed() < Duration::from_secs(5), "{fields}: {reply:?}");
        }
    }
}
