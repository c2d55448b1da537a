//! A packaged host whose store moves to PostgreSQL, by the commands of
//! docs/how-to/several-servers.md: the unit reaches the database with its drop-in alone.

use super::booted::{enroll, sudo};
use std::path::PathBuf;
use totpd_e2e::run::wait_until;
use totpd_e2e::{Booted, Release};
use totpd_test_postgres::{Server, Setup, Surroundings};

const MOVE: &str = "set -e
    systemctl stop 'totpd*.socket' totpd.service
    setpriv --reuid=totpd --regid=totpd --clear-groups totpd store copy /var/lib/totpd \"$URL\"
    systemctl start totpd.socket totpd-root.socket totpd-admin.socket totpd";

#[test]
fn a_packaged_host_moves_to_postgresql_through_its_drop_in() {
    let machine = Booted::packaged(Release::Bookworm);
    machine
        .sh("set -e
            ip link set lo up
            useradd --create-home alice
            echo 'alice ALL=(ALL) ALL' > /etc/sudoers.d/alice
            printf 'auth required pam_totp.so\naccount required pam_permit.so\n' > /etc/pam.d/sudo")
        .assert_success();
    let phone = enroll(&machine, "alice");
    // In the machine's network, as a database that no other host reaches.
    let network = PathBuf::from(format!("/proc/{}/ns/net", machine.leader()));
    let surroundings =
        Surroundings { network: Some((network, "127.0.0.1".to_owned())), ..Surroundings::default() };
    let server = Server::start_as(Setup { surroundings, ..Setup::default() });
    let database = server.create_database();
    let url = format!("{}?sslmode=disable", database.url());
    let config = format!(
        "set -e
        sed -i 's|^\\[store\\]$|[store]\\nurl = \"{url}\"\\npassword_file = \"/etc/totpd/store-password\"|' /etc/totpd/totpd.toml
        install -m 0400 -o totpd -g totpd /dev/stdin /etc/totpd/store-password"
    );
    machine.sh_with(&config, &database.password).assert_success();
    machine.sh(&MOVE.replace("$URL", &url)).assert_success();

    // The unit has no network yet. It says so, and nobody is let in.
    wait_until("the journal says why", || machine.journal().contains("cannot be reached"));
    let refused = sudo(&machine, &phone.recovery_codes[0]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let found = machine.sh("totpd doctor --json").json();
    assert!(found.to_string().contains("totpd.service.d"), "{found}");

    machine
        .sh("set -e
            install -D -m 0644 /usr/share/totpd/network.conf \
                /etc/systemd/system/totpd.service.d/network.conf
            systemctl daemon-reload
            systemctl restart totpd
            totpd status")
        .assert_success();
    for code in &phone.recovery_codes[..2] {
        assert_eq!(sudo(&machine, code).assert_success().stdout, "root\n", "{}", machine.journal());
    }
    assert_ne!(sudo(&machine, &phone.recovery_codes[0]).code, 0, "a recovery code was good twice");
    assert_eq!(database.sql("SELECT count(*) FROM account WHERE name = 'alice'"), "1");
}
