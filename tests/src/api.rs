//! An application: speaks HTTP/1.1 to the site's API as plainly as it can be written, so that tests may also write it
//! wrongly.

use crate::Site;
use crate::phone::Phone;
use crate::run::{run, wait_until};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Where the API is.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of loopback.
    Tcp(u16),
}

/// Credentials, and where to use them.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where.
    pub endpoint: Endpoint,
    /// The user of HTTP's Basic scheme.
    pub project_id: String,
    /// Its password.
    pub secret: String,
    /// Names the secret.
    pub secret_id: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its head.
    pub head: String,
    /// Its body.
    pub json: Value,
}

impl Reply {
    /// The name of the error, or nothing.
    pub fn error(&self) -> &str {
        self.json["error_type"].as_str().unwrap_or_default()
    }

    /// The seconds that it asks to wait.
    #[track_caller]
    pub fn retry_after(&self) -> i64 {
        let line = self.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
        line.unwrap_or_else(|| panic!("{self:?}")).trim().parse().unwrap()
    }

    /// Itself, if it is a good answer.
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// Checks that it is this error, in the form that every error has.
    #[track_caller]
    pub fn assert_error(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.error()), (status, error), "{self:?}");
        assert_eq!(self.json["status_code"], status);
        for field in ["request_id", "error_message", "error_url"] {
            assert!(self.json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
    }
}

/// Both ends of a connection.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Api {
    /// A new client of the site with this scope, over a Unix socket that `[http]` of [`socket`] names.
    pub fn new(site: &Site, scope: &str) -> Self {
        Self::at(site, Endpoint::Unix(site.path("run/http.sock")), scope)
    }

    /// The same, somewhere else.
    #[track_caller]
    pub fn at(site: &Site, place: Endpoint, scope: &str) -> Self {
        let name = format!("app-{scope}");
        let added = site.totpd(&["client", "add", &name, "--scope", scope, "--json"]).assert_success().json();
        let text = |key: &str| added[key].as_str().unwrap().to_owned();
        let api = Self {
            endpoint: place,
            project_id: text("project_id"),
            secret: text("secret"),
            secret_id: text("secret_id"),
        };
        api.wait_until_up();
        api
    }

    /// Waits until the API answers.
    #[track_caller]
    pub fn wait_until_up(&self) {
        let path = format!("/v1/sessions/jwks/{}", self.project_id);
        wait_until("the API answers", || self.connect().is_some() && self.get(&path).status == 200);
    }

    /// A connection, if it can be had.
    pub fn connect(&self) -> Option<Box<dyn Stream>> {
        let patience = Some(Duration::from_mins(2));
        match &self.endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).ok()?;
                stream.set_read_timeout(patience).unwrap();
                Some(Box::new(stream))
            }
            Endpoint::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).ok()?;
                stream.set_read_timeout(patience).unwrap();
                Some(Box::new(stream))
            }
        }
    }

    /// The head line of its credentials.
    pub fn authorization(&self) -> String {
        let text = format!("{}:{}", self.project_id, self.secret);
        format!("Authorization: Basic {}\r\n", BASE64.encode(text.as_bytes()))
    }

    /// Sends these bytes and reads what comes until the end.
    pub fn raw(&self, bytes: &[u8]) -> Option<Reply> {
        let mut stream = self.connect().unwrap();
        // It may have said no before everything was written.
        let _ = stream.write_all(bytes);
        read(&mut *stream)
    }

    /// A request with its credentials.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: totpd\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{}\r\n",
            body.len(),
            self.authorization()
        );
        self.raw(format!("{head}{body}").as_bytes()).unwrap_or_else(|| panic!("{method} {path}: no answer"))
    }

    /// GET
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    /// POST
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &body.to_string())
    }

    /// PUT
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &body.to_string())
    }

    /// DELETE
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, "")
    }

    /// Makes a user with this external id; the user's id.
    #[track_caller]
    pub fn user(&self, external_id: &str) -> String {
        let made = self.post("/v1/users", &json!({ "external_id": external_id })).assert_success();
        made.json["user_id"].as_str().unwrap().to_owned()
    }

    /// Enrolls a user; the id of the enrollment, and the phone.
    #[track_caller]
    pub fn totp(&self, user: &str) -> (String, Phone) {
        let made = self.post("/v1/totps", &json!({ "user_id": user })).assert_success().json;
        let mut document = made.clone();
        document["uri"] = json!("");
        (made["totp_id"].as_str().unwrap().to_owned(), Phone::from(&document))
    }

    /// Verifies a code.
    pub fn authenticate(&self, user: &str, code: &str) -> Reply {
        self.post("/v1/totps/authenticate", &json!({ "user_id": user, "totp_code": code }))
    }

    /// A user who has just confirmed an enrollment; the clock is in a fresh step afterwards.
    #[track_caller]
    pub fn enrolled(&self, site: &Site, external_id: &str) -> (String, Phone) {
        let user = self.user(external_id);
        let (_, phone) = self.totp(&user);
        self.authenticate(&user, &phone.code(site)).assert_success();
        site.next_step();
        (user, phone)
    }
}

/// Reads an answer to its end; `None` when there was none.
pub fn read(stream: &mut dyn Stream) -> Option<Reply> {
    let mut bytes = Vec::new();
    // A reset after the answer is an end, too.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_owned(), json: serde_json::from_str(body).unwrap_or_default() })
}

/// `[http]` over a Unix socket of the site.
pub fn socket(site: &Site) -> String {
    format!("[http]\nlisten = \"{}\"\n", site.path("run/http.sock").display())
}

/// A port of loopback that nobody has at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A site that serves the API: over a Unix socket, with these lines at the end of its configuration.
#[track_caller]
pub fn site(more: &str) -> Site {
    let site = Site::without_daemon();
    site.write("etc/totpd/totpd.toml", &format!("{}{}{more}", site.config(), socket(&site)));
    site.totpd(&["init"]).assert_success();
    site.start();
    site
}

/// An authority of the site's own (`keys/ca.pem`), and a certificate of it for localhost and 127.0.0.1
/// (`keys/cert.pem`, `keys/key.pem`).
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

/// `[http]` under TLS on this port.
pub fn tls(site: &Site, port: u16) -> String {
    let keys = site.path("keys");
    let keys = keys.display();
    format!(
        "[http]\nlisten = \"127.0.0.1:{port}\"\ncertificate = \"{keys}/cert.pem\"\nprivate_key = \"{keys}/key.pem\"\n"
    )
}
