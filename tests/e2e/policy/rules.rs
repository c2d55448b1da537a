//! Rules through libpam and sshd: who is asked, who passes, and that nobody passes without a first
//! factor.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code, result};
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::ssh::{Setup, Sshd};
use totpd_e2e::users::PASSWORD;

const KEY: &str = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE11jLspEOG69z31y9y3F3QZrJGc9oXb9gT3bNwn9Rle";
const TOKEN: &str = "SSH_AUTH_INFO_0=publickey sk-ssh-ed25519@openssh.com AAAAC3NzaC1lZDI1NTE5AAAAIE11jLspEOG69z31y9y3F3QZrJGc9oXb9gT3bNwn9Rle";

/// Writes a service with our module alone. libpam returns PAM_PERM_DENIED when the module is
/// ignored.
fn alone(site: &Site, service: &str, arguments: &str) {
    site.service(service, &format!("auth required {}\n", site.pam_line(&format!("nodelay {arguments}"))));
}

fn exempt(site: &Site, rule: &str) {
    site.configure(&format!("[[login.rule]]\naction = \"exempt\"\n{rule}\n"));
}

#[test]
fn rules_decide_over_user_group_service_network_and_ssh_method() {
    let site = Site::new();
    alone(&site, "sshd", "");
    let sshd = |user: &str, rhost: &str, env: &str| {
        let host = PamHost::new(&site, "sshd", user).option(&["-r", rhost, "-e", env]);
        host.run(&["authenticate"], "000000\n")
    };
    let passes = |user: &str, rhost: &str, env: &str| {
        let finished = sshd(user, rhost, env);
        let passed = result(&finished, "authenticate") == code::PERM_DENIED;
        assert_eq!(site.last_login()["outcome"], if passed { "exempt" } else { "refused" });
        assert_eq!(finished.stdout.contains("prompt"), !passed);
        passed
    };
    exempt(&site, "users = [\"alice\"]\nservices = [\"sshd\"]");
    assert!(passes("alice", "192.0.2.1", KEY) && !passes("bob", "192.0.2.1", KEY));
    assert_eq!(site.last_login()["reason"], "not-enrolled");
    exempt(&site, "services = [\"sudo\"]");
    assert!(!passes("alice", "192.0.2.1", KEY));
    exempt(&site, "networks = [\"192.0.2.0/24\", \"2001:db8::/32\"]");
    assert!(passes("alice", "192.0.2.1", KEY) && passes("alice", "2001:db8::5", KEY));
    assert!(passes("alice", "::ffff:192.0.2.9", KEY) && !passes("alice", "198.51.100.1", KEY));
    assert!(!passes("alice", "trusted.example.org", KEY), "a host name matched a network");
    exempt(&site, "ssh_methods = [\"publickey:hardware\"]");
    assert!(passes("alice", "192.0.2.1", TOKEN) && !passes("alice", "192.0.2.1", KEY));
    let event = site.events().into_iter().rfind(|e| e["outcome"] == "exempt").unwrap();
    assert_eq!((&event["first_factor"], &event["rule"]), (&"ssh".into(), &"rule 1".into()));
    assert!(event["ssh_key"].as_str().unwrap().starts_with("SHA256:"));
    site.append("etc/group", "robots:x:7000:nobody,alice\n");
    exempt(&site, "groups = [\"robots\", \"bob\"]");
    assert!(passes("alice", "192.0.2.1", KEY), "a member by the group's list");
    assert!(passes("bob", "192.0.2.1", KEY), "a member by the first group");
    assert!(!passes("u1", "192.0.2.1", KEY) && !passes("no-such-user", "192.0.2.1", KEY));
    // A denied user is asked like everybody, and refused with a right code, which is not used up.
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"deny\"\nusers = [\"alice\"]\n");
    let denied = PamHost::new(&site, "sshd", "alice").option(&["-r", "192.0.2.1", "-e", KEY]);
    assert_eq!(denied.answer(&phone.code(&site)), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "denied");
    site.configure("");
    assert_eq!(denied.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn a_wrong_password_neither_passes_nor_enrolls() {
    let site = Site::new();
    let line = site.pam_line("nodelay");
    site.service("sudo", &format!("auth required pam_unix.so nodelay\nauth required {line}\n"));
    for rule in ["action = \"exempt\"", "action = \"enroll\"", "action = \"require\"\nmode = \"monitor\""] {
        site.configure(&format!("[[login.rule]]\n{rule}\n"));
        for password in ["wrong", PASSWORD] {
            // `required` continues after a wrong password, and our module does not learn of it.
            let finished =
                PamHost::new(&site, "sudo", "alice").run(&["authenticate"], &format!("{password}\n123456\n"));
            assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{rule}: {finished:?}");
            assert!(!finished.stdout.contains("key"), "{rule}: a factor was shown: {finished:?}");
            assert_eq!(site.last_login()["reason"], "no-first-factor");
            assert_eq!(site.status("alice")["state"], "none");
        }
    }
    // Below a requisite module the line may claim a first factor: a wrong password never reaches
    // it.
    let line = site.pam_line("nodelay first_factor=passed");
    site.service("sudo", &format!("auth requisite pam_unix.so nodelay\nauth required {line}\n"));
    exempt(&site, "");
    let sudo = PamHost::new(&site, "sudo", "alice");
    let before = site.events().len();
    assert_eq!(sudo.answer("wrong"), code::AUTH_ERR);
    assert_eq!(site.events().len(), before);
    assert_eq!(sudo.answer(PASSWORD), code::SUCCESS);
    assert_eq!(site.last_login()["first_factor"], "pam-line");
    // A forged PAM environment is no proof either: only that of sshd counts, which has a remote
    // host.
    alone(&site, "sudo", "");
    let forged = PamHost::new(&site, "sudo", "alice").option(&["-e", TOKEN]);
    assert_eq!(forged.answer("123456"), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "no-first-factor");
}

#[test]
fn a_local_rule_needs_no_first_factor_for_local_programs_only() {
    let site = Site::new();
    alone(&site, "sudo", "");
    exempt(&site, "local = true");
    assert_eq!(PamHost::new(&site, "sudo", "alice").answer("1"), code::PERM_DENIED);
    assert_eq!(site.last_login()["first_factor"], "local-rule");
    let remote = PamHost::new(&site, "sudo", "alice").option(&["-r", "127.0.0.1"]);
    assert_eq!(remote.answer("123456"), code::AUTH_ERR);
}

#[test]
fn sshd_asks_exempt_and_remembered_users_without_a_key() {
    let site = Site::new();
    let auth = format!("auth required {}\nauth required pam_permit.so\n", site.pam_line("nodelay"));
    let settings = "AuthenticationMethods publickey,keyboard-interactive:pam keyboard-interactive:pam\n";
    let sshd = Sshd::start_with(&site, Setup { auth: &auth, settings, network: None });
    let phone = site.enroll("alice");
    let without_key = |user: &str, answer: &str| {
        sshd.prepare_answers(&[answer]);
        let mut ssh = sshd.program("ssh", "askpass", 1);
        ssh.args([
            "-o",
            "PreferredAuthentications=keyboard-interactive",
            "-T",
            &sshd.destination(user),
            "echo in",
        ]);
        run(ssh, "").code == 0
    };
    exempt(&site, "users = [\"alice\", \"bob\"]");
    assert!(sshd.lets_in("bob", &["no question"]) && sshd.prompts().is_empty());
    assert!(!without_key("bob", "123456"), "exempt without a first factor");
    assert_eq!(site.last_login()["reason"], "no-first-factor");
    assert!(without_key("alice", &phone.code(&site)), "a user with a factor is asked for it");
    site.next_step();
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n");
    assert!(sshd.lets_in("alice", &[&phone.code(&site)]));
    assert!(sshd.lets_in("alice", &["no question"]) && sshd.prompts().is_empty());
    assert!(!without_key("alice", "123456"), "remembered without a first factor");
    assert_eq!(site.last_login()["reason"], "wrong");
}

#[test]
fn a_users_process_that_claims_to_be_sshd_is_asked() {
    let site = Site::new();
    alone(&site, "sshd", "first_factor=passed");
    exempt(&site, "");
    let services = site.path("etc/pam.d").display().to_string();
    let liar = PamHost::new(&site, "sshd", "alice")
        .option(&["-c", &services, "-r", "192.0.2.1", "-e", TOKEN])
        .run_as("alice");
    for rule in ["action = \"exempt\"", "action = \"enroll\"", "action = \"require\"\nmode = \"off\""] {
        site.configure(&format!("[[login.rule]]\n{rule}\nremember = \"1h\"\n"));
        let finished = liar.run(&["authenticate"], "123456\n");
        assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{rule}: {finished:?}");
        assert!(!finished.stdout.contains("key"), "{finished:?}");
        assert_eq!(site.last_login()["reason"], "no-first-factor");
    }
    assert_eq!(site.status("alice")["state"], "none");
}

#[test]
fn a_rule_can_ask_for_the_callers_code_under_su() {
    let site = Site::new();
    alone(&site, "su", "");
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let su = PamHost::new(&site, "su", "alice").started_by("bob");
    site.configure("[[login.rule]]\naction = \"require\"\nservices = [\"su\"]\nsubject = \"ruser\"\n");
    assert_eq!(su.answer(&alice.code(&site)), code::AUTH_ERR);
    assert_eq!(su.answer(&bob.code(&site)), code::SUCCESS);
    let event = site.last_login();
    assert_eq!(
        (&event["user"], &event["target"], &event["class"]),
        (&"bob".into(), &"alice".into(), &"local".into())
    );
    // Over the network the client chooses PAM_RUSER.
    let remote = PamHost::new(&site, "su", "alice").option(&["-R", "bob", "-r", "192.0.2.1"]);
    assert_eq!(remote.answer(&alice.code(&site)), code::SUCCESS);
}

#[test]
fn an_invalid_file_leaves_the_old_policy_in_force() {
    let site = Site::new();
    alone(&site, "sudo", "first_factor=passed");
    exempt(&site, "users = [\"alice\"]");
    site.write_config("[[login.rule]]\naction = \"exempt\"\nusers = []\n");
    site.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("it is reported", || site.log().contains("the old configuration stays in force"));
    assert!(site.log().contains("users is empty"), "{}", site.log());
    let exempted = |user: &str| PamHost::new(&site, "sudo", user).answer("123456") == code::PERM_DENIED;
    assert!(exempted("alice") && !exempted("bob"));
}

#[test]
fn explain_and_config_check_name_deciding_and_dead_rules() {
    let site = Site::new();
    let rules = "[[login.rule]]\nname = \"robots\"\nusers = [\"bob\"]\nnetworks = [\"10.0.0.0/8\"]\naction = \"exempt\"\n\
                 [[login.rule]]\nservices = [\"sshd\"]\naction = \"require\"\nenforce_from = \"2099-01-01T00:00:00Z\"\n\
                 [[login.rule]]\nservices = [\"sshd\"]\nusers = [\"alice\"]\naction = \"deny\"\n";
    site.configure(rules);
    let explain =
        |arguments: &[&str]| site.totpd(&[&["explain"], arguments].concat()).assert_success().stdout;
    let text = explain(&["alice", "sshd", "--rhost", "192.0.2.1", "--ssh-auth", "publickey"]);
    // The lines of the rules follow those that every configuration has.
    let line = |number: usize| format!("(line {})", site.config().lines().count() + number);
    assert!(text.contains(&format!("rule 1 \"robots\" {}: does not match: users", line(1))), "{text}");
    assert!(text.contains(&format!("rule 2 {}: decides", line(6))), "{text}");
    assert!(
        text.contains(
            "would pass without a code; first factor proved by ssh; mode monitor, enforced it would be \
                           refused: not-enrolled"
        ),
        "{text}"
    );
    let text = explain(&["bob", "sshd", "--rhost", "10.0.0.9"]);
    assert!(text.contains("refused: no-first-factor"), "{text}");
    let text = explain(&["alice", "sudo"]);
    assert!(text.contains("no rule matches, so the default applies: require"), "{text}");
    site.enroll("alice");
    let later = explain(&[
        "alice",
        "sshd",
        "--rhost",
        "192.0.2.1",
        "--ssh-auth",
        "publickey",
        "--at",
        "2099-01-01T00:00:00Z",
    ]);
    assert!(later.contains("alice: a code would be asked for"), "{later}");
    let document = site.totpd(&["explain", "alice", "sudo", "--json"]).assert_success().json();
    assert_eq!((&document["outcome"], &document["mode"]), (&"asked".into(), &"enforce".into()));
    assert_eq!(site.totpd(&["explain", "alice", "sudo", "--at", "tomorrow"]).code, 2);

    assert_eq!(site.totpd(&["config", "check", "--strict"]).code, 1);
    let check = site.totpd(&["config", "check"]).assert_success();
    assert!(
        check
            .stdout
            .contains(&format!("rule 3 {} never decides: rule 2 before it takes everything", line(10))),
        "{check:?}"
    );
    assert!(site.log().contains("never decides"), "the daemon says so too");
    site.configure("[[login.rule]]\nusers = [\"no-such-user\"]\naction = \"deny\"\n");
    assert!(site.totpd(&["config", "check"]).stdout.contains("does not exist on this host: no-such-user"));
    site.configure("");
    site.totpd(&["config", "check"]).assert_success();
}
