//! A question that is not the first one of a program says so, for every user and whatever came
//! before.

use rexpect::session::spawn_command;
use totpd_e2e::pamhost::PamHost;
use totpd_e2e::run::Running;
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::users::PASSWORD;
use totpd_e2e::{BreakGlass, Site};

const FIRST: &str = "Verification code: ";
const AGAIN: &str =
    "Not accepted. Each code works once: wait for the next one, or type a recovery code. Verification code: ";

/// The prompts of one connection of `user` that answers with these.
fn ssh_prompts(sshd: &Sshd<'_>, user: &str, answers: &[&str]) -> Vec<String> {
    sshd.login(user, answers);
    let name = format!("({user}@127.0.0.1) ");
    sshd.prompts().iter().map(|prompt| prompt.replace(&name, "")).collect()
}

/// The prompts of a program that asks each of these users in turn, in one process.
fn prompts_in_one_process(host: &PamHost<'_>, answers: &[&str]) -> Vec<String> {
    let operations = vec!["authenticate"; answers.len()].join(" again ");
    let operations: Vec<&str> = operations.split(' ').collect();
    let finished = host.run(&operations, &format!("{}\n", answers.join("\n")));
    finished.stdout.lines().filter_map(|line| line.strip_prefix("prompt: ")).map(str::to_owned).collect()
}

#[test]
fn sshd_says_the_same_after_every_refusal_and_to_every_user() {
    let site = Site::new();
    let settings = "AuthenticationMethods keyboard-interactive:pam";
    let sshd = Sshd::start_with(&site, Setup { settings, ..Setup::default() });
    let (alice, eve) = (site.enroll("alice"), site.enroll("eve"));
    let used = alice.code(&site);
    assert!(sshd.lets_in("alice", &[&used]));
    assert_eq!(ssh_prompts(&sshd, "alice", &[&used]), [FIRST], "the login before is no refusal");
    for wrong in 0..12 {
        ssh_prompts(&sshd, "eve", &[&format!("{wrong:06}")]);
    }
    assert_eq!(site.status("eve")["locked"], true);
    for (user, typed) in [
        ("alice", alice.wrong_code(&site)),
        ("alice", used),
        ("alice", "a password".to_owned()),
        ("alice", String::new()),
        ("bob", "123456".to_owned()),
        ("no-such-user", "123456".to_owned()),
        ("eve", eve.code(&site)),
    ] {
        let prompts = ssh_prompts(&sshd, user, &[&typed, &typed, &typed]);
        assert_eq!(prompts, [FIRST, AGAIN, AGAIN], "{user} {typed:?}");
    }
}

#[test]
fn a_right_code_with_a_wrong_password_reads_like_a_wrong_code() {
    let site = Site::new();
    let auth = format!("auth required {}\nauth required pam_deny.so\n", site.pam_line("nodelay"));
    let settings = "AuthenticationMethods keyboard-interactive:pam";
    let sshd = Sshd::start_with(&site, Setup { auth: &auth, settings, ..Setup::default() });
    let phone = site.enroll("alice");
    let right = ssh_prompts(&sshd, "alice", &[&phone.code(&site), "000000"]);
    assert!(site.events().iter().any(|event| event["outcome"] == "granted" && event["service"] == "sshd"));
    let wrong = ssh_prompts(&sshd, "alice", &[&phone.wrong_code(&site), "000000"]);
    assert_eq!((&right, &wrong), (&vec![FIRST.to_owned(), AGAIN.to_owned()], &right));
}

#[test]
fn sudo_says_it_in_its_own_process_only() {
    let site = Site::new();
    site.password_service("sudo", &site.pam_line("nodelay"));
    let phone = site.enroll("alice");
    let ask = |password: &str, code: &str| {
        let mut command = site.command_as("alice", "/usr/bin/sudo");
        command.args(["-k", "id", "-u"]);
        let mut sudo = spawn_command(command, Some(20_000)).unwrap();
        let mut prompts = Vec::new();
        for _ in 0..2 {
            sudo.exp_string("password for alice: ").unwrap();
            sudo.send_line(password).unwrap();
            let (before, _) = sudo.exp_regex("Verification code: ").unwrap();
            prompts.push(before.trim().to_owned());
            sudo.send_line(code).unwrap();
        }
        prompts
    };
    let said = AGAIN.trim_end_matches(FIRST).trim();
    let used = phone.code(&site);
    // The second sudo was started by the same shell.
    for (password, code) in [(PASSWORD, phone.wrong_code(&site)), ("wrong", used.clone()), (PASSWORD, used)] {
        assert_eq!(ask(password, &code), ["", said], "{password} {code}");
    }
}

#[test]
fn nobody_elses_attempt_changes_a_prompt() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    site.totp_service("y", "nodelay");
    site.enroll("alice");
    let alice = || PamHost::new(&site, "x", "alice");
    let mut waiting = alice().option(&["-w"]).start_with(&["authenticate", "again", "authenticate"]);
    let prompt = |waiting: &mut Running| waiting.read_line().replace("prompt: ", "").replace('\n', "");
    assert_eq!(prompt(&mut waiting), FIRST);
    waiting.say("000000\n");
    assert_eq!(waiting.read_line(), "authenticate=7\n");
    // Setuid programs of eve, daemons, and alice's own other programs.
    for other in [
        alice().started_by("eve"),
        alice().daemon(),
        alice(),
        PamHost::new(&site, "y", "alice"),
        alice().option(&["-r", "192.0.2.7", "-t", "ssh"]),
        PamHost::new(&site, "x", "bob"),
    ] {
        assert_eq!(prompts_in_one_process(&other, &["000000"]), [FIRST], "{other:?}");
    }
    waiting.say("\n");
    assert_eq!(prompt(&mut waiting), AGAIN);
    // A flood of eve's forgets nothing of alice's.
    let eve = alice().started_by("eve");
    for _ in 0..3 {
        prompts_in_one_process(&eve, &["000000"; 40]);
    }
    let again = prompts_in_one_process(&alice(), &["1", "2", "3"]);
    assert_eq!(again, [FIRST, AGAIN, AGAIN]);
}

#[test]
fn the_words_are_settable_and_stand_in_each_prompt() {
    let site = Site::with_rules("[login]\nrefused_prompt = \"Leider falsch.\"\nprompt = \"Code: \"\n");
    site.enroll("alice");
    site.totp_service("x", "nodelay tries=3");
    let alice = PamHost::new(&site, "x", "alice");
    let finished = alice.run(&["authenticate"], "1\n2\n3\n");
    assert_eq!(
        finished.stdout,
        "prompt: Code: \nprompt: Leider falsch. Code: \nprompt: Leider falsch. Code: \nauthenticate=11\n"
    );
    site.totp_service("x", "nodelay forward_pass");
    let prompts = prompts_in_one_process(&alice, &["pw", "pw"]);
    assert_eq!(prompts, ["Password and code: ", "Leider falsch. Password and code: "]);
}

#[test]
fn a_restart_behind_a_second_prompt_loses_no_code() {
    let site = Site::new();
    site.totp_service("x", "nodelay");
    let phone = site.enroll("alice");
    let operations = ["authenticate", "again", "authenticate"];
    let mut waiting = PamHost::new(&site, "x", "alice").start_with(&operations);
    waiting.say("000000\n");
    waiting.read_until("Not accepted.");
    site.end(nix::sys::signal::Signal::SIGTERM);
    site.start();
    waiting.say(&format!("{}\n", phone.code(&site)));
    assert_eq!(waiting.finish().stdout, "authenticate=0\n");
}

#[test]
fn break_glass_says_the_same_words() {
    let site = Site::without_daemon();
    site.totp_service("x", "nodelay");
    let BreakGlass { responder, code } = BreakGlass::open(&site, "30m");
    for user in ["alice", "bob"] {
        let prompts = prompts_in_one_process(&PamHost::new(&site, "x", user), &["123456", "123456"]);
        assert_eq!(prompts, [FIRST, AGAIN], "{user}");
    }
    assert_eq!(prompts_in_one_process(&PamHost::new(&site, "x", "alice"), &[&code]), [FIRST]);
    assert_eq!(responder.finish().code, 0);
}
