//! A daemon that is stopped or gone: one sentence says so within the module's time, and what is
//! typed at it grants nothing.

use nix::sys::signal::Signal;
use rexpect::session::{PtySession, spawn_command};
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::run::{Running, wait_until};
use totpd_e2e::shell::Shell;
use totpd_e2e::ssh::Sshd;
use totpd_e2e::users::PASSWORD;

const SENTENCE: &str = "The second factor cannot be checked now.";
const PROMPT: &str = "The second factor cannot be checked now. Press Enter, then try again later or call your administrators: ";
/// The default of `timeout=`, and some time for the programs around it.
const IN_TIME: Duration = Duration::from_secs(15);

fn sudo(site: &Site) -> PtySession {
    let mut command = site.command_as("alice", "/usr/bin/sudo");
    command.args(["-k", "id", "-u"]);
    let mut session = spawn_command(command, Some(20_000)).unwrap();
    session.exp_string("password for alice: ").unwrap();
    session.send_line(PASSWORD).unwrap();
    session
}

/// Waits for the sentence of a sudo that was answered at `start`, and types `typed` there.
#[track_caller]
fn sentence_of_sudo(mut sudo: PtySession, start: Instant, typed: &str) {
    sudo.exp_string(PROMPT).unwrap();
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    sudo.send_line(typed).unwrap();
    let rest = sudo.exp_eof().unwrap();
    assert!(!rest.contains("\r\n0\r\n"), "{rest}");
}

#[test]
fn sudo_says_that_a_stopped_daemon_cannot_check() {
    let site = Site::new();
    site.password_service("sudo", &site.pam_line("nodelay"));
    let phone = site.enroll("alice");
    // Stopped before the prompt, and after it.
    site.signal(Signal::SIGSTOP);
    sentence_of_sudo(sudo(&site), Instant::now(), "");
    site.signal(Signal::SIGCONT);
    let mut asked = sudo(&site);
    asked.exp_string("Verification code: ").unwrap();
    site.signal(Signal::SIGSTOP);
    asked.send_line(&phone.code(&site)).unwrap();
    sentence_of_sudo(asked, Instant::now(), &phone.code(&site));
    site.signal(Signal::SIGCONT);
    // The code that nobody judged in time is not used up.
    let mut later = sudo(&site);
    later.exp_string("Verification code: ").unwrap();
    later.send_line(&phone.code(&site)).unwrap();
    assert!(later.exp_eof().unwrap().contains("\r\n0\r\n"));
}

/// Starts a client of alice's that gives prepared answers, each once there is no file `wait`.
fn ssh(sshd: &Sshd<'_>) -> Running {
    let mut ssh = sshd.program("ssh", "askpass", 1);
    ssh.args(["-T", &sshd.destination("alice"), "true"]);
    Running::start(ssh)
}

#[test]
fn sshd_says_that_a_stopped_daemon_cannot_check() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let phone = site.enroll("alice");
    let prompt = format!("(alice@127.0.0.1) {PROMPT}");
    // Stopped before the prompt.
    site.signal(Signal::SIGSTOP);
    sshd.prepare_answers(&["", ""]);
    let start = Instant::now();
    let client = ssh(&sshd);
    wait_until("sshd shows the sentence", || sshd.prompts() == [prompt.as_str()]);
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    assert_ne!(client.finish().code, 0);
    site.signal(Signal::SIGCONT);
    // Stopped after the prompt: the answer is the first of these.
    sshd.prepare_answers(&[&phone.code(&site), ""]);
    site.write("wait", "");
    let client = ssh(&sshd);
    wait_until("sshd asks for a code", || sshd.prompts().len() == 1);
    site.signal(Signal::SIGSTOP);
    std::fs::remove_file(site.path("wait")).unwrap();
    let start = Instant::now();
    wait_until("sshd shows the sentence", || sshd.prompts().get(1) == Some(&prompt));
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    assert_ne!(client.finish().code, 0);
    site.signal(Signal::SIGCONT);
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]), "the code was used up");
}

#[test]
fn su_and_login_programs_show_the_sentence_as_a_message() {
    let site = Site::new();
    site.password_service("su", &site.pam_line("nodelay timeout=1"));
    site.enroll("bob");
    site.signal(Signal::SIGSTOP);
    let ran = Shell::of(&site, "alice").run("su bob -c true", &[("assword: ", PASSWORD)]);
    assert!(ran.output.contains(SENTENCE) && !ran.output.contains("Press Enter"), "{ran:?}");
    assert_eq!((ran.status, ran.answered), (Some(1), 1));
    site.signal(Signal::SIGCONT);
}

#[test]
fn whatever_is_typed_at_the_sentence_grants_nothing() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let services = [("", "x"), ("forward_pass", "y"), ("try_first_pass tries=3", "z")];
    for (arguments, service) in services {
        site.totp_service(service, &format!("nodelay timeout=1 {arguments}"));
    }
    let silent = |service: &str| PamHost::new(&site, service, "alice").option(&["-s"]);
    let typed = ["", "y", &phone.code(&site), &phone.recovery_codes[0]];
    site.signal(Signal::SIGSTOP);
    for (_, service) in services {
        for typed in typed {
            let finished = silent(service).run(&["authenticate"], &format!("{typed}\n{typed}\n"));
            assert_eq!(result(&finished, "authenticate"), code::SYSTEM_ERR, "{service} {typed}");
            assert_eq!(finished.stdout.matches("prompt: ").count(), 1, "{finished:?}");
        }
    }
    site.signal(Signal::SIGCONT);
    site.end(Signal::SIGTERM);
    for typed in typed {
        let finished = silent("x").run(&["authenticate"], &format!("{typed}\n{typed}\n"));
        assert_eq!(result(&finished, "authenticate"), code::AUTHINFO_UNAVAIL, "{typed}");
        assert!(finished.stdout.contains(&format!("prompt: {PROMPT}")), "{finished:?}");
    }
    // A conversation that fails there, and one that never asks.
    for mode in ["null", "error"] {
        let finished = silent("x").option(&["-m", mode]).run(&["authenticate"], "");
        assert_eq!(result(&finished, "authenticate"), code::AUTHINFO_UNAVAIL, "{mode}");
    }
    site.totp_service("x", "nodelay timeout=1 use_first_pass");
    let finished = silent("x").run(&["authenticate"], "");
    assert_eq!(finished.stdout, format!("authenticate={}\n", code::AUTHINFO_UNAVAIL));
    site.start();
    assert_eq!(PamHost::new(&site, "y", "alice").answer(&phone.code(&site)), code::SUCCESS);
}
