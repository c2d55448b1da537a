//! polkitd and a system bus in the site, so that pkexec asks through the real agent helper.

use crate::run::{Finished, run, wait_until};
use crate::site::Site;
use std::process::{Child, Stdio};

/// Writes the PAM service of Debian's polkit with our line: it asks for a code after a wrong
/// password as well.
pub fn service(site: &Site) {
    site.password_service("polkit-1", &site.pam_line("nodelay"));
}

/// The setuid helper of polkit, which any user can run with another user's name.
#[derive(Debug)]
pub struct Helper(Finished);

impl Helper {
    /// Runs the helper as `caller` with `user` as its argument, and answers its prompts in order.
    /// It reads a cookie for polkitd first.
    pub fn run(site: &Site, caller: &str, user: &str, answers: &[&str]) -> Self {
        let mut command = site.command_as(caller, "/usr/lib/polkit-1/polkit-agent-helper-1");
        command.arg(user);
        Self(run(command, &format!("cookie\n{}\n", answers.join("\n"))))
    }

    /// Returns whether PAM let the user in.
    pub fn succeeded(&self) -> bool {
        self.0.stdout.contains("SUCCESS")
    }
}

/// A running polkitd that asks the users themselves for every action.
#[derive(Debug)]
pub struct Polkit {
    bus: Child,
    polkitd: Child,
}

impl Polkit {
    /// Starts bus and polkitd, and waits until polkitd answers.
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        for (file, lines) in [
            (
                "passwd",
                "messagebus:x:5100:5100::/nonexistent:/usr/sbin/nologin\npolkitd:x:5101:5101::/nonexistent:/usr/sbin/nologin\n",
            ),
            ("group", "messagebus:x:5100:\npolkitd:x:5101:\n"),
        ] {
            site.append(&format!("etc/{file}"), lines);
        }
        std::fs::create_dir(site.path("rules")).unwrap();
        site.write("rules/00-ask.rules", "polkit.addRule(function() { return polkit.Result.AUTH_SELF; });\n");
        let root = site.root.display().to_string();
        let prepare = r#"mount --bind "$1/rules" /etc/polkit-1/rules.d && mkdir -p /run/dbus"#;
        site.run("sh", &["-c", prepare, "sh", &root]).assert_success();
        let start = |program: &str, arguments: &[&str], log: &str| {
            let log = std::fs::File::create(site.path(log)).unwrap();
            let mut command = site.command(program);
            command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            command.spawn().unwrap()
        };
        let bus = start("dbus-daemon", &["--system", "--nofork", "--nopidfile"], "bus.log");
        let answers = |name: &str| {
            let mut call = site.command("dbus-send");
            call.args(["--system", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]);
            call.args(["org.freedesktop.DBus.GetNameOwner", &format!("string:{name}")]);
            run(call, "").code == 0
        };
        wait_until("the bus answers", || answers("org.freedesktop.DBus"));
        let polkitd = start("/usr/lib/polkit-1/polkitd", &["--no-debug"], "polkitd.log");
        let polkit = Self { bus, polkitd };
        wait_until("polkitd has its name", || answers("org.freedesktop.PolicyKit1"));
        polkit
    }
}

impl Drop for Polkit {
    fn drop(&mut self) {
        for child in [&mut self.polkitd, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
