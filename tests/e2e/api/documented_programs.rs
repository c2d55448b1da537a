//! The programs in docs/tutorial/first-application.md, run unchanged with the real SDKs and curl,
//! with and without TLS.

use serde_json::Value;
use std::process::Command;
use totpd_e2e::paths::repository;
use totpd_e2e::phone::Phone;
use totpd_e2e::run::{Finished, run, wait_until};
use totpd_e2e::{Api, Site, api};

/// Returns every code block of the document in this language.
#[track_caller]
fn blocks(language: &str) -> Vec<String> {
    let path = repository().join("docs/tutorial/first-application.md");
    let document = std::fs::read_to_string(path).unwrap();
    let start = format!("```{language}\n");
    let blocks = document.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    let blocks: Vec<String> = blocks.collect();
    assert!(blocks.len() >= 4, "{language}: {} blocks", blocks.len());
    blocks
}

/// Calls the functions of the document with a real phone.
const NODE: &str = r#"
const { execFileSync } = require("child_process");
const assert = require("assert");
const code = (secret, when) => execFileSync("oathtool", ["--totp", "-b", "-N", when, secret]).toString().trim();
(async () => {
  const { user_id: user, page, recovery_codes } = await enroll("alice@example.com", "alice");
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
user, page, recovery_codes = enroll("alice@example.com", "alice")
secret = re.search(r"type (\w+)", page)[1]
first = code(secret, "now -30 seconds")
done = authenticate(user, first)
assert who_is(done["jwt"]) == user
assert authenticate(user, first) == {"refused": "totp_code_already_authenticated"}
assert authenticate("alice", "000000") == {"refused": "unable_to_authenticate_totp"}
assert recover(user, recovery_codes[0])["token"]
print("done", client.sessions.authenticate(session_token=done["token"]).user.external_id)
"#;

/// A site, and a client of it with the scope of the document.
struct Served {
    site: Site,
    app: Api,
    url: String,
}

impl Served {
    #[track_caller]
    fn new(tls: bool) -> Self {
        let (site, port) = if tls { api::tls_site() } else { api::tcp_site("") };
        if tls {
            site.start();
        }
        // As the document says.
        let document = blocks("sh").concat();
        assert!(document.contains("totpd client add shop --scope enroll"), "{document}");
        let app = Api::add(&site, api::Endpoint::Tcp(port), "enroll");
        let said = "\"event\":\"signing-key\"";
        wait_until("the API answers", || app.connect().is_some() && site.log().contains(said));
        let scheme = if tls { "https://localhost" } else { "http://127.0.0.1" };
        Self { site, app, url: format!("{scheme}:{port}") }
    }

    /// Runs a program in the environment of the document.
    #[track_caller]
    fn run(&self, mut command: Command) -> Finished {
        let ca = self.site.path("keys/ca.pem");
        command
            .env("TOTPD_URL", &self.url)
            .env("TOTPD_PROJECT_ID", &self.app.project_id)
            .env("TOTPD_SECRET", &self.app.secret)
            .env("NO_PROXY", "localhost,127.0.0.1")
            .env("NODE_PATH", repository().join("tests/sdk/node/node_modules"));
        for name in ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"] {
            command.env_remove(name);
            if self.url.starts_with("https") {
                command.env(name, &ca);
            }
        }
        run(command, "").assert_success()
    }
}

/// Runs a program of the document with and without TLS.
#[track_caller]
fn works(interpreter: &str, option: &str, program: &str) {
    for tls in [true, false] {
        let mut command = Command::new(interpreter);
        command.arg(option).arg(program);
        assert_eq!(Served::new(tls).run(command).stdout, "done alice\n");
    }
}

#[test]
fn the_documented_node_programs_work() {
    works("node", "-e", &format!("{}{NODE}", blocks("js").join("\n")));
}

#[test]
fn the_documented_python_programs_work() {
    let python = repository().join(".venv/bin/python");
    works(python.to_str().unwrap(), "-c", &format!("{}{PYTHON}", blocks("python").join("\n")));
}

#[test]
fn the_documented_curl_commands_work() {
    let curl: Vec<String> = blocks("sh").into_iter().filter(|block| block.starts_with("curl ")).collect();
    let [health, enroll, authenticate, recover] = curl.as_slice() else { panic!("{curl:?}") };
    for tls in [true, false] {
        let served = Served::new(tls);
        // Every answer is one JSON object.
        let ask = |script: &str| -> Vec<Value> {
            let mut shell = Command::new("sh");
            shell.args(["-e", "-c", script]);
            let printed = served.run(shell).stdout;
            serde_json::Deserializer::from_str(&printed).into_iter().map(Result::unwrap).collect()
        };
        let answers = ask(health);
        assert_eq!(answers.iter().map(|answer| &answer["status"]).collect::<Vec<_>>(), ["ok", "ok"]);
        let answers = ask(enroll);
        assert_eq!(answers[0]["user"]["external_id"], "alice");
        let phone = Phone::from(&answers[1]);
        let verify = authenticate.replace("123456", &phone.code(&served.site));
        let [first, again] = [ask(&verify), ask(&verify)];
        assert!(first[0]["session_jwt"].as_str().is_some_and(|jwt| jwt.len() > 100), "{first:?}");
        assert_eq!(again[0]["error_type"], "totp_code_already_authenticated");
        let recovered = ask(&recover.replace("3BZ9-71NQ-0GKD-W2MA", &phone.recovery_codes[0]));
        assert_eq!(recovered[0]["status_code"], 200, "{recovered:?}");
        // The code of the document is one that is not the user's, and not malformed.
        assert_eq!(ask(recover)[0]["error_type"], "unable_to_authenticate_recovery_code");
    }
}
