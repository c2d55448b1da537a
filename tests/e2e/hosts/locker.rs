//! A screen locker that runs as its user: i3lock on an X server without a screen.
//!
//! It has one field and answers every prompt with it, so password and code are typed in one line
//! (`forward_pass`).

use super::assert_judges_codes;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use totpd_e2e::Site;
use totpd_e2e::paths::target;
use totpd_e2e::run::{Running, run, wait_until};
use totpd_e2e::users::PASSWORD;

/// An X server of the site.
pub(super) struct Screen<'a> {
    site: &'a Site,
    display: String,
    _server: Running,
}

impl<'a> Screen<'a> {
    #[track_caller]
    pub(super) fn new(site: &'a Site) -> Self {
        // The server's socket is in /tmp, which is the site's now; the build's folder may be there
        // as well.
        let script = "mkdir -p \"$1\"; mount --bind \"$2\" \"$1\"; mount -t tmpfs -o mode=1777 tmpfs /tmp; \
                      mkdir -p \"$2\"; mount --bind \"$1\" \"$2\"";
        let [copy, build] = [site.path("build"), target()].map(|path| path.display().to_string());
        site.run("sh", &["-e", "-c", script, "sh", &copy, &build]).assert_success();
        let mut xvfb = site.command("Xvfb");
        xvfb.args(["-displayfd", "1", "-ac", "-nolisten", "tcp", "-screen", "0", "320x200x24"]);
        let mut server = Running::start(xvfb);
        let number = server.read_line();
        Self { site, display: format!(":{}", number.trim()), _server: server }
    }

    #[track_caller]
    fn xdotool(&self, arguments: &[&str]) {
        let mut xdotool = self.site.command("xdotool");
        xdotool.env("DISPLAY", &self.display).args(arguments);
        run(xdotool, "").assert_success();
    }

    /// Starts i3lock as alice, and waits until the screen is locked.
    #[track_caller]
    pub(super) fn lock(&self) -> Running {
        let mut said = Vec::new();
        // i3lock gives up when it cannot grab the keyboard, which the X server may not have taken
        // back from the one before.
        for _ in 0..3 {
            let mut i3lock = self.site.command_as("alice", "env");
            i3lock.args([&format!("DISPLAY={}", self.display), "i3lock", "--nofork", "--debug"]);
            let mut running = Running::start(i3lock);
            let (sender, receiver) = std::sync::mpsc::channel();
            let lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
            std::thread::spawn(move || {
                lines.map_while(Result::ok).for_each(|line| {
                    let _ = sender.send(line);
                });
            });
            while let Ok(line) = receiver.recv_timeout(Duration::from_secs(20)) {
                // It draws for the first time when it has grabbed the keyboard.
                let locked = line.contains("redraw_screen");
                said.push(line);
                if locked {
                    return running;
                }
            }
        }
        panic!("i3lock has not locked the screen: {said:#?}")
    }

    pub(super) fn types(&self, line: &str) {
        self.xdotool(&["type", "--delay", "0", line]);
        self.xdotool(&["key", "Return"]);
    }

    /// Types a line and waits for its verdict. Returns whether the locker has ended.
    #[track_caller]
    pub(super) fn unlocks(&self, locker: &mut Running, typed: &str) -> bool {
        let seen = self.site.events().len();
        self.types(typed);
        wait_until("the attempt is judged", || self.site.events().len() > seen);
        let refused = self.site.last_login()["outcome"] == "refused";
        !refused && {
            wait_until("the locker has ended", || locker.0.try_wait().unwrap().is_some());
            locker.0.try_wait().unwrap().unwrap().success()
        }
    }
}

/// Lets the group shadow read the shadow file: unix_chkpwd reads it for processes of users.
pub(super) fn let_unix_chkpwd_read(site: &Site) {
    nix::unistd::chown(&site.path("etc/shadow"), None, Some(42.into())).unwrap();
    std::fs::set_permissions(site.path("etc/shadow"), std::fs::Permissions::from_mode(0o640)).unwrap();
}

fn service(site: &Site) {
    let_unix_chkpwd_read(site);
    let line = site.pam_line("nodelay forward_pass");
    site.service(
        "i3lock",
        &format!("auth required {line}\nauth required pam_unix.so use_first_pass nodelay\n"),
    );
}

#[test]
fn a_locker_without_privileges_takes_password_and_code_once() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    let screen = Screen::new(&site);
    let mut locker = screen.lock();
    assert_judges_codes(&site, &phone, |code| {
        let open = screen.unlocks(&mut locker, &format!("{PASSWORD}{code}"));
        if open {
            locker = screen.lock();
        }
        open
    });
    assert_eq!(site.last_login()["class"], "own");
}

#[test]
fn a_users_own_process_is_neither_exempt_nor_remembered() {
    for rule in ["action = \"exempt\"", "action = \"require\"\nremember = \"8h\""] {
        let site = Site::with_rules(&format!("[[login.rule]]\n{rule}\nlocal = true\n"));
        service(&site);
        let phone = site.enroll("alice");
        let screen = Screen::new(&site);
        let mut locker = screen.lock();
        assert!(!screen.unlocks(&mut locker, PASSWORD), "{rule}");
        assert!(screen.unlocks(&mut locker, &format!("{PASSWORD}{}", phone.code(&site))));
        locker = screen.lock();
        assert!(!screen.unlocks(&mut locker, PASSWORD), "{rule}");
    }
}

#[test]
fn a_locker_without_a_daemon_stays_locked() {
    let site = Site::new();
    service(&site);
    let phone = site.enroll("alice");
    let screen = Screen::new(&site);
    let mut locker = screen.lock();
    site.end(nix::sys::signal::Signal::SIGTERM);
    let refusals = || site.syslog().iter().filter(|line| line.contains("there is no socket")).count();
    screen.types(&format!("{PASSWORD}{}", phone.code(&site)));
    wait_until("the module refuses", || refusals() == 1);
    site.start();
    assert!(locker.0.try_wait().unwrap().is_none(), "the locker has ended");
    assert!(screen.unlocks(&mut locker, &format!("{PASSWORD}{}", phone.code(&site))));
}
