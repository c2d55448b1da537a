//! `error_url` leads to a page of the server itself, which tells strangers what the document does.

use serde_json::json;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Api, api};

/// Sends a request of a stranger with this host, and returns the whole text of the response.
#[track_caller]
fn get(app: &Api, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    let mut stream = app.connect().unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_url_of_an_error_is_a_page_of_this_server() {
    let (site, port) = api::tcp_site("");
    let app = Api::add(&site, api::Endpoint::Tcp(port), "admin");
    wait_until("the API answers", || app.connect().is_some());
    for (path, error) in [
        ("/v1/users/nobody", "user_not_found"),
        ("/v1/users/a%20b", "invalid_user_id"),
        ("/v1/nowhere", "route_not_found"),
        ("/v1/users/totps/x", "method_not_allowed"),
    ] {
        let host = format!("Host: 127.0.0.1:{port}\r\n{}", app.authorization());
        let text = get(&app, path, &host);
        let url = format!("http://127.0.0.1:{port}/errors/{error}");
        assert!(text.contains(&format!("\"error_url\":\"{url}\"")), "{text}");
        assert!(text.contains("cache-control: no-store"), "{text}");
        let curl =
            std::process::Command::new("curl").args(["-sS", "--noproxy", "*", "-i", &url]).output().unwrap();
        let page = String::from_utf8(curl.stdout).unwrap();
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-type: text/plain"), "{page}");
        assert!(page.contains(&format!("\r\n\r\n{error}\n\nStatus: ")), "{page}");
    }
    // Nothing of another host's name reaches a page, and no odd name a link.
    for host in ["", "Host: a/b\r\n", "Host: a\"b\r\n", "Host: <script>\r\n", "Host: user@evil.example\r\n"] {
        let text = get(&app, "/v1/nowhere", host);
        assert!(
            text.contains("\"error_url\":\"/errors/route_not_found\"") || text.contains(" 400 "),
            "{text}"
        );
        assert!(!text.contains("script") && !text.contains("evil"), "{text}");
    }
    let text = get(&app, "/v1/nowhere", "Host: totp.example.org\r\nX-Forwarded-Proto: https\r\n");
    assert!(text.contains("\"error_url\":\"https://totp.example.org/errors/route_not_found\""), "{text}");
    // What is not HTTP has no host.
    let malformed = app.raw(b"NOT HTTP\r\n\r\n").unwrap();
    assert_eq!(malformed.json["error_url"], json!("/errors/bad_request"));
}

#[test]
fn error_pages_show_constants_only() {
    let site = api::site("");
    let app = Api::new(&site, "verify");
    let list = get(&app, "/errors", "Host: x\r\n");
    assert!(list.contains("user_not_found (404): no such user\n"), "{list}");
    for name in ["%3Cscript%3E", "..%2f..%2fetc%2fpasswd", "user_not_found%00", "USER_NOT_FOUND", "x"] {
        let text = get(&app, &format!("/errors/{name}"), "Host: x\r\n");
        assert!(text.starts_with("HTTP/1.1 404") && text.contains("route_not_found"), "{text}");
        assert!(!text.contains("script") && !text.contains("passwd"), "{text}");
    }
    for path in ["/errors", "/errors/user_not_found"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            app.send(method, path, "").assert_error(405, "method_not_allowed");
        }
    }
}

#[test]
fn under_tls_the_url_of_an_error_is_https() {
    let (site, port) = api::tls_site();
    site.start();
    let app = Api::add(&site, api::Endpoint::Tcp(port), "verify");
    wait_until("the API answers", || app.connect().is_some());
    for version in ["--http1.1", "--http2"] {
        let reply = api::curl(&site, port, "/v1/nowhere", &[version]).assert_success();
        let error: serde_json::Value = serde_json::from_str(&reply.stdout).unwrap();
        assert_eq!(error["error_url"], json!(format!("https://localhost:{port}/errors/route_not_found")));
    }
}
