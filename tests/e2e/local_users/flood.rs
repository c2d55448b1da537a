//! Floods of the sockets, under the limits of the shipped unit.

use super::services;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use totpd_e2e::Site;
use totpd_e2e::pamhost::{PamHost, code};
use totpd_e2e::paths::native;
use totpd_e2e::run::Running;
use totpd_e2e::unit::{UnitLimits, descriptors};

/// The minimum of logins and of time during the flood.
fn length() -> (usize, Duration) {
    totpd_e2e::short_or_long((40, Duration::ZERO), (500, Duration::from_mins(1)))
}

/// The most seconds of flooding.
const FLOODING: u32 = 120;

fn flooder(site: &Site, user: &str, socket: &str, seconds: u32) -> Running {
    let mut command = site.command_as(user, native("flood"));
    command.arg(site.path(socket)).arg(seconds.to_string());
    let mut flooder = Running::start(command);
    flooder.read_line();
    flooder
}

/// Returns the most memory in KiB and descriptors that the daemon used while `work` ran.
fn highest(site: &Site, work: impl FnOnce()) -> (u64, usize) {
    let (done, pid) = (AtomicBool::new(false), site.daemon_pid());
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut memory, mut files) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                memory = memory.max(site.resident_kib());
                files = files.max(descriptors(pid));
                std::thread::sleep(Duration::from_millis(20));
            }
            (memory, files)
        });
        work();
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

#[test]
fn floods_of_the_sockets_stop_no_login_by_root_programs() {
    let (logins, time) = length();
    let site = Site::without_daemon();
    site.totpd(&["init"]).assert_success();
    let limits = UnitLimits::new(&site);
    limits.start(&site);
    services(&site, &["sudo"]);
    let phone = site.enroll("alice");
    let mut before = Vec::new();
    let login = |took: &mut Vec<Duration>| {
        let typed = format!("{}\n", phone.code(&site));
        let start = Instant::now();
        let answer = PamHost::new(&site, "sudo", "alice").authenticate(&typed);
        took.push(start.elapsed());
        site.next_step();
        answer
    };
    for _ in 0..20 {
        assert_eq!(login(&mut before), code::SUCCESS);
    }
    let (memory, files) = (site.resident_kib(), descriptors(site.daemon_pid()));
    let mut flooders: Vec<_> = ["run/login.sock", "run/root.sock", "run/admin.sock"]
        .into_iter()
        .flat_map(|socket| ["eve", "bob"].map(|user| (socket, flooder(&site, user, socket, FLOODING))))
        .collect();
    let (mut answers, mut during) = (Vec::new(), Vec::new());
    let (most_memory, most_files) = highest(&site, || {
        let start = Instant::now();
        while answers.len() < logins || start.elapsed() < time {
            answers.push(login(&mut during));
        }
    });
    for (socket, flooder) in flooders.drain(..) {
        flooder.signal(nix::sys::signal::Signal::SIGTERM);
        let said = flooder.finish().stdout;
        assert!(
            socket == "run/login.sock" || !said.contains("connected=") || said.contains("connected=0 "),
            "{said}"
        );
    }
    let got_in = answers.iter().filter(|answer| **answer == code::SUCCESS).count();
    println!(
        "{got_in} of {} got in; median {:?} before, {:?} during, p99 {:?}; memory {memory} to {most_memory} KiB; \
         descriptors {files} to {most_files}",
        answers.len(),
        median(&mut before),
        median(&mut during),
        during[during.len() * 99 / 100],
    );
    assert!(!answers.contains(&code::AUTHINFO_UNAVAIL), "{answers:?}");
    assert!(got_in * 100 >= answers.len() * 99, "{answers:?}");
    assert!(most_memory < memory + 32 * 1024, "{memory} KiB before, {most_memory} KiB during");
    // One conversation at a time was open.
    assert!(most_files < files + 512, "{files} descriptors before, {most_files} during");
    assert!(!limits.was_exceeded());
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_flood_stops_no_screen_locker() {
    let site = Site::new();
    services(&site, &["i3lock"]);
    let phone = site.enroll("alice");
    let _flooders = ["eve", "bob"].map(|user| flooder(&site, user, "run/login.sock", 30));
    let locker = PamHost::new(&site, "i3lock", "alice").run_as("alice");
    assert_eq!(locker.answer(&phone.code(&site)), code::SUCCESS);
}

#[test]
fn only_root_can_open_the_root_and_admin_sockets() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    for (socket, mode) in [("root", 0o600), ("login", 0o666), ("admin", 0o600)] {
        let path = site.path(&format!("run/{socket}.sock"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{socket}");
    }
    // Without root's socket the public one serves, as with an older daemon or in a user namespace.
    services(&site, &["sudo"]);
    let phone = site.enroll("alice");
    std::fs::remove_file(site.path("run/root.sock")).unwrap();
    let login = || PamHost::new(&site, "sudo", "alice").answer(&phone.code(&site));
    assert_eq!(login(), code::SUCCESS);
}
