//! What `totpd status` says about standbys: while commits wait for one, and of one that would be of
//! no use in a failover.

use nix::sys::signal::Signal;
use totp_wire::CallError;
use totp_wire::login::{STORE_UNAVAILABLE, Verdict};
use totpd_e2e::peer::{begin, local, login};
use totpd_e2e::run::wait_until;
use totpd_e2e::{Fleet, Site};
use totpd_test_postgres::Shutdown;

/// What `totpd status` prints.
fn status(site: &Site) -> String {
    let finished = site.totpd(&["status"]);
    format!("{}{}", finished.stdout, finished.stderr)
}

#[test]
fn while_a_standby_hangs_nobody_is_asked_for_a_code() {
    let fleet = Fleet::with_standby(2);
    let phone = fleet.enroll("alice");
    let code = phone.code(&fleet.sites[0]);
    let waiting = begin(&fleet.sites[0], local("alice")).unwrap();
    fleet.standbys[0].freeze();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| waiting.answer(&code));
        for site in &fleet.sites {
            wait_until("status says why", || status(site).contains("commits wait for a standby"));
            let refused = begin(site, local("bob")).map(drop);
            assert!(
                matches!(&refused, Err(CallError::Error { name, .. }) if name == STORE_UNAVAILABLE),
                "{refused:?}"
            );
        }
        fleet.standbys[0].thaw();
        // The commit was never given up, and the user waited for it.
        assert_eq!(answer.join().unwrap(), Ok(Verdict::Granted));
    });
    for site in &fleet.sites {
        site.wait_until_serving();
    }
    fleet.next_step();
    assert_eq!(login(&fleet.sites[1], "alice", &phone.code(&fleet.sites[0])), Ok(Verdict::Granted));
}

#[test]
fn without_a_standby_that_counts_no_code_is_spent() {
    let fleet = Fleet::with_standby(1);
    let (phone, site) = (fleet.enroll("alice"), &fleet.sites[0]);
    fleet.standbys[0].stop(Shutdown::Fast);
    wait_until("status says why", || status(site).contains("no standby that commits wait for"));
    let refused = begin(site, local("alice")).map(drop);
    assert!(
        matches!(&refused, Err(CallError::Error { name, .. }) if name == STORE_UNAVAILABLE),
        "{refused:?}"
    );
    // So it is for a daemon that starts now.
    site.end(Signal::SIGTERM);
    site.start();
    let refused = begin(site, local("alice")).map(drop);
    assert!(
        matches!(&refused, Err(CallError::Error { name, .. }) if name == STORE_UNAVAILABLE),
        "{refused:?}"
    );
    fleet.standbys[0].resume();
    site.wait_until_serving();
    assert_eq!(login(site, "alice", &phone.code(site)), Ok(Verdict::Granted));
}

#[test]
fn a_standby_that_would_let_nobody_in_is_reported() {
    let fleet = Fleet::with_standby(1);
    let site = &fleet.sites[0];
    assert!(!status(site).contains("After a failover"), "{}", status(site));
    fleet.standbys[0].set_hba("local all,replication all trust\n");
    // It is looked at once a minute, and at the start.
    site.end(Signal::SIGTERM);
    site.start();
    wait_until("status says what is wrong with it", || {
        let said = status(site);
        said.contains("pg_hba.conf") && said.contains("After a failover")
    });
    assert!(site.log().contains("After a failover"), "{}", site.log());
}
