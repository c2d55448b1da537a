//! Start, reload and stop of the daemon: inherited sockets, and an invalid configuration.

use nix::sys::signal::Signal;
use std::os::unix::fs::PermissionsExt;
use totp_wire::login::Verdict;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Activation, Site};

#[test]
fn sockets_that_systemd_does_not_pass_are_created() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    // The units of an older release pass two sockets; a broken unit, or one that is not enabled,
    // passes one.
    for handed in [&["login", "admin"][..], &["login"], &["root"], &["admin"]] {
        Activation { sockets: handed, ..Activation::default() }.start(&site);
        for (socket, mode) in [("root", 0o600), ("login", 0o666), ("admin", 0o600)] {
            let path = site.path(&format!("run/{socket}.sock"));
            let found = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{handed:?}: {socket}");
        }
        let phone = site.enroll("alice");
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted), "{handed:?}");
        site.totpd(&["revoke", "alice"]).assert_success();
        assert_eq!(site.end(Signal::SIGTERM), Some(0));
        for socket in ["root", "login", "admin"] {
            let left = site.path(&format!("run/{socket}.sock")).exists();
            assert_eq!(left, handed.contains(&socket), "{handed:?}: {socket}");
        }
        let _ = std::fs::remove_file(site.path("run/login.sock"));
    }
}

#[test]
fn inherited_sockets_are_used_and_left_in_place() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    Activation::default().start(&site);
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
    assert!(site.path("run/login.sock").exists(), "the supervisor's socket was removed");
}

#[test]
fn an_unprivileged_daemon_is_trusted_for_any_folder_owner() {
    let site = Site::without_daemon();
    site.totpd(&["init", "--owner", "nobody"]).assert_success();
    let faults = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&site.faults.path, faults).unwrap();
    let nobody = Some(nix::unistd::Uid::from_raw(65534));
    // Without tmpfiles.d, systemd leaves the folder to root. Then with the right owner.
    for owner in [None, nobody] {
        if owner.is_some() {
            nix::unistd::chown(&site.path("run"), owner, None).unwrap();
        }
        Activation { uid: 65534, ..Activation::default() }.start(&site);
        let phone = site.enroll("alice");
        site.totp_service("x", "nodelay");
        let alice = PamHost::new(&site, "x", "alice");
        assert_eq!(alice.answer(&phone.code(&site)), code::SUCCESS, "{owner:?}");
        assert!(site.log().contains("systemd-tmpfiles --create"));
        site.totpd(&["revoke", "alice"]).assert_success();
        assert_eq!(site.end(Signal::SIGTERM), Some(0));
    }
}

#[test]
fn a_socket_unit_on_another_path_is_served_and_reported() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let elsewhere = site.path("elsewhere/login.sock");
    let moved = site
        .config()
        .replace(&site.path("run/login.sock").display().to_string(), &elsewhere.display().to_string());
    site.write("etc/totpd/totpd.toml", &moved);
    Activation::default().start(&site);
    let phone = site.enroll("alice");
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    for path in [elsewhere, site.path("run/login.sock")] {
        assert!(site.log().contains(&path.display().to_string()), "{}", site.log());
    }
    assert!(!site.log().contains("Some("), "{}", site.log());
}

#[test]
fn a_stopping_daemon_keeps_its_successors_sockets() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let code = phone.code(&site);
    let waiting = begin(&site, local("alice")).unwrap();
    site.faults.sync_delay_us(1_000_000);
    let syncs = site.faults.syncs();
    let answering = std::thread::spawn(move || waiting.answer(&code));
    wait_until("the commit has begun", || site.faults.syncs() > syncs);
    site.signal(Signal::SIGTERM);
    wait_until("the sockets are gone", || !site.path("run/login.sock").exists());
    let mut old = site.take_daemon();
    let started = std::time::Instant::now();
    site.start();
    assert_eq!(answering.join().unwrap(), Ok(Verdict::Granted));
    site.faults.sync_delay_us(0);
    assert!(old.wait().unwrap().success(), "{:?}", started.elapsed());
    assert_eq!(site.totpd(&["status"]).code, 0, "the successor's socket was removed");
}

#[test]
fn a_supervised_daemon_ends_when_its_store_fails() {
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    Activation::default().start(&site);
    let phone = site.enroll("alice");
    site.faults.sync_fails(true);
    assert!(login(&site, "alice", &phone.code(&site)).is_err());
    // It ends by itself.
    site.wait_for_daemon_end();
    site.faults.sync_fails(false);
    Activation::default().start(&site);
    assert_eq!(login(&site, "alice", &phone.recovery_codes[0]), Ok(Verdict::Granted));
}

#[test]
fn a_clean_stop_finishes_requests_in_flight() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let code = phone.code(&site);
    let waiting = begin(&site, local("alice")).unwrap();
    let idle = begin(&site, local("alice")).unwrap();
    site.faults.sync_delay_us(1_000_000);
    let syncs = site.faults.syncs();
    let answering = std::thread::spawn(move || waiting.answer(&code));
    wait_until("the commit has begun", || site.faults.syncs() > syncs);
    site.signal(Signal::SIGTERM);
    assert_eq!(answering.join().unwrap(), Ok(Verdict::Granted));
    site.faults.sync_delay_us(0);
    assert!(idle.answer("123456").is_err());
    assert_eq!(site.end(Signal::SIGTERM), Some(0));
    assert!(!site.path("run/login.sock").exists());
}

#[test]
fn an_invalid_configuration_refuses_at_start_but_not_at_reload() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let good = site.config();
    site.write("etc/totpd/totpd.toml", &format!("{good}surprise = 1\n"));
    site.signal(Signal::SIGHUP);
    wait_until("the reload is refused", || site.log().contains("the old configuration stays in force"));
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
    // The commands still reach the daemon through the sockets that the broken file names.
    let asked = site.totpd(&["status"]).assert_success();
    assert!(
        asked.stderr.contains("only the sockets are used") && asked.stdout.contains("serves store"),
        "{asked:?}"
    );
    let check = site.totpd(&["config", "check"]);
    assert_eq!(check.code, 1);
    assert!(check.stderr.contains("totpd.toml:4:1: unknown field `surprise`"), "{check:?}");
    site.end(Signal::SIGTERM);

    // At a start without the last good configuration the daemon refuses on the sockets that the
    // file still names, and serves once the file is fixed.
    std::fs::remove_file(site.path("state/last-good.toml")).unwrap();
    site.start();
    wait_until("the daemon refuses", || site.log().contains("refusing every login"));
    assert!(login(&site, "alice", "123456").is_err());
    site.write("etc/totpd/totpd.toml", &format!("{good}[login]\nprompt = \"Code, please: \"\n"));
    site.signal(Signal::SIGHUP);
    site.wait_until_serving();
    assert_eq!(begin(&site, local("alice")).unwrap().step.prompt.unwrap().text, "Code, please: ");
}

#[test]
fn a_second_daemon_does_not_take_the_sockets() {
    let site = Site::new();
    let second = site.totpd(&["serve"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another totpd answers there already"), "{second:?}");
    assert_eq!(site.totpd(&["status"]).code, 0);
}

#[test]
fn expired_enrollments_are_deleted_with_their_secret() {
    let site = Site::new();
    site.totpd(&["enroll", "bob", "--expires", "1s"]).assert_success();
    site.advance(2);
    assert_eq!(site.status("bob")["state"], "none");
    site.end(Signal::SIGTERM);
    site.start();
    wait_until("the enrollment is deleted", || {
        site.events().iter().any(|e| e["event"] == "expire" && e["user"] == "bob")
    });
}

#[test]
fn a_configuration_that_others_can_change_is_refused() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let path = site.path("etc/totpd/totpd.toml");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let own = |uid: u32| nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(uid)), None).unwrap();
    let advice = format!("Run: chmod go-w {}", path.display());
    for wrong in [0o666, 0o664] {
        mode(wrong);
        // A reload refuses such a file, and the old configuration stays in force.
        let before = site.log().matches("the old configuration stays in force").count();
        site.signal(Signal::SIGHUP);
        wait_until("the reload is refused", || {
            site.log().matches("the old configuration stays in force").count() > before
        });
        assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
        site.next_step();
        let check = site.totpd(&["config", "check"]);
        assert!(check.code == 1 && check.stderr.contains(&advice), "{check:?}");
        assert_ne!(site.totpd(&["status"]).code, 0);
    }
    own(5002);
    mode(0o644);
    let check = site.totpd(&["config", "check"]);
    assert!(check.code == 1 && check.stderr.contains("belongs to uid 5002"), "{check:?}");
    site.end(Signal::SIGTERM);

    // At a start the daemon refuses everybody until the file is fixed.
    site.start();
    wait_until("the daemon refuses", || site.log().contains("refusing every login"));
    assert!(login(&site, "alice", &phone.code(&site)).is_err());
    assert!(site.log().contains(&format!("Run: chown root {}", path.display())));
    own(0);
    site.signal(Signal::SIGHUP);
    site.wait_until_serving();
    assert_eq!(login(&site, "alice", &phone.code(&site)), Ok(Verdict::Granted));
}
