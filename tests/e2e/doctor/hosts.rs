//! `totpd doctor` with real sshd and sudo, and with a daemon that serves, hangs or is stopped.

use super::{finding, ids};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::pamhost::PamHost;
use totpd_e2e::paths::{module, totpd};
use totpd_e2e::run::run;

/// Makes a site with our line in `sshd` and `sudo`, and its own configuration of sshd.
fn site(rules: &str) -> Site {
    let site = Site::with_rules(rules);
    // The file name by which doctor knows the module.
    std::fs::copy(module(), site.path("pam_totp.so")).unwrap();
    let socket = site.path("run/login.sock");
    let ours = format!("auth required {} socket={}\n", site.path("pam_totp.so").display(), socket.display());
    site.service("sshd", &format!("{ours}account required pam_permit.so\n"));
    for sudo in ["sudo", "sudo-i"] {
        site.service(sudo, &format!("auth required pam_unix.so\n{ours}account required pam_permit.so\n"));
    }
    sshd(&site, "");
    for user in totpd_e2e::users::USERS.map(|(user, _)| user) {
        site.enroll(user);
    }
    site
}

/// Writes sshd's configuration of the site: these lines, then the ones that ask for a code.
#[track_caller]
fn sshd(site: &Site, first: &str) {
    let rest = "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\nPermitRootLogin no\n\
                AuthenticationMethods publickey,keyboard-interactive:pam\n";
    site.write("sshd_config", &format!("{first}{rest}"));
    let host_key = site.path("host_key");
    if !host_key.exists() {
        let mut keygen = site.command("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&host_key);
        run(keygen, "").assert_success();
        let mut mount = site.command("mount");
        mount.arg("--bind").arg(site.path("sshd_config")).arg("/etc/ssh/sshd_config");
        run(mount, "").assert_success();
    }
    let host_key =
        format!("{first}{rest}").replacen("UsePAM", &format!("HostKey {}\nUsePAM", host_key.display()), 1);
    site.write("sshd_config", &host_key);
}

fn doctor(site: &Site) -> totpd_e2e::Finished {
    site.totpd(&["doctor", "--json"])
}

#[test]
fn a_daemon_that_hangs_is_named_with_its_pid_within_two_seconds() {
    let site = site("");
    assert_eq!(ids(&doctor(&site)).0, [""; 0], "{}", site.totpd(&["doctor"]).stdout);
    site.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let found = doctor(&site);
    let took = start.elapsed();
    site.signal(Signal::SIGCONT);
    assert_eq!((ids(&found).0.as_slice(), found.code), (&["daemon-hangs".to_owned()][..], 4));
    let what = finding(&found, "daemon-hangs")["what"].as_str().unwrap().to_owned();
    assert!(what.contains(&format!("(pid {})", site.daemon_pid())), "{what}");
    // Two seconds for the daemon, and one for `sshd -T` about a dozen users.
    assert!(took < Duration::from_secs(4), "{took:?}");
    site.end(Signal::SIGTERM);
    assert_eq!(ids(&doctor(&site)).0, ["daemon-unreachable"]);
}

#[test]
fn doctor_reports_what_a_real_sshd_does() {
    let site = site("");
    let cases: [(&str, &[&str]); 7] = [
        ("UsePAM no\n", &["sshd-usepam-off"]),
        ("KbdInteractiveAuthentication no\n", &["sshd-nobody-asked"]),
        ("AuthenticationMethods any\n", &["sshd-key-alone", "sshd-code-alone"]),
        ("AuthenticationMethods keyboard-interactive:pam\n", &["sshd-code-alone"]),
        ("Match User alice\nAuthenticationMethods publickey\nMatch all\n", &["sshd-key-alone-for-some"]),
        (
            "Match Address 10.0.0.0/8\nAuthenticationMethods publickey\nMatch all\n",
            &["sshd-key-alone-for-some"],
        ),
        ("Frobnicate yes\n", &["sshd-config"]),
    ];
    for (first, wanted) in cases {
        sshd(&site, first);
        // Other tests cover drift, which follows sshd's configuration as well.
        let mut found = ids(&doctor(&site)).0;
        found.retain(|id| id != "stopped-asking");
        assert_eq!(found, wanted, "{first}{}", site.totpd(&["doctor"]).stdout);
    }
    sshd(&site, "Match User alice\nAuthenticationMethods publickey\nMatch all\n");
    let what = finding(&doctor(&site), "sshd-key-alone-for-some");
    assert_eq!(what["subject"], "alice");
}

#[test]
fn doctor_names_file_line_and_user_of_real_sudoers() {
    let site = site("");
    let sudoers = |text: &str| {
        // In place, because the file is bound over the host's.
        site.write("etc/sudoers", &format!("{text}\n@includedir {}\n", site.path("sudoers.d").display()));
    };
    std::fs::create_dir(site.path("sudoers.d")).unwrap();
    sudoers("User_Alias OPS = alice, bob\nALL ALL=(ALL) ALL");
    assert_eq!(ids(&doctor(&site)).0, [""; 0]);
    site.write("sudoers.d/ops", "# of the operators\nOPS ALL = (root) \\\n    NOPASSWD: /bin/ls\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o440);
    std::fs::set_permissions(site.path("sudoers.d/ops"), mode).unwrap();
    let found = finding(&doctor(&site), "sudo-nopasswd");
    assert_eq!(found["file"].as_str(), site.path("sudoers.d/ops").to_str());
    assert_eq!(found["line"], 2);
    let what = found["what"].as_str().unwrap();
    assert!(what.contains("OPS (without a password in all: alice, bob)"), "{what}");
    std::fs::remove_file(site.path("sudoers.d/ops")).unwrap();
    sudoers("Defaults:eve !authenticate\nALL ALL=(ALL) ALL");
    assert_eq!(finding(&doctor(&site), "sudo-not-authenticate")["subject"], "eve");
    sudoers("ALL ALL=(ALL ALL");
    assert_eq!(ids(&doctor(&site)).0, ["sudoers-config"]);
}

#[test]
fn doctor_names_users_whose_next_login_fails() {
    let rules = "[[login.rule]]\nusers = [\"u1\"]\nservices = [\"sshd\"]\naction = \"deny\"\n";
    let site = site(rules);
    assert_eq!(ids(&doctor(&site)).0, [""; 0], "{}", site.totpd(&["doctor"]).stdout);
    site.totpd(&["revoke", "bob"]).assert_success();
    for _ in 0..10 {
        site.totpd_with(&["verify", "alice"], "000000");
    }
    // In place, because the file is bound over the host's.
    let passwd = site.read("etc/passwd");
    let passwd: Vec<&str> = passwd.lines().filter(|line| !line.starts_with("u3:")).collect();
    site.write("etc/passwd", &passwd.join("\n").replace("u2:x:5012:", "u2:x:5112:"));
    let found = doctor(&site);
    assert_eq!(finding(&found, "user-uid-changed")["subject"], "u2");
    assert_eq!(finding(&found, "user-deleted")["subject"], "u3");
    assert_eq!(finding(&found, "users-without-factor")["subject"], "bob");
    assert_eq!(finding(&found, "users-locked")["subject"], "alice");
    assert_eq!(ids(&found).0.len(), 4, "{}", site.totpd(&["doctor"]).stdout);
}

#[test]
fn only_root_is_shown_errors_at_the_next_login() {
    let site = site("");
    let phone = site.enroll("root");
    site.totpd(&["doctor", "--quiet"]).assert_success();
    let login = |user: &str, code: &str| {
        let host = PamHost::new(&site, "x", user).daemon();
        let finished = host.run(&["authenticate"], &format!("{code}\n"));
        format!("{}{}", finished.stdout, finished.stderr)
    };
    let ours = format!(
        "auth required {} socket={}\n",
        site.path("pam_totp.so").display(),
        site.path("run/login.sock").display()
    );
    site.service("x", &format!("auth requisite pam_permit.so\n{ours}"));
    let quiet = login("root", &phone.code(&site));
    assert!(!quiet.contains("totpd doctor"), "{quiet}");
    site.service("sudo", "auth required pam_unix.so\n");
    assert_eq!(site.totpd(&["doctor", "--quiet"]).code, 4);
    site.totpd(&["revoke", "alice"]).assert_success();
    let alice = site.enroll("alice");
    let others = login("alice", &alice.code(&site));
    assert!(others.contains("authenticate=0") && !others.contains("doctor"), "{others}");
    site.next_step();
    let shown = login("root", &phone.code(&site));
    assert!(shown.contains("totpd doctor found ") && shown.contains("sudo asked for a code on "), "{shown}");
}

#[test]
fn only_root_may_run_doctor_which_changes_nothing() {
    let site = site("");
    let mut eve = site.command_as("eve", totpd());
    eve.args(["doctor", "--config"]).arg(site.path("etc/totpd/totpd.toml"));
    let refused = run(eve, "");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("sudo totpd doctor"), "{refused:?}");
    site.write("etc/pam.d/sudo", "auth sufficient pam_unix.so\n");
    let before = std::fs::read(site.path("etc/pam.d/sudo")).unwrap();
    site.totpd(&["doctor", "--fix", "--yes"]);
    assert_eq!(std::fs::read(site.path("etc/pam.d/sudo")).unwrap(), before, "another program's file");
}
