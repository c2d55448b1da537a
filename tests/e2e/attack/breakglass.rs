//! Break-glass among killed responders, floods, locks and full disks.

use super::{login, service};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site::Site;
use site::pamhost::code;
use site::run::{Running, wait_until};
use std::io::BufRead;
use std::process::{Command, Stdio};

/// A responder that has the socket, and its code.
fn open_break_glass(site: &Site, before: &str) -> (Running, String) {
    let totpd = site.totpd_command();
    let mut command = Command::new(totpd.get_program());
    let words: Vec<_> = totpd.get_args().collect();
    let place = words.iter().position(|w| *w == "--").unwrap() + 1;
    command.args(&words[..place]).args(["sh", "-c", &format!("{before}; exec \"$@\"; :"), "sh"]);
    command.args(&words[place..]).args(["breakglass", "alice", "--for", "30m", "--json"]);
    let mut responder = Running::start(command);
    let mut line = String::new();
    std::io::BufReader::new(responder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let document: serde_json::Value = serde_json::from_str(&line).unwrap();
    (responder, document["code"].as_str().unwrap().to_owned())
}

fn kill_responder(responder: Running) {
    kill(Pid::from_raw(i32::try_from(responder.0.id()).unwrap()), Signal::SIGKILL).unwrap();
    drop(responder);
}

#[test]
fn a_daemon_started_after_a_killed_break_glass_keeps_its_socket() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let (responder, _) = open_break_glass(&site, ":");
    // The daemon is what is broken: it ends; the responder is killed; the administrator starts the daemon again.
    site.end(Signal::SIGKILL);
    kill_responder(responder);
    let mut serve = site.totpd_command();
    serve.arg("serve");
    site.start_as(serve);
    // The daemon looks for what was left behind at a reload, as it does every few seconds.
    site.configure("");
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_killed_break_glass_returns_the_socket_of_a_new_daemon() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let (responder, _) = open_break_glass(&site, ":");
    let saved = site.path("run/login.sock.breakglass-saved");
    assert!(saved.exists());
    site.end(Signal::SIGKILL);
    // What the supervisor does: a socket of a new daemon in the path, while the responder lives.
    for socket in ["run/login.sock", "run/root.sock"] {
        let _ = std::fs::remove_file(site.path(socket));
    }
    site.start();
    kill_responder(responder);
    // The daemon looks for what was left behind at a reload, as it does every few seconds.
    site.configure("");
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_flood_of_the_socket_does_not_stop_break_glass() {
    let site = Site::new();
    service(&site);
    let (responder, glass) = open_break_glass(&site, ":");
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
    flood.args(["-c", script]).arg(site.path("run/login.sock")).stdout(Stdio::piped());
    let mut flood = flood.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(flood.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let tries: Vec<i32> = (0..5).map(|_| login(&site, "alice", &glass)).collect();
    flood.kill().unwrap();
    flood.wait().unwrap();
    drop(responder);
    assert!(tries.contains(&code::SUCCESS), "{tries:?}");
}

#[test]
fn waiting_prompts_do_not_stop_break_glass() {
    use site::peer::begin;
    use totp_wire::login::Attempt;
    let site = Site::new();
    service(&site);
    let (responder, glass) = open_break_glass(&site, ":");
    // As many `su alice` as eve likes, each at its prompt; and a root service that names nobody.
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
    service(&site);
    let (responder, glass) = open_break_glass(&site, "umask 077");
    let mode = |path: &str| std::fs::metadata(site.path(path)).unwrap().permissions().mode() & 0o777;
    let modes = (mode("etc/totpd/breakglass.log"), mode("etc/totpd/breakglass.lock"));
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    // The mark is for the daemon's user to read, the lock for root alone.
    assert_eq!(modes, (0o644, 0o600));
}

#[test]
fn an_unrecorded_break_glass_code_works_after_the_disk_recovers() {
    let site = Site::new();
    service(&site);
    let (responder, glass) = open_break_glass(&site, ":");
    let marks = site.path("etc/totpd/breakglass.log");
    // The disk fills up, or is remounted read-only, after the start.
    std::fs::rename(&marks, site.path("etc/totpd/aside")).unwrap();
    std::fs::create_dir(&marks).unwrap();
    assert_eq!(login(&site, "alice", &glass), code::AUTH_ERR);
    std::fs::remove_dir(&marks).unwrap();
    std::fs::rename(site.path("etc/totpd/aside"), &marks).unwrap();
    let second = login(&site, "alice", &glass);
    kill(Pid::from_raw(i32::try_from(responder.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    let said = responder.finish();
    assert_eq!(second, code::SUCCESS, "{said:?}");
}

#[test]
fn a_daemon_with_a_fixed_configuration_recovers_the_socket() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    site.end(Signal::SIGTERM);
    site.write("etc/totpd/totpd.toml", &format!("{}[login]\nself_enroll = \"maybe\"\n", site.config()));
    let mut serve = site.totpd_command();
    serve.arg("serve");
    let log = std::fs::OpenOptions::new().append(true).open(site.path("daemon.log")).unwrap();
    let mut daemon = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let socket = site.path("run/login.sock");
    wait_until("it refuses", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    site.write("etc/totpd/totpd.toml", &site.config());
    wait_until("it serves again", || site.totpd(&["status"]).code == 0);
    let (responder, _) = open_break_glass(&site, ":");
    kill_responder(responder);
    wait_until("the socket is given back", || site.log().contains("is given back"));
    let outcome = login(&site, "bob", &bob.code(&site));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(outcome, code::SUCCESS);
}

/// Holds a shared lock on a file of the site for as long as it lives, as an unprivileged user.
fn held_by_bob(site: &Site, file: &str) -> std::process::Child {
    let script = "import fcntl,sys,time\nf=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_SH); print('held',flush=True); time.sleep(60)";
    let mut holder = site.command_as("bob", "python3");
    holder.args(["-c", script]).arg(site.path(file)).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    holder
}

#[test]
fn a_users_file_lock_does_not_stop_break_glass() {
    let site = Site::new();
    service(&site);
    // Once used, its lock lies there.
    let (responder, glass) = open_break_glass(&site, ":");
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    let mut holder = held_by_bob(&site, "etc/totpd/breakglass.lock");
    let mut command = site.totpd_command();
    command.args(["breakglass", "alice", "--for", "1m", "--json"]);
    let mut responder = Running::start(command);
    let mut line = String::new();
    std::io::BufReader::new(responder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(line.contains("code"), "{:?}", responder.finish());
}

#[test]
fn a_users_file_lock_does_not_stop_the_daemon() {
    let site = Site::new();
    site.end(Signal::SIGTERM);
    let mut holder = held_by_bob(&site, "run/login.sock.lock");
    let mut serve = site.totpd_command();
    serve.arg("serve");
    let mut daemon = Running::start(serve);
    wait_until("the daemon serves", || site.totpd(&["status"]).code == 0);
    let _ = daemon.0.kill();
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn break_glass_works_with_a_broken_configuration() {
    let site = Site::new();
    service(&site);
    site.write("etc/totpd/totpd.toml", &format!("{}[login]\nself_enroll = \"maybe\"\n", site.config()));
    let mut command = site.totpd_command();
    command.args(["breakglass", "alice", "--for", "1m", "--json"]);
    let mut responder = Running::start(command);
    let mut line = String::new();
    std::io::BufReader::new(responder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("code"), "{:?}", responder.finish());
}

#[test]
fn break_glass_works_with_server_uid_in_the_pam_line() {
    let site = Site::without_daemon();
    // As for a daemon of a user of its own: server_uid= is the documented way to say so.
    site.service("x", &format!("auth required {}\n", site.pam_line("nodelay server_uid=5002")));
    let (responder, glass) = open_break_glass(&site, ":");
    let outcome = login(&site, "alice", &glass);
    drop(responder);
    assert_eq!(outcome, code::SUCCESS);
}
