//! Secrets that were shown once are nowhere in the daemon's memory afterwards.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::{Duration, Instant};
use totpd_e2e::phone::Phone;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Api, Site, api};

/// Reads every writable page of a process and prints where it holds one of the texts.
const SEARCH: &str = "
import json, sys
pid, wanted = sys.argv[1], [(what, bytes(value)) for what, value in json.load(sys.stdin)]
hits = []
with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', buffering=0) as memory:
    for line in maps:
        area, mode, *rest = line.split()
        if not mode.startswith('rw') or rest[-1] == '[vvar]':
            continue
        start, end = (int(text, 16) for text in area.split('-'))
        try:
            memory.seek(start)
            held = memory.read(end - start)
        except OSError:  # It has gone since it was listed.
            continue
        for what, value in wanted:
            at = held.find(value)
            while at >= 0:
                hits.append([what, f'{start + at:x} {rest[-1]}'])
                at = held.find(value, at + 1)
print(json.dumps(hits))
";

/// Returns where the daemon's writable memory contains one of these, with its name.
#[track_caller]
fn found(site: &Site, wanted: &[(&'static str, Vec<u8>)]) -> Vec<Value> {
    let mut command = std::process::Command::new("python3");
    command.args(["-c", SEARCH, &site.daemon_pid().to_string()]);
    let hits = run(command, &json!(wanted).to_string()).assert_success().json();
    hits.as_array().unwrap().clone()
}

/// Returns everything of an enrollment that must be wiped.
fn secrets_of(made: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let mut wanted = vec![
        ("the secret", text(&made["secret"])),
        ("its bytes", BASE32_NOPAD.decode(&text(&made["secret"])).unwrap()),
    ];
    for code in made["recovery_codes"].as_array().unwrap() {
        wanted.push(("a recovery code", text(code)));
        let bare = text(code).into_iter().filter(|byte| *byte != b'-').collect();
        wanted.push(("a recovery code without dashes", bare));
    }
    if let Some(picture) = made["qr_code"].as_str() {
        // After the PNG header, which is the same for everybody.
        wanted.push(("the QR code", picture.as_bytes()[100..180].to_vec()));
    }
    wanted
}

/// Asserts that nothing is left within a second: connections end by themselves, and their memory
/// with them.
#[track_caller]
fn assert_wiped(site: &Site, wanted: &[(&'static str, Vec<u8>)]) {
    let start = Instant::now();
    loop {
        let left = found(site, wanted);
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{left:#?}");
    }
}

#[test]
fn secrets_shown_to_an_application_are_wiped() {
    let site = api::site("");
    let app = Api::new(&site, "admin");
    let basic = app.basic();
    let credentials = [
        ("the Basic header", basic.clone().into_bytes()),
        ("the client's secret", app.secret.clone().into_bytes()),
    ];
    // The search works: it finds a request whose body is incomplete.
    let mut waiting = app.connect().unwrap();
    let head = app.head("POST", "/v1/totps", "Connection: close\r\nContent-Length: 99\r\n");
    let head = format!("{head}{{\"user_id\":\"nobody-hunter2\"");
    waiting.write_all(head.as_bytes()).unwrap();
    let control = ("the body", b"nobody-hunter2".to_vec());
    wait_until("the body is found", || !found(&site, std::slice::from_ref(&control)).is_empty());
    drop(waiting);
    assert_wiped(&site, &[control]);

    let user = app.user("alice");
    let made = app.post("/v1/totps", &json!({ "user_id": user })).assert_success().json;
    let wanted = [&secrets_of(&made)[..], &credentials].concat();
    assert_wiped(&site, &wanted);

    // An idle connection holds nothing of its last request either.
    let mut kept = app.connect().unwrap();
    let body = json!({ "user_id": user }).to_string();
    let request = app.request("POST", "/v1/totps", &body);
    kept.write_all(request.as_bytes()).unwrap();
    let made = api::read_open(&mut *kept).json;
    assert_wiped(&site, &[&secrets_of(&made)[..], &credentials].concat());
    drop(kept);

    // A code, and the session that it created.
    let code = Phone::from(&made).code(&site);
    let body = json!({ "user_id": user, "totp_code": code, "session_duration_minutes": 5 });
    let session = app.post("/v1/totps/authenticate", &body).assert_success().json;
    let token = |field: &str| session[field].as_str().unwrap().as_bytes().to_vec();
    let wanted =
        [&wanted[..], &[("the token", token("session_token")), ("the JWT", token("session_jwt"))]].concat();
    assert_wiped(&site, &wanted);
}

#[test]
fn secrets_shown_to_root_are_wiped() {
    let site = Site::new();
    let made = site.totpd(&["enroll", "alice", "--json"]).assert_success().json();
    assert_wiped(&site, &secrets_of(&made));
}

#[test]
fn over_tls_credentials_are_wiped_with_their_connection() {
    let (site, port) = api::tls_site();
    site.start();
    let app = Api::add(&site, api::Endpoint::Tcp(port), "admin");
    let basic = app.basic();
    let script = "
import http.client, json, ssl, sys, time
port, basic, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
for _ in range(100):
    try:
        connection = http.client.HTTPSConnection('localhost', int(port), context=context)
        connection.connect()
        break
    except OSError:
        time.sleep(0.1)
def post(path, body):
    connection.request('POST', path, json.dumps(body), {'Authorization': 'Basic ' + basic})
    return json.loads(connection.getresponse().read())
user = post('/v1/users', {'external_id': 'alice'})['user_id']
print(json.dumps(post('/v1/totps', {'user_id': user})), flush=True)
sys.stdin.read()
";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script, &port.to_string(), &basic]).arg(site.path("keys/ca.pem"));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut client = command.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(client.stdout.take().unwrap()), &mut line)
        .unwrap();
    let made: Value = serde_json::from_str(&line).unwrap();
    let credentials =
        [("the Basic header", basic.into_bytes()), ("the client's secret", app.secret.into_bytes())];
    // rustls decrypts into a buffer that lives as long as the connection (SECURITY.md).
    assert_wiped(&site, &secrets_of(&made));
    drop(client.stdin.take());
    client.wait().unwrap();
    assert_wiped(&site, &[&secrets_of(&made)[..], &credentials].concat());
}
