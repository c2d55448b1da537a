//! HTTP/2 frames written by hand (RFC 9113, RFC 7541), which no well-behaved client sends.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use totpd_e2e::api::Endpoint;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, Site, api};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Returns SETTINGS that forbid the server to send any body.
fn no_window() -> Vec<u8> {
    // SETTINGS_INITIAL_WINDOW_SIZE
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
}

/// Returns a field whose name has this index in the static table, with a literal value.
fn literal(index: u8, value: &str) -> Vec<u8> {
    let name = if index < 15 { vec![index] } else { vec![15, index - 15] };
    // An integer of seven bits, and the rest of it.
    let length = match u8::try_from(value.len()).unwrap() {
        short @ 0..127 => vec![short],
        long => vec![127, long - 127],
    };
    [name, length, value.as_bytes().to_vec()].concat()
}

/// Returns a request on a stream. A value has at most 254 bytes.
fn request(api: &Api, stream: u32, path: &str, body: &str) -> Vec<u8> {
    let credentials = api.basic();
    let method = if body.is_empty() { 0x82 } else { 0x83 };
    let fields = [
        vec![method, 0x87],
        literal(4, path),
        literal(1, "localhost"),
        literal(23, &format!("Basic {credentials}")),
    ];
    let end = if body.is_empty() { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, END_HEADERS | end, stream, &fields.concat());
    if !body.is_empty() {
        bytes.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
    }
    bytes
}

/// Opens a connection that sends these bytes and then reads.
fn connected(port: u16, bytes: &[u8]) -> Child {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-alpn", "h2", "-servername", "localhost", "-connect"])
        .arg(format!("127.0.0.1:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    client
}

/// Sends a request by curl. Returns HTTP version and status.
fn status(site: &Site, client: &Api, port: u16, path: &str, body: &str) -> String {
    let credentials = format!("{}:{}", client.project_id, client.secret);
    let mut arguments =
        vec!["--http2", "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"];
    arguments.extend(["--user", &credentials]);
    if !body.is_empty() {
        arguments.extend(["--data", body]);
    }
    api::curl(site, port, path, &arguments).stdout
}

#[test]
fn an_http2_client_with_a_zero_window_is_closed_in_time() {
    let (site, port) = api::tls_site();
    site.start();
    let [deaf, other] = ["enroll", "verify"].map(|scope| Api::add(&site, Endpoint::Tcp(port), scope));
    wait_until("the API answers", || status(&site, &other, port, "/openapi.json", "") == "2 200");
    assert_eq!(status(&site, &deaf, port, "/v1/users", "{\"external_id\":\"alice\"}"), "2 200");
    let start = Instant::now();
    let search = |stream| request(&deaf, stream, "/v1/users/search", "{}");
    let ask =
        [PREFACE, &no_window(), &search(1), &search(3), &request(&deaf, 5, "/v1/users/alice", "")].concat();
    let mut held: Vec<Child> = (0..2).map(|_| connected(port, &ask)).collect();
    // Four large responses are in progress, and nobody else is delayed.
    wait_until("the client has its most large responses in progress", || {
        status(&site, &deaf, port, "/v1/users/search", "{\"limit\":1}") == "2 429"
    });
    assert_eq!(status(&site, &other, port, "/v1/sessions?user_id=alice", ""), "2 200");
    assert_eq!(status(&site, &deaf, port, "/v1/users/alice", ""), "2 200");
    // The daemon closes them, before it could miss the answers to its pings.
    for client in &mut held {
        let mut all = Vec::new();
        client.stdout.as_mut().unwrap().read_to_end(&mut all).unwrap();
        assert!(all.len() > 9, "the headers of the responses arrive");
        client.kill().unwrap();
        client.wait().unwrap();
    }
    let took = start.elapsed();
    assert!((Duration::from_secs(30)..Duration::from_secs(58)).contains(&took), "{took:?}");
    for _ in 0..8 {
        assert_eq!(status(&site, &deaf, port, "/v1/users/search", "{}"), "2 200");
    }
}
