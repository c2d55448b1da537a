//! Stytch's SDKs, unmodified, call every method: only the base URL differs from Stytch's. The
//! programs are in `tests/sdk`; each has a second part, which runs when the daemon's clock is five
//! minutes later.

use std::path::{Path, PathBuf};
use std::process::Command;
use totpd_e2e::api::Endpoint;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Api, Finished, Site, api};

/// A site for one SDK, and how its application reaches it.
struct SdkSite {
    site: Site,
    port: u16,
    tls: bool,
    app: Api,
}

impl SdkSite {
    #[track_caller]
    fn new(tls: bool) -> Self {
        let site = Site::without_daemon();
        let port = api::free_port();
        if tls {
            api::certificate(&site);
        }
        site.write_config(&configuration(&site, port, tls, "sealed"));
        site.totpd(&["init"]).assert_success();
        site.start();
        let app = Api::add(&site, Endpoint::Tcp(port), "admin");
        // The keys of a new store take half a second, and sessions need them.
        for said in [&format!("the HTTP API answers on 127.0.0.1:{port}"), "\"event\":\"signing-key\""] {
            wait_until(said, || site.log().contains(said));
        }
        Self { site, port, tls, app }
    }

    /// Sets the clock back to two seconds into a time step, whose rest is enough for a program.
    fn fresh_step(&self) {
        self.site.advance(-(self.site.now() - 2).rem_euclid(30));
    }

    /// Runs a program whose environment names the API and the certificate to trust.
    #[track_caller]
    fn run(&self, mut program: Command) -> Finished {
        let scheme = if self.tls { "https://localhost" } else { "http://127.0.0.1" };
        program
            .env("SDK_URL", format!("{scheme}:{}", self.port))
            .env("SDK_PROJECT_ID", &self.app.project_id)
            .env("SDK_SECRET", &self.app.secret)
            .env("SDK_CLOCK", self.site.faults.offset().to_string())
            .env("SDK_FOLDER", &self.site.root);
        // For Node, for Python's requests, and for OpenSSL, which aiohttp, urllib and rustls
        // follow.
        for name in ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"] {
            program.env_remove(name);
            if self.tls {
                program.env(name, self.site.path("keys/ca.pem"));
            }
        }
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            program.env_remove(name);
        }
        let done = run(program, "");
        assert_eq!(done.code, 0, "over TLS: {}\n{}\n{}", self.tls, done.stdout, done.stderr);
        done
    }
}

/// Returns the end of the configuration.
fn configuration(site: &Site, port: u16, tls: bool, recovery_codes: &str) -> String {
    let http = if tls { api::tls(site, port) } else { format!("[http]\nlisten = \"127.0.0.1:{port}\"\n") };
    format!("[totp]\nrecovery_codes = \"{recovery_codes}\"\n{http}")
}

/// Runs both programs of an SDK, with and without TLS.
#[track_caller]
fn walk(program: impl Fn(&str) -> Command) {
    for tls in [true, false] {
        let sdk = SdkSite::new(tls);
        sdk.fresh_step();
        let done = sdk.run(program("walk"));
        assert!(done.stdout.contains("every method went through"), "{done:?}");
        sdk.site.configure(&configuration(&sdk.site, sdk.port, tls, "hashed"));
        sdk.site.advance(301);
        let done = sdk.run(program("later"));
        assert!(done.stdout.contains("and later, too"), "{done:?}");
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
}

#[test]
fn the_node_sdk_works_with_and_without_tls() {
    let folder = folder("node");
    assert!(folder.join("node_modules/stytch").exists(), "scripts/bootstrap.sh test installs it");
    walk(|part| {
        let mut node = Command::new("node");
        node.arg(folder.join(format!("{part}.mjs")));
        node
    });
}

/// Runs the blocking or the async client of the Python SDK.
#[track_caller]
fn python(client: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    assert!(python.exists(), "scripts/bootstrap.sh test makes it");
    walk(|part| {
        let mut command = Command::new(&python);
        // -B writes no compiled files beside the sources.
        command.arg("-B").arg(folder("python").join(format!("{part}.py"))).arg(client);
        command
    });
}

#[test]
fn the_blocking_python_sdk_works_with_and_without_tls() {
    python("sync");
}

#[test]
fn the_async_python_sdk_works_with_and_without_tls() {
    python("async");
}

#[test]
fn the_rust_sdk_works_with_and_without_tls() {
    walk(|part| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_totpd_sdk"));
        program.arg(part);
        program
    });
}
