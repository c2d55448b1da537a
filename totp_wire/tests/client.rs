//! The client against servers that do everything wrong. No wait outlasts the deadline.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use totp_wire::service::{GetInfo, Info};
use totp_wire::{CallError, Client, Trust};

struct Server {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn me() -> Trust {
    Trust::Uid(nix::unistd::getuid().as_raw())
}

/// A listener that treats its one connection as told.
fn serve(behave: impl FnOnce(UnixStream) + Send + 'static) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || behave(listener.accept().unwrap().0));
    Server { _folder: folder, path }
}

fn call(server: &Server, time: Duration) -> (Result<Info, CallError>, Duration) {
    let start = Instant::now();
    let deadline = start + time;
    let reply = Client::connect(&server.path, me(), deadline).and_then(|mut c| c.call(&GetInfo {}, deadline));
    (reply, start.elapsed())
}

fn answering(bytes: &'static [u8]) -> Server {
    serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(bytes);
        let _ = stream.read(&mut [0; 4096]);
    })
}

const SHORT: Duration = Duration::from_millis(300);
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn garbage_is_invalid_and_half_a_message_times_out() {
    assert_eq!(call(&answering(b"\xff\xfe nonsense\0"), SLACK).0, Err(CallError::Broken));
    assert_eq!(call(&answering(b"{\"parameters\":{\"vendor\":1}}\0"), SLACK).0, Err(CallError::Broken));
    assert_eq!(call(&answering(b"{\"parameters\":"), SHORT).0, Err(CallError::TimedOut));
    let nest: &'static str = Box::leak(format!("{{\"parameters\":{}\0", "[".repeat(9000)).into_boxed_str());
    assert_eq!(call(&answering(nest.as_bytes()), SLACK).0, Err(CallError::Broken));
}

#[test]
fn an_endless_message_is_cut_off() {
    let server = serve(|mut stream| {
        let block = vec![b'x'; 65536];
        for _ in 0..320 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
    });
    assert_eq!(call(&server, SLACK).0, Err(CallError::Broken));
}

#[test]
fn slow_bytes_do_not_extend_the_deadline() {
    let server = serve(|mut stream| {
        while stream.write_all(b" ").is_ok() {
            // the fault under test, not a wait for anything
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let (reply, took) = call(&server, SHORT);
    assert_eq!(reply, Err(CallError::TimedOut));
    assert!(took < SHORT + SLACK, "{took:?}");
}

#[test]
fn a_closed_connection_and_an_error_reply_are_different_errors() {
    // Once the request has arrived: a connection that ends before it is another error.
    let silent = serve(|mut stream| drop(stream.read(&mut [0; 4096])));
    assert_eq!(call(&silent, SLACK).0, Err(CallError::Closed));
    let error = call(&answering(b"{\"error\":\"org.x.Y\",\"parameters\":{\"why\":1}}\0"), SLACK).0;
    assert_eq!(error, Err(CallError::Error { name: "org.x.Y".into(), parameters: "{\"why\":1}".into() }));
}

#[test]
fn a_call_that_the_server_has_not_read_can_be_made_again() {
    // The last byte is what makes a call complete. Half of it is read, or nothing.
    let half = serve(|mut stream| stream.read_exact(&mut [0; 8]).unwrap());
    assert_eq!(call(&half, SLACK).0, Err(CallError::NotReceived));
    let unread = serve(|stream| {
        poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
    });
    assert_eq!(call(&unread, SLACK).0, Err(CallError::NotReceived));
}

#[test]
fn a_full_backlog_times_out_at_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let listener = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let address = nix::sys::socket::UnixAddr::new(&path).unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &address).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let (reply, took) = call(&Server { _folder: folder, path }, SHORT);
    assert_eq!(reply, Err(CallError::TimedOut));
    assert!(took < SHORT + SLACK, "{took:?}");
}

#[test]
fn no_listener_and_a_wrong_listener_are_different_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let soon = Instant::now() + SLACK;
    assert!(matches!(Client::connect(&path, me(), soon), Err(CallError::NoSocket)));
    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(Client::connect(&path, me(), soon), Err(CallError::ConnectionRefused)));
    std::fs::remove_file(&path).unwrap();
    let _listener = UnixListener::bind(&path).unwrap();
    let error = Client::connect(&path, Trust::Uid(4_294_967_294), soon).map(drop);
    // Root is believed whatever uid was named; the end-to-end tests have a listener of another uid.
    let uid = nix::unistd::getuid();
    assert_eq!(error, if uid.is_root() { Ok(()) } else { Err(CallError::WrongServer(uid.as_raw())) });
}
