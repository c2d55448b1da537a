//! Upgrades and downgrades: no login fails, no PAM file changes, and an older totpd opens no newer
//! store.

use super::{STACKS, on_each};
use std::process::Command;
use totpd_e2e::Booted;
use totpd_e2e::booted::package;
use totpd_e2e::run::run;

/// Logins that run while the package is replaced.
const LOGINS: usize = 20;

/// `FILE NUMBER`: sets the schema's number by SQLite, and keeps the log as the daemon does.
const SET_SCHEMA: &str = r"
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
print(db.execute('PRAGMA user_version').fetchone()[0], flush=True)
db.execute('PRAGMA user_version = ' + sys.argv[2])
db.execute('PRAGMA wal_checkpoint(PASSIVE)').fetchall()
os._exit(0)
";

const PAM_SUMS: &str = "find /etc/pam.d /etc/ssh -type f -exec sha256sum {} + | sort";

#[test]
fn an_interrupted_upgrade_loses_no_login() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        machine.copy(&package("totpd-next.deb"), "/root/next.deb");
        for user in ["alice", "bob"] {
            machine.add_user(user);
        }
        let phones = ["alice", "bob"].map(|user| (user, machine.enroll(user)));
        machine.sh(STACKS).assert_success();
        let files = machine.sh(PAM_SUMS).assert_success().stdout;
        let secrets = super::secrets(&machine);
        let started = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let (machine, started) = (&machine, &started);
            let upgrade = scope.spawn(move || {
                started.wait();
                let script =
                    "dpkg --unpack /root/next.deb && systemctl stop totpd.service && dpkg --configure totpd";
                machine.sh(script).assert_success();
            });
            let mut upgrade = Some(upgrade);
            // Two users with ten recovery codes make 20 logins, the last one after the upgrade.
            for number in 0..LOGINS {
                let (user, phone) = &phones[number % 2];
                let code = &phone.recovery_codes[number / 2];
                if number == 1 {
                    started.wait();
                }
                if number == LOGINS - 1 {
                    upgrade.take().unwrap().join().unwrap();
                }
                let login = if number % 4 < 2 {
                    machine.ssh(user, code)
                } else {
                    machine.sudo(user, &format!("{code}\n"))
                };
                assert_eq!(login.code, 0, "{release:?}: login {number}: {login:?}\n{}", machine.journal());
            }
        });
        let version = machine.sh("dpkg-query -W -f '${Version}' totpd; systemctl is-active totpd.service totpd.socket totpd-root.socket totpd-admin.socket").assert_success().stdout;
        assert!(version.contains("-2"), "{version}");
        assert_eq!(version.matches("active").count(), 4, "{version}");
        assert_eq!(
            machine.sh(PAM_SUMS).assert_success().stdout,
            files,
            "{release:?}: an upgrade changes no PAM file"
        );
        assert_eq!(super::secrets(&machine).lines().count(), secrets.lines().count());
        let key = |sums: &str| sums.lines().next().map(str::to_owned);
        assert_eq!(key(&super::secrets(&machine)), key(&secrets), "{release:?}: the key is the same");
    });
}

/// The code comes on the standard input. It is typed while the daemon is stopped, which then has it
/// unread when it is told to end.
const RESTART_BEFORE_READING: &str = "set -e
    read -r code; rm -f /root/answer /root/said; mkfifo /root/answer
    (runuser -u alice -- sudo -k -S id -un < /root/answer 2> /root/said) & login=$!
    exec 3> /root/answer
    until grep -q 'Verification code' /root/said; do sleep 0.02; done
    kill -STOP $(systemctl show -P MainPID totpd)
    echo \"$code\" >&3; exec 3>&-
    until ss -xH | awk '$5 == \"/run/totpd/root.sock\" && $3 > 0 {found = 1} END {exit !found}'; do sleep 0.02; done
    systemctl restart totpd
    wait $login";

#[test]
fn a_restart_before_an_answer_is_read_loses_no_login() {
    let machine = super::booted::installed();
    let phone = super::booted::enroll(&machine, "alice");
    machine.sh(STACKS).assert_success();
    // What is ready first is up to the daemon's runtime: six times.
    for code in &phone.recovery_codes[..6] {
        let login = machine.sh_with(RESTART_BEFORE_READING, &format!("{code}\n"));
        assert_eq!((login.code, login.stdout.as_str()), (0, "root\n"), "{login:?}\n{}", machine.journal());
        let spent = machine.sh_with("totpd verify alice", code);
        assert_ne!(spent.code, 0, "it is used: {spent:?}");
    }
}

#[test]
fn a_downgrade_over_a_newer_store_is_refused() {
    on_each(|release| {
        let machine = Booted::packaged(release);
        machine.copy(&package("totpd-next.deb"), "/root/next.deb");
        machine.sh("dpkg -i /root/next.deb").assert_success();
        machine.add_user("alice");
        let phone = machine.enroll("alice");
        machine.sh(STACKS).assert_success();
        // An older package can be installed over a store of the same schema.
        machine.sh("dpkg -i /root/totpd.deb && dpkg -i /root/next.deb").assert_success();
        let version = "dpkg-query -W -f '${Version} ${db:Status-Status}' totpd";
        let installed = machine.sh(version).assert_success().stdout;
        assert!(installed.ends_with("-2 installed"), "{installed}");

        // Sets the number of a later schema. Returns the number before.
        let schema = |to: u32| {
            let scratch = tempfile::tempdir().unwrap();
            let names = ["totpd.db", "totpd.db-wal"];
            let there = |name: &str| machine.path(&format!("/var/lib/totpd/{name}"));
            for name in names {
                std::fs::copy(there(name), scratch.path().join(name)).unwrap();
            }
            let mut python = Command::new("python3");
            python.args(["-c", SET_SCHEMA]).arg(scratch.path().join(names[0])).arg(to.to_string());
            let was = run(python, "").assert_success().stdout.trim().parse::<u32>().unwrap();
            for name in names {
                // Writing into the existing file keeps owner and mode.
                std::fs::write(there(name), std::fs::read(scratch.path().join(name)).unwrap()).unwrap();
            }
            was
        };
        machine.sh("systemctl stop totpd.service").assert_success();
        let real = schema(99);
        assert!(real >= 3, "the daemon writes its schema into the header: {real}");
        let refused = machine.sh("dpkg -i /root/totpd.deb");
        assert_ne!(refused.code, 0, "{release:?}");
        assert!(refused.stderr.contains("written by a newer totpd (schema 99)"), "{refused:?}");
        assert_eq!(
            machine.sh(version).assert_success().stdout,
            installed,
            "{release:?}: nothing was changed"
        );
        assert_eq!(schema(real), 99, "{release:?}: the store neither");
        let code = format!("{}\n", phone.recovery_codes[0]);
        assert_eq!(
            machine.sudo("alice", &code).assert_success().stdout,
            "root\n",
            "{release:?}: logins go on"
        );
    });
}
