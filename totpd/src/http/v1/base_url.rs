//! The URL by which a client knows this server, for the links in its errors.

use crate::http::server::scheme::Scheme;
use axum::extract::Request;
use axum::http::header;

/// The longest host with its port.
const MAX_HOST: usize = 255;

/// Scheme, host and port as the client wrote them, without a path. Empty if there is no host, or it
/// is not one that a link may contain. Only the client itself sees it.
pub(super) fn of(request: &Request) -> String {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let Some(host) = authority.or_else(|| header(header::HOST.as_str())).filter(|host| is_host(host)) else {
        return String::new();
    };
    // A proxy that terminates TLS says so.
    let is_https = request.extensions().get::<Scheme>() == Some(&Scheme::Https)
        || header("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    format!("{}://{host}", if is_https { "https" } else { "http" })
}

fn is_host(host: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn url(scheme: Scheme, uri: &str, fields: &[(&str, &str)]) -> String {
        let request =
            fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        of(&request.extension(scheme).body(Body::empty()).unwrap())
    }

    #[test]
    fn the_url_is_the_one_that_the_client_used() {
        for (host, expected) in [
            ("totp.example.org", "http://totp.example.org"),
            ("127.0.0.1:8420", "http://127.0.0.1:8420"),
            ("[::1]:8420", "http://[::1]:8420"),
            ("", ""),
            ("evil/path", ""),
            ("user@evil", ""),
            ("a b", ""),
            ("\"", ""),
            (&"a".repeat(256), ""),
        ] {
            assert_eq!(url(Scheme::Http, "/v1", &[("host", host)]), expected);
        }
        let host = ("host", "a.example");
        assert_eq!(url(Scheme::Https, "/", &[host]), "https://a.example");
        assert_eq!(url(Scheme::Http, "/", &[host, ("x-forwarded-proto", "https")]), "https://a.example");
        assert_eq!(url(Scheme::Http, "/", &[host, ("x-forwarded-proto", "javascript")]), "http://a.example");
        // HTTP/2 has the host in the URI.
        assert_eq!(url(Scheme::Https, "https://b.example:1/v1", &[]), "https://b.example:1");
        assert_eq!(url(Scheme::Http, "/", &[]), "");
    }
}
