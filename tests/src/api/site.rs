//! Sites that serve the HTTP API.

use crate::Site;
use crate::run::{Finished, run};
use std::process::Command;

/// Returns an `[http]` table that listens on a Unix socket of the site.
pub fn socket(site: &Site) -> String {
    format!("[http]\nlisten = \"{}\"\n", site.path("run/http.sock").display())
}

/// Returns a port of loopback that is free at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Makes a site that serves the API over a Unix socket, with these lines at the end of its
/// configuration.
#[track_caller]
pub fn site(more: &str) -> Site {
    served(Site::without_daemon(), more)
}

/// Makes a site as [`site`] does, whose store is a file also where the tests run on PostgreSQL.
#[track_caller]
pub fn site_on_sqlite(more: &str) -> Site {
    served(Site::on_sqlite(), more)
}

#[track_caller]
fn served(site: Site, more: &str) -> Site {
    site.write_config(&format!("{}{more}", socket(&site)));
    site.totpd(&["init"]).assert_success();
    site.start();
    site
}

/// Makes a site that serves the API on a free port of loopback without TLS. Returns its port as
/// well.
#[track_caller]
pub fn tcp_site(before: &str) -> (Site, u16) {
    let port = free_port();
    let site = Site::with_rules(&format!("{before}[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    (site, port)
}

/// Makes a site that serves the API on a free port of loopback with TLS, and does not start it.
#[track_caller]
pub fn tls_site() -> (Site, u16) {
    let port = free_port();
    let site = Site::without_daemon();
    certificate(&site);
    site.write_config(&tls(&site, port));
    site.totpd(&["init"]).assert_success();
    (site, port)
}

/// Runs `curl` for a path of a site under TLS, trusting the site's authority alone.
pub fn curl(site: &Site, port: u16, path: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "60", "--noproxy", "*", "--cacert"]);
    command.arg(site.path("keys/ca.pem")).args(arguments).arg(format!("https://localhost:{port}{path}"));
    run(command, "")
}

/// Makes a certificate authority of the site (`keys/ca.pem`) if there is none, and a new
/// certificate for localhost and 127.0.0.1 (`keys/cert.pem`, `keys/key.pem`).
#[track_caller]
pub fn certificate(site: &Site) {
    let keys = site.path("keys");
    let script = "
        test -e ca.pem || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=totpd-test-ca \
            -keyout ca.key -out ca.pem 2>/dev/null
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
            -keyout new.key -out leaf.csr 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > leaf.ext
        openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile leaf.ext \
            -out new.pem 2>/dev/null
        mv new.key key.pem; mv new.pem cert.pem";
    let mut command = Command::new("sh");
    command.current_dir(keys).args(["-e", "-c", script]);
    run(command, "").assert_success();
}

/// Returns an `[http]` table that listens on this port of loopback with TLS.
pub fn tls(site: &Site, port: u16) -> String {
    let keys = site.path("keys");
    let keys = keys.display();
    format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\ncertificate = \"{keys}/cert.pem\"\nprivate_key = \"{keys}/key.pem\"\n"
    )
}
