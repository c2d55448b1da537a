//! A port that the daemon inherits from systemd: the service itself has no network.

use nix::sys::signal::Signal;
use totp_wire::login::Verdict;
use totpd_e2e::api::{self, Api, Endpoint};
use totpd_e2e::peer::login;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Activation, Site};

/// Starts the daemon in a network namespace of its own, with its sockets and this port.
#[track_caller]
fn start(site: &Site, port: u16) {
    Activation { sockets: &["login", "admin"], port: Some(port), ..Activation::default() }.start(site);
}

fn listening(site: &Site, listen: &str) {
    let http = format!("[http]\nlisten = \"{listen}\"\n");
    site.write_config(&http);
}

#[test]
fn an_inherited_port_is_served_without_network_access() {
    let site = Site::on_sqlite();
    let port = api::free_port();
    listening(&site, &format!("127.0.0.1:{port}"));
    site.totpd(&["init"]).assert_success();
    start(&site, port);
    let app = Api::at(&site, Endpoint::Tcp(port), "admin");
    let (_, phone) = app.enrolled(&site, "alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    assert!(
        site.totpd(&["status"])
            .assert_success()
            .stdout
            .contains(&format!("the HTTP API answers on 127.0.0.1:{port}"))
    );
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
}

/// Asserts that a connection is closed at once.
#[track_caller]
fn assert_closed(port: u16) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut byte = [0];
    let read = std::io::Read::read(&mut stream, &mut byte);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(matches!(&read, Ok(0)) || read.as_ref().is_err_and(reset), "{read:?}");
}

#[test]
fn an_invalid_http_table_disables_the_api_but_not_logins() {
    for (http, why) in [
        ("[http]\nlisten = \"0.0.0.0:1\"\n", "in the clear"),
        ("[http]\nlistn = \"127.0.0.1:1\"\n", "unknown field `listn`"),
        ("http = 7\n", "must be a table"),
        ("", "http.listen is not set"),
    ] {
        let site = Site::on_sqlite();
        site.write_config(http);
        site.totpd(&["init"]).assert_success();
        let port = api::free_port();
        start(&site, port);
        assert!(site.totpd(&["status"]).assert_success().stdout.contains("the HTTP API "), "from the start");
        wait_until("status names the reason", || {
            site.totpd(&["status"]).assert_success().stdout.contains(why)
        });
        assert_closed(port);
        let phone = site.enroll("alice");
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
        // A start ignores the broken table; a reload and `config check` refuse it.
        assert_eq!(site.totpd(&["config", "check"]).code, i32::from(!http.is_empty()), "{http}");
        if !http.is_empty() {
            site.signal(Signal::SIGHUP);
            wait_until("the reload is refused", || {
                site.log().contains("the old configuration stays in force")
            });
        }
    }
}

#[test]
fn an_inherited_port_other_than_configured_is_not_served() {
    let site = Site::on_sqlite();
    let port = api::free_port();
    // The inherited port could be reachable from the network, where the configuration says
    // loopback.
    listening(&site, "127.0.0.1:1");
    site.totpd(&["init"]).assert_success();
    start(&site, port);
    let why = format!("http.listen names 127.0.0.1:1, and totpd-http.socket listens on 127.0.0.1:{port}");
    wait_until("status says so", || site.totpd(&["status"]).assert_success().stdout.contains(&why));
    assert_closed(port);
    // Refused connections do not change the reported reason.
    assert!(site.totpd(&["status"]).assert_success().stdout.contains(&why));
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}
