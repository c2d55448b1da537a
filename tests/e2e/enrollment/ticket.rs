//! A ticket of an administrator, typed where the first login asks for a code.

use rexpect::session::{PtySession, spawn_command};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code, result};
use totpd_e2e::phone::{Phone, recovery_codes};
use totpd_e2e::run::Running;
use totpd_e2e::ssh::Sshd;

const CODE: &str = "Verification code: ";
const FIRST_CODE: &str = "First code from the app: ";
const LAST: &str = "type one of them to finish: ";
const SHOWS: &str = "[login]\nshow_secrets_services = [\"x\", \"sshd\"]\n";

fn ticket(site: &Site, user: &str) -> String {
    let document = site.totpd(&["enroll", user, "--ticket", "--json"]).assert_success().json();
    document["ticket"].as_str().unwrap().to_owned()
}

/// Logs bob in by ssh with a ticket, up to the question for the first code.
#[track_caller]
fn begin(sshd: &Sshd<'_>, ticket: &str) -> (PtySession, Phone) {
    let mut ssh = sshd.program("ssh", "askpass", 3);
    ssh.env("SSH_ASKPASS_REQUIRE", "never").env("LC_ALL", "C");
    ssh.arg(sshd.destination("bob")).arg("echo in as $(id -un)");
    let mut client = spawn_command(ssh, Some(20_000)).unwrap();
    client.exp_string(CODE).unwrap();
    client.send_line(ticket).unwrap();
    let shown = client.exp_string(FIRST_CODE).unwrap();
    assert!(shown.contains("with the same SSH key and the ticket within 15 minutes"), "{shown}");
    let phone = Phone::from_shown(&shown).unwrap_or_else(|| panic!("no key: {shown}"));
    (client, phone)
}

#[test]
fn a_ticket_at_the_first_login_enrolls_once() {
    let site = Site::new();
    let sshd = Sshd::start(&site);
    let ticket = ticket(&site, "bob");
    // Interrupted: the ticket and the key stay.
    let (client, first) = begin(&sshd, &ticket);
    drop(client);
    assert!(site.status("bob")["ticket_expires_at"].is_string());
    // A mistyped ticket changes the record, and not the key.
    assert!(!sshd.lets_in("bob", &["AAAA-AAAA-AAAA-AAAA"]));
    assert_eq!(
        (&site.last_login()["reason"], &site.status("bob")["failures"]),
        (&"bad-ticket".into(), &1.into())
    );
    let (mut client, phone) = begin(&sshd, &ticket.to_lowercase().replace('-', " "));
    assert_eq!(phone.secret, first.secret);
    site.next_step();
    client.send_line(&phone.code(&site)).unwrap();
    let shown = client.exp_string(LAST).unwrap();
    assert!(shown.contains("This setup key was shown 2 times"), "{shown}");
    client.send_line(&recovery_codes(&shown)[0]).unwrap();
    client.exp_string("in as bob").unwrap();
    client.exp_eof().unwrap();
    let status = site.status("bob");
    assert_eq!((&status["state"], &status["ticket_expires_at"]), (&"active".into(), &().into()));
    let granted = site.last_login();
    assert_eq!((&granted["outcome"], &granted["enrolled"]), (&"granted".into(), &true.into()));
    let events = site.events();
    let offers: Vec<_> = events.iter().filter(|event| event["outcome"] == "offered").collect();
    assert_eq!(offers.len(), 2);
    for offer in offers {
        assert_eq!((&offer["method"], &offer["totp_id"]), (&"ticket".into(), &granted["totp_id"]));
        assert_eq!(offer["first_factor"], "ssh");
    }
    assert!(!sshd.lets_in("bob", &[&ticket]), "used up");
    site.next_step();
    assert!(sshd.lets_in("bob", &[&phone.code(&site)]));
    assert!(!site.log().contains(&phone.secret) && !site.log().contains(&ticket));
}

fn with_key(site: &Site) -> PamHost<'_> {
    PamHost::new(site, "x", "bob").option(SSH_KEY)
}

#[track_caller]
fn refused(site: &Site, host: &PamHost<'_>, typed: &str, reason: &str) {
    let ran = host.run(&["authenticate"], &format!("{typed}\n"));
    assert_eq!(result(&ran, "authenticate"), code::AUTH_ERR, "{ran:?}");
    assert!(!ran.stdout.contains("key:"), "{ran:?}");
    assert_eq!(site.last_login()["reason"], reason);
}

#[test]
fn a_ticket_is_refused_unspent_where_it_may_not_enroll() {
    let site = Site::with_rules(SHOWS);
    site.totp_service("x", "nodelay");
    site.totp_service("y", "nodelay");
    let ticket = ticket(&site, "bob");
    // Without a first factor, and with one that only a rule waives.
    refused(&site, &PamHost::new(&site, "x", "bob").option(&["-r", "192.0.2.1"]), &ticket, "not-enrolled");
    let local = format!("{SHOWS}[[login.rule]]\naction = \"require\"\nremember = \"8h\"\nlocal = true\n");
    site.configure(&local);
    refused(&site, &PamHost::new(&site, "x", "bob").started_by("alice"), &ticket, "not-enrolled");
    // Where the key may be logged, and where nothing is shown.
    site.configure(SHOWS);
    refused(&site, &PamHost::new(&site, "y", "bob").option(SSH_KEY), &ticket, "not-shown");
    refused(&site, &with_key(&site).option(&["-s"]), &ticket, "not-shown");
    site.configure("[login]\nshow_secrets_services = [\"x\"]\nself_enroll = \"off\"\n");
    refused(&site, &with_key(&site), &ticket, "not-enrolled");
    site.configure(SHOWS);
    // Of somebody else, and of a user whom a rule denies.
    refused(&site, &PamHost::new(&site, "x", "alice").option(SSH_KEY), &ticket, "not-enrolled");
    site.configure(&format!("{SHOWS}[[login.rule]]\nusers = [\"bob\"]\naction = \"deny\"\n"));
    refused(&site, &with_key(&site), &ticket, "denied");
    site.configure(SHOWS);
    assert_eq!(site.status("bob")["failures"], 0);
    let (host, ..) = begin_host(&site, &ticket);
    drop(host);
    // Expired.
    site.advance(25 * 3600);
    refused(&site, &with_key(&site), &ticket, "not-enrolled");
}

#[test]
fn wrong_tickets_read_as_wrong_codes_do_and_count() {
    let site = Site::with_rules(SHOWS);
    site.totp_service("x", "nodelay");
    site.enroll("alice");
    let ticket = ticket(&site, "bob");
    let wrong = "AAAA-AAAA-AAAA-AAAA\n";
    let shown =
        |user: &str| PamHost::new(&site, "x", user).option(SSH_KEY).run(&["authenticate"], wrong).stdout;
    let of_bob = shown("bob");
    assert_eq!(site.last_login()["reason"], "bad-ticket");
    for user in ["alice", "u1", "no-such-user"] {
        assert_eq!(shown(user), of_bob, "{user}");
    }
    assert_eq!(site.status("bob")["failures"], 1);
    for _ in 2..=10 {
        shown("bob");
    }
    refused(&site, &with_key(&site), &ticket, "locked");
    site.totpd(&["unlock", "bob"]).assert_success();
    drop(begin_host(&site, &ticket));
}

/// Types a ticket of bob at a service, and returns the program and the phone at the first code.
#[track_caller]
fn begin_host(site: &Site, ticket: &str) -> (Running, Phone) {
    let mut host = with_key(site).start();
    host.read_until("prompt: ");
    host.say(&format!("{ticket}\n"));
    let shown = host.read_until(FIRST_CODE);
    (host, Phone::from_shown(&shown).unwrap_or_else(|| panic!("no key: {shown}")))
}

#[test]
fn a_ticket_that_ends_during_the_enrollment_makes_no_factor() {
    let site = Site::with_rules(SHOWS);
    site.totp_service("x", "nodelay");
    let ends: [(&str, &dyn Fn(), &str); 4] = [
        ("revoked", &|| drop(site.totpd(&["revoke", "bob"]).assert_success()), "raced"),
        ("replaced", &|| drop(ticket(&site, "bob")), "bad-ticket"),
        ("expired", &|| site.advance(25 * 3600), "bad-ticket"),
        ("off", &|| site.configure(&format!("{SHOWS}self_enroll = \"off\"\n")), "denied"),
    ];
    for (what, end, reason) in ends {
        site.configure(SHOWS);
        let (mut host, phone) = begin_host(&site, &ticket(&site, "bob"));
        site.next_step();
        host.say(&format!("{}\n", phone.code(&site)));
        let codes = recovery_codes(&host.read_until(LAST));
        end();
        host.say(&format!("{}\n", codes[0]));
        assert_eq!(result(&host.finish(), "authenticate"), code::AUTH_ERR, "{what}");
        assert_eq!(site.last_login()["reason"], reason, "{what}");
        assert_eq!(site.status("bob")["state"], "none", "{what}");
    }
}

#[test]
fn of_two_logins_with_one_ticket_the_first_finished_wins() {
    let site = Site::with_rules(SHOWS);
    site.totp_service("x", "nodelay");
    let ticket = ticket(&site, "bob");
    let ((mut one, phone), (mut two, other)) = (begin_host(&site, &ticket), begin_host(&site, &ticket));
    site.next_step();
    one.say(&format!("{}\n", phone.code(&site)));
    two.say(&format!("{}\n", other.code(&site)));
    let codes = [&mut one, &mut two].map(|host| recovery_codes(&host.read_until(LAST)).swap_remove(0));
    one.say(&format!("{}\n", codes[0]));
    assert_eq!(result(&one.finish(), "authenticate"), code::SUCCESS);
    two.say(&format!("{}\n", codes[1]));
    assert_eq!(result(&two.finish(), "authenticate"), code::AUTH_ERR);
    assert_eq!(site.last_login()["reason"], "raced");
}
