//! The shipped units on a booted machine: their sandbox allows every system call of the daemon.

use totpd_e2e::phone::Phone;
use totpd_e2e::run::{run, wait_until};
use totpd_e2e::{Booted, Finished};

/// Boots a machine, installs totpd and adds two users.
#[track_caller]
pub(crate) fn installed() -> Booted {
    let machine = Booted::new();
    let script = "set -e
        systemd-sysusers; systemd-tmpfiles --create
        totpd init --owner totpd
        systemctl daemon-reload
        systemctl enable --now totpd.socket totpd-root.socket totpd-admin.socket
        useradd --create-home alice; useradd --create-home eve
        echo 'alice ALL=(ALL) ALL' > /etc/sudoers.d/alice
        printf 'auth required pam_totp.so\naccount required pam_permit.so\n' | tee /etc/pam.d/sudo > /etc/pam.d/su
        totpd status";
    machine.sh(script).assert_success();
    machine
}

#[track_caller]
pub(crate) fn enroll(machine: &Booted, user: &str) -> Phone {
    let phone = Phone::from(&machine.sh(&format!("totpd enroll --json {user}")).assert_success().json());
    machine.sh_with(&format!("totpd confirm {user}"), &phone.code_at(machine.now())).assert_success();
    phone
}

pub(crate) fn sudo(machine: &Booted, code: &str) -> Finished {
    machine.sh_with("runuser -u alice -- sudo -S id -un", &format!("{code}\n"))
}

#[test]
fn the_sandbox_allows_everything_the_daemon_does() {
    let machine = installed();
    let modes = machine.sh("stat -c '%n %a %U' /run/totpd/*.sock").assert_success().stdout;
    let wanted =
        "/run/totpd/admin.sock 600 root\n/run/totpd/login.sock 666 root\n/run/totpd/root.sock 600 root\n";
    assert_eq!(modes, wanted);
    let phone = enroll(&machine, "alice");

    // A login by a code, and two by recovery codes: the first one creates the witness, the second
    // appends.
    for code in [&phone.code_at(machine.now() + 30), &phone.recovery_codes[0], &phone.recovery_codes[1]] {
        assert_eq!(sudo(&machine, code).assert_success().stdout, "root\n");
    }
    let again = sudo(&machine, &phone.recovery_codes[0]);
    assert_eq!((again.code, again.stdout.as_str()), (1, ""), "{again:?}");
    let line = machine.journal();
    assert!(line.contains(r#""class":"local","#), "{line}");
    // A su of another user counts against that user, not against alice.
    let su = machine.sh_with("runuser -u eve -- su alice -c id", "000000\n");
    assert_eq!((su.code, su.stdout.as_str()), (1, ""), "{su:?}");
    let line = machine.journal();
    assert!(line.contains(r#""class":"local-stranger","#), "{line}");

    // Commands that write, copy, reload and read.
    let all = "set -e
        totpd history alice; totpd list; totpd report > /root/report; totpd status alice
        totpd recovery-codes alice > /root/codes
        echo 'correct horse' | totpd backup /root/copy.age
        systemctl reload totpd; totpd config check
        totpd enroll --json eve > /root/eve; totpd revoke eve
        totpd revoke alice";
    machine.sh(all).assert_success();
    // The copy is older than the revoke, which the witness lists.
    machine.sh("systemctl stop 'totpd*.socket' totpd.service").assert_success();
    let restored = machine
        .sh_with("totpd restore /root/copy.age --yes --json", "correct horse\n")
        .assert_success()
        .json();
    assert_eq!((restored["listed"].as_bool(), restored["unknown"].as_u64()), (Some(true), Some(0)));
    machine
        .sh("systemctl start totpd.socket totpd-root.socket totpd-admin.socket totpd; totpd status")
        .assert_success();
    assert_ne!(sudo(&machine, &phone.recovery_codes[2]).code, 0, "revoked after the copy");

    // An older folder is noticed at the next start, and codes used since stay used.
    let eve = enroll(&machine, "eve");
    let verify = |code: &str| machine.sh_with("totpd verify eve", code).code;
    machine.sh("cp -a /var/lib/totpd /root/older").assert_success();
    assert_eq!(verify(&eve.recovery_codes[0]), 0);
    machine.sh("systemctl stop 'totpd*.socket' totpd.service; rm -r /var/lib/totpd").assert_success();
    machine
        .sh("mv /root/older /var/lib/totpd; systemctl start totpd.socket totpd; totpd status")
        .assert_success();
    assert_ne!(verify(&eve.recovery_codes[0]), 0);
    assert_ne!(verify(&eve.recovery_codes[1]), 0, "which ones were spent is not known");
    assert!(machine.sh("totpd status eve").assert_success().stdout.contains("active"));

    let journal = machine.journal();
    assert!(!journal.contains("code=killed") && !journal.contains("code=dumped"), "{journal}");
    assert_eq!(machine.sh("systemctl show --value -p NRestarts totpd").assert_success().stdout, "0\n");
}

#[test]
fn a_killed_daemon_restarts_and_its_sockets_stay() {
    let machine = installed();
    let phone = enroll(&machine, "alice");
    machine.sh("kill -KILL $(systemctl show --value -p MainPID totpd)").assert_success();
    assert_eq!(
        sudo(&machine, &phone.recovery_codes[0]).assert_success().stdout,
        "root\n",
        "the sockets hold new connections"
    );
    wait_until("systemd counts the restart", || {
        machine.sh("systemctl show --value -p NRestarts totpd").assert_success().stdout == "1\n"
    });
    // With only one socket enabled, the unit still wants the others.
    machine
        .sh("systemctl disable totpd-root.socket totpd-admin.socket; systemctl stop 'totpd*'")
        .assert_success();
    machine
        .sh("systemctl start totpd.socket && totpd verify --help && systemctl start totpd")
        .assert_success();
    assert_eq!(machine.sh("ls /run/totpd").assert_success().stdout, "admin.sock\nlogin.sock\nroot.sock\n");
}

/// `PROJECT SECRET`: the steps of docs/reference/api.md, by Python's HTTP client.
const APPLICATION: &str = r#"
import base64, json, subprocess, sys, time, urllib.request
project, secret = sys.argv[1:]
credentials = base64.b64encode(f"{project}:{secret}".encode()).decode()
def post(path, **body):
    request = urllib.request.Request("http://127.0.0.1:8420/v1/" + path, json.dumps(body).encode(),
        {"Authorization": "Basic " + credentials, "Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=20))
user = post("users", external_id="customer-1")["user_id"]
key = post("totps", user_id=user)["secret"]
code = subprocess.run(["oathtool", "--totp", "-b", key], capture_output=True, text=True).stdout.strip()
session = post("totps/authenticate", user_id=user, totp_code=code, session_duration_minutes=5)
print(post("sessions/authenticate", session_jwt=session["session_jwt"])["status_code"])
"#;

#[test]
fn the_sandbox_allows_the_http_api_on_an_inherited_port() {
    let machine = installed();
    let script = r#"set -e
        sed -i 's/^# listen = "127/listen = "127/' /etc/totpd/totpd.toml
        runuser -u totpd -- totpd config check
        systemctl enable totpd-http.socket
        systemctl restart totpd
        totpd client add shop --scope enroll --json"#;
    let added = machine.sh(script).assert_success();
    wait_until("the API answers", || {
        machine.sh("totpd status").assert_success().stdout.contains("answers on 127.0.0.1:8420")
    });
    let start = added.stdout.find('{').unwrap();
    let client: serde_json::Value = serde_json::from_str(&added.stdout[start..]).unwrap();
    let mut application = machine.command_in_network("python3");
    application.args([
        "-c",
        APPLICATION,
        client["project_id"].as_str().unwrap(),
        client["secret"].as_str().unwrap(),
    ]);
    assert_eq!(run(application, "").assert_success().stdout, "200\n");
    let journal = machine.journal();
    assert!(!journal.contains("code=killed") && !journal.contains("code=dumped"), "{journal}");
}
