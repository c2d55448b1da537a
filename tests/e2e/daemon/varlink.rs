//! A Varlink client that is not ours, Python's `varlink`, against the running daemon.

use std::process::Command;
use totpd_e2e::Site;
use totpd_e2e::paths::target;
use totpd_e2e::run::run;

const SCRIPT: &str = r#"
import sys, varlink
login, admin, code = sys.argv[1:4]
with varlink.Client.new_with_address("unix:" + login) as client:
    interfaces = client.get_interfaces()
    assert "org.totpd.Login" in interfaces and "org.varlink.service" in interfaces, interfaces
    with client.open("org.totpd.Login") as totpd:
        step = totpd.Begin({"user": "alice", "service": "python"}, 5000)["step"]
        assert step["prompt"]["accept"] == "code" and step["prompt"]["digits"] == 6, step
        step = totpd.Answer(code, None, 5000)["step"]
        assert step["verdict"] == "granted", step
    with client.open("org.totpd.Login") as totpd:
        try:
            totpd.Answer(code, None, 5000)
            raise SystemExit("Answer before Begin was taken")
        except varlink.VarlinkError as error:
            assert error.error() == "org.totpd.Login.OutOfOrder", error
with varlink.Client.new_with_address("unix:" + admin) as client:
    with client.open("org.totpd.Admin") as totpd:
        status = totpd.Status("alice")["status"]
        assert status["state"] == "active", status
        try:
            totpd.Status("no-such-user")
            raise SystemExit("nobody was found")
        except varlink.VarlinkError as error:
            assert error.error() == "org.totpd.Admin.NoSuchUser", error
            assert error.parameters()["user"] == "no-such-user", error
print("done")
"#;

#[test]
fn pythons_varlink_client_logs_in_and_administers() {
    let site = Site::new();
    let phone = site.enroll("alice");
    let python = target().join("../.venv/bin/python");
    assert!(python.exists(), "{} is made by scripts/bootstrap.sh", python.display());
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(site.path("run/login.sock")).arg(site.path("run/admin.sock"));
    command.arg(phone.code(&site));
    let finished = run(command, "").assert_success();
    assert_eq!(finished.stdout, "done\n", "{finished:?}");
}
