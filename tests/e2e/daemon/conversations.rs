//! Random and damaged messages in any order: the daemon replies in its format, lets nobody in and
//! goes on.

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use totp_wire::login::Verdict;
use totpd_e2e::Site;
use totpd_e2e::peer::login;

/// Parallel conversations, because each refusal is delayed.
const AT_ONCE: u64 = 16;

/// Marsaglia's xorshift64: the same conversations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn call(random: &mut Random) -> Value {
    let long = "x".repeat(random.below(2_000));
    let user =
        *random.of(&["alice", "bob", "root", "nobody-of-this-name", "", "a\u{0}b", "é", "../x", &long]);
    let code = format!("{:06}", random.below(1_000_000));
    let text = *random.of(&[&code, "0123-4567-89ab-cdef", "", "hunter2", "\u{8}\n\r\u{7f}INCORRECT", &long]);
    let unusable = *random.of(&["empty", "shape", "host_junk", "none-of-these"]);
    let attempt = json!({
        "user": user,
        "service": *random.of(&["sshd", "sudo", "su", "login", "", &long]),
        "rhost": *random.of(&["192.0.2.7", "host.example", "", "::1", &long]),
        "ruser": *random.of(&["root", "bob", ""]),
        "ssh_auth": *random.of(&[&["publickey ssh-ed25519 AAAA"][..], &[], &["none", "password"]]),
        "first_factor": random.below(2) == 0,
        "combined": random.below(2) == 0,
        "silent": random.below(2) == 0,
        "tries": random.below(300),
    });
    let millis = random.below(20_000);
    match random.below(12) {
        0..5 => {
            json!({ "method": "org.totpd.Login.Begin", "parameters": { "attempt": attempt, "remaining_ms": millis } })
        }
        5..8 => {
            json!({ "method": "org.totpd.Login.Answer", "parameters": { "text": text, "remaining_ms": millis } })
        }
        8 => json!({ "method": "org.totpd.Login.Answer", "parameters": { "unusable": unusable } }),
        9 => json!({ "method": "org.varlink.service.GetInfo", "parameters": {} }),
        10 => {
            json!({ "method": format!("org.totpd.Self.{}", random.of(&["Status", "Enroll", "Revoke", "Confirm"])),
                      "parameters": { "code": text, "ticket": text } })
        }
        _ => json!({ "method": "org.totpd.Login.Begin", "parameters": { "attempt": attempt },
                     *random.of(&["oneway", "more", "upgrade"]): true }),
    }
}

/// Returns a few messages, some of them damaged, and a malformed one at the end, after which the
/// daemon hangs up.
fn script(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(5) {
        let mut message = call(random).to_string().into_bytes();
        if random.below(4) == 0 {
            let place = random.below(message.len());
            match random.below(3) {
                0 => message[place] ^= 1 << random.below(8),
                1 => message.truncate(place),
                _ => message.insert(place, *random.of(b"\"{}[],:0\\\x00\xff")),
            }
        }
        bytes.extend(message);
        bytes.push(0);
    }
    bytes.extend(b"}\0");
    bytes
}

/// Asserts that every reply has the format of Varlink and grants nothing.
#[track_caller]
fn assert_valid(answers: &[u8], said: &[u8]) {
    for answer in answers.split_inclusive(|byte| *byte == 0) {
        let Some(text) = answer.strip_suffix(b"\0") else { continue };
        let context = || format!("{}\nto\n{}", String::from_utf8_lossy(text), String::from_utf8_lossy(said));
        let reply: Value = serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}", context()));
        assert!(reply["error"].is_string() || reply["parameters"].is_object(), "{}", context());
        let verdict = &reply["parameters"]["step"]["verdict"];
        assert!(verdict.is_null() || verdict == "denied", "{}", context());
    }
}

#[test]
fn random_conversations_neither_log_in_nor_stop_the_daemon() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let (pid, count) = (site.daemon_pid(), AtomicUsize::new(0));
    let time = Duration::from_secs(totpd_e2e::short_or_long(4, 120));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for number in 1..=AT_ONCE {
            let (site, count) = (&site, &count);
            scope.spawn(move || {
                let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                while start.elapsed() < time {
                    let said = script(&mut random);
                    let socket =
                        *random.of(&["run/login.sock", "run/login.sock", "run/root.sock", "run/admin.sock"]);
                    let mut stream = UnixStream::connect(site.path(socket)).unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    // The daemon may hang up before everything was written.
                    let _ = stream.write_all(&said);
                    let mut answers = Vec::new();
                    if let Err(error) = stream.read_to_end(&mut answers) {
                        assert_eq!(
                            error.kind(),
                            std::io::ErrorKind::ConnectionReset,
                            "the daemon does not hang up"
                        );
                    }
                    assert_valid(&answers, &said);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("{} conversations", count.load(Ordering::Relaxed));
    assert_eq!(site.daemon_pid(), pid);
    assert!(!site.log().contains("panicked"), "{}", site.log());
    // Guesses may have locked a class, and have done nothing else.
    site.totpd(&["unlock", "alice"]).assert_success();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}
