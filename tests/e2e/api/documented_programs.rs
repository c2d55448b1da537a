//! The programs in docs/reference/api.md, run unchanged with the real SDKs over TLS.

use std::process::Command;
use totpd_e2e::paths::repository;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Api, Site, api};

/// Returns every code block of the document in this language.
#[track_caller]
fn blocks(language: &str) -> String {
    let document = std::fs::read_to_string(repository().join("docs/reference/api.md")).unwrap();
    let start = format!("```{language}\n");
    let blocks: Vec<&str> =
        document.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5, "{language}: {} blocks", blocks.len());
    blocks.join("\n")
}

/// Calls the functions of the document with a real phone.
const NODE: &str = r#"
const { execFileSync } = require("child_process");
const assert = require("assert");
const code = (secret, when) => execFileSync("oathtool", ["--totp", "-b", "-N", when, secret]).toString().trim();
(async () => {
  const user = await createUser("alice@example.com", "alice");
  const { page, recovery_codes } = await createTotp(user);
  const secret = page.match(/type (\w+)/)[1];
  const first = code(secret, "now -30 seconds");
  const done = await authenticate(user, first);
  assert.strictEqual(await whoIs(done.jwt), user);
  assert.deepStrictEqual(await authenticate(user, first), { refused: "totp_code_already_authenticated" });
  assert.deepStrictEqual(await authenticate("alice", "000000"), { refused: "unable_to_authenticate_totp" });
  assert.ok((await recover(user, recovery_codes[0])).token);
  console.log("done", (await client.sessions.authenticate({ session_token: done.token })).user.external_id);
})();
"#;

const PYTHON: &str = r#"
import re, subprocess
def code(secret, when):
    return subprocess.check_output(["oathtool", "--totp", "-b", "-N", when, secret], text=True).strip()
user = create_user("alice@example.com", "alice")
page, recovery_codes = create_totp(user)
secret = re.search(r"type (\w+)", page)[1]
first = code(secret, "now -30 seconds")
done = authenticate(user, first)
assert who_is(done["jwt"]) == user
assert authenticate(user, first) == {"refused": "totp_code_already_authenticated"}
assert authenticate("alice", "000000") == {"refused": "unable_to_authenticate_totp"}
assert recover(user, recovery_codes[0])["token"]
print("done", client.sessions.authenticate(session_token=done["token"]).user.external_id)
"#;

#[track_caller]
fn run_program(site: &Site, app: &Api, port: u16, mut command: Command, program: &str) {
    let ca = site.path("keys/ca.pem");
    command
        .arg(program)
        .env("TOTPD_URL", format!("https://localhost:{port}"))
        .env("TOTPD_PROJECT_ID", &app.project_id)
        .env("TOTPD_SECRET", &app.secret)
        .env("NODE_PATH", repository().join("tests/sdk/node/node_modules"))
        .env("NODE_EXTRA_CA_CERTS", &ca)
        .env("REQUESTS_CA_BUNDLE", &ca)
        .env("SSL_CERT_FILE", &ca);
    let ended = run(command, "").assert_success();
    assert_eq!(ended.stdout, "done alice\n");
}

/// Makes a site with TLS, and a client with the scope that the document says is enough.
#[track_caller]
fn served() -> (Site, Api, u16) {
    let (site, port) = api::tls_site();
    site.start();
    let app = Api::add(&site, api::Endpoint::Tcp(port), "enroll");
    wait_until("the API answers", || app.connect().is_some());
    (site, app, port)
}

#[test]
fn the_documented_node_programs_work() {
    let (site, app, port) = served();
    let mut command = Command::new("node");
    command.arg("-e");
    run_program(&site, &app, port, command, &format!("{}{NODE}", blocks("js")));
}

#[test]
fn the_documented_python_programs_work() {
    let (site, app, port) = served();
    let mut command = Command::new(repository().join(".venv/bin/python"));
    command.arg("-c");
    run_program(&site, &app, port, command, &format!("{}{PYTHON}", blocks("python")));
}
