//! `totpd pam enable` on Debian's own service files, and then a login by each real program: a
//! screen locker, `login`, polkit's helper and cockpit-session.

use super::locker::{Screen, let_unix_chkpwd_read};
use super::{login, polkit};
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::paths::{module, script};
use totpd_e2e::polkit::Polkit;
use totpd_e2e::run::{Finished, Running, run, wait_until};
use totpd_e2e::shell::Shell;
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{Phone, Site};

/// `ROOT MODULE`: mounts copies of the module's folder and of what `totpd pam` writes over those of
/// the host.
const PREPARE: &str = r#"
folder=$(dirname "$(find /usr/lib /lib -name pam_unix.so | head -n1)")
cp -a "$folder" "$1/security"
cp "$2" "$1/security/pam_totp.so"
mount --bind "$1/security" "$folder"
mkdir /run/var-lib
mount --rbind /var/lib /run/var-lib
mount -t tmpfs -o mode=0755 tmpfs /var/lib
for each in /run/var-lib/*/; do
    name=$(basename "$each")
    [ "$name" != totpd-pam ] || continue
    mkdir "/var/lib/$name"
    mount --rbind "$each" "/var/lib/$name"
done
"#;

/// Makes a site with these service files of the host, in which alice is an administrator with a
/// factor.
#[track_caller]
fn debian(services: &[&str]) -> (Site, Phone) {
    let site = Site::new();
    let [root, module] = [&site.root, &module()].map(|path| path.display().to_string());
    site.run("sh", &["-e", "-c", PREPARE, "sh", &root, &module]).assert_success();
    let common = ["common-auth", "common-account", "common-session", "common-session-noninteractive"];
    for name in common.iter().chain(&["common-password"]).chain(services) {
        site.service(name, &packaged(name));
    }
    site.append("etc/group", "sudo:x:27:alice\n");
    let phone = site.enroll("alice");
    (site, phone)
}

/// Returns a service file of the host.
fn packaged(name: &str) -> String {
    std::fs::read_to_string(format!("/etc/pam.d/{name}")).unwrap()
}

fn enable(site: &Site, services: &[&str]) -> Finished {
    let options = ["--yes", "--unattended", "--confirm-within", "10s"];
    site.totpd(&[&["pam", "enable"], services, &options].concat())
}

/// Unlocks as a locker does, whose field answers every prompt. Returns PAM's result and the number
/// of prompts.
fn one_field(site: &Site, user: &str, field: &str) -> (i32, usize) {
    let ran = PamHost::new(site, "i3lock", user)
        .run_as(user)
        .run(&["authenticate"], &format!("{field}\n").repeat(4));
    (result(&ran, "authenticate"), ran.stdout.matches("prompt: ").count())
}

/// Types a line into a locker that asks for no code, and waits until it has ended.
#[track_caller]
fn ends(screen: &Screen, locker: &mut Running, typed: &str) {
    screen.types(typed);
    wait_until("the locker has ended", || locker.0.try_wait().unwrap().is_some());
}

#[test]
fn an_enabled_locker_takes_password_and_code_in_one_field() {
    let (site, phone) = debian(&["login", "i3lock"]);
    let_unix_chkpwd_read(&site);
    let said = enable(&site, &["i3lock"]).assert_success().stdout;
    assert!(said.contains("cannot unlock: bob, eve"), "{said}");
    assert!(said.contains("directly after the password"), "{said}");
    let status = site.totpd(&["pam", "status", "i3lock"]).assert_success().stdout;
    assert!(status.contains("i3lock: require, in one field with the password"), "{status}");

    let screen = Screen::new(&site);
    let mut locker = screen.lock();
    for refused in [PASSWORD.to_owned(), format!("{PASSWORD}{}", phone.wrong_code(&site))] {
        assert!(!screen.unlocks(&mut locker, &refused), "{refused}");
    }
    assert!(screen.unlocks(&mut locker, &format!("{PASSWORD}{}", phone.code(&site))));
    assert_eq!(site.last_login()["class"], "own");
    // A right code alone, and after a wrong password.
    for typed in [phone.recovery_codes[0].clone(), format!("wrong{}", phone.recovery_codes[1])] {
        let (answer, asked) = one_field(&site, "alice", &typed);
        assert_eq!((answer, site.last_login()["outcome"].as_str()), (code::AUTH_ERR, Some("granted")));
        assert_eq!(asked, 1, "more than one prompt");
    }
    assert_eq!(one_field(&site, "bob", PASSWORD), (code::AUTH_ERR, 1), "bob has no factor");

    // Without a daemon the later modules ask nothing, and the code still works afterwards.
    site.end(nix::sys::signal::Signal::SIGTERM);
    let field = format!("{PASSWORD}{}", phone.recovery_codes[2]);
    assert_eq!(one_field(&site, "alice", &field), (code::AUTHINFO_UNAVAIL, 0));
    site.start();
    assert_eq!(one_field(&site, "alice", &field), (code::SUCCESS, 1));

    // A locker that has already asked keeps its stack; the next one asks as before.
    locker = screen.lock();
    assert!(!screen.unlocks(&mut locker, PASSWORD));
    site.totpd(&["pam", "disable", "i3lock", "--yes"]).assert_success();
    assert_eq!(site.read("etc/pam.d/i3lock"), packaged("i3lock"));
    assert!(!screen.unlocks(&mut locker, PASSWORD));
    assert!(screen.unlocks(&mut locker, &format!("{PASSWORD}{}", phone.recovery_codes[3])));
    locker = screen.lock();
    ends(&screen, &mut locker, PASSWORD);
    assert_eq!(one_field(&site, "bob", PASSWORD), (code::SUCCESS, 1));
}

#[test]
fn a_locker_never_asks_by_the_lines_of_an_enabled_login() {
    let (site, phone) = debian(&["login", "i3lock"]);
    let_unix_chkpwd_read(&site);
    for services in [&["login"][..], &["login", "i3lock"]] {
        let refused = enable(&site, services);
        assert!(refused.code != 0 && refused.stderr.contains("totpd pam enable i3lock"), "{refused:?}");
    }
    assert_eq!(site.read("etc/pam.d/i3lock"), packaged("i3lock"));
    enable(&site, &["i3lock"]).assert_success();
    enable(&site, &["login"]).assert_success();
    let refused = site.totpd(&["pam", "disable", "i3lock", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("totpd pam disable i3lock login"), "{refused:?}");
    assert_eq!(one_field(&site, "alice", PASSWORD).0, code::AUTH_ERR);
    let field = format!("{PASSWORD}{}", phone.recovery_codes[0]);
    assert_eq!(one_field(&site, "alice", &field), (code::SUCCESS, 1));
    site.totpd(&["pam", "disable", "i3lock", "login", "--yes"]).assert_success();
    assert_eq!(one_field(&site, "alice", PASSWORD), (code::SUCCESS, 1));
    for name in ["login", "i3lock"] {
        assert_eq!(site.read(&format!("etc/pam.d/{name}")), packaged(name));
    }
    // A line that an administrator wrote asks in login.
    enable(&site, &["i3lock"]).assert_success();
    site.service("login", &format!("{}auth required pam_totp.so\n", packaged("login")));
    let refused = site.totpd(&["pam", "disable", "--all", "--yes"]);
    assert!(refused.code != 0 && refused.stderr.contains("(pam_totp.so) by hand first"), "{refused:?}");
    site.service("login", &packaged("login"));
    site.totpd(&["pam", "disable", "--all", "--yes"]).assert_success();
    // A locker that is installed after login was enabled.
    site.service("i3lock", "auth required pam_permit.so\n");
    enable(&site, &["login"]).assert_success();
    site.service("i3lock", &packaged("i3lock"));
    assert_ne!(one_field(&site, "alice", PASSWORD).0, code::SUCCESS, "login's block asks as well");
    enable(&site, &["i3lock"]).assert_success();
    let field = format!("{PASSWORD}{}", phone.recovery_codes[1]);
    assert_eq!(one_field(&site, "alice", &field), (code::SUCCESS, 1));
}

#[test]
fn debians_lockers_pass_the_trial_without_a_keyrings_module() {
    let (site, phone) = debian(&[]);
    let_unix_chkpwd_read(&site);
    let lockers = [
        ("mate-screensaver", "@include common-auth\nauth optional pam_gnome_keyring.so\n"),
        ("xfce4-screensaver", "auth include common-auth\nauth optional pam_gnome_keyring.so\n"),
        ("xscreensaver", "@include common-auth\n@include common-account\n"),
        (
            "kde",
            "auth requisite pam_nologin.so\nauth required pam_succeed_if.so user != root quiet_success\n\
             @include common-auth\nauth optional pam_kwallet5.so\n",
        ),
    ];
    for (name, text) in lockers {
        site.service(name, text);
    }
    enable(&site, &lockers.map(|(name, _)| name)).assert_success();
    for (at, (name, _)) in lockers.iter().enumerate() {
        let locker = PamHost::new(&site, name, "alice").run_as("alice");
        let field = format!("{PASSWORD}{}\n", phone.recovery_codes[at]);
        assert_eq!(locker.authenticate(&format!("{PASSWORD}\n").repeat(4)), code::AUTH_ERR, "{name}");
        assert_eq!(locker.authenticate(&field.repeat(4)), code::SUCCESS, "{name}");
    }
}

#[test]
fn an_enabled_login_requires_a_code() {
    let (site, phone) = debian(&["login"]);
    enable(&site, &["login"]).assert_success();
    let mut shell = Shell::of(&site, "root");
    for refused in ["", &phone.wrong_code(&site)] {
        assert!(!login::login(&mut shell, "login alice", refused).let_in("in as alice"));
    }
    assert_eq!(site.last_login()["service"], "login");
    let ran = login::login(&mut shell, "login alice", &phone.code(&site));
    assert!(ran.let_in("in as alice"), "{ran:?}");
}

#[test]
fn an_enabled_polkit_requires_a_code() {
    let (site, phone) = debian(&[]);
    enable(&site, &["polkit-1"]).assert_success();
    let _polkit = Polkit::start(&site);
    let mut shell = Shell::of(&site, "alice");
    for refused in ["", &phone.wrong_code(&site)] {
        assert!(!polkit::polkit(&mut shell, refused).let_in("in as alice"));
    }
    assert_eq!(site.last_login()["service"], "polkit-1");
    let ran = polkit::polkit(&mut shell, &phone.code(&site));
    assert!(ran.let_in("in as alice"), "{ran:?}");
    site.totpd(&["pam", "disable", "polkit-1", "--yes"]).assert_success();
    assert!(!site.path("etc/pam.d/polkit-1").exists(), "the package's file is in force again");
}

#[test]
fn an_enabled_cockpit_requires_a_code() {
    let (site, phone) = debian(&["cockpit"]);
    enable(&site, &["cockpit"]).assert_success();
    let cockpit = |answer: &str| {
        let mut command = site.command(script("cockpit.py"));
        command.args(["alice", PASSWORD, answer]);
        run(command, "")
    };
    for answer in ["", &phone.wrong_code(&site)] {
        let refused = cockpit(answer);
        assert!(refused.stdout.contains("authentication-failed"), "{refused:?}");
    }
    assert_eq!(site.last_login()["service"], "cockpit");
    let granted = cockpit(&phone.code(&site));
    assert!(granted.stdout.contains("prompt Verification code:"), "{granted:?}");
    assert!(!granted.stdout.contains("authentication-failed"), "{granted:?}");
    assert_eq!(site.last_login()["outcome"], "granted");
}
