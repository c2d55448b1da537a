//! The module against servers that are broken or are not the daemon: it refuses, and in time.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::run::{Running, wait_until};

const ASK: &str = r#"{"parameters":{"step":{"id":"1","messages":[],"prompt":{"text":"Code: ","echo":false,"accept":"code","max_len":64,"digits":6}}}}"#;
const GRANTED: &str = r#"{"parameters":{"step":{"id":"1","messages":[],"verdict":"granted"}}}"#;
const EXEMPT: &str = r#"{"parameters":{"step":{"id":"1","messages":[],"verdict":"exempt"}}}"#;

/// Starts a server of root at the site's socket, which runs `behave` on each connection.
fn listen(site: &Site, behave: impl Fn(UnixStream) + Send + 'static) {
    let path = site.path("run/login.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            behave(stream);
        }
    });
}

fn answer(mut stream: &UnixStream, bytes: &[u8]) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(bytes);
    let _ = stream.write_all(b"\0");
}

#[track_caller]
fn authenticate(site: &Site) -> i32 {
    site.totp_service("x", "nodelay timeout=1");
    let start = Instant::now();
    let answer = PamHost::new(site, "x", "alice").answer("123456");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    answer
}

#[test]
fn the_module_ignores_only_an_exempt_verdict() {
    let site = Site::without_daemon();
    listen(&site, |stream| answer(&stream, EXEMPT.as_bytes()));
    // libpam refuses when the only module is ignored.
    assert_eq!(authenticate(&site), code::PERM_DENIED);
    let line = site.pam_line("nodelay timeout=1");
    site.service(
        "x",
        &format!("auth [ignore=ignore success=die default=die] {line}\nauth required pam_permit.so\n"),
    );
    assert_eq!(PamHost::new(&site, "x", "alice").authenticate(""), code::SUCCESS);
}

#[test]
fn a_broken_server_is_refused_in_time() {
    let site = Site::without_daemon();
    let nest = format!("{{\"parameters\":{}", "{\"a\":".repeat(2000));
    let both = ASK.replace("\"digits\":6}}", "\"digits\":6},\"verdict\":\"granted\"}");
    for (what, bytes) in [
        ("garbage", &b"\xff\xfe\x00\x01"[..]),
        ("an empty message", b""),
        ("a nest of braces", nest.as_bytes()),
        ("a number", b"0"),
        ("an empty object", b"{}"),
        ("success without a step", b"{\"parameters\":{\"verdict\":\"granted\"}}"),
        (
            "an unknown verdict",
            b"{\"parameters\":{\"step\":{\"id\":\"1\",\"messages\":[],\"verdict\":\"yes\"}}}",
        ),
        ("neither prompt nor verdict", b"{\"parameters\":{\"step\":{\"id\":\"1\",\"messages\":[]}}}"),
        ("prompt and verdict", both.as_bytes()),
        ("busy", b"{\"error\":\"org.totpd.Login.Busy\",\"parameters\":{}}"),
    ] {
        let bytes = bytes.to_vec();
        listen(&site, move |stream| answer(&stream, &bytes));
        assert_eq!(authenticate(&site), code::SYSTEM_ERR, "{what}");
    }
}

#[test]
fn partial_slow_silent_and_huge_replies_are_refused_in_time() {
    let site = Site::without_daemon();
    listen(&site, |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&GRANTED.as_bytes()[..40]);
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(authenticate(&site), code::SYSTEM_ERR, "half a message");
    listen(&site, |mut stream| while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
    assert_eq!(authenticate(&site), code::SYSTEM_ERR, "nothing");
    listen(&site, |mut stream| {
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(200)); // the fault under test
        }
    });
    assert_eq!(authenticate(&site), code::SYSTEM_ERR, "one byte at a time");
    listen(&site, |mut stream| {
        for _ in 0..320 {
            if stream.write_all(&vec![b'x'; 65536]).is_err() {
                return;
            }
        }
    });
    assert_eq!(authenticate(&site), code::SYSTEM_ERR, "20 MiB");
    listen(&site, drop);
    assert_eq!(authenticate(&site), code::SYSTEM_ERR, "hung up");
}

#[test]
fn a_full_backlog_is_refused_in_time() {
    let site = Site::new();
    site.enroll("alice");
    site.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut waiting = Vec::new();
    let full = loop {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        let address = nix::sys::socket::UnixAddr::new(&site.path("run/login.sock")).unwrap();
        match nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
            Ok(()) => waiting.push(socket),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, nix::errno::Errno::EAGAIN);
    assert_eq!(authenticate(&site), code::SYSTEM_ERR);
    drop(waiting);
    site.signal(nix::sys::signal::Signal::SIGCONT);
    site.totp_service("x", "nodelay");
    assert_eq!(PamHost::new(&site, "x", "alice").answer("no code"), code::AUTH_ERR);
}

/// Starts a server of the user nobody that grants everything.
#[track_caller]
fn impostor(site: &Site, socket: &str) -> Running {
    let script = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind({socket:?})\ns.listen(9)\nprint('up', flush=True)\n\
         while True:\n c, _ = s.accept()\n try:\n  c.recv(9999)\n  c.sendall(b'{GRANTED}\\0')\n  c.recv(9999)\n except OSError: pass\n"
    );
    let mut command: Command = site.command_as("nobody", "/usr/bin/python3");
    command.args(["-c", &script]);
    let running = Running::start(command);
    wait_until("the impostor listens", || UnixStream::connect(socket).is_ok());
    running
}

#[test]
fn a_server_of_the_wrong_uid_is_sent_nothing() {
    let site = Site::without_daemon();
    let folder = |name: &str, mode: u32, uid: u32| {
        let path = site.path(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        nix::unistd::chown(&path, Some(uid.into()), None).unwrap();
        path.join("login.sock").display().to_string()
    };
    let try_at = |socket: &str, arguments: &str| {
        let module = totpd_e2e::paths::module();
        site.service(
            "x",
            &format!("auth required {} socket={socket} nodelay timeout=1 {arguments}\n", module.display()),
        );
        PamHost::new(&site, "x", "alice").answer("123456")
    };
    // A server in a folder that everybody can write, like /tmp.
    let open = folder("open", 0o1777, 0);
    let _squatter = impostor(&site, &open);
    assert_eq!(try_at(&open, ""), code::SYSTEM_ERR);
    site.wait_for_syslog("runs as uid 65534");
    // The owner of a folder that others can write.
    let shared = folder("shared", 0o777, 65534);
    let _other = impostor(&site, &shared);
    assert_eq!(try_at(&shared, ""), code::SYSTEM_ERR);
    // The owner of a folder that nobody else can write, and a uid that the line names, are trusted.
    let owned = folder("owned", 0o755, 65534);
    let _owner = impostor(&site, &owned);
    assert_eq!(try_at(&owned, ""), code::SUCCESS);
    // A link in a folder that others can write: the path as it is named counts as well.
    let link = site.path("shared/link");
    std::os::unix::fs::symlink(site.path("owned"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
    assert_eq!(try_at(&link.join("login.sock").display().to_string(), ""), code::SYSTEM_ERR);
    assert_eq!(try_at(&open, "server_uid=65534"), code::SUCCESS);
    assert_eq!(try_at(&owned, "server_uid=0"), code::SYSTEM_ERR);
}
