//! Proofs of an attack on the policy change: each says what should hold.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site::Site;
use site::pamhost::{PamHost, code, result, results};
use site::phone::Phone;
use site::run::{Running, run, wait_until};
use std::io::BufRead;
use std::process::{Command, Stdio};

const PROOF: &[&str] = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=publickey"];

fn service(site: &Site) {
    site.service("x", &format!("auth required {}\n", site.pam_line("nodelay timeout=5")));
}

fn login(site: &Site, user: &str, typed: &str) -> i32 {
    PamHost::new(site, "x", user).authenticate(&format!("{typed}\n"))
}

/// A responder that has the socket, and its code.
fn broken(site: &Site, before: &str) -> (Running, String) {
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

fn slay(responder: Running) {
    kill(Pid::from_raw(i32::try_from(responder.0.id()).unwrap()), Signal::SIGKILL).unwrap();
    drop(responder);
}

fn as_alice(site: &Site, arguments: &[&str], input: &str) -> site::Finished {
    let mut command = site.command_as("alice", site::setup::target().join("debug/totpd"));
    command.arg("--config").arg(site.path("etc/totpd/totpd.toml")).args(arguments);
    run(command, input)
}

// --- who may be given a factor ---------------------------------------------------------------------------

#[test]
fn a_thief_of_a_key_is_given_no_factor_under_a_second_name_of_the_enrolled_uid() {
    let site = Site::new();
    service(&site);
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    site.write("etc/passwd", &format!("{passwd}alice@corp:x:5001:5001::/home/alice:/bin/sh\n"));
    site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"enroll\"\n");
    let finished =
        PamHost::new(&site, "x", "alice@corp").option(PROOF).run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(!finished.stdout.contains("Or type this key"), "{}", finished.stdout);
}

/// A directory whose names have no case, as SSSD's has for Active Directory: ALICE is alice.
fn caseless(site: &Site) {
    let source = r#"
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <stddef.h>
enum nss_status _nss_fold_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) {
    if (strcasecmp(n, "alice") != 0) return NSS_STATUS_NOTFOUND;
    strcpy(b, "alice");
    p->pw_name = b; p->pw_passwd = "x"; p->pw_uid = 5001; p->pw_gid = 5001;
    p->pw_gecos = ""; p->pw_dir = "/home/alice"; p->pw_shell = "/bin/sh";
    return NSS_STATUS_SUCCESS;
}
"#;
    site.write("fold.c", source);
    let library = site.path("libnss_fold.so.2");
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(site.path("fold.c")).status();
    assert!(built.unwrap().success());
    site.write("etc/nsswitch.conf", "passwd: files fold\ngroup: files\nshadow: files\n");
    let mut mount = site.command("mount");
    mount.arg("--bind").arg(site.path("etc/nsswitch.conf")).arg("/etc/nsswitch.conf");
    run(mount, "").ok();
    let mut daemon = site.totpd_command();
    daemon.env("LD_LIBRARY_PATH", &site.root).arg("serve");
    site.start_as(daemon);
}

#[test]
fn a_thief_of_a_key_is_given_no_factor_by_writing_the_name_in_capitals() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).ok();
    caseless(&site);
    service(&site);
    site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "ALICE").option(PROOF).start();
    let mut lines = std::io::BufReader::new(thief.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let key = shown.lines().find_map(|line| line.split_once("Or type this key:  "));
    let Some((_, key)) = key else { return };
    let phone = Phone { secret: key.trim().replace(' ', ""), recovery_codes: vec![], uri: String::new() };
    thief.say(&format!("{}\n", phone.code(&site)));
    shown.clear();
    while !shown.contains("to finish: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let word = shown.split_whitespace().find(|w| w.len() == 19 && w.matches('-').count() == 3).unwrap();
    thief.say(&format!("{word}\n"));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    panic!("ALICE (uid 5001) was given a factor and let in: {rest} {}", site.last_login());
}

#[test]
fn a_name_in_capitals_meets_the_rules_of_the_user_it_is() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).ok();
    caseless(&site);
    service(&site);
    site.enroll("alice");
    site.configure(
        "[[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let as_written = |user: &str| PamHost::new(&site, "x", user).option(PROOF).authenticate("000000\n");
    assert_eq!(as_written("alice"), code::AUTH_ERR);
    assert_eq!(as_written("ALICE"), code::AUTH_ERR);
}

#[test]
fn an_enrollment_in_a_login_works_for_the_longest_name() {
    let site = Site::new();
    service(&site);
    let user = "ж".repeat(120);
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    site.write("etc/passwd", &format!("{passwd}{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!("[totp]\nissuer = \"{}\"\n[[login.rule]]\naction = \"enroll\"\n", "ж".repeat(32)));
    let finished = PamHost::new(&site, "x", &user).option(PROOF).run(&["authenticate"], "000000\n000000\n000000\n");
    assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{finished:?}");
    assert!(finished.stdout.contains("Or type this key"), "{finished:?}");
}

#[test]
fn the_link_that_is_shown_is_whole() {
    let site = Site::new();
    service(&site);
    site.configure(&format!("[totp]\nissuer = \"{}\"\ndigits = 8\n[[login.rule]]\naction = \"enroll\"\n", "ж".repeat(32)));
    let finished =
        PamHost::new(&site, "x", "bob").option(PROOF).run(&["authenticate"], "000000\n000000\n000000\n");
    let link = finished.stdout.lines().find(|line| line.contains("otpauth://")).unwrap().to_owned();
    assert!(link.contains("digits=8") && link.contains("period=30"), "{link}");
}

// --- self-service ----------------------------------------------------------------------------------------

#[test]
fn a_left_over_ticket_replaces_no_factor_in_use() {
    let site = Site::new();
    let ticket = site.totpd(&["enroll", "alice", "--ticket", "--json"]).ok().json();
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    // Enrolled by the administrator meanwhile; the ticket stays in alice's mail, where malware reads it.
    let phone = site.enroll("alice");
    let path = site.path("run/login.sock");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(json.dumps({'method':'org.totpd.Self.Enroll','parameters':{'ticket':sys.argv[2]}}).encode()+b'\\0')\n\
                  print(s.recv(20000).rstrip(b'\\0').decode())";
    let mut malware = site.command_as("alice", "python3");
    malware.args(["-c", script]).arg(&path).arg(&ticket);
    let reply: serde_json::Value = serde_json::from_str(run(malware, "").ok().stdout.trim()).unwrap();
    let Some(secret) = reply["parameters"]["secret"].as_str() else { return };
    let own = Phone { secret: secret.to_owned(), recovery_codes: vec![], uri: String::new() };
    as_alice(&site, &["confirm"], &format!("{}\n", own.code(&site))).ok();
    site.next_step();
    service(&site);
    panic!(
        "malware with the old ticket replaced the factor: its code logs in with {}, alice's own with {}",
        login(&site, "alice", &own.code(&site)),
        login(&site, "alice", &phone.code(&site))
    );
}

#[test]
fn a_new_owner_of_a_name_sees_nothing_of_the_old_one() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    assert_eq!(
        PamHost::new(&site, "x", "alice").option(PROOF).authenticate(&format!("{}\n", phone.code(&site))),
        code::SUCCESS
    );
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    site.write("etc/passwd", &passwd.replace("alice:x:5001:5001", "alice:x:5098:5098"));
    let mut command = site.command("setpriv");
    command.args(["--reuid", "5098", "--regid", "5098", "--clear-groups", "--reset-env"]);
    command.arg(site::setup::target().join("debug/totpd")).arg("--config");
    command.arg(site.path("etc/totpd/totpd.toml")).arg("history");
    let seen = run(command, "");
    assert!(!seen.stdout.contains("192.0.2.1"), "{seen:?}");
}

#[test]
fn what_is_written_into_the_history_without_a_key_moves_no_terminal() {
    let site = Site::new();
    site.enroll("alice");
    let row = "{\"event\":\"login\",\"time\":\"2026-11-25T00:00:00Z\",\"user\":\"alice\",\"outcome\":\"granted\",\
               \"rhost\":\"\\u001b]0;pwned\\u0007\\u001b[2J\"}";
    let script = "import sqlite3,sys\nd=sqlite3.connect(sys.argv[1])\n\
                  d.execute('UPDATE history SET event=? WHERE seq=(SELECT max(seq) FROM history)',(sys.argv[2],))\nd.commit()";
    let mut writer = Command::new("python3");
    writer.args(["-c", script]).arg(site.path("state/totpd.db")).arg(row);
    run(writer, "").ok();
    let shown = site.totpd(&["history", "alice"]).ok().stdout;
    assert!(shown.contains("pwned") && !shown.contains('\u{1b}'), "{shown:?}");
}

// --- remembered ------------------------------------------------------------------------------------------

#[test]
fn a_remembered_su_to_one_user_is_none_to_another() {
    let site = Site::new();
    site.service("su", &format!("auth required {}\n", site.pam_line("nodelay first_factor=passed")));
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nsubject = \"ruser\"\nremember = \"1h\"\n");
    // One process, one audit session: su to bob, and then (by a shell that it starts) to root.
    let helper = site::setup::native("pamhost");
    let script = format!(
        "echo 5001 > /proc/self/loginuid; {0} -R alice su bob authenticate; {0} -R alice su root authenticate",
        helper.display()
    );
    let mut shell = site.command("sh");
    shell.args(["-c", &script]);
    let finished = run(shell, &format!("{}\n000000\n", phone.code(&site)));
    let codes = results(&finished, "authenticate");
    assert_eq!(codes, [code::SUCCESS, code::AUTH_ERR], "{finished:?}");
}

// --- break-glass -----------------------------------------------------------------------------------------

#[test]
fn a_daemon_that_starts_after_a_killed_break_glass_keeps_its_socket() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let (responder, _) = broken(&site, ":");
    // The daemon is what is broken: it ends; the responder is killed; the administrator starts the daemon again.
    site.end(Signal::SIGKILL);
    slay(responder);
    let mut serve = site.totpd_command();
    serve.arg("serve");
    site.start_as(serve);
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_second_break_glass_after_a_killed_one_gives_back_the_socket_of_the_daemon_that_lives() {
    let site = Site::new();
    service(&site);
    let bob = site.enroll("bob");
    let (responder, _) = broken(&site, ":");
    let saved = site.path("run/login.sock.breakglass-saved");
    assert!(saved.exists());
    site.end(Signal::SIGKILL);
    // What the supervisor does: a socket of a new daemon in the path, while the responder lives.
    std::fs::remove_file(site.path("run/login.sock")).unwrap();
    site.start();
    slay(responder);
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(login(&site, "bob", &bob.code(&site)), code::SUCCESS);
}

#[test]
fn a_local_user_who_floods_the_socket_does_not_keep_the_break_glass_user_out() {
    let site = Site::new();
    service(&site);
    let (responder, glass) = broken(&site, ":");
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
fn under_roots_strict_umask_the_daemon_can_still_read_the_mark_and_the_lock() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    service(&site);
    let (responder, glass) = broken(&site, "umask 077");
    let mode = |path: &str| std::fs::metadata(site.path(path)).unwrap().permissions().mode() & 0o777;
    let modes = (mode("etc/totpd/breakglass.log"), mode("run/login.sock.breakglass-lock"));
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    assert_eq!(modes, (0o644, 0o644));
}

#[test]
fn a_break_glass_code_that_let_nobody_in_still_works_once_the_disk_does() {
    let site = Site::new();
    service(&site);
    let (responder, glass) = broken(&site, ":");
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
fn a_responder_that_a_daemon_of_a_broken_configuration_outlived_gives_the_socket_back_once_it_is_mended() {
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
    let (responder, _) = broken(&site, ":");
    slay(responder);
    std::thread::sleep(std::time::Duration::from_secs(7));
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
fn a_local_user_who_locks_a_file_keeps_root_from_no_break_glass() {
    let site = Site::new();
    service(&site);
    // Once used, its lock lies there.
    let (responder, glass) = broken(&site, ":");
    assert_eq!(login(&site, "alice", &glass), code::SUCCESS);
    responder.finish();
    let mut holder = held_by_bob(&site, "run/login.sock.breakglass-lock");
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
fn a_local_user_who_locks_a_file_keeps_no_daemon_from_its_start() {
    let site = Site::new();
    site.end(Signal::SIGTERM);
    let mut holder = held_by_bob(&site, "run/login.sock.lock");
    let mut serve = site.totpd_command();
    serve.arg("serve");
    let mut daemon = Running::start(serve);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let code = site.totpd(&["status"]).code;
    let _ = daemon.0.kill();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(code, 0, "{:?}", daemon.finish());
}

/// A directory that hangs.
fn hung(site: &Site) {
    let source = r#"
#include <nss.h>
#include <pwd.h>
#include <grp.h>
#include <unistd.h>
enum nss_status _nss_hang_getpwnam_r(const char *n, struct passwd *p, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **gs, long m, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
enum nss_status _nss_hang_getgrnam_r(const char *n, struct group *g, char *b, size_t l, int *e) { sleep(40); return NSS_STATUS_UNAVAIL; }
"#;
    site.write("hang.c", source);
    let library = site.path("libnss_hang.so.2");
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(site.path("hang.c")).status();
    assert!(built.unwrap().success());
    site.write("etc/nsswitch.conf", "passwd: files hang\ngroup: files hang\nshadow: files\n");
    let mut mount = site.command("mount");
    mount.arg("--bind").arg(site.path("etc/nsswitch.conf")).arg("/etc/nsswitch.conf");
    run(mount, "").ok();
}

#[test]
fn a_rule_about_a_local_group_stops_no_local_user_while_a_directory_hangs() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).ok();
    hung(&site);
    let mut daemon = site.totpd_command();
    daemon.env("LD_LIBRARY_PATH", &site.root).arg("serve");
    site.start_as(daemon);
    service(&site);
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "without a rule");
    site.next_step();
    // shadow is a group of /etc/group, and alice a user of /etc/passwd.
    site.configure("[[login.rule]]\ngroups = [\"shadow\"]\naction = \"exempt\"\n");
    assert_eq!(login(&site, "alice", &phone.code(&site)), code::SUCCESS, "with a rule about a local group");
}

#[test]
fn break_glass_for_a_user_of_a_directory_that_hangs_is_open_at_once() {
    let site = Site::without_daemon();
    hung(&site);
    let mut command = site.totpd_command();
    command.env("LD_LIBRARY_PATH", &site.root).args(["breakglass", "carol", "--for", "1m", "--json"]);
    let mut responder = Running::start(command);
    let (done, ended) = std::sync::mpsc::channel();
    let stdout = responder.0.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::BufReader::new(stdout).read_line(&mut line);
        let _ = done.send(line);
    });
    let line = ended.recv_timeout(std::time::Duration::from_secs(10));
    assert!(line.as_ref().is_ok_and(|line| line.contains("code")), "{line:?}");
}

#[test]
fn break_glass_works_while_the_configuration_is_broken() {
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
fn the_link_that_is_shown_is_whole_for_a_long_name_too() {
    let site = Site::new();
    service(&site);
    let user = "firstname.lastname@department.corp.example";
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    site.write("etc/passwd", &format!("{passwd}{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\ndigits = 8\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", user).option(PROOF).run(&["authenticate"], "000000\n000000\n000000\n");
    let link = finished.stdout.lines().find(|line| line.contains("otpauth://")).unwrap().to_owned();
    assert!(link.contains("digits=8") && link.contains("period=30"), "{link}");
}

#[test]
fn a_refused_call_of_self_service_leaves_an_event_whatever_refused_it() {
    let site = Site::new();
    site.enroll("alice");
    let path = site.path("run/login.sock");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(b'{\"method\":\"org.totpd.Self.Enroll\",\"parameters\":{}}\\0')\n\
                  print(s.recv(20000).rstrip(b'\\0').decode())";
    let before = site.events().len();
    let mut malware = site.command_as("alice", "python3");
    malware.args(["-c", script]).arg(&path);
    assert!(run(malware, "").ok().stdout.contains("CodeNeeded"));
    assert_eq!(site.events().len(), before + 1);
}

#[test]
fn the_longest_issuer_and_which_name_still_fit_a_message() {
    let site = Site::new();
    service(&site);
    site.configure(&format!("[totp]\nissuer = \"{}\"\n[[login.rule]]\naction = \"enroll\"\n", "ж".repeat(32)));
    let passwd = std::fs::read_to_string(site.path("etc/passwd")).unwrap();
    let mut codes = Vec::new();
    for (length, letter) in [(60, "a"), (120, "a"), (180, "a"), (255, "a"), (30, "ж"), (60, "ж"), (90, "ж")] {
        let user = letter.repeat(length);
        site.write("etc/passwd", &format!("{passwd}{user}:x:5099:5099::/home/alice:/bin/sh\n"));
        let host = PamHost::new(&site, "x", &user).option(PROOF);
        codes.push((length, letter, host.authenticate("000000\n000000\n000000\n")));
    }
    assert!(codes.iter().all(|(.., c)| *c == code::AUTH_ERR), "{codes:?}");
}

#[test]
fn new_recovery_codes_that_nobody_received_do_not_silently_replace_the_old_ones() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(json.dumps({'method':'org.totpd.Self.RecoveryCodes','parameters':{'code':sys.argv[2]}}).encode()+b'\\0')\n\
                  s.close()";
    let mut client = site.command_as("alice", "python3");
    client.args(["-c", script]).arg(site.path("run/login.sock")).arg(phone.code(&site));
    run(client, "").ok();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let works = login(&site, "alice", &phone.recovery_codes[0]);
    let said = site.events().iter().any(|event| event["outcome"] == "undelivered");
    assert!(works == code::SUCCESS || said, "the old codes are gone ({works}), and nothing says that the new ones were never seen");
}

#[test]
fn a_ticket_that_was_too_old_is_not_fresh_again_under_a_clock_before_the_release() {
    let site = Site::new();
    let document = site.totpd(&["enroll", "alice", "--ticket", "--expires", "60s", "--json"]).ok().json();
    let ticket = document["ticket"].as_str().unwrap().to_owned();
    site.advance(120);
    site.advance(-60 * 24 * 3600);
    assert_eq!(as_alice(&site, &["enroll"], &format!("{ticket}\n")).code, 1);
}

#[test]
fn an_answer_to_a_question_is_never_judged_against_an_enrollment_that_was_not_shown() {
    let site = Site::new();
    service(&site);
    // Asked under one configuration; the daemon restarts under another while bob types.
    let mut host = PamHost::new(&site, "x", "bob").option(PROOF).start();
    let mut lines = std::io::BufReader::new(host.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    site.end(Signal::SIGTERM);
    site.write("etc/totpd/totpd.toml", &format!("{}[[login.rule]]\naction = \"enroll\"\n", site.config()));
    site.start();
    host.say("123456\n123456\n123456\n123456\n");
    drop(host.0.stdin.take());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert!(!rest.contains("That is not the code that the app shows") || rest.contains("Or type this key"), "{rest}");
}

#[test]
fn on_a_full_disk_exempt_monitored_and_remembered_logins_go_on_and_enrolling_refuses() {
    let site = Site::without_daemon();
    let state = site.path("state");
    std::fs::create_dir(&state).unwrap();
    let state = state.display().to_string();
    let mut mount = site.command("mount");
    mount.args(["-t", "tmpfs", "-o", "size=14m,mode=0700", "tmpfs", &state]);
    run(mount, "").ok();
    site.totpd(&["init"]).ok();
    site.start();
    service(&site);
    site.service("y", &format!("auth required {}\n", site.pam_line("nodelay first_factor=passed")));
    let phone = site.enroll("alice");
    let mut dd = site.command("dd");
    dd.args(["if=/dev/zero", &format!("of={state}/filler"), "bs=4k"]);
    assert_ne!(run(dd, "").code, 0);
    site.configure(
        "[[login.rule]]\nusers = [\"u1\"]\naction = \"exempt\"\n\
         [[login.rule]]\nusers = [\"u2\"]\naction = \"require\"\nmode = \"monitor\"\n\
         [[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\nremember = \"8h\"\n\
         [[login.rule]]\naction = \"enroll\"\n",
    );
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(PamHost::new(&site, "y", "u1").authenticate(""));
        codes.push(PamHost::new(&site, "y", "u2").authenticate(""));
        codes.push(
            PamHost::new(&site, "y", "alice")
                .option(&["-A", "5001", "-R", "alice"])
                .authenticate(&format!("{}\n", phone.code(&site))),
        );
        site.next_step();
    }
    assert!(codes.iter().all(|c| [code::IGNORE, code::SUCCESS, code::PERM_DENIED].contains(c)), "{codes:?}");
    assert_eq!(site.status("alice")["remembered"], 32);
    let mut host = PamHost::new(&site, "x", "bob").option(PROOF).start();
    let mut lines = std::io::BufReader::new(host.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let key = shown.lines().find_map(|line| line.split_once("Or type this key:  ")).unwrap().1;
    let phone = Phone { secret: key.trim().replace(' ', ""), recovery_codes: vec![], uri: String::new() };
    host.say(&format!("{}\n", phone.code(&site)));
    shown.clear();
    while !shown.contains("to finish: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    let word = shown.split_whitespace().find(|w| w.len() == 19 && w.matches('-').count() == 3).unwrap();
    host.say(&format!("{word}\n"));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert!(rest.contains("authenticate=4"), "{rest}");
    assert_eq!(site.status("bob")["state"], "none");
}

#[test]
fn config_check_tells_of_a_service_in_capitals_which_libpam_never_says() {
    let site = Site::new();
    // libpam folds a service's name to small letters, so this never matches.
    site.configure("[[login.rule]]\nservices = [\"SSHD\"]\naction = \"deny\"\n");
    assert_eq!(site.totpd(&["config", "check"]).code, 1);
}

#[test]
fn a_reload_by_the_unit_is_not_stopped_by_a_mere_finding() {
    let unit = std::fs::read_to_string(site::setup::target().join("../config/systemd/totpd.service")).unwrap();
    let site = Site::new();
    // A fleet's common file: this host has no such user.
    site.configure("[[login.rule]]\nusers = [\"elsewhere\"]\naction = \"deny\"\n");
    // The first ExecReload= line; systemd runs the next one only when it succeeds (systemd.service(5)).
    assert!(unit.contains("ExecReload=/usr/bin/totpd config check\nExecReload=/bin/kill -HUP"));
    assert_eq!(site.totpd(&["config", "check"]).code, 0);
}

#[test]
fn a_locked_guesser_at_self_confirm_learns_nothing_of_codes_to_come() {
    let site = Site::new();
    service(&site);
    // The administrator has staged a factor; alice has scanned it and not logged in yet. Malware runs as her.
    let phone = Phone::from(&site.totpd(&["enroll", "alice", "--json"]).ok().json());
    for n in 0..12 {
        as_alice(&site, &["confirm"], &format!("{:06}\n", 900_000 + n));
    }
    assert_eq!(site.status("alice")["locks"][0]["class"], "own");
    // A guess that happens to be the code of 20 minutes later: of a million codes 120 are of the next hour.
    let guess = phone.code_at(site.now() + 1200);
    let told = as_alice(&site, &["confirm", "--json"], &format!("{guess}\n"));
    let event = site.events().last().unwrap().clone();
    site.advance(1200);
    let later = PamHost::new(&site, "x", "alice").option(PROOF).authenticate(&format!("{guess}\n"));
    assert!(
        !told.stdout.contains("1200") && !told.stderr.contains("20 min"),
        "locked ({}), and still told when its guess will be right: {told:?}; then it lets in: {later}",
        event["reason"]
    );
}

/// A directory that knows that alice is an administrator, until the file `down` is there: then it is unavailable.
fn directory_with_groups(site: &Site) {
    let source = r#"
#include <nss.h>
#include <grp.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
static int down(void) { return access(DOWN, F_OK) == 0; }
enum nss_status _nss_dir_initgroups_dyn(const char *u, gid_t g, long *s, long *z, gid_t **gs, long m, int *e) {
    if (down()) { *e = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (strcmp(u, "alice") != 0) return NSS_STATUS_NOTFOUND;
    if (*s == *z) { *z *= 2; *gs = realloc(*gs, *z * sizeof(gid_t)); }
    (*gs)[(*s)++] = 7777;
    return NSS_STATUS_SUCCESS;
}
static char *nobody[] = { NULL };
enum nss_status _nss_dir_getgrnam_r(const char *n, struct group *g, char *b, size_t l, int *e) {
    if (down()) { *e = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (strcmp(n, "admins") != 0) return NSS_STATUS_NOTFOUND;
    g->gr_name = "admins"; g->gr_passwd = "x"; g->gr_gid = 7777; g->gr_mem = nobody;
    return NSS_STATUS_SUCCESS;
}
"#;
    site.write("dir.c", source);
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC"]).arg(format!("-DDOWN=\"{}\"", site.path("down").display())).arg("-o");
    gcc.arg(site.path("libnss_dir.so.2")).arg(site.path("dir.c"));
    assert!(gcc.status().unwrap().success());
    site.write("etc/nsswitch.conf", "passwd: files\ngroup: files dir\nshadow: files\n");
    let mut mount = site.command("mount");
    mount.arg("--bind").arg(site.path("etc/nsswitch.conf")).arg("/etc/nsswitch.conf");
    run(mount, "").ok();
    let mut daemon = site.totpd_command();
    daemon.env("LD_LIBRARY_PATH", &site.root).arg("serve");
    site.start_as(daemon);
}

#[test]
fn a_directory_that_is_down_makes_no_administrator_an_ordinary_user() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).ok();
    directory_with_groups(&site);
    service(&site);
    site.enroll("alice");
    // The rollout as one does it: administrators first, everybody else is watched.
    site.configure(
        "[[login.rule]]\ngroups = [\"admins\"]\naction = \"require\"\n\
         [[login.rule]]\naction = \"require\"\nmode = \"monitor\"\n",
    );
    let thief = || PamHost::new(&site, "x", "alice").option(PROOF).run(&["authenticate"], "000000\n");
    assert_eq!(result(&thief(), "authenticate"), code::AUTH_ERR, "the directory answers");
    site.write("down", "");
    thief();
    assert_ne!(site.last_login()["outcome"], "exempt", "{}", site.last_login());
}

#[test]
fn an_enrollment_that_was_offered_ends_when_the_rule_that_offered_it_is_gone() {
    let site = Site::new();
    service(&site);
    site.configure("[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(PROOF).start();
    let mut lines = std::io::BufReader::new(thief.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    // The administrator has noticed the stolen key.
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    let key = shown.lines().find_map(|line| line.split_once("Or type this key:  ")).unwrap().1;
    let phone = Phone { secret: key.trim().replace(' ', ""), recovery_codes: vec![], uri: String::new() };
    thief.say(&format!("{}\n", phone.code(&site)));
    shown.clear();
    while !shown.contains("to finish: ") {
        if lines.read_line(&mut shown).unwrap() == 0 {
            return;
        }
    }
    let word = shown.split_whitespace().find(|w| w.len() == 19 && w.matches('-').count() == 3).unwrap();
    thief.say(&format!("{word}\n"));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert!(!rest.contains("authenticate=0"), "{rest} {}", site.status("bob")["state"]);
}

#[test]
fn a_login_that_was_to_pass_anyway_is_judged_by_the_rule_in_force_when_it_is_answered() {
    let site = Site::new();
    service(&site);
    site.configure("[[login.rule]]\naction = \"require\"\nmode = \"monitor-ask\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(PROOF).start();
    let mut lines = std::io::BufReader::new(thief.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("prompt: ") {
        assert!(lines.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    thief.say("123456\n");
    drop(thief.0.stdin.take());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    assert_ne!(site.last_login()["outcome"], "exempt", "{rest}");
}

#[test]
fn break_glass_works_where_the_pam_line_names_the_daemons_uid() {
    let site = Site::without_daemon();
    // As for a daemon of a user of its own: server_uid= is the documented way to say so.
    site.service("x", &format!("auth required {}\n", site.pam_line("nodelay server_uid=5002")));
    let (responder, glass) = broken(&site, ":");
    let outcome = login(&site, "alice", &glass);
    drop(responder);
    assert_eq!(outcome, code::SUCCESS);
}

#[test]
fn a_remembered_login_by_one_key_is_not_recalled_by_a_host_key_that_many_share() {
    let site = Site::new();
    site.service("sshd", &format!("auth required {}\n", site.pam_line("nodelay")));
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n");
    let hostbased = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=hostbased ssh-ed25519 QUFBQQ=="][..];
    let first = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(first.authenticate(&format!("{}\n", phone.code(&site))), code::SUCCESS);
    let second = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(second.authenticate("000000\n"), code::AUTH_ERR);
}
