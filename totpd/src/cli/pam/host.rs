//! The programs of the host that `totpd pam` runs: systemctl, systemd-run, sshd and unshare.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The `PATH` of the programs, in place of root's own.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// The unit that takes unconfirmed changes back at boot, before logins (config/systemd).
const BOOT_UNIT: &str = "totpd-pam-take-back.service";

/// A command for a program of the host, found in [`PATH`].
pub(super) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs a command to its end, and returns its standard output.
///
/// # Errors
/// The first line of its standard error, or why it could not be started.
pub(super) fn run(mut command: Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().map(str::trim).find(|line| !line.is_empty());
    Err(said.map_or_else(|| format!("{name} failed ({})", output.status), str::to_owned))
}

/// Whether systemd runs this system (`sd_booted(3)`).
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The path of this program's file.
///
/// # Errors
/// What the system said.
pub(super) fn myself() -> Result<PathBuf, String> {
    let exe =
        std::env::current_exe().map_err(|error| format!("this program's file cannot be found: {error}"))?;
    // An upgrade has replaced the file while this process runs.
    let text = exe.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").map_or(exe.clone(), PathBuf::from))
}

/// A command that runs `script` by sh in a private mount namespace: its mounts do not reach the
/// host.
pub(super) fn in_namespace(script: &str) -> Command {
    let mut command = program("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command
}

/// Starts a timer that runs the undo after `within`, even if this process ends. Returns the timer's
/// unit, or `None` without systemd.
///
/// # Errors
/// Why the timer cannot be started.
pub(super) fn arm(config: &Path, id: &str, within: Duration) -> Result<Option<String>, String> {
    let myself = myself()?;
    let seconds = within.as_secs().to_string();
    let take_back = |command: &mut Command| {
        command.arg(&myself).arg("--config").arg(config).args(["pam", "take-back", "--change", id]);
    };
    if !has_systemd() {
        let mut guard = program("setsid");
        guard.arg("--fork");
        take_back(&mut guard);
        guard.args(["--after", &seconds]).stdout(Stdio::null()).stderr(Stdio::null());
        let started = guard.status().map_err(|error| format!("setsid: {error}"))?;
        return if started.success() { Ok(None) } else { Err("the undo could not be started".to_owned()) };
    }
    enable_boot_unit()?;
    let unit = format!("totpd-pam-{id}");
    let mut timer = program("systemd-run");
    timer.args(["--quiet", "--collect", "--timer-property=AccuracySec=1s"]);
    timer.arg(format!("--unit={unit}")).arg(format!("--on-active={seconds}"));
    timer.arg("--description=Take back PAM changes that no login confirmed");
    take_back(&mut timer);
    run(timer).map_err(|why| format!("systemd-run: {why}"))?;
    Ok(Some(unit))
}

/// Enables the boot unit, because the timer does not survive a power cut.
fn enable_boot_unit() -> Result<(), String> {
    let state = |command: &str| {
        let mut systemctl = program("systemctl");
        systemctl.args([command, BOOT_UNIT]);
        systemctl.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let enabled = state("is-enabled").map_err(|error| format!("systemctl: {error}"))?;
    match enabled.as_str() {
        "enabled" | "static" => Ok(()),
        "disabled" => {
            let mut systemctl = program("systemctl");
            systemctl.args(["--quiet", "enable", BOOT_UNIT]);
            run(systemctl).map(|_| ())
        }
        _ => Err(format!(
            "{BOOT_UNIT} is {}, so an unconfirmed change would survive a power cut. Install the package of totpd again",
            if enabled.is_empty() { "not installed" } else { &enabled }
        )),
    }
}

/// Stops the timer of a change that is confirmed or taken back.
pub(super) fn disarm(timer: Option<&str>) {
    if let Some(timer) = timer {
        let mut systemctl = program("systemctl");
        systemctl.args(["--quiet", "stop", &format!("{timer}.timer")]);
        let _ = run(systemctl);
    }
}

/// How long to wait until a reloaded sshd listens again. It closes its sockets first, and refuses
/// clients until then.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes a running sshd read its configuration again, and waits until it listens. Starts no sshd
/// that does not run.
///
/// # Errors
/// Why sshd could not be reloaded.
pub(super) fn reload_sshd() -> Result<(), String> {
    let servers = sshd_servers();
    let before: BTreeSet<String> = servers.iter().flat_map(|pid| listening(pid)).collect();
    let units = if has_systemd() { &["ssh.service", "sshd.service"][..] } else { &[] };
    let systemctl = |command: &str, unit: &str| {
        let mut systemctl = program("systemctl");
        systemctl.args([command, unit]);
        run(systemctl)
    };
    let unit = units.iter().find(|unit| systemctl("is-active", unit).is_ok());
    // An sshd that has its socket from systemd cannot bind it again after SIGHUP, and ends. A
    // restart keeps the socket and the sessions.
    let socket = |unit: &str| unit.replace(".service", ".socket");
    if let Some(unit) = unit.filter(|unit| systemctl("is-active", &socket(unit)).is_ok()) {
        return systemctl("try-restart", unit)
            .map(|_| ())
            .map_err(|why| format!("{unit} could not be restarted: {why}"));
    }
    if let Some(unit) = unit {
        // An sshd that ends is started below.
        let reloaded = systemctl("try-reload-or-restart", unit);
        if let Err(why) = reloaded
            && systemctl("is-active", unit).is_ok()
        {
            return Err(format!("{unit} could not be reloaded: {why}"));
        }
    } else {
        for pid in &servers {
            let number = nix::unistd::Pid::from_raw(pid.parse().unwrap_or_default());
            nix::sys::signal::kill(number, nix::sys::signal::Signal::SIGHUP)
                .map_err(|error| format!("sshd ({pid}) could not be reloaded: {error}"))?;
        }
    }
    let begun = Instant::now();
    // sshd has closed its old sockets, and listens on new ones.
    let listens_again = || sshd_servers().iter().any(|pid| !listening(pid).is_subset(&before));
    while !before.is_empty() && !listens_again() && begun.elapsed() < RELOAD_TIMEOUT {
        std::thread::sleep(Duration::from_millis(10));
    }
    unit.map_or(Ok(()), |unit| {
        // It ran before, and its unit does not restart it after exit status 255.
        let runs = systemctl("is-active", unit).or_else(|_| systemctl("start", unit));
        runs.map(|_| ()).map_err(|why| format!("{unit} has stopped: {why}"))
    })
}

/// The pids of listening sshd processes in this process's mount namespace. Those in others have
/// other files.
fn sshd_servers() -> Vec<String> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let ours = namespace("self");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let is_server = |pid: &String| {
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        exe.file_name().is_some_and(|name| name == "sshd")
            && namespace(pid) == ours
            && !listening(pid).is_empty()
    };
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(is_server).collect()
}

/// The TCP sockets on which a process listens, as `socket:[INODE]` (proc_net_tcp(5): state 0A).
fn listening(pid: &str) -> BTreeSet<String> {
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")));
    let lines =
        tables.into_iter().flatten().flat_map(|table| table.lines().map(str::to_owned).collect::<Vec<_>>());
    let listens = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(3) == Some(&"0A")).then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
    });
    let listens: BTreeSet<String> = listens.collect();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let open = open.filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()));
    open.filter(|socket| listens.contains(socket)).collect()
}
