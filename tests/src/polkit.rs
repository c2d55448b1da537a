//! polkitd and a system bus of the site's own; pkexec then asks through the real agent helper.

use crate::run::{Finished, run, wait_until};
use crate::setup::Site;
use std::process::{Child, Stdio};

/// The stack of Debian's polkit with our line: the password, and a code whatever came of it.
pub fn service(site: &Site) {
    site.service(
        "polkit-1",
        &format!(
            "auth required pam_unix.so nodelay\nauth required {}\n\
             account required pam_unix.so\nsession required pam_permit.so\n",
            site.pam_line("nodelay")
        ),
    );
}

/// The setuid helper, as anybody can run it against anybody.
#[derive(Debug)]
pub struct Helper(Finished);

impl Helper {
    /// Runs it as `caller` with `user` as its argument, and answers its prompts in their order. The first line is the
    /// cookie that it would hand to polkitd.
    pub fn run(site: &Site, caller: &str, user: &str, answers: &[&str]) -> Self {
        let mut command = site.command_as(caller, "/usr/lib/polkit-1/polkit-agent-helper-1");
        command.arg(user);
        Self(run(command, &format!("cookie\n{}\n", answers.join("\n"))))
    }

    /// Whether PAM let in.
    pub fn succeeded(&self) -> bool {
        self.0.stdout.contains("SUCCESS")
    }
}

/// A running polkitd whose answer to every question is "ask the user himself".
#[derive(Debug)]
pub struct Polkit {
    bus: Child,
    polkitd: Child,
}

impl Polkit {
    /// Starts both, and waits until polkitd answers.
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        for (file, lines) in [
            (
                "passwd",
                "messagebus:x:5100:5100::/nonexistent:/usr/sbin/nologin\npolkitd:x:5101:5101::/nonexistent:/usr/sbin/nologin\n",
            ),
            ("group", "messagebus:x:5100:\npolkitd:x:5101:\n"),
        ] {
            let path = format!("etc/{file}");
            let before = std::fs::read_to_string(site.path(&path)).unwrap();
            site.write(&path, &(before + lines));
        }
        std::fs::create_dir(site.path("rules")).unwrap();
        site.write("rules/00-ask.rules", "polkit.addRule(function() { return polkit.Result.AUTH_SELF; });\n");
        let mut prepare = site.command("sh");
        prepare.args(["-c", r#"mount --bind "$1/rules" /etc/polkit-1/rules.d && mkdir -p /run/dbus"#, "sh"]);
        run(
            {
                prepare.arg(&site.root);
                prepare
            },
            "",
        )
        .assert_success();
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
