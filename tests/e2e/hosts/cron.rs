//! cron asks for nothing: it calls only account, session and setcred.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use totpd_e2e::Site;
use totpd_e2e::faults::Faults;
use totpd_e2e::paths::native;
use totpd_e2e::run::{Running, wait_until};

/// Starts cron in the foreground with alice's table and its own clock.
#[track_caller]
fn cron(site: &Site, table: &str) -> (Running, Faults) {
    for folder in ["spool", "cron.d", "clock"] {
        std::fs::create_dir(site.path(folder)).unwrap();
    }
    site.write("crontab", "");
    site.write("spool/alice", table);
    nix::unistd::chown(&site.path("spool/alice"), Some(5001.into()), Some(5001.into())).unwrap();
    std::fs::set_permissions(site.path("spool/alice"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let script = r#"
set -e
mount --bind "$1/spool" /var/spool/cron/crontabs
mount --bind "$1/cron.d" /etc/cron.d
mount --bind "$1/crontab" /etc/crontab
"#;
    site.run("sh", &["-c", script, "sh", &site.root.display().to_string()]).assert_success();
    let clock = Faults::new(&site.path("clock"));
    let mut command = site.command("cron");
    command.arg("-f").env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &clock.path);
    (Running::start(command), clock)
}

#[test]
fn cron_runs_jobs_without_a_daemon_and_with_our_module() {
    let site = Site::without_daemon();
    let line = site.pam_line("");
    site.service(
        "cron",
        &format!(
            "auth required {line}\naccount required {line}\naccount required pam_unix.so\n\
             session required pam_loginuid.so\nsession required {line}\nsession required pam_unix.so\n"
        ),
    );
    let home = site.path("home/alice").display().to_string();
    let table = format!(
        "@reboot echo in as $(id -un) > {home}/first\n* * * * * echo in as $(id -un) > {home}/second\n"
    );
    let (_cron, clock) = cron(&site, &table);
    let ran = |file: &str| {
        let text = std::fs::read_to_string(Path::new(&home).join(file)).unwrap_or_default();
        text == "in as alice\n"
    };
    wait_until("the job at the start has run", || ran("first"));
    clock.clock_offset(60);
    wait_until("the job of the next minute has run", || ran("second"));
    let opened = "pam_unix(cron:session): session opened for user alice";
    assert!(site.syslog().iter().filter(|line| line.contains(opened)).count() >= 2, "{:?}", site.syslog());
    assert!(!site.syslog().iter().any(|line| line.contains("pam_totp")), "{:?}", site.syslog());
}
