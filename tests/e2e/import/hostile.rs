//! A user owns what root's import reads, and may put anything there.

use super::{KEY, google_file, write_home};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::users::uid_of;

const NAME: &str = ".google_authenticator";

fn chown(path: &Path, user: &str) {
    let uid = uid_of(user).unwrap();
    nix::unistd::chown(path, Some(uid.into()), Some(uid.into())).unwrap();
}

#[test]
fn what_users_put_into_their_homes_harms_nobody_else() {
    let site = Site::new();
    let home = |user: &str| site.path("home").join(user).join(NAME);
    write_home(&site, "alice", NAME, &google_file(KEY));
    // Another user's file, by a link and by a second name; root's, by a link.
    symlink(home("alice"), home("bob")).unwrap();
    std::fs::hard_link(home("alice"), home("eve")).unwrap();
    let roots = site.path("etc/roots_factor");
    std::fs::write(&roots, google_file(KEY)).unwrap();
    symlink(&roots, home("u1")).unwrap();
    // What hangs, what does not end, what is not a factor.
    nix::unistd::mkfifo(&home("u2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    chown(&home("u2"), "u2");
    write_home(&site, "u3", NAME, &"A".repeat(70_000));
    std::fs::create_dir(home("u4")).unwrap();
    symlink("/dev/zero", home("u5")).unwrap();
    write_home(&site, "u6", NAME, &google_file("!!!"));
    // What others can change.
    write_home(&site, "u8", NAME, &google_file(KEY));
    std::fs::set_permissions(home("u8"), std::fs::Permissions::from_mode(0o620)).unwrap();
    // Codes that count as used for the next ten years.
    let far = format!("{KEY}\n\" DISALLOW_REUSE {}\n\" TOTP_AUTH\n", site.now() / 30 + 10_000_000);
    write_home(&site, "u7", NAME, &far);

    let start = Instant::now();
    let finished = site.totpd(&["import", "google-authenticator", "--all-users", "--json"]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(finished.code, 1, "{finished:?}");
    let report = finished.json();
    let entries = report["entries"].as_array().unwrap();
    let why = |user: &str| {
        let entry = entries.iter().find(|entry| entry["user"] == user);
        entry.unwrap_or_else(|| panic!("no {user}: {report}"))["why"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(report["imported"], 1, "{report}");
    assert_eq!(site.status("alice")["state"], "active");
    for (user, words) in [
        ("bob", "not a regular file"),
        ("eve", "may not read it"),
        ("u1", "not a regular file"),
        ("u2", "not a regular file"),
        ("u3", "64 KiB"),
        ("u4", "not a regular file"),
        ("u5", "not a regular file"),
        ("u6", "character 1"),
        ("u7", "more than a day ahead"),
        ("u8", "other users can read or write it"),
    ] {
        assert!(why(user).contains(words), "{user}: {}", why(user));
        assert_eq!(site.status(user)["state"], "none", "{user}");
    }
}

#[test]
fn a_file_that_others_can_read_or_write_is_refused() {
    let site = Site::new();
    write_home(&site, "alice", NAME, &google_file(KEY));
    for mode in [0o602, 0o604, 0o620, 0o640, 0o666] {
        let file = site.path("home/alice").join(NAME);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = site.totpd(&["import", "google-authenticator", "alice"]);
        assert!(refused.code == 1 && refused.stdout.contains("chmod 600 FILE"), "{mode:o}: {refused:?}");
    }
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn a_second_name_of_another_users_file_is_refused() {
    let site = Site::new();
    let (alice, eve) = (site.path("home/alice").join(NAME), site.path("home/eve").join(NAME));
    write_home(&site, "alice", NAME, &google_file(KEY));
    std::fs::hard_link(&alice, &eve).unwrap();
    for (mode, why) in [(0o644, "does not belong to the user"), (0o600, "may not read it")] {
        std::fs::set_permissions(&alice, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = site.totpd(&["import", "google-authenticator", "eve"]);
        assert!(refused.code == 1 && refused.stdout.contains(why), "{refused:?}");
    }
    assert_eq!(site.status("eve")["state"], "none");
}

#[test]
fn a_user_cannot_name_another_in_their_own_usersfile() {
    let site = Site::new();
    let hex = "3132333435363738393031323334353637383930";
    write_home(&site, "eve", "user.oath", &format!("HOTP/T30 root - {hex}\nHOTP/T30 alice - {hex}\n"));
    let refused = site.totpd(&["import", "pam-oath", "--all-users"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stdout.contains("0 imported, 0 skipped, 2 refused"), "{refused:?}");
    for user in ["root", "alice", "eve"] {
        assert_eq!(site.status(user)["state"], "none");
    }
    // Root reads no file that another user could have put there.
    let path = site.path("home/eve/user.oath");
    let refused = site.totpd(&["import", "pam-oath", &path.display().to_string()]);
    assert!(refused.code == 1 && refused.stdout.contains("standard input"), "{refused:?}");
}

#[test]
fn users_import_nothing_themselves() {
    let site = Site::new();
    write_home(&site, "alice", NAME, &google_file(KEY));
    let refused = site.totpd_as("alice", &["import", "google-authenticator", "alice"], "");
    assert!(refused.code == 2 && refused.stderr.contains("only root"), "{refused:?}");
    let refused = site.totpd_as("alice", &["import", "google-authenticator", "alice=-"], &google_file(KEY));
    assert!(refused.code == 1 && refused.stderr.contains("admin_group"), "{refused:?}");
    assert_eq!(site.status("alice")["state"], "none");
}

/// Mounts a file system whose server answers nothing, and waits.
const STUCK: &str = "import ctypes, os, stat, sys, time\n\
    device = sys.argv[1] + '.fuse'\n\
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(10, 229))\n\
    fd = os.open(device, os.O_RDWR)\n\
    data = f'fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other'.encode()\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    done = libc.mount(b'stuck', sys.argv[1].encode(), b'fuse', 0, data)\n\
    print('mounted' if done == 0 else os.strerror(ctypes.get_errno()), flush=True)\n\
    time.sleep(60)\n";

#[test]
fn a_home_on_a_stuck_mount_delays_others_by_seconds() {
    let site = Site::new();
    write_home(&site, "alice", NAME, &google_file(KEY));
    write_home(&site, "u8", NAME, &google_file(KEY));
    let mut python = site.command("python3");
    python.args(["-c", STUCK]).arg(site.path("home/bob")).stdout(Stdio::piped());
    let mut server = python.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "mounted\n");

    let start = Instant::now();
    let finished = site.totpd(&["import", "google-authenticator", "--all-users"]);
    let took = start.elapsed();
    server.kill().unwrap();
    server.wait().unwrap();
    // The server of the mount sleeps for longer; a busy machine starts each reader slowly.
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(50), "{took:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let bob = lines.iter().find(|line| line.starts_with("bob: refused")).unwrap();
    assert!(finished.code == 1 && bob.contains("it was not read within 5 s"), "{finished:?}");
    for user in ["alice", "u8"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{user}: imported"))), "{finished:?}");
    }
}

#[test]
fn junk_of_any_shape_is_refused_without_being_shown() {
    let site = Site::new();
    let junk = |user: &str, content: &str| write_home(&site, user, NAME, content);
    // One line of the longest file, a file of zeros, a file that is a terabyte of nothing.
    junk("alice", &"SECRET".repeat(10_900));
    junk("bob", &"\0".repeat(65_536));
    junk("eve", "");
    let sparse = site.path("home/eve").join(NAME);
    std::fs::OpenOptions::new().write(true).open(sparse).unwrap().set_len(1 << 40).unwrap();
    // Control characters for root's terminal, in a line that is not understood.
    junk("u1", &format!("{KEY}\n\u{1b}]0;pwned\u{7}\n\" TOTP_AUTH\n"));
    junk("u2", &"\n".repeat(65_000));
    let finished = site.totpd(&["import", "google-authenticator", "--all-users"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    for user in ["alice", "bob", "eve", "u2"] {
        assert!(finished.stdout.contains(&format!("{user}: refused")), "{user}: {finished:?}");
        assert_eq!(site.status(user)["state"], "none", "{user}");
    }
    assert!(finished.stdout.contains("it has more than 64 KiB"), "{finished:?}");
    let shown = finished.stdout + &finished.stderr;
    assert!(
        !shown.contains("SECRETSECRET") && !shown.contains("pwned") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    assert!(shown.len() < 10_000, "{}", shown.len());
}

#[test]
fn a_lease_on_a_file_holds_nobody_up() {
    let site = Site::new();
    write_home(&site, "alice", NAME, &google_file(KEY));
    write_home(&site, "bob", NAME, &google_file(KEY));
    // An open without O_NONBLOCK would wait for the holder of a write lease for 45 s (fcntl(2)).
    let script = "import fcntl, sys, signal, time\n\
                  signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                  f = open(sys.argv[1], 'r+'); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                  print('leased', flush=True); time.sleep(60)\n";
    let mut python = site.command_as("bob", "python3");
    python.args(["-c", script]).arg(site.path("home/bob").join(NAME)).stdout(Stdio::piped());
    let mut holder = python.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "leased\n");
    let start = Instant::now();
    let finished = site.totpd(&["import", "google-authenticator", "--all-users"]);
    let took = start.elapsed();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(took < Duration::from_secs(40), "{took:?}");
    assert!(
        finished.stdout.contains("bob: refused") && finished.stdout.contains("cannot be read"),
        "{finished:?}"
    );
    assert!(finished.stdout.contains("1 imported, 0 skipped, 1 refused"), "{finished:?}");
}
