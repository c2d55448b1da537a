//! Addresses and certificates of the API.

use std::process::Command;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Finished, Site, api};

/// Reads the API's description over TLS.
fn curl(site: &Site, port: u16, arguments: &[&str]) -> Finished {
    api::curl(site, port, "/openapi.json", arguments)
}

#[track_caller]
fn wait_until_up(site: &Site, port: u16) {
    wait_until("the API answers over TLS", || curl(site, port, &["--fail"]).code == 0);
}

/// Returns what `openssl s_client` prints about a new connection.
fn shown(port: u16) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-servername", "localhost", "-alpn", "h2,http/1.1", "-connect"]);
    command.arg(format!("127.0.0.1:{port}"));
    run(command, "").stdout
}

fn serial(port: u16) -> String {
    let shown = shown(port);
    let (_, certificate) = shown.split_once("-----BEGIN CERTIFICATE-----").unwrap_or_default();
    certificate.split("-----END").next().unwrap_or_default().to_owned()
}

fn status(site: &Site) -> String {
    site.totpd(&["status"]).stdout
}

#[test]
fn listening_on_a_network_without_tls_is_refused() {
    let site = Site::without_daemon();
    let check = |http: &str| {
        site.write("etc/totpd/totpd.toml", &format!("{}[http]\n{http}\n", site.config()));
        site.totpd(&["config", "check"])
    };
    for (http, why) in [
        ("listen = \"0.0.0.0:1\"", "in the clear"),
        ("listen = \"[::]:8420\"", "in the clear"),
        ("listen = \"192.0.2.1:443\"", "certificate"),
        ("listen = \"localhost:8420\"", "neither an address"),
        ("listen = \"127.0.0.1\"", "neither an address"),
        ("listen = \"http.sock\"", "neither an address"),
        ("listen = \"127.0.0.1:1\"\ncertificate = \"/c.pem\"", "must be set together"),
        ("listen = \"127.0.0.1:1\"\ncertificate = \"c.pem\"\nprivate_key = \"k.pem\"", "absolute"),
        ("certificate = \"/c.pem\"\nprivate_key = \"/k.pem\"", "listen is not"),
        ("listen = \"127.0.0.1:1\"\nconnections = 7", "connections must be 8"),
        ("listen = \"127.0.0.1:1\"\nrequests_per_minute = 0", "requests_per_minute"),
        ("listen = \"127.0.0.1:1\"\nlisten_on = 1", "listen_on"),
    ] {
        let refused = check(http);
        assert_ne!(refused.code, 0, "{http}");
        assert!(refused.stderr.contains(why), "{http}: {refused:?}");
    }
    check("listen = \"127.0.0.1:8420\"").assert_success();
}

#[test]
fn an_unreadable_certificate_stops_the_api_but_not_logins() {
    let (site, port) = api::tls_site();
    let key = site.path("keys/key.pem");
    let good = std::fs::read(&key).unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (bad, word) in [
        (None, "No such file"),
        (Some("not PEM"), "there is none in it"),
        (Some("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), "do not fit"),
        (Some(encrypted), "is encrypted; `openssl pkey"),
    ] {
        match bad {
            None => std::fs::remove_file(&key).unwrap(),
            Some(text) => std::fs::write(&key, text).unwrap(),
        }
        site.start();
        wait_until("the status names the reason", || status(&site).contains("the HTTP API does not answer"));
        let said = status(&site);
        assert!(said.contains(word), "{word}: {said}");
        assert!(said.contains(&key.display().to_string()) && !said.contains("c2VjcmV0"), "{said}");
        assert!(!site.log().contains("c2VjcmV0"));
        site.totpd(&["enroll", "alice", "--json"]).assert_success();
        site.end(nix::sys::signal::Signal::SIGTERM);
    }
    // The fixed key is found without a restart.
    site.start();
    let phone = site.enroll("bob");
    std::fs::write(&key, good).unwrap();
    wait_until_up(&site, port);
    assert!(status(&site).contains("the HTTP API answers on"), "{}", status(&site));
    site.totpd_with(&["verify", "bob"], &phone.code(&site)).assert_success();
}

#[test]
fn a_renewed_certificate_is_reloaded_and_a_broken_one_is_not() {
    let (site, port) = api::tls_site();
    site.start();
    wait_until_up(&site, port);
    let first = serial(port);
    assert!(first.len() > 100, "{first}");
    // A broken renewal: the file is not a certificate.
    let (old, key) = (site.path("keys/cert.pem"), site.path("keys/key.pem"));
    let (kept, kept_key) = (std::fs::read(&old).unwrap(), std::fs::read(&key).unwrap());
    std::fs::write(&old, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    wait_until("the broken renewal is noticed", || site.log().contains("keeps its old certificate"));
    assert_eq!(serial(port), first);
    curl(&site, port, &["--fail"]).assert_success();
    wait_until("the status reports it", || status(&site).contains("with its old certificate: "));
    // A whole renewal is served; half of one, with the wrong key, is not.
    std::fs::write(&old, &kept).unwrap();
    api::certificate(&site);
    wait_until("the renewal is served", || serial(port) != first);
    let second = serial(port);
    curl(&site, port, &["--fail"]).assert_success();
    wait_until("the status reports it", || !status(&site).contains("old certificate"));
    std::fs::write(&key, &kept_key).unwrap();
    let kept_old = || site.log().matches("keeps its old certificate").count();
    wait_until("the key of another certificate is noticed", || kept_old() > 1);
    assert_eq!(serial(port), second);
    curl(&site, port, &["--fail"]).assert_success();
}

#[test]
fn http_2_is_negotiated_by_alpn() {
    let (site, port) = api::tls_site();
    site.start();
    wait_until_up(&site, port);
    assert!(shown(port).contains("ALPN protocol: h2"), "{}", shown(port));
    for (version, says) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = curl(
            &site,
            port,
            &[version, "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"],
        );
        assert_eq!(answer.assert_success().stdout, format!("{says} 200"));
    }
    // Neither versions before TLS 1.2 nor plain HTTP are accepted.
    assert_ne!(curl(&site, port, &["--tls-max", "1.1"]).code, 0);
    let mut plain = Command::new("curl");
    plain.args(["--silent", "--max-time", "10", "--noproxy", "*"]);
    plain.arg(format!("http://localhost:{port}/openapi.json"));
    let plain = run(plain, "");
    assert!(plain.code != 0 && plain.stdout.is_empty(), "{plain:?}");
    // Errors have the same form in HTTP/2.
    let refused = api::curl(&site, port, "/v1/users/alice", &["--http2"]);
    assert_eq!(refused.assert_success().json()["error_type"], "unauthorized_credentials");
}
