//! Conversations that wait for a user block nobody.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::peer::{begin, from_host, local};

#[test]
fn with_500_waiting_conversations_a_local_sudo_works() {
    let site = Site::new();
    site.totp_service("sudo", "nodelay");
    let phone = site.enroll("alice");
    let waiting: Vec<_> = (0..500)
        .map(|i| begin(&site, from_host("alice", &format!("192.0.{}.{}", 2 + i / 250, i % 250))).unwrap())
        .collect();
    let sudo = PamHost::new(&site, "sudo", "alice");
    assert_eq!(sudo.answer(&phone.code(&site)), code::SUCCESS);
    // The waiting conversations are served as well.
    let mut waiting = waiting.into_iter();
    site.next_step();
    let first = waiting.next().unwrap().answer(&phone.code(&site));
    assert_eq!(first, Ok(totp_wire::login::Verdict::Granted));
}

#[test]
fn a_host_with_too_many_connections_loses_its_oldest() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let mut flood: Vec<_> =
        (0..17).map(|_| begin(&site, from_host("alice", "198.51.100.1")).unwrap()).collect();
    let other = begin(&site, from_host("alice", "198.51.100.2")).unwrap();
    let sudo = begin(&site, local("alice")).unwrap();
    let oldest = flood.remove(0);
    assert!(oldest.answer("123456").is_err(), "the oldest of 17 was not closed");
    assert!(other.answer("no code").is_ok() && sudo.answer(&phone.code(&site)).is_ok());
    assert!(flood.into_iter().all(|waiting| waiting.answer("no code").is_ok()));
}
