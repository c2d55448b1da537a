//! Programs that log in: password and code in one line at one prompt, or no prompt at all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::run::{Finished, Running, run, wait_until};
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::users::PASSWORD;

/// The prompt of `pam_totp.so forward_pass`.
const PROMPT: &str = "Password and verification code: ";
/// A refusal without a prompt takes less.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Returns the PAM stack that takes password and code from one line.
fn combined(site: &Site) -> String {
    format!(
        "auth required {}\nauth required pam_unix.so use_first_pass nodelay\n",
        site.pam_line("nodelay forward_pass")
    )
}

/// Starts a server for clients without keys, which asks for password and code.
fn sshd<'a>(site: &'a Site, auth: &'a str) -> Sshd<'a> {
    let settings = "AuthenticationMethods keyboard-interactive:pam\nSubsystem sftp internal-sftp\n";
    Sshd::start_with(site, Setup { auth, settings, network: None })
}

/// Uploads a file by OpenSSH's sftp, and asserts that it was asked once. Returns whether the file
/// arrived.
#[track_caller]
fn sftp(site: &Site, sshd: &Sshd, line: &str) -> bool {
    let target = site.path("home/alice/upload");
    let _ = std::fs::remove_file(&target);
    site.write("local", line);
    sshd.prepare_answers(&[line, "never asked"]);
    let mut sftp = sshd.program("sftp", "askpass", 1);
    sftp.arg(sshd.destination("alice"));
    let finished = run(sftp, &format!("put {} upload\n", site.path("local").display()));
    assert_eq!(sshd.prompts(), [format!("(alice@127.0.0.1) {PROMPT}")], "{finished:?}");
    let arrived = std::fs::read_to_string(&target).is_ok_and(|text| text == line);
    assert_eq!(finished.code == 0, arrived, "{finished:?}");
    arrived
}

#[test]
fn sftp_logs_in_with_password_and_code_in_one_line() {
    let site = Site::new();
    let auth = combined(&site);
    let sshd = sshd(&site, &auth);
    let phone = site.enroll("alice");
    let line = format!("{PASSWORD}{}", phone.code(&site));
    assert!(sftp(&site, &sshd, &line));
    assert!(!sftp(&site, &sshd, &line), "a code was accepted twice");
    assert_eq!(site.last_login()["reason"], "replayed");
    // A recovery code as printed, with dashes.
    assert!(sftp(&site, &sshd, &format!("{PASSWORD}{}", phone.recovery_codes[0])));
    assert_eq!(site.last_login()["method"], "recovery");
    assert!(!sftp(&site, &sshd, &format!("{PASSWORD}{}", phone.recovery_codes[0])));
    assert!(!site.log().contains(PASSWORD), "the password left the host");
}

#[test]
fn sftp_does_not_reveal_whether_password_or_code_was_wrong() {
    let site = Site::new();
    let auth = combined(&site);
    let sshd = sshd(&site, &auth);
    let phone = site.enroll("alice");
    let (right, wrong) = (phone.code(&site), phone.wrong_code(&site));
    let mut outputs = Vec::new();
    for line in [
        format!("{PASSWORD}{wrong}"),
        format!("wrong{right}"),
        format!("wrong{wrong}"),
        PASSWORD.to_owned(),
        right.clone(),
        String::new(),
    ] {
        assert!(!sftp(&site, &sshd, &line), "{line}");
        sshd.prepare_answers(&[&line, "never asked"]);
        let mut ssh = sshd.program("ssh", "askpass", 1);
        ssh.args([&sshd.destination("alice"), "true"]);
        let refused = run(ssh, "");
        assert_eq!(sshd.prompts().len(), 1);
        outputs.push((refused.code, refused.stdout, refused.stderr));
    }
    outputs.dedup();
    assert_eq!(outputs.len(), 1, "{outputs:?}");
}

/// Logs in by Paramiko, which is not OpenSSH: answers every prompt with the line, and prints the
/// prompts.
const PARAMIKO: &str = r#"
import sys, paramiko
port, user, line = int(sys.argv[1]), sys.argv[2], sys.stdin.read()
asked = []
def answer(title, instructions, fields):
    asked.extend(prompt for prompt, echo in fields)
    return [line for _ in fields]
transport = paramiko.Transport(("127.0.0.1", port))
transport.start_client(timeout=20)
try:
    transport.auth_interactive(user, answer)
    with paramiko.SFTPClient.from_transport(transport).open("paramiko", "w") as file:
        file.write("hello")
    print("in", asked)
except paramiko.AuthenticationException:
    print("out", asked)
transport.close()
"#;

#[test]
fn paramiko_logs_in_with_password_and_code_in_one_line() {
    let site = Site::new();
    let auth = combined(&site);
    let sshd = sshd(&site, &auth);
    let phone = site.enroll("alice");
    site.write("client.py", PARAMIKO);
    let client = |line: &str| {
        // Debian's Python has paramiko.
        let mut python = site.command("/usr/bin/python3");
        python.arg(site.path("client.py")).args([&sshd.port().to_string(), "alice"]);
        run(python, line).assert_success().stdout
    };
    assert_eq!(client(&format!("wrong{}", phone.wrong_code(&site))), format!("out ['{PROMPT}']\n"));
    assert_eq!(client(&format!("{PASSWORD}{}", phone.code(&site))), format!("in ['{PROMPT}']\n"));
    assert_eq!(site.read("home/alice/paramiko"), "hello");
}

/// Configures sudo with this PAM stack and one try.
fn sudoers(site: &Site, auth: &str) {
    site.write("etc/sudoers", "Defaults !lecture, timestamp_timeout=0, passwd_tries=1\nALL ALL=(ALL) ALL\n");
    let rest = "account required pam_permit.so\nsession required pam_permit.so\n";
    site.service("sudo", &format!("{auth}{rest}"));
}

/// Returns a sudo of alice without a terminal, which a new session does not have.
fn sudo(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command_as("alice", "setsid");
    command.args(["--wait", "/usr/bin/sudo"]).args(arguments);
    command
}

/// Runs sudo as Ansible does: waits for the prompt that it chose, and writes one line.
#[track_caller]
fn become_root(site: &Site, line: &str) -> Finished {
    let prompt = "BECOME-KEY password:";
    let shown = site.path("shown");
    let stderr = std::fs::File::create(&shown).unwrap();
    let mut command = sudo(site, &["-k", "-S", "-p", prompt, "id", "-u"]);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn();
    let mut running = Running(started.unwrap());
    let shown = || std::fs::read_to_string(&shown).unwrap();
    wait_until("sudo asks", || !shown().is_empty());
    assert_eq!(shown(), prompt);
    running.say(&format!("{line}\n"));
    let finished = running.finish();
    assert_eq!(shown().matches("assword").count(), 1 + usize::from(finished.code == 1), "{}", shown());
    finished
}

#[test]
fn sudo_takes_one_line_from_a_program_that_waits_for_the_prompt() {
    let site = Site::new();
    let phone = site.enroll("alice");
    sudoers(&site, &combined(&site));
    let code = phone.code(&site);
    assert_eq!(become_root(&site, &format!("{PASSWORD}{code}")).assert_success().stdout, "0\n");
    assert_eq!(become_root(&site, &format!("{PASSWORD}{code}")).code, 1, "a code was accepted twice");
    site.next_step();
    assert_eq!(become_root(&site, &format!("wrong{}", phone.code(&site))).code, 1);
    assert_eq!(become_root(&site, &format!("{PASSWORD}{}", phone.wrong_code(&site))).code, 1);
    let recovery = format!("{PASSWORD}{}", phone.recovery_codes[0]);
    assert_eq!(become_root(&site, &recovery).assert_success().stdout, "0\n");
}

#[test]
fn without_a_terminal_logins_are_refused_and_use_up_no_code() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let auth = format!("auth required {}\n", site.pam_line("nodelay"));
    let combined = combined(&site);
    for (stack, password) in [(&auth, ""), (&combined, PASSWORD)] {
        let line = format!("{password}{}", phone.code(&site));
        sudoers(&site, stack);
        let sshd = sshd(&site, stack);
        let mut batch = sshd.program("ssh", "askpass", 1);
        // As in a cron job: no askpass program either.
        batch.env_remove("SSH_ASKPASS").env_remove("SSH_ASKPASS_REQUIRE");
        batch.args(["-o", "BatchMode=yes", &sshd.destination("alice"), "true"]);
        for (what, command) in [
            ("sudo -n", sudo(&site, &["-k", "-n", "id"])),
            ("sudo without a terminal", sudo(&site, &["-k", "id"])),
            ("sudo -S without input", sudo(&site, &["-k", "-S", "id"])),
            ("ssh BatchMode=yes", batch),
        ] {
            let start = Instant::now();
            let refused = run(command, "");
            assert!(refused.code == 1 || refused.code == 255, "{what}: {refused:?}");
            assert!(start.elapsed() < AT_ONCE, "{what} took {:?}", start.elapsed());
            assert_eq!(refused.stdout, "", "{what}");
        }
        let status = site.status("alice");
        assert_eq!((&status["failures"], &status["locked"]), (&0.into(), &false.into()));
        assert!(!site.events().iter().any(|e| e["reason"] == "wrong"), "something was judged");
        // The code is still unused.
        sshd.prepare_answers(&[&line]);
        let mut ssh = sshd.program("ssh", "askpass", 1);
        ssh.args([&sshd.destination("alice"), "true"]);
        run(ssh, "").assert_success();
        site.next_step();
    }
}
