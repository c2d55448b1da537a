//! A user owns what root's import reads, and may put anything there.

use super::{KEY, google_file, write_home};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
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
