//! Real setuid programs and root services that eve runs with alice's name. Ten wrong codes lock a
//! class of strangers, and no class of alice.

use super::services;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, login, results};
use totpd_e2e::phone::Phone;
use totpd_e2e::polkit::{self, Helper};
use totpd_e2e::shell::Shell;
use totpd_e2e::users::PASSWORD;
use totpd_e2e::xrdp::Sesman;

/// More wrong codes than lock a class.
const TRIES: usize = 11;

/// Asserts that alice can log in by sudo, at the console, by a process of theirs and from another
/// host.
#[track_caller]
fn assert_alice_can_log_in(site: &Site, phone: &Phone) {
    services(site, &["sudo", "sshd", "login", "i3lock"]);
    let alice = |service: &str| PamHost::new(site, service, "alice");
    let attempts = [
        (alice("sudo"), "local"),
        (alice("login").daemon(), "console"),
        (alice("i3lock").run_as("alice"), "own"),
        (alice("sshd").option(&["-r", "198.51.100.7"]), "others"),
    ];
    for (attempt, class) in attempts {
        let answer = attempt.answer(&phone.code(site));
        assert_eq!(answer, code::SUCCESS, "{class}: {}", site.last_login());
        assert_eq!(site.last_login()["class"], class);
        site.next_step();
    }
}

/// Returns the events of refused logins.
fn refusals(site: &Site) -> Vec<serde_json::Value> {
    site.events().into_iter().filter(|e| e["event"] == "login" && e["outcome"] == "refused").collect()
}

/// Asserts that each refusal names eve as the caller, and that the last one is of a locked class.
#[track_caller]
fn assert_eve_is_named_and_locked(site: &Site, service: &str) {
    let refused = refusals(site);
    assert!(refused.len() >= TRIES, "{refused:?}");
    for event in &refused {
        assert_eq!(
            (&event["caller_uid"], &event["class"], &event["service"]),
            (&5003.into(), &"local-stranger".into(), &service.into()),
            "{event}"
        );
    }
    assert_eq!(refused.last().unwrap()["reason"], "locked");
    // The history names eve as well.
    let history = site.totpd(&["history"]).assert_success().stdout;
    let refused: Vec<&str> = history.lines().filter(|line| line.contains("refused")).collect();
    assert!(refused.iter().all(|line| line.ends_with(", asked by eve")), "{history}");
}

#[test]
fn polkits_helper_run_by_another_user_locks_nobody_else() {
    let site = Site::new();
    polkit::service(&site);
    let phone = site.enroll("alice");
    for _ in 0..TRIES {
        let helper = Helper::run(&site, "eve", "alice", &["not the password", &phone.wrong_code(&site)]);
        assert!(!helper.succeeded(), "{helper:?}");
    }
    assert_eve_is_named_and_locked(&site, "polkit-1");
    // The helper sets PAM_RUSER to alice.
    assert_eq!(refusals(&site)[0]["ruser"], "alice");
    assert_alice_can_log_in(&site, &phone);
}

#[test]
fn su_run_by_another_user_locks_nobody_else() {
    let site = Site::new();
    services(&site, &["su"]);
    let phone = site.enroll("alice");
    // Eve sets the login uid, which is unset, to alice's.
    let mut root = site.command("sh");
    root.args(["-c", r#"exec setpriv --reuid 5003 --regid 5003 --clear-groups "$@""#, "sh"]);
    let mut shell = Shell::with_command(root);
    shell.run("echo 5001 > /proc/self/loginuid", &[]);
    for _ in 0..TRIES {
        let wrong = phone.wrong_code(&site);
        let ran = shell.run("su alice -c 'echo in as alice'", &[("Verification code: ", &wrong)]);
        assert!(!ran.let_in("in as alice"), "{ran:?}");
    }
    assert_eve_is_named_and_locked(&site, "su");
    assert_alice_can_log_in(&site, &phone);
}

#[test]
fn su_of_another_user_shows_no_line_about_this_one() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    site.password_service("su", &site.pam_line("nodelay"));
    let phone = site.enroll("alice");
    // A notice waits for alice.
    assert_eq!(login(&site, "alice", &phone.recovery_codes[0]), code::SUCCESS);
    let mut eve = Shell::of(&site, "eve");
    let mut su = |password: &str, code: &str| {
        eve.run("su alice -c 'echo in as alice'", &[("assword: ", password), ("code: ", code)])
    };
    // Whether the code was right is not to be told by anything but the login.
    for (password, typed) in [
        ("not the password", phone.recovery_codes[1].clone()),
        ("not the password", phone.code(&site)),
        (PASSWORD, phone.recovery_codes[2].clone()),
    ] {
        let ran = su(password, &typed);
        assert_eq!(ran.let_in("in as alice"), password == PASSWORD, "{ran:?}");
        for line in ["used up", "Was it you", "were refused since"] {
            assert!(!ran.output.contains(line), "{ran:?}");
        }
    }
    site.next_step();
    let answers = format!("{}\n\n", phone.code(&site));
    let own = PamHost::new(&site, "x", "alice").run(&["authenticate"], &answers);
    assert!(own.stdout.contains("A recovery code was used on "), "{own:?}");
}

#[test]
fn sudo_that_asks_for_roots_code_locks_nobody_else() {
    let site = Site::new();
    services(&site, &["sudo", "login"]);
    site.append("etc/sudoers", "Defaults rootpw, passwd_tries=1\n");
    let phone = site.enroll("root");
    let mut shell = Shell::of(&site, "eve");
    for _ in 0..TRIES {
        let wrong = phone.wrong_code(&site);
        let ran = shell.run("sudo -k id -un", &[("Verification code: ", &wrong)]);
        assert_ne!(ran.status, Some(0), "{ran:?}");
    }
    assert_eve_is_named_and_locked(&site, "sudo");
    let console = PamHost::new(&site, "login", "root").daemon();
    assert_eq!(console.answer(&phone.code(&site)), code::SUCCESS);
    site.next_step();
    // A sudo of root has no distinguishable caller: it is in another class, which is not locked.
    let own = PamHost::new(&site, "sudo", "root").daemon();
    assert_eq!(own.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn xrdp_counts_as_a_stranger_and_locks_no_local_login() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let sesman = Sesman::start(&site, &format!("auth required {}", site.pam_line("nodelay")));
    assert!(sesman.lets_in("alice", &phone.code(&site)));
    site.next_step();
    for _ in 0..TRIES {
        assert!(!sesman.lets_in("alice", &phone.wrong_code(&site)));
    }
    let last = site.last_login();
    assert_eq!((&last["class"], &last["reason"]), (&"others".into(), &"locked".into()), "{last}");
    services(&site, &["sudo", "login"]);
    for host in [PamHost::new(&site, "sudo", "alice"), PamHost::new(&site, "login", "alice").daemon()] {
        assert_eq!(host.answer(&phone.code(&site)), code::SUCCESS);
        site.next_step();
    }
}

#[test]
fn a_root_service_without_a_remote_host_is_always_asked() {
    let site = Site::new();
    site.totp_service("vsftpd", "nodelay");
    site.totp_service("sudo", "nodelay");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"exempt\"\nlocal = true\nremember = \"1h\"\n");
    let service = || PamHost::new(&site, "vsftpd", "alice").daemon();
    assert_eq!(service().answer("000000"), code::AUTH_ERR, "asked, and refused");
    assert_eq!(service().answer(&phone.code(&site)), code::SUCCESS);
    assert_eq!(PamHost::new(&site, "sudo", "alice").authenticate(""), code::PERM_DENIED, "exempt: ignored");
    // A remote host that a setuid program sets for its caller is not trusted.
    site.configure("[[login.rule]]\nnetworks = [\"192.0.2.0/24\"]\naction = \"exempt\"\n");
    let spoof = ["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA", "-U", "5003"];
    assert_eq!(PamHost::new(&site, "vsftpd", "alice").option(&spoof).answer("000000"), code::AUTH_ERR);
    assert_eq!(site.last_login()["caller_uid"], 5003);
}

#[test]
fn an_sshd_started_in_a_session_is_not_remembered_by_it() {
    let site = Site::new();
    services(&site, &["sshd"]);
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\n");
    // An sshd in the session of uid 5001, through which alice logs in twice.
    let key = |key: &str| format!("SSH_AUTH_INFO_0=publickey ssh-ed25519 {key}");
    let login = |key: &str| {
        PamHost::new(&site, "sshd", "alice")
            .option(&["-A", "5001", "-r", "192.0.2.1", "-e", key])
            .run(&["authenticate", "again", "authenticate"], &format!("{}\n000000\n", phone.code(&site)))
    };
    let codes = results(&login(&key("AAAA")), "authenticate");
    assert_eq!(codes, [code::SUCCESS, code::AUTH_ERR]);
    assert_eq!(site.status("alice")["remembered"], 0);
}

#[test]
fn another_users_audit_session_prevents_remembering() {
    let site = Site::new();
    site.totp_service("sudo", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\n");
    for (login_uid, expected) in [("5003", code::AUTH_ERR), ("5001", code::SUCCESS)] {
        let twice = PamHost::new(&site, "sudo", "alice")
            .option(&["-A", login_uid])
            .run(&["authenticate", "again", "authenticate"], &format!("{}\n000000\n", phone.code(&site)));
        assert_eq!(results(&twice, "authenticate"), [code::SUCCESS, expected], "{login_uid}");
        site.next_step();
    }
}
