//! Who may make which call of `org.totpd.Admin`, and on whom, by the kernel's uids.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use totpd_e2e::run::run;
use totpd_e2e::{Finished, Site};

/// Calls each method that is named on standard input, with the parameters behind it. Prints the
/// name and the error, or `done`, and what the error says.
const CLIENT: &str = r"
import json, socket, sys
for line in sys.stdin:
    method, parameters = line.rstrip('\n').split(' ', 1)
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    call = {'method': 'org.totpd.Admin.' + method, 'parameters': json.loads(parameters)}
    s.sendall(json.dumps(call).encode() + b'\0')
    reply = b''
    while not reply.endswith(b'\0'):
        more = s.recv(65536)
        if not more: break
        reply += more
    reply = json.loads(reply[:-1] or b'{}')
    print(method, reply.get('error', 'done').rsplit('.', 1)[-1], reply.get('parameters', {}).get('why', ''))
";

/// Who makes a call: a member of no group, of the helpdesk, of the administrators, or root.
const CALLERS: [&str; 4] = ["bob", "eve", "u1", "root"];

/// Which of [`CALLERS`] a method answers; the others are refused.
fn answers(method: &str) -> &'static [&'static str] {
    match method {
        "Daemon" | "Status" | "List" | "History" | "Explain" | "Unlock" | "Ticket" | "Passcode"
        | "CancelPasscode" => &["eve", "u1", "root"],
        "Enroll" | "Import" | "Confirm" | "Revoke" | "RecoveryCodes" | "Cancel" | "Forget" | "TrustClock"
        | "AddClient" | "ListClients" | "RevokeClient" => &["u1", "root"],
        "Accept" | "Backup" => &["root"],
        other => panic!("{other}: say who may call it, here and in totpd/src/varlink/dispatch.rs"),
    }
}

/// A site with a helpdesk (eve, u2) and administrators (u1), in which alice has a factor.
fn site() -> Site {
    let site = Site::without_daemon();
    site.append("etc/group", "helpdesk:x:7001:eve,u2\nadmins:x:7002:u1\nsudo:x:27:u3,u7x\nwheel:x:10:\n");
    site.write_config(
        "admin_group = \"admins\"\nadmin_groups = [{ group = \"helpdesk\", scope = \"helpdesk\" }]\n",
    );
    site.totpd(&["init"]).assert_success();
    site.start();
    site.enroll("alice");
    site
}

/// Makes these calls as `user`, on the socket for everybody. Returns error and reason of each.
#[track_caller]
fn call(site: &Site, user: &str, calls: &[(String, String)]) -> Vec<(String, String)> {
    let mut python = if user == "root" { site.command("python3") } else { site.command_as(user, "python3") };
    python.args(["-c", CLIENT]).arg(site.path("run/login.sock"));
    let mut lines = String::new();
    for (method, parameters) in calls {
        writeln!(lines, "{method} {parameters}").unwrap();
    }
    let printed = run(python, &lines).assert_success().stdout;
    let answer = |line: &str| {
        let mut words = line.splitn(3, ' ').skip(1).map(|word| word.trim().to_owned());
        (words.next().unwrap(), words.next().unwrap())
    };
    printed.lines().map(answer).collect()
}

/// The events in the store.
#[track_caller]
fn history(site: &Site) -> Vec<serde_json::Value> {
    let document = site.totpd(&["history", "-n", "1000", "--json"]).assert_success().json();
    document["events"].as_array().unwrap().clone()
}

#[test]
fn each_method_answers_those_whose_scope_has_it() {
    let site = site();
    let described = totp_wire::admin::DESCRIPTION.lines().filter_map(|line| line.strip_prefix("method "));
    let methods: Vec<&str> = described.filter_map(|line| line.split('(').next()).collect();
    assert!(methods.len() >= 22, "{methods:?}");
    let mut table = BTreeMap::new();
    for user in CALLERS {
        // Without parameters nothing is done, except by calls that have none.
        let calls: Vec<_> = methods.iter().map(|method| ((*method).to_owned(), "{}".to_owned())).collect();
        for (method, (error, _)) in methods.iter().zip(call(&site, user, &calls)) {
            table.insert((*method, user), error);
        }
    }
    for ((method, user), error) in &table {
        let refused = error == "PermissionDenied";
        assert_eq!(refused, !answers(method).contains(user), "{method} for {user}: {error}");
    }
    assert!(history(&site).iter().all(|event| event["event"] != "admin"), "refusals fill the history");
    assert_eq!(site.log().matches("\"reason\":\"not-an-administrator\"").count(), 22 + 13 + 2);
}

#[test]
fn the_helpdesk_acts_on_no_protected_user() {
    let site = site();
    site.append(
        "etc/passwd",
        "toor:x:0:0::/root:/bin/sh\nu3x:x:5013:5013::/home/u3:/bin/sh\nu4x:x:5014:10::/home/u4:/bin/sh\n\
         u7x:x:5017:5017::/home/u7:/bin/sh\n",
    );
    site.replace("etc/passwd", "u6:x:5016:5016:", "u6:x:5016:27:");
    let protected = [
        ("root", "root"),
        ("toor", "root"),
        ("eve", "oneself"),
        ("u2", "group"),  // a colleague
        ("u1", "group"),  // an administrator
        ("u3", "group"),  // in sudo by its list
        ("u3x", "group"), // another name of that uid
        ("u4", "group"),  // another name of the uid has wheel as its primary group
        ("u7", "group"),  // another name of the uid is in sudo by its list
        ("u6", "group"),  // sudo is its primary group
    ];
    let acts = ["Unlock", "Ticket", "Passcode", "CancelPasscode"];
    let user = |name: &str| format!("{{\"user\":\"{name}\"}}");
    for (name, why) in protected {
        let calls: Vec<_> = acts.iter().map(|act| ((*act).to_owned(), user(name))).collect();
        for (act, answer) in acts.iter().zip(call(&site, "eve", &calls)) {
            assert_eq!(answer, ("ProtectedUser".to_owned(), why.to_owned()), "{act} {name}");
        }
    }
    let unknown =
        call(&site, "eve", &[("Ticket".into(), user("nobody-at-all")), ("Status".into(), user("root"))]);
    assert_eq!((unknown[0].0.as_str(), unknown[1].0.as_str()), ("NoSuchUser", "done"));
    assert!(history(&site).iter().all(|event| event["peer_uid"] != 5003), "something was done");
    assert!(site.log().contains("\"reason\":\"protected-user\""));
    // Root and administrators may.
    for administrator in ["u1", "root"] {
        let done = call(&site, administrator, &[("Ticket".into(), user("u3"))]);
        assert_eq!(done[0].0, "done", "{administrator}");
    }
    // No group is protected but those of administrators.
    site.configure(
        "protected_groups = []\nadmin_groups = [{ group = \"helpdesk\", scope = \"helpdesk\" }]\n",
    );
    let done = call(&site, "eve", &[("Ticket".into(), user("u3")), ("Ticket".into(), user("u2"))]);
    assert_eq!((done[0].0.as_str(), done[1].0.as_str()), ("done", "ProtectedUser"));
}

#[test]
fn the_helpdesk_acts_on_no_record_of_another_uid() {
    let site = site();
    site.enroll("u8");
    // The factor is of 5018, and the name that was looked up is of 6018.
    site.replace("etc/passwd", "u8:x:5018:", "u8:x:6018:");
    let acts = ["Unlock", "Ticket", "Passcode", "CancelPasscode"];
    let calls: Vec<_> = acts.iter().map(|act| ((*act).to_owned(), "{\"user\":\"u8\"}".to_owned())).collect();
    for (act, answer) in acts.iter().zip(call(&site, "eve", &calls)) {
        assert_eq!(answer.0, "UidChanged", "{act}");
    }
}

#[test]
fn the_helpdesk_looks_unlocks_and_helps_by_the_command_line() {
    let site = site();
    let eve = |arguments: &[&str]| site.totpd_as("eve", arguments, "");
    let done = |arguments: &[&str]| eve(arguments).assert_success();
    let code = done(&["passcode", "alice", "--json"]).json()["passcode"].as_str().unwrap().to_owned();
    let event = site.events().pop().unwrap();
    assert_eq!((&event["event"], &event["user"]), (&"passcode".into(), &"alice".into()));
    assert_eq!((&event["peer_uid"], &event["peer_user"]), (&5003.into(), &"eve".into()));
    site.totpd_with(&["verify", "alice"], &code).assert_success();
    assert!(done(&["enroll", "bob", "--ticket", "--json"]).json()["ticket"].is_string());
    assert_eq!(site.events().pop().unwrap()["peer_user"], "eve");
    done(&["unlock", "alice"]);
    assert_eq!(done(&["status", "alice", "--json"]).json()["state"], "active");
    let told = done(&["history", "alice"]).stdout;
    assert!(told.contains("passcode done, by eve") && told.contains("unlock done, by eve"), "{told}");
    for looks in [&["list"][..], &["report"], &["explain", "alice", "sshd"]] {
        done(looks);
    }
    let refused = |finished: Finished, words: &str| {
        assert!(finished.code == 1 && finished.stderr.contains(words), "{finished:?}");
    };
    refused(eve(&["revoke", "alice"]), "only root and members of the group admins");
    refused(eve(&["revoke", "alice"]), "Members of helpdesk may use status, ");
    refused(eve(&["client", "list"]), "only root and members of the group admins");
    refused(eve(&["passcode", "root"]), "the helpdesk does nothing for root");
    refused(eve(&["unlock", "u3"]), "protected_groups");
    refused(site.totpd_as("bob", &["unlock", "alice"], ""), "Members of helpdesk may use status, ");
    assert_eq!(site.status("alice")["state"], "active");
    // A member who leaves the group may do nothing from then on, in a session that goes on too.
    site.replace("etc/group", "helpdesk:x:7001:eve,u2", "helpdesk:x:7001:u2");
    refused(eve(&["unlock", "alice"]), "Members of helpdesk may use");
}

#[test]
fn refused_calls_are_bounded_and_fill_no_history() {
    let site = site();
    let before = history(&site).len();
    let calls: Vec<_> = (0..200).map(|_| ("List".to_owned(), "{}".to_owned())).collect();
    let answers = call(&site, "bob", &calls);
    let denied = answers.iter().filter(|(error, _)| error == "PermissionDenied").count();
    assert!((60..120).contains(&denied), "{denied} of 200 were looked up");
    assert!(answers.iter().all(|(error, _)| error == "PermissionDenied" || error == "Busy"));
    assert_eq!(history(&site).len(), before);
    // A member's calls are not slowed.
    assert!(call(&site, "eve", &calls).iter().all(|(error, _)| error == "done"));
}

#[test]
fn a_directory_that_hangs_gives_no_rights() {
    let site = Site::without_daemon();
    site.append("etc/group", "helpdesk:x:7001:eve\n");
    site.write_config(
        "admin_groups = [{ group = \"helpdesk\", scope = \"helpdesk\" }, { group = \"ldap\", scope = \"admin\" }]\n",
    );
    site.totpd(&["init"]).assert_success();
    totpd_e2e::directory::install_hanging(&site);
    totpd_e2e::directory::start(&site);
    site.enroll("alice");
    // Whether eve is in the group of the directory is not known, and neither are alice's groups.
    let user = "{\"user\":\"alice\"}".to_owned();
    let refused = call(&site, "eve", &[("Passcode".into(), user.clone())]);
    assert_eq!(refused[0].0, "PermissionDenied");
    site.configure("admin_groups = [{ group = \"helpdesk\", scope = \"helpdesk\" }]\n");
    let refused = call(&site, "eve", &[("Passcode".into(), user)]);
    assert_eq!(refused[0], ("ProtectedUser".to_owned(), "directory".to_owned()));
    assert!(site.status("alice")["passcode_expires_at"].is_null());
}
