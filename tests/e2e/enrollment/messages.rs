//! Logins: races with reloads and restarts, long names, full disks, and other hosts' keys.

use nix::sys::signal::Signal;
use site::Site;
use site::pamhost::{PamHost, SSH_KEY, code, result, results};
use site::phone::{Phone, recovery_codes};
use site::run::run;

#[test]
fn an_enrollment_at_login_works_for_the_longest_name() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let user = "ж".repeat(120);
    site.append("etc/passwd", &format!("{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", &user).option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    assert_eq!(result(&finished, "authenticate"), code::AUTH_ERR, "{finished:?}");
    assert!(finished.stdout.contains("Or type this key"), "{finished:?}");
}

#[test]
fn the_enrollment_link_is_never_truncated() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\ndigits = 8\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", "bob").option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    let link = finished.stdout.lines().find(|line| line.contains("otpauth://")).unwrap().to_owned();
    assert!(link.contains("digits=8") && link.contains("period=30"), "{link}");
}

#[test]
fn remembering_su_to_bob_does_not_cover_su_to_root() {
    let site = Site::new();
    site.totp_service("su", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nsubject = \"ruser\"\nremember = \"1h\"\n");
    // One process, one audit session: su to bob, and then (by a shell that it starts) to root.
    let helper = site::paths::native("pamhost");
    let script = format!(
        "echo 5001 > /proc/self/loginuid; {0} -U 5001 su bob authenticate; {0} -U 5001 su root authenticate",
        helper.display()
    );
    let mut shell = site.command("sh");
    shell.args(["-c", &script]);
    let finished = run(shell, &format!("{}\n000000\n", phone.code(&site)));
    let codes = results(&finished, "authenticate");
    assert_eq!(codes[0], code::SUCCESS, "{finished:?}");
    // It was asked, and nobody answered.
    assert_ne!(codes[1], code::SUCCESS, "{finished:?}");
    assert_eq!(finished.stdout.matches("prompt").count(), 2, "{finished:?}");
}

#[test]
fn a_link_too_long_for_pam_is_left_out_and_the_key_is_shown() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let user = "firstname.lastname@department.corp.example";
    site.append("etc/passwd", &format!("{user}:x:5099:5099::/home/alice:/bin/sh\n"));
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\ndigits = 8\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let finished =
        PamHost::new(&site, "x", user).option(SSH_KEY).run(&["authenticate"], "000000\n000000\n000000\n");
    assert!(!finished.stdout.contains("otpauth://"), "{finished:?}");
    assert!(finished.stdout.contains("Or type this key"), "{finished:?}");
}

#[test]
fn the_longest_issuer_enrolls_user_names_of_any_length() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure(&format!(
        "[totp]\nissuer = \"{}\"\n[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n",
        "ж".repeat(32)
    ));
    let passwd = site.read("etc/passwd");
    let mut codes = Vec::new();
    for (length, letter) in [(60, "a"), (120, "a"), (180, "a"), (255, "a"), (30, "ж"), (60, "ж"), (90, "ж")]
    {
        let user = letter.repeat(length);
        site.write("etc/passwd", &format!("{passwd}{user}:x:5099:5099::/home/alice:/bin/sh\n"));
        let host = PamHost::new(&site, "x", &user).option(SSH_KEY);
        codes.push((length, letter, host.authenticate("000000\n000000\n000000\n")));
    }
    assert!(codes.iter().all(|(.., c)| *c == code::AUTH_ERR), "{codes:?}");
}

#[test]
fn an_answer_never_confirms_an_enrollment_that_was_not_shown() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    // Asked under one configuration; the daemon restarts under another while bob types.
    let mut host = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    host.read_until("prompt: ");
    site.end(Signal::SIGTERM);
    site.write_config("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    site.start();
    host.say("123456\n123456\n123456\n123456\n");
    let rest = host.finish().stdout;
    assert!(
        !rest.contains("That is not the code that the app shows") || rest.contains("Or type this key"),
        "{rest}"
    );
}

#[test]
fn exempt_and_remembered_logins_work_on_a_full_disk() {
    let site = Site::on_small_disk();
    site.start();
    site.totp_service("x", "nodelay timeout=5");
    site.totp_service("y", "nodelay first_factor=passed");
    let phone = site.enroll("alice");
    site.fill_disk();
    site.configure(
        "[login]\nshow_secrets_services = [\"x\"]\n\
         [[login.rule]]\nusers = [\"u1\"]\naction = \"exempt\"\n\
         [[login.rule]]\nusers = [\"u2\"]\naction = \"require\"\nmode = \"monitor\"\n\
         [[login.rule]]\nusers = [\"alice\"]\naction = \"require\"\nremember = \"8h\"\n\
         [[login.rule]]\naction = \"enroll\"\n",
    );
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(PamHost::new(&site, "y", "u1").authenticate(""));
        codes.push(PamHost::new(&site, "y", "u2").authenticate(""));
        codes.push(
            PamHost::new(&site, "y", "alice")
                .option(&["-A", "5001", "-R", "alice"])
                .answer(&phone.code(&site)),
        );
        site.next_step();
    }
    assert!(codes.iter().all(|c| [code::IGNORE, code::SUCCESS, code::PERM_DENIED].contains(c)), "{codes:?}");
    assert_eq!(site.status("alice")["remembered"], 32);
    let mut host = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    let shown = host.read_until("prompt: ");
    let phone = Phone::from_shown(&shown).unwrap();
    host.say(&format!("{}\n", phone.code(&site)));
    let shown = host.read_until("to finish: ");
    host.say(&format!("{}\n", recovery_codes(&shown)[0]));
    let rest = host.finish().stdout;
    assert!(rest.contains("authenticate=4"), "{rest}");
    assert_eq!(site.status("bob")["state"], "none");
}

#[test]
fn config_check_warns_of_service_names_in_capitals() {
    let site = Site::new();
    // libpam folds a service's name to small letters, so this never matches.
    site.configure("[[login.rule]]\nservices = [\"SSHD\"]\naction = \"deny\"\n");
    let check = site.totpd(&["config", "check", "--strict"]);
    assert!(check.code == 1 && check.stdout.contains("small letters"), "{check:?}");
}

#[test]
fn a_warning_of_config_check_does_not_stop_a_reload() {
    let unit =
        std::fs::read_to_string(site::paths::target().join("../config/systemd/totpd.service")).unwrap();
    let site = Site::new();
    // A fleet's common file: this host has no such user.
    site.configure("[[login.rule]]\nusers = [\"elsewhere\"]\naction = \"deny\"\n");
    // The first ExecReload= line; systemd runs the next one only when it succeeds (systemd.service(5)).
    assert!(unit.contains("ExecReload=/usr/bin/totpd config check\nExecReload=/bin/kill -HUP"));
    assert_eq!(site.totpd(&["config", "check"]).code, 0);
}

#[test]
fn an_offered_enrollment_ends_when_its_rule_is_removed() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\n[[login.rule]]\naction = \"enroll\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    let shown = thief.read_until("prompt: ");
    // The administrator has noticed the stolen key.
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    let phone = Phone::from_shown(&shown).unwrap();
    thief.say(&format!("{}\n", phone.code(&site)));
    let Ok(shown) = thief.read_until_or_end("to finish: ") else { return };
    thief.say(&format!("{}\n", recovery_codes(&shown)[0]));
    let rest = thief.finish().stdout;
    assert!(!rest.contains("authenticate=0"), "{rest} {}", site.status("bob")["state"]);
}

#[test]
fn a_monitored_login_is_judged_by_the_rule_at_its_answer() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    site.configure("[[login.rule]]\naction = \"require\"\nmode = \"monitor-ask\"\n");
    let mut thief = PamHost::new(&site, "x", "bob").option(SSH_KEY).start();
    thief.read_until("prompt: ");
    site.configure("[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n");
    thief.say("123456\n");
    let rest = thief.finish().stdout;
    assert_ne!(site.last_login()["outcome"], "exempt", "{rest}");
}

#[test]
fn a_login_by_a_shared_host_key_is_never_remembered() {
    let site = Site::new();
    site.totp_service("sshd", "nodelay");
    let phone = site.enroll("alice");
    site.configure("[[login.rule]]\naction = \"require\"\nremember = \"1h\"\nremember_by = \"ssh-key\"\n");
    let hostbased = &["-r", "192.0.2.1", "-e", "SSH_AUTH_INFO_0=hostbased ssh-ed25519 QUFBQQ=="][..];
    let first = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(first.answer(&phone.code(&site)), code::SUCCESS);
    let second = PamHost::new(&site, "sshd", "alice").option(hostbased);
    assert_eq!(second.answer("000000"), code::AUTH_ERR);
}
