//! What users see of themselves, and what of it is audited.

use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, SSH_KEY, code};
use totpd_e2e::paths::totpd;
use totpd_e2e::run::run;

#[test]
fn users_see_only_their_own_history() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let bob = site.enroll("bob");
    site.totpd_as("alice", &["verify"], &format!("{}\n", phone.code(&site))).assert_success();
    site.totpd_with(&["verify", "bob"], &format!("{}\n", bob.code(&site))).assert_success();
    let own = site.totpd_as("alice", &["history"], "").assert_success().stdout;
    assert!(own.contains("login granted by totp") && !own.contains("bob"), "{own}");
    assert_eq!(site.totpd_as("alice", &["history", "bob"], "").code, 1);
    assert_eq!(
        site.totpd_as("alice", &["forget"], "").assert_success().stdout.matches("0 remembered").count(),
        1
    );
}

#[test]
fn a_new_owner_of_a_name_sees_no_old_history() {
    let site = Site::new();
    site.totp_service("x", "nodelay timeout=5");
    let phone = site.enroll("alice");
    assert_eq!(PamHost::new(&site, "x", "alice").option(SSH_KEY).answer(&phone.code(&site)), code::SUCCESS);
    site.replace("etc/passwd", "alice:x:5001:5001", "alice:x:5098:5098");
    let mut command = site.command("setpriv");
    command.args(["--reuid", "5098", "--regid", "5098", "--clear-groups", "--reset-env"]);
    command.arg(totpd()).arg("--config");
    command.arg(site.path("etc/totpd/totpd.toml")).arg("history");
    let seen = run(command, "");
    assert!(!seen.stdout.contains("192.0.2.1"), "{seen:?}");
}

#[test]
fn every_refused_self_service_call_is_audited() {
    let site = Site::new();
    site.enroll("alice");
    let path = site.path("run/login.sock");
    let script = "import socket,sys,json\n\
                  s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                  s.sendall(b'{\"method\":\"org.totpd.Self.Enroll\",\"parameters\":{}}\\0')\n\
                  print(s.recv(20000).rstrip(b'\\0').decode())";
    let before = site.events().len();
    let mut malware = site.command_as("alice", "python3");
    malware.args(["-c", script]).arg(&path);
    assert!(run(malware, "").assert_success().stdout.contains("CodeNeeded"));
    assert_eq!(site.events().len(), before + 1);
}
