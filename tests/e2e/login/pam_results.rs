//! The result that the module returns for each case, through libpam.

use std::os::unix::net::UnixListener;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::paths::panicking_module;
use totpd_e2e::users::PASSWORD;

fn service(site: &Site, arguments: &str) {
    let line = site.pam_line(&format!("nodelay {arguments}"));
    site.service("x", &format!("auth required {line}\naccount required {line}\nsession required {line}\npassword required {line}\n"));
}

#[test]
fn each_kind_of_input_has_its_pam_result() {
    let site = Site::new();
    service(&site, "");
    let phone = site.enroll("alice");
    let alice = PamHost::new(&site, "x", "alice");
    assert_eq!(alice.answer(&phone.code(&site)), code::SUCCESS);
    assert_eq!(alice.answer(&phone.code(&site)), code::AUTH_ERR);
    for (typed, reason) in [
        ("000000", "wrong"),
        ("", "empty"),
        ("correct horse battery staple", "not-a-code"),
        ("\u{8}\r\u{7f}INCORRECT", "not-a-code"),
    ] {
        assert_eq!(alice.answer(typed), code::AUTH_ERR, "{typed:?}");
        assert_eq!(site.last_login()["reason"], reason);
    }
    assert_eq!(site.status("alice")["failures"], 1);
    for nobody in ["bob", "no-such-user", "\u{1b}[31mred", &"x".repeat(400)] {
        assert_eq!(PamHost::new(&site, "x", nobody).answer("123456"), code::AUTH_ERR, "{nobody:?}");
    }
    assert!(!site.log().contains('\u{1b}'), "a control character reached the log");
}

#[test]
fn the_last_try_can_succeed_and_used_up_tries_are_maxtries() {
    let site = Site::new();
    service(&site, "tries=2");
    let phone = site.enroll("alice");
    let alice = PamHost::new(&site, "x", "alice");
    assert_eq!(alice.authenticate("111111\n222222\n333333\n"), code::MAXTRIES);
    let finished = alice.run(&["authenticate"], &format!("111111\n{}\n", phone.code(&site)));
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS);
    assert!(finished.stdout.contains("prompt: Not accepted. Each code works once: "), "{finished:?}");
}

#[test]
fn an_unknown_argument_is_refused_and_named() {
    let site = Site::new();
    service(&site, "nullok");
    site.enroll("alice");
    assert_eq!(PamHost::new(&site, "x", "alice").answer("123456"), code::SERVICE_ERR);
    site.wait_for_syslog("\"nullok\" is unknown");
}

#[test]
fn a_failed_conversation_returns_conv_err() {
    let site = Site::new();
    service(&site, "");
    site.enroll("alice");
    for mode in ["null", "noarray", "error", "again"] {
        let host = PamHost::new(&site, "x", "alice").option(&["-m", mode]);
        assert_eq!(host.authenticate(""), code::CONV_ERR, "{mode}");
    }
    assert_eq!(site.status("alice")["failures"], 0);
}

#[test]
fn setcred_succeeds_without_authenticate_and_without_a_daemon() {
    let site = Site::without_daemon();
    service(&site, "");
    let finished = PamHost::new(&site, "x", "alice")
        .run(&["setcred", "acct_mgmt", "open_session", "close_session", "chauthtok"], "");
    assert_eq!(result(&finished, "setcred"), code::SUCCESS);
    // Each of these is ignored, and libpam refuses a stack in which everything is ignored.
    for operation in ["acct_mgmt", "open_session", "close_session", "chauthtok"] {
        assert_eq!(result(&finished, operation), code::PERM_DENIED, "{operation}: {finished:?}");
    }
}

#[test]
fn only_a_missing_daemon_or_store_is_authinfo_unavail() {
    let site = Site::without_daemon();
    service(&site, "");
    let alice = PamHost::new(&site, "x", "alice");
    assert_eq!(alice.answer("123456"), code::AUTHINFO_UNAVAIL, "no socket");
    // A killed daemon leaves these, and an attacker may have killed it.
    for socket in ["run/login.sock", "run/root.sock"] {
        drop(UnixListener::bind(site.path(socket)).unwrap());
        assert_eq!(alice.answer("123456"), code::SYSTEM_ERR, "{socket}: connection refused");
    }
    // A daemon without a store refuses everybody.
    site.start();
    assert_eq!(alice.answer("123456"), code::AUTHINFO_UNAVAIL, "no store");
    assert_eq!(site.last_login()["reason"], "store-unavailable");
}

#[test]
fn a_panic_is_refused_and_the_host_program_survives() {
    let site = Site::new();
    site.enroll("alice");
    for kind in ["plain", "bomb"] {
        let module = panicking_module();
        assert!(module.exists(), "{} is built by `make test`", module.display());
        let socket = site.path("run/login.sock");
        site.service(
            "x",
            &format!("auth required {} socket={} panic={kind}\n", module.display(), socket.display()),
        );
        let finished = PamHost::new(&site, "x", "alice").run(&["authenticate"], "123456\n");
        assert_eq!(
            (finished.code, result(&finished, "authenticate")),
            (0, code::SERVICE_ERR),
            "{finished:?}"
        );
        assert_eq!(finished.stderr, "", "a panic reached the host's stderr");
    }
    site.wait_for_syslog("internal error (panic)");
}

#[test]
fn silence_drops_messages_and_keeps_the_prompt() {
    let site = Site::new();
    service(&site, "");
    let phone = site.enroll("alice");
    let alice = PamHost::new(&site, "x", "alice").option(&["-s"]);
    let finished = alice.run(&["authenticate"], &format!("{}\n", phone.recovery_codes[0]));
    assert_eq!(finished.stdout, "prompt: Verification code: \nauthenticate=0\n");
    let finished =
        PamHost::new(&site, "x", "alice").run(&["authenticate"], &format!("{}\n", phone.recovery_codes[1]));
    assert!(finished.stdout.contains("info: That recovery code is used up; 8 are left."), "{finished:?}");
}

#[test]
fn forward_pass_takes_password_and_code_from_one_line() {
    let site = Site::new();
    let phone = site.enroll("alice");
    site.service(
        "x",
        &format!(
            "auth required {}\nauth required pam_unix.so use_first_pass nodelay\n",
            site.pam_line("nodelay forward_pass")
        ),
    );
    let alice = PamHost::new(&site, "x", "alice");
    let finished = alice.run(&["authenticate"], &format!("{PASSWORD}{}\n", phone.code(&site)));
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
    assert!(finished.stdout.contains("prompt: Password and verification code: "));
    site.next_step();
    // A wrong password with a right code, the other way round, and no code: one prompt each.
    for (password, typed) in
        [("wrong", phone.code(&site)), (PASSWORD, "000000".into()), (PASSWORD, String::new())]
    {
        let finished = alice.run(&["authenticate"], &format!("{password}{typed}\nnever asked\n"));
        assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{finished:?}");
        assert_eq!(finished.stdout.matches("prompt").count(), 1, "{finished:?}");
    }
    let recovery = format!("{PASSWORD}{}\n", phone.recovery_codes[0]);
    assert_eq!(alice.authenticate(&recovery), code::SUCCESS);
    assert!(!site.log().contains(PASSWORD), "the password left the host");
}

#[test]
fn first_pass_options_use_the_password_of_an_earlier_module() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let stack = |option: &str| {
        let line = site.pam_line(&format!("nodelay {option}"));
        site.service("x", &format!("auth optional pam_unix.so nodelay\nauth required {line}\n"));
    };
    let alice = PamHost::new(&site, "x", "alice");
    stack("use_first_pass");
    assert_eq!(alice.answer(&phone.code(&site)), code::SUCCESS);
    let finished = alice.run(&["authenticate"], &format!("{PASSWORD}\nnever asked\n"));
    assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{finished:?}");
    assert_eq!(finished.stdout.matches("prompt").count(), 1);
    site.next_step();
    stack("try_first_pass");
    let finished = alice.run(&["authenticate"], &format!("{PASSWORD}\n{}\n", phone.code(&site)));
    assert_eq!(result(&finished, "authenticate"), code::SUCCESS, "{finished:?}");
}
