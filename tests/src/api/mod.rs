//! A client of the site's HTTP API that writes HTTP/1.1 itself, so that a test can send what is not
//! HTTP as well.

mod site;

pub use site::{certificate, curl, free_port, site, site_on_sqlite, socket, tcp_site, tls, tls_site};

use crate::Site;
use crate::phone::Phone;
use crate::run::wait_until;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where the API listens.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port of loopback.
    Tcp(u16),
}

/// The credentials of an application, and the endpoint where it uses them.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where the API listens.
    pub endpoint: Endpoint,
    /// The user name of HTTP's Basic scheme.
    pub project_id: String,
    /// The password of HTTP's Basic scheme.
    pub secret: String,
    /// The id that `totpd client revoke --secret` takes.
    pub secret_id: String,
}

/// A response of the API.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The status line and the header.
    pub head: String,
    /// The body; null when it is not JSON.
    pub json: Value,
}

impl Reply {
    /// Returns the name of the error; empty when there is none.
    pub fn error(&self) -> &str {
        self.json["error_type"].as_str().unwrap_or_default()
    }

    /// Returns the seconds of its `Retry-After`.
    #[track_caller]
    pub fn retry_after(&self) -> i64 {
        let line = self.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
        line.unwrap_or_else(|| panic!("{self:?}")).trim().parse().unwrap()
    }

    /// Asserts that the status is 200, and returns the response.
    #[expect(clippy::return_self_not_must_use, reason = "often only the check is wanted")]
    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        self
    }

    /// Asserts that it is this error, in the form of every error.
    #[track_caller]
    pub fn assert_error(&self, status: u16, error: &str) {
        assert_eq!((self.status, self.error()), (status, error), "{self:?}");
        assert_eq!(self.json["status_code"], status);
        for field in ["request_id", "error_message", "error_url"] {
            assert!(self.json[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
    }
}

/// A connection to the API.
pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Api {
    /// Adds a client with this scope to a site that [`socket`] configures, and waits until the API
    /// answers.
    #[track_caller]
    pub fn new(site: &Site, scope: &str) -> Self {
        Self::at(site, Endpoint::Unix(site.path("run/http.sock")), scope)
    }

    /// Adds a client with this scope, and waits until the API answers at the endpoint.
    #[track_caller]
    pub fn at(site: &Site, endpoint: Endpoint, scope: &str) -> Self {
        let api = Self::add(site, endpoint, scope);
        api.wait_until_up();
        api
    }

    /// Adds a client with this scope, whose name is `app-SCOPE`. A second one is another secret of
    /// the same client.
    #[track_caller]
    pub fn add(site: &Site, endpoint: Endpoint, scope: &str) -> Self {
        let name = format!("app-{scope}");
        let added = site.totpd(&["client", "add", &name, "--scope", scope, "--json"]).assert_success().json();
        let text = |key: &str| added[key].as_str().unwrap().to_owned();
        let (project_id, secret, secret_id) = (text("project_id"), text("secret"), text("secret_id"));
        Self { endpoint, project_id, secret, secret_id }
    }

    /// Waits until the API answers.
    #[track_caller]
    pub fn wait_until_up(&self) {
        let path = format!("/v1/sessions/jwks/{}", self.project_id);
        wait_until("the API answers", || self.connect().is_some() && self.get(&path).status == 200);
    }

    /// Connects; `None` when nothing listens.
    pub fn connect(&self) -> Option<Box<dyn Stream>> {
        let timeout = Some(Duration::from_mins(2));
        match &self.endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).ok()?;
                stream.set_read_timeout(timeout).unwrap();
                Some(Box::new(stream))
            }
            Endpoint::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).ok()?;
                stream.set_read_timeout(timeout).unwrap();
                Some(Box::new(stream))
            }
        }
    }

    /// Returns project and secret as the Basic scheme encodes them.
    pub fn basic(&self) -> String {
        BASE64.encode(format!("{}:{}", self.project_id, self.secret).as_bytes())
    }

    /// Returns the header field with the credentials.
    pub fn authorization(&self) -> String {
        format!("Authorization: Basic {}\r\n", self.basic())
    }

    /// Returns the request line and a header with credentials and these further fields, each with
    /// its line end.
    pub fn head(&self, method: &str, path: &str, fields: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nHost: totpd\r\n{}{fields}\r\n", self.authorization())
    }

    /// Returns a whole request with credentials, after which the connection stays open.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let length = format!("Content-Length: {}\r\n", body.len());
        format!("{}{body}", self.head(method, path, &length))
    }

    /// Sends these bytes and reads the response until the connection ends; `None` when there is
    /// none.
    #[track_caller]
    pub fn raw(&self, bytes: &[u8]) -> Option<Reply> {
        let mut stream = self.connect().unwrap();
        // The daemon may refuse before everything was written.
        let _ = stream.write_all(bytes);
        read(&mut *stream)
    }

    /// Sends a request with credentials, and returns the response.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let fields = format!(
            "Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        let request = format!("{}{body}", self.head(method, path, &fields));
        self.raw(request.as_bytes()).unwrap_or_else(|| panic!("{method} {path}: no response"))
    }

    /// Sends a GET request.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    /// Sends a POST request.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &body.to_string())
    }

    /// Sends a PUT request.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &body.to_string())
    }

    /// Sends a DELETE request.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, "")
    }

    /// Creates a user with this external id, and returns the user's id.
    #[track_caller]
    pub fn user(&self, external_id: &str) -> String {
        let made = self.post("/v1/users", &json!({ "external_id": external_id })).assert_success();
        made.json["user_id"].as_str().unwrap().to_owned()
    }

    /// Enrolls a user. Returns the id of the enrollment, and the phone.
    #[track_caller]
    pub fn totp(&self, user: &str) -> (String, Phone) {
        let made = self.post("/v1/totps", &json!({ "user_id": user })).assert_success().json;
        (made["totp_id"].as_str().unwrap().to_owned(), Phone::from(&made))
    }

    /// Authenticates a user by a code.
    #[track_caller]
    pub fn authenticate(&self, user: &str, code: &str) -> Reply {
        self.post("/v1/totps/authenticate", &json!({ "user_id": user, "totp_code": code }))
    }

    /// Creates a user with a confirmed enrollment. Returns the user's id and phone; the clock is in
    /// a new time step afterwards.
    #[track_caller]
    pub fn enrolled(&self, site: &Site, external_id: &str) -> (String, Phone) {
        let user = self.user(external_id);
        let (_, phone) = self.totp(&user);
        self.authenticate(&user, &phone.code(site)).assert_success();
        site.next_step();
        (user, phone)
    }
}

/// Reads a response until the connection ends; `None` when there is none.
pub fn read(stream: &mut dyn Stream) -> Option<Reply> {
    let mut bytes = Vec::new();
    // A reset after the response ends it as well.
    let _ = stream.read_to_end(&mut bytes);
    parse(&String::from_utf8_lossy(&bytes))
}

/// Reads one response of a connection that stays open. Its body is the first whole JSON document.
#[track_caller]
pub fn read_open(stream: &mut dyn Stream) -> Reply {
    let (mut text, mut space) = (String::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut space).unwrap();
        assert!(count > 0, "the connection was closed: {text}");
        text += std::str::from_utf8(&space[..count]).unwrap();
        // Only a body that may be whole is parsed: the API's bodies are objects.
        if text.ends_with('}')
            && let Some(reply) = parse(&text).filter(|reply| !reply.json.is_null())
        {
            return reply;
        }
    }
}

fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head: head.to_owned(), json: serde_json::from_str(body).unwrap_or_default() })
}
