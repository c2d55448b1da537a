//! Load on the HTTP API, with the same client for totpd and for a bare axum handler.
//!
//! - `bare PORT` serves a constant of the size of a response.
//! - `enroll PORT CREDENTIALS N` creates users, and prints `user_id secret` of each.
//! - `load PORT CREDENTIALS CONNECTIONS` sends the requests of standard input over connections that
//!   it keeps. A line is `METHOD PATH`, or `METHOD PATH BODY`. It prints
//!   `p10 p50 p90 p99 requests/s failed`, times in microseconds.
//! - `neighbour PORT FLOODER ASKER CONNECTIONS PATH BODY USER` prints `p50 p99` of `users.get` by
//!   one client, alone and while another one posts over its connections.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a benchmark prints, and ends when it cannot go on"
)]

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};
use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Bytes of a response to a verified code without a session.
const RESPONSE_BYTES: usize = 900;

/// A connection that stays open, and the credentials of its requests.
struct Client {
    stream: BufReader<TcpStream>,
    authorization: String,
}

impl Client {
    async fn new(port: u16, credentials: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let authorization = data_encoding::BASE64.encode(credentials.as_bytes());
        Self { stream: BufReader::new(stream), authorization }
    }

    /// Sends a request. Returns status and body of the response.
    async fn post(&mut self, path: &str, body: &str) -> (u16, Vec<u8>) {
        self.send("POST", path, body).await
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).await.expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("the server answers"));
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).await.expect("the server answers whole");
        (status, body)
    }
}

async fn bare(port: u16) {
    let constant =
        || async { axum::Json(json!({ "status_code": 200, "filler": "x".repeat(RESPONSE_BYTES - 40) })) };
    let app = Router::new().route("/v1/totps/authenticate", post(constant));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
    axum::serve(listener, app).await.expect("it serves");
}

async fn enroll(port: u16, credentials: &str, users: usize) {
    let mut client = Client::new(port, credentials).await;
    for number in 0..users {
        let user = json!({ "email": format!("b{number}@example.com") }).to_string();
        let (_, made) = client.post("/v1/users", &user).await;
        let made: Value = serde_json::from_slice(&made).expect("JSON");
        let (_, totp) = client.post("/v1/totps", &json!({ "user_id": made["user_id"] }).to_string()).await;
        let totp: Value = serde_json::from_slice(&totp).expect("JSON");
        println!(
            "{} {}",
            made["user_id"].as_str().expect("a user"),
            totp["secret"].as_str().expect("a secret")
        );
    }
}

/// One request of `load`.
struct Request {
    method: String,
    path: String,
    body: String,
}

impl Request {
    /// Reads `METHOD PATH` and, if there is one, the body after another blank.
    fn parse(line: &str) -> Self {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Self { method: word(), path: word(), body: word() }
    }
}

async fn load(port: u16, credentials: &str, connections: usize) {
    let lines = std::io::stdin().lock().lines().map_while(Result::ok);
    let requests: Vec<Arc<Request>> = lines.map(|line| Arc::new(Request::parse(&line))).collect();
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::new(port, credentials).await);
    }
    let start = Instant::now();
    let tasks = clients.into_iter().enumerate().map(|(number, mut client)| {
        let mine: Vec<_> = requests.iter().skip(number).step_by(connections).cloned().collect();
        tokio::spawn(async move {
            let mut times = Vec::with_capacity(mine.len());
            let mut failed = 0_usize;
            for request in mine {
                let sent = Instant::now();
                let (status, body) = client.send(&request.method, &request.path, &request.body).await;
                times.push(sent.elapsed());
                if status != 200 {
                    failed += 1;
                    eprintln!("{status}: {}", String::from_utf8_lossy(&body));
                }
            }
            (times, failed)
        })
    });
    let (mut times, mut failed) = (Vec::new(), 0);
    for task in tasks.collect::<Vec<_>>() {
        let (mine, missed) = task.await.expect("no task panics");
        times.extend(mine);
        failed += missed;
    }
    let took = start.elapsed();
    times.sort_unstable();
    let at = |share: usize| {
        times.get(times.len() * share / 100).copied().unwrap_or(Duration::ZERO).as_secs_f64() * 1e6
    };
    let rate = u128::try_from(times.len()).unwrap_or(0) * 1_000_000 / took.as_micros().max(1);
    println!("{:.1} {:.1} {:.1} {:.1} {rate} {failed}", at(10), at(50), at(90), at(99));
}

/// How long `neighbour` measures, before the flood and during it.
const MEASUREMENT: Duration = Duration::from_secs(5);

/// Measures one client that reads its user again and again: alone, and while another client posts
/// `body` to `path` over this many connections.
async fn neighbour(
    port: u16,
    flooder: &str,
    asker: &str,
    connections: usize,
    path: &str,
    body: &str,
    user: &str,
) {
    let mut client = Client::new(port, asker).await;
    let get = format!("/v1/users/{user}");
    let alone = measure(&mut client, &get).await;
    let flood: Vec<_> = (0..connections)
        .map(|_| {
            let (flooder, path, body) = (flooder.to_owned(), path.to_owned(), body.to_owned());
            tokio::spawn(async move {
                let mut client = Client::new(port, &flooder).await;
                loop {
                    client.post(&path, &body).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(MEASUREMENT / 5).await;
    let beside = measure(&mut client, &get).await;
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    println!("{alone} {beside}");
}

/// Returns `p50 p99` in microseconds.
async fn measure(client: &mut Client, path: &str) -> String {
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < MEASUREMENT {
        let sent = Instant::now();
        let (status, _) = client.send("GET", path, "").await;
        assert_eq!(status, 200, "the neighbour is answered");
        times.push(sent.elapsed().as_micros());
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
    format!("{} {}", at(50), at(99))
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match words.as_slice() {
        ["bare", port] => bare(port.parse().expect("a port")).await,
        ["enroll", port, credentials, users] => {
            enroll(port.parse().expect("a port"), credentials, number(users)).await;
        }
        ["load", port, credentials, connections] => {
            load(port.parse().expect("a port"), credentials, number(connections)).await;
        }
        ["neighbour", port, flooder, asker, connections, path, body, user] => {
            neighbour(port.parse().expect("a port"), flooder, asker, number(connections), path, body, user)
                .await;
        }
        _ => println!(
            "bare PORT | neighbour PORT FLOODER ASKER CONNECTIONS PATH BODY USER | enroll PORT CREDENTIALS N | load PORT CREDENTIALS CONNECTIONS"
        ),
    }
}
