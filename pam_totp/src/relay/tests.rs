//! The relay against a scripted host and a scripted daemon. Either fails if its script is not used
//! up.

use super::*;
use crate::host::{Item, NoConversation, Process};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use totp_wire::login::Style;

/// What a host is expected to be asked, and what it answers.
enum Ask {
    Prompt(&'static str, Result<Option<&'static [u8]>, NoConversation>),
    Show(&'static str),
    Authtok(Option<&'static [u8]>),
    SetAuthtok(&'static [u8]),
}

struct Script {
    asks: VecDeque<Ask>,
    log: Vec<String>,
    delayed: bool,
    tty: Option<&'static str>,
    failure_refuses: bool,
}

fn script(asks: impl IntoIterator<Item = Ask>) -> Script {
    Script { asks: asks.into_iter().collect(), log: vec![], delayed: false, tty: None, failure_refuses: true }
}

impl Drop for Script {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.asks.is_empty(), "{} asks were left", self.asks.len());
    }
}

impl Host for Script {
    fn fail_delay(&mut self, _: u32) {
        self.delayed = true;
    }
    fn user(&mut self) -> Result<String, NoConversation> {
        Ok("alice".into())
    }
    fn item(&mut self, item: Item) -> Option<String> {
        match item {
            Item::Service => Some("sshd".into()),
            Item::Tty => self.tty.map(str::to_owned),
            Item::Ruser | Item::Rhost => None,
        }
    }
    fn ssh_auth_info(&mut self) -> Option<String> {
        Some("publickey ssh-ed25519 AAAA\n".into())
    }
    fn process(&mut self) -> Process {
        let parent = Some(totp_wire::login::Process { pid: 600, started: 9 });
        Process { real_uid: 5001, login_uid: Some(5002), audit_session: Some(7), started: Some(99), parent }
    }
    fn authtok(&mut self) -> Option<Typed> {
        match self.asks.pop_front() {
            Some(Ask::Authtok(token)) => token.map(|t| Zeroizing::new(t.to_vec())),
            _ => panic!("the password was asked for"),
        }
    }
    fn set_authtok(&mut self, password: &[u8]) -> bool {
        match self.asks.pop_front() {
            Some(Ask::SetAuthtok(expected)) => assert_eq!(password, expected),
            _ => panic!("a password was set"),
        }
        true
    }
    fn failure_refuses(&mut self) -> bool {
        self.failure_refuses
    }
    fn prompt(&mut self, text: &str, _: Echo) -> Result<Option<Typed>, NoConversation> {
        match self.asks.pop_front() {
            Some(Ask::Prompt(expected, answer)) => {
                assert_eq!(text, expected);
                answer.map(|bytes| bytes.map(|b| Zeroizing::new(b.to_vec())))
            }
            _ => panic!("unexpected prompt: {text}"),
        }
    }
    fn show(&mut self, _: Style, text: &str) {
        match self.asks.pop_front() {
            Some(Ask::Show(expected)) => assert_eq!(text, expected),
            _ => panic!("unexpected message: {text}"),
        }
    }
    fn log(&mut self, _: Level, text: &str) {
        self.log.push(text.to_owned());
    }
}

/// A daemon that answers each message with the next of `replies`, and what it was sent. `None`
/// hangs up, and [`UNREAD`] does so before it has read the message.
struct Daemon {
    _folder: tempfile::TempDir,
    path: PathBuf,
    seen: std::thread::JoinHandle<Vec<String>>,
}

fn daemon(replies: Vec<Option<&'static str>>) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut replies = replies.into_iter();
        while replies.len() > 0 {
            let mut stream = listener.accept().unwrap().0;
            loop {
                if replies.as_slice().first() == Some(&UNREAD) {
                    replies.next();
                    stream.read_exact(&mut [0]).unwrap();
                    break;
                }
                let Some(message) = read(&mut stream) else { break };
                seen.push(message);
                match replies.next() {
                    Some(Some(reply)) => stream.write_all(format!("{reply}\0").as_bytes()).unwrap(),
                    _ => break,
                }
            }
        }
        seen
    });
    Daemon { _folder: folder, path, seen }
}

fn read(stream: &mut impl Read) -> Option<String> {
    let mut message = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) if byte[0] == 0 => return String::from_utf8(message).ok(),
            Ok(1) => message.push(byte[0]),
            _ => return None,
        }
    }
}

/// The daemon is stopped before it has read the whole message that has arrived.
const UNREAD: Option<&str> = Some("unread");
const ASK: Option<&str> = Some(
    r#"{"parameters":{"step":{"id":"7","messages":[],"prompt":{"text":"Code: ","echo":false,"accept":"code","max_len":64,"digits":6}}}}"#,
);
const GRANTED: Option<&str> = Some(
    r#"{"parameters":{"step":{"id":"7","messages":[{"style":"info","text":"2 left"}],"verdict":"granted"}}}"#,
);
const EXEMPT: Option<&str> = Some(r#"{"parameters":{"step":{"id":"7","messages":[],"verdict":"exempt"}}}"#);
const DENIED: Option<&str> = Some(r#"{"parameters":{"step":{"id":"7","messages":[],"verdict":"denied"}}}"#);

fn run(daemon: Daemon, host: &mut Script, args: &str, silent: bool) -> (Outcome, Vec<String>) {
    let me = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&daemon.path).unwrap());
    let line = format!("socket={} server_uid={me} timeout=5 {args}", daemon.path.display());
    let words: Vec<_> = line.split_whitespace().map(|w| std::ffi::CString::new(w).unwrap()).collect();
    let words: Vec<&CStr> = words.iter().map(AsRef::as_ref).collect();
    let messages = if silent { Messages::Silent } else { Messages::Shown };
    let outcome = authenticate(host, &words, messages);
    assert!(host.delayed || args.contains("nodelay"));
    (outcome, daemon.seen.join().unwrap())
}

fn typed(text: &'static [u8]) -> Ask {
    Ask::Prompt("Code: ", Ok(Some(text)))
}

#[test]
fn a_code_is_relayed_and_the_verdict_returned() {
    let mut host = script([typed(b"123 456"), Ask::Show("2 left")]);
    let (outcome, seen) = run(daemon(vec![ASK, GRANTED]), &mut host, "", false);
    assert_eq!(outcome, Outcome::Granted);
    assert!(seen[0].contains(r#""ssh_auth":["publickey ssh-ed25519 AAAA"]"#), "{}", seen[0]);
    assert!(seen[0].contains(r#""started":99,"parent":{"pid":600,"started":9}"#), "{}", seen[0]);
    assert!(seen[1].contains(r#""text":"123 456""#));
}

#[test]
fn exempt_is_not_granted() {
    assert_eq!(run(daemon(vec![EXEMPT]), &mut script([]), "", false).0, Outcome::Exempt);
}

#[test]
fn silence_drops_messages_and_keeps_prompts() {
    let mut host = script([typed(b"123456")]);
    assert_eq!(run(daemon(vec![ASK, GRANTED]), &mut host, "", true).0, Outcome::Granted);
}

#[test]
fn an_input_that_is_not_a_code_is_never_sent() {
    for (text, word) in [
        (&b"hunter2"[..], "shape"),
        (b"", "empty"),
        (b"\x08\n\r\x7fINCORRECT", "host_junk"),
        (b"\xff\xfe", "shape"),
    ] {
        let mut host = script([typed(text)]);
        let (outcome, seen) = run(daemon(vec![ASK, DENIED]), &mut host, "", false);
        assert_eq!(outcome, Outcome::Denied);
        assert!(seen[1].contains(&format!(r#""unusable":"{word}""#)), "{}", seen[1]);
        assert!(!seen[1].contains("text"), "{}", seen[1]);
    }
}

#[test]
fn a_failed_conversation_and_a_null_response_end_the_attempt() {
    for answer in [Ok(None), Err(NoConversation)] {
        let mut host = script([Ask::Prompt("Code: ", answer)]);
        assert_eq!(run(daemon(vec![ASK]), &mut host, "", false).0, Outcome::NoConversation);
    }
}

#[test]
fn messages_count_as_read_by_enter_alone_and_let_in_without_it() {
    const READ: Option<&str> = Some(
        r#"{"parameters":{"step":{"id":"7","messages":[{"style":"error","text":"Was it you?"}],"prompt":{"text":"Go on: ","echo":true,"accept":"confirm","max_len":64,"digits":6}}}}"#,
    );
    for (answer, sent) in [
        (Ok(Some(&b""[..])), "\"text\":\"\""),
        // A program that fills in every field, as OpenVPN's plugin does.
        (Ok(Some(b"alice")), "\"unusable\":\"shape\""),
        // sshd's password method, which has one field.
        (Err(NoConversation), "\"unusable\":\"empty\""),
        (Ok(None), "\"unusable\":\"empty\""),
    ] {
        let question = Ask::Prompt("Go on: ", answer);
        let mut host = script([typed(b"123456"), Ask::Show("Was it you?"), question, Ask::Show("2 left")]);
        let (outcome, seen) = run(daemon(vec![ASK, READ, GRANTED]), &mut host, "", false);
        assert_eq!(outcome, Outcome::Granted);
        assert!(seen[2].contains(sent) && !seen[2].contains("alice"), "{}", seen[2]);
    }
}

#[test]
fn several_tries_end_in_maxtries() {
    let mut host = script([typed(b"111111"), typed(b"222222")]);
    assert_eq!(run(daemon(vec![ASK, ASK, DENIED]), &mut host, "tries=2", false).0, Outcome::TriesUsedUp);
}

#[test]
fn a_daemon_that_asks_forever_is_abandoned() {
    let asks = (0..MAX_PROMPTS).map(|_| typed(b"123456"));
    let mut host = script(asks.chain([Ask::Show(UNAVAILABLE)]));
    let replies = vec![ASK; usize::from(MAX_PROMPTS) + 1];
    assert_eq!(run(daemon(replies), &mut host, "", false).0, Outcome::Failed);
}

#[test]
fn a_daemon_that_restarts_before_the_answer_is_asked_again() {
    // It hangs up on Begin, read or not, and again after the code was sent and before it was read:
    // the same code goes to the next one.
    for begin in [None, UNREAD] {
        let mut host = script([typed(b"123456"), Ask::Show("2 left")]);
        let replies = vec![begin, ASK, UNREAD, ASK, GRANTED];
        let (outcome, seen) = run(daemon(replies), &mut host, "", false);
        assert_eq!(outcome, Outcome::Granted, "{begin:?}");
        assert_eq!(seen.iter().filter(|message| message.contains("123456")).count(), 1, "{begin:?}");
    }
}

#[test]
fn a_daemon_that_restarts_twice_or_too_late_refuses() {
    let mut host = script([typed(b"123456"), Ask::Show(UNAVAILABLE)]);
    let (outcome, _) = run(daemon(vec![ASK, UNREAD, ASK, UNREAD]), &mut host, "", false);
    assert_eq!(outcome, Outcome::Failed);
    // The next daemon would not know what the first answer was.
    let mut host = script([typed(b"111111"), typed(b"222222"), Ask::Show(UNAVAILABLE)]);
    let (outcome, seen) = run(daemon(vec![ASK, ASK, UNREAD]), &mut host, "tries=2", false);
    assert_eq!((outcome, seen.len()), (Outcome::Failed, 2));
}

#[test]
fn a_restarted_daemon_may_ask_in_other_words_and_nothing_else() {
    let (text, echo, accept) = ("Not accepted. Code: ".to_owned(), false, Accept::Code);
    let shown = Prompt { text, echo, accept, max_len: 64, digits: 6 };
    let asks = |prompt: Prompt| {
        let step =
            Step { id: "8".into(), messages: vec![], prompt: Some(prompt), verdict: None, known: None };
        asks_the_same(&step, &shown)
    };
    assert!(asks(Prompt { text: "Code: ".into(), ..shown.clone() }));
    for other in [
        Prompt { accept: Accept::Text, ..shown.clone() },
        Prompt { echo: true, ..shown.clone() },
        Prompt { digits: 8, ..shown.clone() },
        Prompt { max_len: 512, ..shown.clone() },
    ] {
        assert!(!asks(other.clone()), "{other:?}");
    }
}

#[test]
fn an_answer_that_was_sent_is_never_sent_again() {
    let mut host = script([typed(b"123456"), Ask::Show(UNAVAILABLE)]);
    let (outcome, seen) = run(daemon(vec![ASK, None]), &mut host, "", false);
    assert_eq!((outcome, seen.len()), (Outcome::Failed, 2));
}

#[test]
fn forward_pass_hands_the_password_on_before_the_verdict() {
    let mut host = script([typed(b"hunter2123456"), Ask::SetAuthtok(b"hunter2")]);
    let (outcome, seen) = run(daemon(vec![ASK, DENIED]), &mut host, "forward_pass", false);
    assert_eq!(outcome, Outcome::Denied);
    assert!(seen[0].contains(r#""combined":true"#));
    assert!(seen[1].contains(r#""text":"123456""#) && !seen[1].contains("hunter2"));

    let mut host = script([typed(b"hunter2"), Ask::SetAuthtok(b"hunter2")]);
    let (outcome, seen) = run(daemon(vec![ASK, DENIED]), &mut host, "forward_pass", false);
    assert_eq!(outcome, Outcome::Denied);
    assert!(seen[1].contains(r#""unusable":"shape""#) && !seen[1].contains("hunter2"));
}

#[test]
fn use_first_pass_never_prompts_and_try_first_pass_does() {
    let mut host = script([Ask::Authtok(Some(b"123456")), Ask::Show("2 left")]);
    assert_eq!(run(daemon(vec![ASK, GRANTED]), &mut host, "use_first_pass", false).0, Outcome::Granted);

    for token in [None, Some(&b"hunter2"[..])] {
        let mut host = script([Ask::Authtok(token)]);
        let (outcome, seen) = run(daemon(vec![ASK, DENIED]), &mut host, "use_first_pass", false);
        assert_eq!(outcome, Outcome::Denied);
        assert!(seen[1].contains("unusable"));
    }

    let mut host = script([Ask::Authtok(Some(b"hunter2")), typed(b"123456"), Ask::Show("2 left")]);
    assert_eq!(run(daemon(vec![ASK, GRANTED]), &mut host, "try_first_pass", false).0, Outcome::Granted);
}

#[test]
fn each_error_of_the_daemon_has_its_outcome() {
    let error = |name: &str| -> Option<&'static str> {
        Some(Box::leak(format!(r#"{{"error":"org.totpd.Login.{name}","parameters":{{}}}}"#).into_boxed_str()))
    };
    for (name, expected) in [
        ("StoreUnavailable", Outcome::Unavailable),
        ("Busy", Outcome::Failed),
        ("TimedOut", Outcome::Failed),
        ("OutOfOrder", Outcome::Failed),
        ("Unheard", Outcome::Failed),
    ] {
        let mut host = script([Ask::Show(UNAVAILABLE)]);
        assert_eq!(run(daemon(vec![error(name)]), &mut host, "", false).0, expected, "{name}");
    }
}

#[test]
fn where_messages_are_not_shown_a_prompt_tells_of_the_failure() {
    // Whatever is typed there grants nothing, and is sent to nobody.
    for answer in [Ok(Some(&b""[..])), Ok(Some(b"123456")), Ok(None), Err(NoConversation)] {
        let mut host = script([typed(b"123456"), Ask::Prompt(UNAVAILABLE_PROMPT, answer)]);
        let (outcome, seen) = run(daemon(vec![ASK, None]), &mut host, "", true);
        assert_eq!((outcome, seen.len()), (Outcome::Failed, 2));
        let mut host = script([Ask::Prompt(UNAVAILABLE_PROMPT, answer)]);
        host.tty = Some("ssh");
        let (outcome, seen) = run(daemon(vec![None, None]), &mut host, "", false);
        assert_eq!((outcome, seen.len()), (Outcome::Failed, 2));
    }
    let mut host = script([Ask::Authtok(Some(b"123456"))]);
    assert_eq!(run(daemon(vec![ASK, None]), &mut host, "use_first_pass", true).0, Outcome::Failed);
    // Where the login may go on without the module, a program that cannot answer must get in.
    let mut host = script([]);
    host.failure_refuses = false;
    assert_eq!(run(daemon(vec![None, None]), &mut host, "", true).0, Outcome::Failed);
}

#[test]
fn a_bad_argument_refuses_before_any_question() {
    let mut host = script([]);
    assert_eq!(authenticate(&mut host, &[c"nullok"], Messages::Shown), Outcome::Broken);
    assert!(host.delayed);
    assert!(host.log[0].contains("nullok"));
}

#[test]
fn a_name_is_logged_only_if_the_daemon_knows_it() {
    let known = r#"{"parameters":{"step":{"id":"7","messages":[],"verdict":"denied","known":true}}}"#;
    let unknown = r#"{"parameters":{"step":{"id":"7","messages":[],"verdict":"denied","known":false}}}"#;
    let unavailable = r#"{"error":"org.totpd.Login.StoreUnavailable","parameters":{}}"#;
    for (reply, name) in
        [(Some(known), true), (Some(unknown), false), (DENIED, false), (Some(unavailable), false)]
    {
        let told = (reply == Some(unavailable)).then_some(Ask::Show(UNAVAILABLE));
        let mut host = script(told);
        run(daemon(vec![reply]), &mut host, "", false);
        let [line] = &host.log[..] else { panic!("{:?}", host.log) };
        assert_eq!(line.contains("alice"), name, "{line}");
    }
}
