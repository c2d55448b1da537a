//! Requests that are too large: the refusal arrives, and nothing is kept.

use super::fixture::Fixture;
use serde_json::json;
use std::io::{Read as _, Write as _};
use totpd_e2e::api::Endpoint;
use totpd_e2e::{Api, api};

const LIMIT: usize = 64 * 1024;

/// A site that listens on a port of loopback, and a client.
#[track_caller]
fn tcp() -> (totpd_e2e::Site, Api) {
    let (site, port) = api::tcp_site("");
    let app = Api::at(&site, Endpoint::Tcp(port), "admin");
    (site, app)
}

fn head(api: &Api, path: &str, more: &str) -> String {
    api.head("POST", path, &format!("Connection: close\r\n{more}"))
}

/// Returns a request whose body comes in chunks of this size.
fn chunked(api: &Api, path: &str, body: &str, piece: usize) -> Vec<u8> {
    let mut bytes = head(api, path, "Transfer-Encoding: chunked\r\n").into_bytes();
    for piece in body.as_bytes().chunks(piece) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// Pads an object to this many bytes.
fn padded(body: &str, length: usize) -> String {
    format!("{body}{}", " ".repeat(length - body.len()))
}

#[test]
fn a_large_body_is_refused_with_or_without_content_length() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("size", |code, _| {
        for path in ["/v1/users", "/v1/totps/authenticate", "/v1/sessions/authenticate"] {
            let body =
                json!({ "user_id": fixture.alice.id, "totp_code": code, "external_id": "new" }).to_string();
            for length in [LIMIT + 1, 1_000_000] {
                let large = padded(&body, length);
                fixture.admin.send("POST", path, &large).assert_error(413, "bad_request");
                for piece in [1_000, LIMIT * 2] {
                    let reply = fixture.admin.raw(&chunked(&fixture.admin, path, &large, piece)).unwrap();
                    reply.assert_error(413, "bad_request");
                }
            }
            // The announced length is enough.
            let promised = head(&fixture.admin, path, "Content-Length: 9999999999\r\n");
            fixture.admin.raw(promised.as_bytes()).unwrap().assert_error(413, "bad_request");
        }
    });
    // What fits is read, in one piece or many.
    let body = json!({ "limit": 1 }).to_string();
    fixture.admin.send("POST", "/v1/users/search", &padded(&body, LIMIT)).assert_success();
    for piece in [1, 7, 1_000] {
        let bytes = chunked(&fixture.admin, "/v1/users/search", &padded(&body, LIMIT / 16), piece);
        assert_eq!(fixture.admin.raw(&bytes).unwrap().status, 200);
    }
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn over_tcp_the_refusal_of_a_large_request_arrives() {
    let (site, app) = tcp();
    for _ in 0..totpd_e2e::short_or_long(5, 20) {
        let large = padded("{}", 300_000);
        app.send("POST", "/v1/users", &large).assert_error(413, "bad_request");
        app.raw(&chunked(&app, "/v1/users", &large, 10_000)).unwrap().assert_error(413, "bad_request");
        let endless = format!("GET / HTTP/1.1\r\nX-Long: {large}");
        app.raw(endless.as_bytes()).unwrap().assert_error(431, "bad_request");
    }
    assert!(site.log().contains("answers on 127.0.0.1"));
}

#[test]
fn an_oversized_or_malformed_header_is_refused_and_harmless() {
    let fixture = Fixture::new("");
    fixture.assert_unchanged("heads", |_, _| {
        let get = |more: &str| {
            fixture.admin.head("GET", "/v1/users/alice", &format!("Connection: close\r\n{more}"))
        };
        for (status, bytes) in [
            (431, get(&format!("X-Long: {}\r\n", "a".repeat(300_000)))),
            (431, get(&"X-Many: a\r\n".repeat(1_000))),
            (414, format!("GET /v1/users/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000))),
            (400, "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned()),
            (400, "GET /v1/users/alice HTTP/9.9\r\nHost: x\r\n\r\n".to_owned()),
            (400, "GET\r\n\r\n".to_owned()),
            (400, "GET /v1/users/alice\u{e4} HTTP/1.1\r\nHo st: x\r\n\r\n".to_owned()),
            (400, get("Content-Length: 5\r\nContent-Length: 6\r\n")),
            (400, get("Content-Length: -1\r\n")),
            (400, get("Content-Length: 1x\r\n")),
            (400, get("Transfer-Encoding: chunked, identity\r\n")),
        ] {
            // A malformed request is refused in the form of every error.
            fixture.admin.raw(bytes.as_bytes()).unwrap().assert_error(status, "bad_request");
        }
    });
    fixture.assert_no_secret_logged(&[]);
}

#[test]
fn a_malformed_request_is_refused_after_the_earlier_answers() {
    let (_site, app) = tcp();
    for before in [1, 20] {
        let mut stream = app.connect().unwrap();
        let good = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(before);
        stream.write_all(format!("{good}NONSENSE\r\n\r\n{good}").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), before);
        let (answers, refusal) = text.split_once("HTTP/1.1 400 Bad Request\r\n").unwrap();
        assert!(answers.trim_end().ends_with('}'), "an answer was cut short");
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(head.contains("connection: close") && body["error_type"] == "bad_request", "{refusal}");
    }
}
