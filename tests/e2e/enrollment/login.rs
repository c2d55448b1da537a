//! Enrollment inside a login: what it shows, where it works, and that an unfinished one leaves
//! nothing.

use nix::sys::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code, result};
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::run::{Running, wait_until};
use totpd_e2e::ssh::Sshd;

const RULE: &str =
    "[login]\nshow_secrets_services = [\"x\", \"sshd\"]\n[[login.rule]]\naction = \"enroll\"\n";

/// Returns the phone that scans what an enrollment has shown.
#[track_caller]
fn phone(shown: &str) -> Phone {
    Phone::from_shown(shown).unwrap_or_else(|| panic!("no key: {shown}"))
}

/// Starts an ssh client at a terminal.
fn ssh(sshd: &Sshd<'_>, locale: &str, command: &[&str]) -> PtySession {
    let mut ssh: Command = sshd.program("ssh", "askpass", 3);
    ssh.env("SSH_ASKPASS_REQUIRE", "never").env("LC_ALL", locale);
    ssh.arg(sshd.destination("bob")).args(command);
    spawn_command(ssh, Some(20_000)).unwrap()
}

/// Decodes text of rexpect, which takes each byte for a character.
fn utf8(bytes: &str) -> String {
    let bytes: Vec<u8> = bytes.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers both prompts. Returns what was shown before each.
fn enroll(site: &Site, client: &mut PtySession) -> (String, String) {
    let first = utf8(&client.exp_string("First code from the app: ").unwrap());
    client.send_line(&phone(&first).code(site)).unwrap();
    let second = client.exp_string("type one of them to finish: ").unwrap();
    client.send_line(&recovery_codes(&second)[3]).unwrap();
    (first, second)
}

#[test]
fn ssh_enrolls_with_a_command_or_a_shell_in_any_locale() {
    for (locale, command) in [("C.UTF-8", &["echo in as $(id -un)"][..]), ("C", &[])] {
        let site = Site::new();
        let sshd = Sshd::start(&site);
        site.configure(RULE);
        // Early in a time step, so that the code of the first prompt is still the current one
        // afterwards.
        site.next_step();
        let mut client = ssh(&sshd, locale, command);
        let (first, second) = enroll(&site, &mut client);
        assert_eq!(recovery_codes(&second).len(), 10, "{second}");
        let key = phone(&first);
        assert_eq!(key.secret.len(), 32, "{first}");
        // Without UTF-8, ssh writes the blocks of the QR code as escapes.
        assert_eq!(first.contains('█'), locale == "C.UTF-8", "{first}");
        assert!(
            first.contains("otpauth://totp/") && first.contains(&format!("secret={}", key.secret)),
            "{first}"
        );
        if locale == "C.UTF-8" {
            assert!(totpd_e2e::qr::on_terminal(&site, &first).contains(&format!("secret={}", key.secret)));
            client.exp_string("in as bob").unwrap();
        } else {
            client.send_line("echo in as $(id -un); exit").unwrap();
            client.exp_string("in as bob").unwrap();
        }
        client.exp_eof().unwrap();
        assert!(matches!(client.process_mut().wait(), Ok(WaitStatus::Exited(_, 0))));
        let event = site.last_login();
        assert_eq!(
            (&event["outcome"], &event["enrolled"], &event["confirmed"]),
            (&"granted".into(), &true.into(), &true.into())
        );
        assert_eq!(
            (&site.status("bob")["state"], &site.status("bob")["recovery_codes_left"]),
            (&"active".into(), &10.into())
        );
        // The typed code is used up, and the recovery codes work.
        assert!(!sshd.lets_in("bob", &[&key.code(&site)]));
        assert_eq!(site.last_login()["reason"], "replayed");
        assert!(sshd.lets_in("bob", &[&recovery_codes(&second)[3]]));
        site.next_step();
        assert!(sshd.lets_in("bob", &[&key.code(&site)]));
        assert!(!site.log().contains(&key.secret), "the secret is in the log");
    }
}

/// Starts a login of bob that offers an enrollment, up to its first prompt.
fn begun(site: &Site) -> (Running, Phone) {
    let mut host = PamHost::new(site, "x", "bob").option(SSH_KEY).start();
    let shown = host.read_until("prompt: ");
    (host, phone(&shown))
}

fn site_with_service() -> Site {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    site.configure(RULE);
    site
}

#[test]
fn an_unfinished_enrollment_leaves_nothing() {
    let site = site_with_service();
    let bob = PamHost::new(&site, "x", "bob").option(SSH_KEY);
    let nothing = |phone: &Phone| {
        assert_eq!(site.status("bob")["state"], "none");
        // Its code is refused at a service that asks.
        site.configure("");
        assert_eq!(bob.answer(&phone.code(&site)), code::AUTH_ERR);
        site.configure(RULE);
    };
    // Left at the first prompt, and at the second.
    let (host, phone) = begun(&site);
    drop(host);
    nothing(&phone);
    let (mut host, phone) = begun(&site);
    host.say(&format!("{}\n", phone.code(&site)));
    drop(host);
    nothing(&phone);
    // Wrong codes, and a recovery code that is not in the set: three tries each.
    let (mut host, phone) = begun(&site);
    host.say("000000\n111111\n222222\n");
    assert_eq!(result(&host.finish(), "authenticate"), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "wrong");
    nothing(&phone);
    let (mut host, phone) = begun(&site);
    host.say(&format!("{}\nAAAA-AAAA-AAAA-AAAA\n{}\n\n", phone.code(&site), phone.code(&site)));
    assert_eq!(result(&host.finish(), "authenticate"), code::AUTH_ERR);
    nothing(&phone);
    // The daemon restarts between the prompts.
    let (mut host, phone) = begun(&site);
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.start();
    host.say(&format!("{}\nAAAA-AAAA-AAAA-AAAA\n", phone.code(&site)));
    assert_ne!(result(&host.finish(), "authenticate"), code::SUCCESS);
    nothing(&phone);
}

#[test]
fn of_two_racing_enrollments_the_first_finished_wins() {
    let site = site_with_service();
    let recovery = |host: &mut Running, phone: &Phone| {
        host.say(&format!("{}\n", phone.code(&site)));
        recovery_codes(&host.read_until("to finish: ")).swap_remove(0)
    };
    let ((mut one, phone), (mut two, other)) = (begun(&site), begun(&site));
    let (of_one, of_two) = (recovery(&mut one, &phone), recovery(&mut two, &other));
    one.say(&format!("{of_one}\n"));
    wait_until("the first login succeeds", || site.last_login()["outcome"] == "granted");
    two.say(&format!("{of_two}\n"));
    assert_eq!(result(&two.finish(), "authenticate"), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "raced");
    site.next_step();
    let bob = PamHost::new(&site, "x", "bob");
    assert_eq!(bob.answer(&other.code(&site)), code::AUTH_ERR);
    assert_eq!(bob.answer(&of_two), code::AUTH_ERR);
    assert_eq!(bob.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn enrollment_needs_shown_messages_and_a_user_without_factor() {
    let site = site_with_service();
    let refused = |user: &str, options: &[&str], answers: &str| {
        let finished =
            PamHost::new(&site, "x", user).option(SSH_KEY).option(options).run(&["authenticate"], answers);
        assert!(!finished.stdout.contains("key"), "{finished:?}");
        result(&finished, "authenticate")
    };
    assert_eq!(refused("bob", &["-s"], "123456\n"), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "not-enrolled");
    assert_eq!(refused("no-such-user", &[], "123456\n"), code::AUTH_ERR);
    let phone = site.enroll("alice");
    assert_eq!(refused("alice", &[], &format!("{}\n", phone.code(&site))), code::SUCCESS);
    // A factor that an administrator has staged is kept: its first code confirms it.
    let staged = site.stage("bob");
    assert_eq!(refused("bob", &[], &format!("{}\n", staged.code(&site))), code::SUCCESS);
    // With password and code in one line, or a code that another module asked for, no prompt is
    // possible.
    for arguments in ["forward_pass", "use_first_pass"] {
        site.service("x", &format!("auth required {}\n", site.pam_line(&format!("nodelay {arguments}"))));
        assert_eq!(refused("u1", &[], "hunter2123456\nnever\nnever\n"), code::AUTH_ERR, "{arguments}");
    }
    assert_eq!(site.status("u1")["state"], "none");
}
