//! Break-glass with killed responders, floods, file locks, full disks and a broken configuration.

use nix::sys::signal::Signal;
use totpd_e2e::pamhost::{code, login};
use totpd_e2e::run::{Running, wait_until};
use totpd_e2e::{BreakGlass, Site};

#[test]
fn a_daemon_started_after_a_killed_break_glass_keeps_its_socket() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let bob = site.enroll("bob");
    let BreakGlass { responder, .. } = BreakGlass::open(&site, "30m");
    // The daemon crashes, the responder is killed, and the administrator starts the daemon again.
    site.end(Signal::SIGKILL);
    drop(responder);
    site.start();
    // At a reload, and every few seconds, the daemon searches for leftovers of break-glass.
    site.configure("");
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_killed_break_glass_returns_the_socket_of_a_new_daemon() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let bob = site.enroll("bob");
    let BreakGlass { responder, .. } = BreakGlass::open(&site, "30m");
    let saved = site.path("run/login.sock.breakglass-saved");
    assert!(saved.exists());
    site.end(Signal::SIGKILL);
    // A supervisor starts a new daemon with new sockets while the responder lives.
    for socket in ["run/login.sock", "run/root.sock"] {
        let _ = std::fs::remove_file(site.path(socket));
    }
    site.start();
    drop(responder);
    // At a reload, and every few seconds, the daemon searches for leftovers of break-glass.
    site.configure("");
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_flood_of_the_socket_does_not_stop_break_glass() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    let script = "import socket,sys,time\n\
                  held=[]\n\
                  def fresh():\n\
                  \x20   s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.setblocking(False); return s\n\
                  held=[fresh() for _ in range(300)]\n\
                  print('flooding',flush=True)\n\
                  end=time.time()+12\n\
                  while time.time()<end:\n\
                  \x20   for i,s in enumerate(held):\n\
                  \x20       try:\n\
                  \x20           if s.recv(1)==b'': s.close(); held[i]=fresh()\n\
                  \x20       except BlockingIOError: pass\n\
                  \x20       except OSError: s.close(); held[i]=fresh()\n\
                  \x20   time.sleep(0.01)\n";
    let mut flood = site.command_as("bob", "python3");
    flood.args(["-c", script]).arg(site.path("run/login.sock"));
    let mut flood = Running::start(flood);
    flood.read_line();
    let tries: Vec<i32> = (0..5).map(|_| login(&site, "alice", &glass)).collect();
    drop(flood);
    drop(responder);
    assert!(tries.contains(&code::SUCCESS), "{tries:?}");
}

#[test]
fn waiting_prompts_do_not_stop_break_glass() {
    use totp_wire::login::Attempt;
    use totpd_e2e::peer::begin;
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    // Eve runs many `su alice`, each at its prompt, and a root service names no user.
    let su = |real_uid, service: &str| Attempt {
        user: "alice".into(),
        service: Some(service.into()),
        real_uid: Some(real_uid),
        ..Attempt::default()
    };
    let waiting: Vec<_> =
        (0..400).flat_map(|_| [begin(&site, su(5003, "su")), begin(&site, su(0, "xrdp-sesman"))]).collect();
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    drop(waiting);
    responder.finish();
}

#[test]
fn the_daemon_reads_the_mark_under_a_strict_umask() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let BreakGlass { responder, code: glass } = BreakGlass::open_after(&site, "umask 077", "30m");
    let mode = |path: &str| std::fs::metadata(site.path(path)).unwrap().permissions().mode() & 0o777;
    let modes = (mode("etc/totpd/breakglass.log"), mode("etc/totpd/breakglass.lock"));
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    // The daemon's user can read the record, and only root the lock.
    assert_eq!(modes, (0o644, 0o600));
}

#[test]
fn an_unrecorded_break_glass_code_works_after_the_disk_recovers() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    let marks = site.path("etc/totpd/breakglass.log");
    // The record cannot be written after the start, as on a full or read-only disk.
    std::fs::rename(&marks, site.path("etc/totpd/aside")).unwrap();
    std::fs::create_dir(&marks).unwrap();
    assert_eq!(login(&site, "alice", &glass), code::AUTH_ERR);
    std::fs::remove_dir(&marks).unwrap();
    std::fs::rename(site.path("etc/totpd/aside"), &marks).unwrap();
    let second = login(&site, "alice", &glass);
    responder.signal(Signal::SIGTERM);
    let said = responder.finish();
    assert_eq!(second, code::SUCCESS, "{said:?}");
}

#[test]
fn a_daemon_with_a_fixed_configuration_recovers_the_socket() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let bob = site.enroll("bob");
    site.end(Signal::SIGTERM);
    site.write_config("[login]\nself_enroll = \"maybe\"\n");
    let mut serve = site.totpd_command();
    serve.arg("serve");
    let mut daemon = site.spawn_daemon(serve);
    let socket = site.path("run/login.sock");
    wait_until("the daemon refuses", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    site.write_config("");
    site.wait_until_serving();
    let BreakGlass { responder, .. } = BreakGlass::open(&site, "30m");
    drop(responder);
    wait_until("the socket is returned", || site.log().contains("is given back"));
    let outcome = login(&site, "bob", &bob.code(&site));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(outcome, code::SUCCESS);
}

/// Starts a process of bob that holds a shared lock on a file of the site.
fn hold_lock_as_bob(site: &Site, file: &str) -> Running {
    let script = "import fcntl,sys,time\nf=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_SH); print('held',flush=True); time.sleep(60)";
    let mut holder = site.command_as("bob", "python3");
    holder.args(["-c", script]).arg(site.path(file));
    let mut holder = Running::start(holder);
    holder.read_line();
    holder
}

#[test]
fn a_users_file_lock_does_not_stop_break_glass() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    // The first use leaves the lock file there.
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    let _holder = hold_lock_as_bob(&site, "etc/totpd/breakglass.lock");
    BreakGlass::open(&site, "1m");
}

#[test]
fn a_users_file_lock_does_not_stop_the_daemon() {
    let site = Site::new();
    site.end(Signal::SIGTERM);
    let _holder = hold_lock_as_bob(&site, "run/login.sock.lock");
    site.start();
    site.wait_until_serving();
}

#[test]
fn break_glass_works_with_a_broken_configuration() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.write_config("[login]\nself_enroll = \"maybe\"\n");
    BreakGlass::open(&site, "1m");
}

#[test]
fn break_glass_works_with_server_uid_in_the_pam_line() {
    let site = Site::without_daemon();
    // server_uid= is the documented way to name the user of an unprivileged daemon.
    site.totp_service("x", "nodelay server_uid=5002");
    let BreakGlass { responder, code: glass } = BreakGlass::open(&site, "30m");
    let outcome = login(&site, "alice", &glass);
    drop(responder);
    assert_eq!(outcome, code::SUCCESS);
}
