//! `totpd doctor` on booted Debians: units, mounts, owners and modes of files, and the timer.

use super::{finding, ids};
use totpd_e2e::paths::native;
use totpd_e2e::phone::Phone;
use totpd_e2e::{Booted, Finished, Release};

/// Installs totpd, requires a code for every login service, and enrolls alice.
const INSTALL: &str = "set -e
    systemd-sysusers; systemd-tmpfiles --create
    totpd init --owner totpd
    systemctl daemon-reload
    systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket totpd.service
    useradd --create-home alice
    cp /usr/lib/pam.d/polkit-1 /etc/pam.d/
    for service in sudo sudo-i su login polkit-1; do
        sed -i 's/^\\(@include common-auth\\|auth.*common-auth\\)$/&\\nauth required pam_totp.so/' /etc/pam.d/$service
        grep -q pam_totp /etc/pam.d/$service
    done
    sed -i 's/^@include common-auth$/auth required pam_totp.so/' /etc/pam.d/sshd
    mkdir -p /etc/ssh/sshd_config.d
    printf '%s\\n' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication no' \
        'AuthenticationMethods publickey,keyboard-interactive:pam' > /etc/ssh/sshd_config.d/00-totpd.conf
    systemctl restart ssh
    totpd enroll alice --json > /root/alice";

fn doctor(machine: &Booted) -> Finished {
    machine.sh("totpd doctor --json")
}

/// A command that breaks something, the errors and warnings that doctor reports, and a command that
/// repairs it.
const BROKEN: [(&str, &[&str], &str); 13] = [
    (
        "systemctl stop totpd-root.socket",
        &["socket-stopped"],
        "systemctl stop totpd; systemctl start totpd-root.socket totpd",
    ),
    ("systemctl disable totpd-root.socket", &["socket-not-enabled"], "systemctl enable totpd-root.socket"),
    ("systemctl stop totpd.service", &[], "systemctl start totpd"),
    (
        // A healthy host: the store is in another folder, and a link leads to it.
        "systemctl stop totpd; mv /var/lib/totpd /var/lib/store; ln -s store /var/lib/totpd; systemctl start totpd",
        &[],
        "systemctl stop totpd; rm /var/lib/totpd; mv /var/lib/store /var/lib/totpd; systemctl start totpd",
    ),
    ("systemctl mask totpd-admin.socket", &["unit-masked"], "systemctl unmask totpd-admin.socket"),
    ("chmod 0644 /etc/totpd/totpd.key", &["key-exposed"], "chmod 0400 /etc/totpd/totpd.key"),
    ("chown root: /etc/totpd/totpd.key", &["key-unreadable"], "chown totpd: /etc/totpd/totpd.key"),
    ("chmod 0600 /etc/totpd/totpd.toml", &["config-unreadable"], "chmod 0644 /etc/totpd/totpd.toml"),
    ("chmod 0666 /etc/totpd/totpd.toml", &["config-writable"], "chmod 0644 /etc/totpd/totpd.toml"),
    (
        "echo 'stat_dir = 1' >> /etc/totpd/totpd.toml",
        &["config-invalid"],
        "sed -i '/^stat_dir/d' /etc/totpd/totpd.toml",
    ),
    (
        // StateDirectory= gives the daemon its own mount, which it keeps.
        "mkdir -p /run/systemd/system/totpd.service.d; cd /run/systemd/system/totpd.service.d;
         printf '[Service]\\nStateDirectory=totpd\\nStateDirectoryMode=0700\\n' > own.conf; systemctl daemon-reload;
         systemctl stop totpd; cp -a /var/lib/totpd /root/store; mount -t tmpfs tmpfs /var/lib/totpd;
         cp -a /root/store/. /var/lib/totpd; systemctl start totpd; umount /var/lib/totpd",
        &["store-of-another-mount"],
        "rm -r /run/systemd/system/totpd.service.d; systemctl daemon-reload; systemctl restart totpd",
    ),
    (
        "cp /usr/bin/totpd /usr/bin/totpd.new; mv /usr/bin/totpd.new /usr/bin/totpd",
        &["binary-outdated"],
        "systemctl restart totpd",
    ),
    (
        "sleep 1; echo 'PermitRootLogin no' >> /etc/ssh/sshd_config.d/00-totpd.conf",
        &["sshd-reload"],
        "systemctl reload ssh; until [ /run/sshd.pid -nt /etc/ssh/sshd_config.d/00-totpd.conf ]; do sleep 0.1; done",
    ),
];

#[track_caller]
fn units_mounts_and_owners(release: Release) {
    let machine = Booted::on(release);
    machine.sh(INSTALL).assert_success();
    let phone = Phone::from(&machine.sh("cat /root/alice").assert_success().json());
    machine.sh_with("totpd confirm alice", &phone.code_at(machine.now())).assert_success();
    let healthy = doctor(&machine);
    assert_eq!(ids(&healthy), (vec![], vec![]), "{}", machine.sh("totpd doctor --notes").stdout);
    assert_eq!((healthy.code, machine.sh("totpd doctor").stdout.as_str()), (0, ""));
    let mut wrong = Vec::new();
    for (break_it, wanted, cure) in BROKEN {
        machine.sh(break_it).assert_success();
        let found = doctor(&machine);
        if ids(&found).0 != wanted {
            wrong.push(format!("{break_it}: {wanted:?} was wanted\n{}", machine.sh("totpd doctor").stdout));
        }
        machine.sh(cure).assert_success();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ids(&doctor(&machine)).0, [""; 0], "{}", machine.sh("totpd doctor").stdout);

    // What `--fix` repairs: a store and a key that belong to root, and a socket that is not
    // enabled.
    let broken =
        "chown root: /etc/totpd/totpd.key /var/lib/totpd/totpd.db; systemctl disable totpd-root.socket";
    machine.sh(broken).assert_success();
    assert_eq!(machine.sh("totpd doctor --fix < /dev/null").code, 2, "nobody was asked");
    let fixed = machine.sh("totpd doctor --fix --yes");
    assert_eq!((fixed.code, fixed.stdout.as_str()), (0, ""), "{fixed:?}");
    assert_eq!(
        machine.sh("stat -c '%U %a' /etc/totpd/totpd.key /var/lib/totpd/totpd.db").stdout,
        "totpd 400\ntotpd 600\n"
    );

    // The timer's unit sees the same in its sandbox, and logs a service that stopped asking.
    let unit = "systemctl start totpd-doctor.service; journalctl --sync; \
                journalctl --no-pager --output=cat --unit=totpd-doctor.service --priority=warning";
    assert_eq!(machine.sh(unit).assert_success().stdout, "", "a healthy host");
    machine.sh("sed -i '/pam_totp/d' /etc/pam.d/sudo").assert_success();
    let said = machine.sh(unit).assert_success().stdout;
    assert!(said.contains("doctor: error stopped-asking: sudo asked for a code on "), "{said}");
    assert!(said.contains("doctor: error sibling-without-code: "), "{said}");
    // pam_motd of most services shows the findings to root, and to nobody else.
    machine.copy(&native("pamhost"), "/root/pamhost");
    machine
        .sh("chmod 0755 /root/pamhost; echo 'session optional pam_motd.so noupdate' > /etc/pam.d/shell")
        .assert_success();
    let motd = |user: &str| machine.sh(&format!("/root/pamhost shell {user} open_session 2>&1")).stdout;
    assert!(motd("root").contains("totpd doctor found "), "{}", motd("root"));
    assert_eq!(motd("alice").matches("doctor").count(), 0, "{}", motd("alice"));
    let last = machine
        .sh("stat -c '%U %a' /var/lib/totpd-doctor /var/lib/totpd-doctor/last.json")
        .assert_success()
        .stdout;
    assert_eq!(last, "root 755\nroot 644\n");
    // The finding stays until it is accepted.
    assert_eq!(finding(&doctor(&machine), "stopped-asking")["subject"], "sudo");
    machine.sh("rm /etc/pam.d/sudo-i; totpd doctor --accept").stdout.clear();
    assert!(!ids(&doctor(&machine)).0.contains(&"stopped-asking".to_owned()));
    machine.sh("cp /usr/lib/pam.d/polkit-1 /etc/pam.d/sudo; sed -i '/common-auth/a auth required pam_totp.so' /etc/pam.d/sudo").assert_success();
    assert_eq!(machine.sh("totpd doctor").stdout, "");
    assert_eq!(motd("root").matches("doctor").count(), 0, "{}", motd("root"));
}

#[test]
fn doctor_is_satisfied_with_pam_enable_in_each_mode() {
    let machine = Booted::on(Release::Trixie);
    let install = "set -e
        systemd-sysusers; systemd-tmpfiles --create
        totpd init --owner totpd
        systemctl daemon-reload
        systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket totpd.service
        useradd --create-home --groups sudo alice
        totpd enroll alice --json > /root/alice";
    machine.sh(install).assert_success();
    let phone = Phone::from(&machine.sh("cat /root/alice").assert_success().json());
    machine.sh_with("totpd confirm alice", &phone.code_at(machine.now())).assert_success();
    assert_eq!(ids(&doctor(&machine)).0, ["nobody-asks"]);
    for mode in ["require", "rules", "monitor"] {
        machine
            .sh(&format!("totpd pam enable --all --mode {mode} --yes --unattended && systemctl restart ssh"))
            .assert_success();
        let found = doctor(&machine);
        assert_eq!(ids(&found).0, [""; 0], "{mode}: {}", machine.sh("totpd doctor").stdout);
    }
    // A service that was disabled on purpose is not reported.
    machine.sh("totpd pam disable --all --yes").assert_success();
    assert_eq!(ids(&doctor(&machine)).0, ["nobody-asks"]);
}

#[test]
fn doctor_finds_and_fixes_units_and_owners_on_debian_12() {
    units_mounts_and_owners(Release::Bookworm);
}

#[test]
fn doctor_finds_and_fixes_units_and_owners_on_debian_13() {
    units_mounts_and_owners(Release::Trixie);
}
