//! Tries a change with test logins: the real libpam, our module and a test daemon, in mount
//! namespaces where the new files are mounted over /etc/pam.d.
//!
//! The test logins are made by su, which every host has, so totpd needs no binding to libpam. It
//! runs as root, for root, with service files in which `pam_permit` and `pam_deny` answer for every
//! module but ours ([`crate::pam_config::trial`]). For a locker, the real `pam_unix` runs, with a
//! test password in a private /etc/shadow.

use super::host::{in_namespace, myself, program, run};
use super::proposal::Proposal;
use crate::cli::rpc::admin_call;
use crate::clock;
use crate::config::Config;
use crate::pam_config::proof::StackChange;
use crate::pam_config::trial::{Case, Daemon, Field, PASSWORD, SHADOW, cases, files};
use crate::pam_config::{Entry, Facility, Stack, block, locker};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use totp_core::Secret;
use totp_core::otp::totp_at;
use totp_wire::admin::{self, DaemonState};
use totp_wire::text::SecretText;

/// How long the test daemon may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a test login may take. A refusal waits for the delays of libpam and su.
const RUN_TIMEOUT: Duration = Duration::from_secs(40);
/// What a test login prints when it is granted.
const LET_IN: &str = "totpd-trial-let-in";
/// What is typed for a refusal: it does not look like a code, so no failure is counted.
const NO_CODE: &str = "this is no code";
/// How often a locker's field is typed: more often than a stack may ask.
const PROMPTS: usize = 4;
/// How many test logins run at once. Each uses at most one of the ten recovery codes.
const PARALLEL_RUNS: usize = 10;

/// Mounts the new files over /etc/pam.d, the test daemon's sockets over the host's, and a private
/// log.
const SCRIPT: &str = r#"set -e
mount --bind "$1" /etc/pam.d
mount --bind "$2" "$3"
[ -z "$5" ] || mount --bind "$5" /etc/shadow
[ ! -d /var/log ] || mount -t tmpfs -o mode=0755 tmpfs /var/log
if [ -d /run/systemd/journal ]; then
    mount --bind "$4" /run/systemd/journal
elif [ -S /dev/log ]; then
    mount --bind "$4/dev-log" /dev/log
fi
cd /
exec su -s /bin/sh -c "echo totpd-trial-let-in" root"#;

/// The test daemon, whose state is in the trial's folder.
struct TrialDaemon {
    child: Child,
    config: Config,
}

impl Drop for TrialDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what the modules log, because a full log socket would block them. Its thread ends with it:
/// signals that this process blocks later would otherwise be delivered to that thread.
struct Log {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    fn new(path: &Path) -> std::io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut line = [0; 4096];
            while !ended.load(Ordering::Relaxed) {
                let _ = socket.recv(&mut line);
            }
        });
        Ok(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A prepared test login.
struct Run {
    service: String,
    case: Case,
    folder: PathBuf,
    answer: String,
    /// Modules that must be loaded; checked only in the first test login of a service.
    modules: BTreeSet<String>,
}

/// Runs the trial. Returns the number of test logins.
///
/// # Errors
/// Which test login went wrong.
pub(super) fn trial(config: &Config, proposal: &Proposal) -> Result<usize, String> {
    let scratch = proposal.scratch.path();
    let sockets = config.login_socket.parent().unwrap_or(Path::new("/"));
    if ["/", "/run", "/var/run", "/tmp"].iter().any(|shared| sockets == Path::new(shared)) {
        return Err(format!(
            "the trial needs a folder with nothing but totpd's sockets, and they are in {}. Set login_socket to a path \
             such as /run/totpd/login.sock",
            sockets.display()
        ));
    }
    let said = |error: std::io::Error| format!("the trial cannot be prepared: {error}");
    for folder in ["run", "nothing", "journal", "pam"] {
        std::fs::create_dir(scratch.join(folder)).map_err(said)?;
    }
    std::fs::write(scratch.join("shadow"), SHADOW).map_err(said)?;
    let _log = Log::new(&scratch.join("journal/dev-log")).map_err(said)?;
    let daemon = start(scratch)?;
    let mut runs = prepare(proposal, scratch)?;
    let count = runs.len();
    while !runs.is_empty() {
        let mut batch: Vec<Run> = runs.drain(..runs.len().min(PARALLEL_RUNS)).collect();
        let codes = recovery_codes(&daemon.config)?;
        for (run, code) in batch.iter_mut().zip(codes) {
            run.answer = typed(&run.case, code.reveal());
        }
        let outcome: Result<Vec<()>, String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                batch.iter().map(|run| scope.spawn(move || perform(run, scratch, sockets))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("a test login ended early".to_owned())))
                .collect()
        });
        outcome?;
    }
    Ok(count)
}

/// What is typed in a test login.
fn typed(case: &Case, code: &str) -> String {
    let Some(field) = case.field else {
        return if case.daemon == Daemon::Refuses { NO_CODE.to_owned() } else { code.to_owned() };
    };
    let field = match field {
        Field::PasswordAndCode => format!("{PASSWORD}{code}"),
        Field::Password => PASSWORD.to_owned(),
        Field::Code => code.to_owned(),
        Field::WrongPasswordAndCode => format!("not-{PASSWORD}{code}"),
    };
    vec![field; PROMPTS].join("\n")
}

/// Writes the service files of all test logins.
fn prepare(proposal: &Proposal, scratch: &Path) -> Result<Vec<Run>, String> {
    let mut runs = Vec::new();
    for changed in &proposal.changed {
        let after = proposal.after.stack(&changed.service, Facility::Auth)?;
        let stripped = stripped(&after, proposal)?;
        let change = StackChange::new((&stripped, &after), proposal.mode, changed.first, &proposal.after)?;
        change.prove().map_err(|why| format!("{}: {why}", changed.service))?;
        // The module of an optional line, such as pam_gnome_keyring, is often not installed, and
        // libpam goes on.
        let is_needed = |entry: &&Entry| {
            entry.line.is_ours() || !(entry.line.optional_file || entry.line.control_text == "optional")
        };
        let loaded = after.entries.iter().filter(is_needed);
        let modules: BTreeSet<String> = loaded.map(|entry| entry.line.module_name().to_owned()).collect();
        for (number, case) in cases(&change)?.into_iter().enumerate() {
            let folder = scratch.join("pam").join(format!("{}-{number}", changed.service));
            let said = |error: std::io::Error| format!("{}: {error}", folder.display());
            std::fs::create_dir(&folder).map_err(said)?;
            for (name, text) in files(&proposal.after, &change, &case)? {
                std::fs::write(folder.join(name), text).map_err(said)?;
            }
            let modules = if number == 0 { modules.clone() } else { BTreeSet::new() };
            let (service, answer) = (changed.service.clone(), String::new());
            runs.push(Run { service, case, folder, answer, modules });
        }
    }
    Ok(runs)
}

/// The stack without totpd's blocks: what the first factor alone decides.
fn stripped(after: &Stack, proposal: &Proposal) -> Result<Stack, String> {
    let mut dirs = proposal.before.clone();
    for file in after.entries.iter().map(|entry| &entry.file).chain([&after.file]) {
        // As the file will be, without the block: a copy of a package's file does not exist yet.
        let text = proposal.after.read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        dirs = dirs.with(file, &block::strip(&text)?);
    }
    // A service that the locker includes may ask for a code too.
    let dirs = locker::without_blocks(&dirs, &after.service)?;
    dirs.stack(&after.service, Facility::Auth)
}

/// Starts the test daemon, with root enrolled.
fn start(scratch: &Path) -> Result<TrialDaemon, String> {
    let path = scratch.join("totpd.toml");
    let folder = scratch.display();
    let text = format!(
        "login_socket = \"{folder}/run/login.sock\"\nadmin_socket = \"{folder}/run/admin.sock\"\n\
         state_dir = \"{folder}/state\"\nwitness_dir = \"{folder}/witness\"\n"
    );
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    let myself = myself()?;
    let totpd = |command: &str| {
        // The daemon ends when this process ends.
        let mut totpd = program("setpriv");
        totpd.args(["--pdeathsig", "KILL", "--"]).arg(&myself).arg("--config").arg(&path).arg(command);
        for name in [
            "LISTEN_FDS",
            "LISTEN_PID",
            "NOTIFY_SOCKET",
            "JOURNAL_STREAM",
            "STATE_DIRECTORY",
            "LOGS_DIRECTORY",
        ] {
            totpd.env_remove(name);
        }
        totpd
    };
    run(totpd("init")).map_err(|why| format!("the test daemon: {why}"))?;
    let log = std::fs::File::create(scratch.join("log")).map_err(|error| error.to_string())?;
    let child = totpd("serve").stdout(Stdio::null()).stderr(log).spawn();
    let child = child.map_err(|error| format!("the test daemon: {error}"))?;
    let config = Config::load_for_command(&path).map_err(|error| error.to_string())?;
    let daemon = TrialDaemon { child, config };
    let begun = Instant::now();
    let serves = || {
        admin_call(&daemon.config, &admin::Daemon {}).is_ok_and(|reply| reply.state == DaemonState::Serving)
    };
    while !serves() {
        if begun.elapsed() > START_TIMEOUT {
            let log = std::fs::read_to_string(scratch.join("log")).unwrap_or_default();
            return Err(format!("the test daemon did not start: {}", log.lines().last().unwrap_or_default()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let enroll = admin::Enroll {
        user: "root".to_owned(),
        lifetime: None,
        issuer: None,
        algorithm: None,
        digits: None,
        period: None,
        given: None,
        name: None,
        add: None,
    };
    let enrolled = admin_call(&daemon.config, &enroll).map_err(|why| why.why)?;
    let secret = Secret::from_base32(enrolled.secret.reveal()).map_err(|error| error.to_string())?;
    let code = totp_at(&secret, daemon.config.totp.params, clock::now());
    let confirm = admin::Confirm { user: "root".to_owned(), code: SecretText::from(code) };
    let confirmed = admin_call(&daemon.config, &confirm).map_err(|why| why.why)?.confirmed;
    if confirmed { Ok(daemon) } else { Err("the test daemon refuses a right code".to_owned()) }
}

fn recovery_codes(config: &Config) -> Result<Vec<SecretText>, String> {
    let call = admin::RecoveryCodes { user: "root".to_owned() };
    admin_call(config, &call).map(|reply| reply.recovery_codes).map_err(|why| why.why)
}

/// Makes one test login, and compares its outcome with the expected one.
fn perform(run: &Run, scratch: &Path, sockets: &Path) -> Result<(), String> {
    let what = format!("the trial of {} ({})", run.service, run.case.what);
    let served = scratch.join(if run.case.daemon == Daemon::Missing { "nothing" } else { "run" });
    let mut command = in_namespace(SCRIPT);
    command.arg(&run.folder).arg(served).arg(sockets).arg(scratch.join("journal"));
    command.arg(run.case.field.map_or_else(PathBuf::new, |_| scratch.join("shadow")));
    let (lets_in, said) = converse(command, run).map_err(|why| format!("{what}: {why}"))?;
    if lets_in == run.case.expected {
        return Ok(());
    }
    let verb =
        if lets_in { "granted a login that it must refuse" } else { "refused a login that it must grant" };
    let said = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Err(format!("{what} {verb} ({said}). Nothing was changed"))
}

/// Starts su, checks the modules that it has loaded once it asks, and answers. Returns whether the
/// login was granted, and what su printed on standard error.
fn converse(mut command: Command, run: &Run) -> Result<(bool, String), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("no pipes".to_owned());
    };
    let said = std::sync::Mutex::new(String::new());
    let result = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut byte = [0; 256];
            while let Ok(length @ 1..) = stderr.read(&mut byte) {
                if let Ok(mut said) = said.lock() {
                    said.push_str(&String::from_utf8_lossy(&byte[..length]));
                }
            }
        });
        let begun = Instant::now();
        let mut missing = None;
        if !run.modules.is_empty() {
            let asked = || said.lock().is_ok_and(|said| said.contains("code"));
            while !asked() && begun.elapsed() < RUN_TIMEOUT && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap_or_default();
            let loaded = |module: &&String| maps.lines().any(|line| line.ends_with(&format!("/{module}")));
            if asked() {
                missing = run.modules.iter().find(|module| !loaded(module)).cloned();
            }
        }
        let _ = writeln!(stdin, "{}", run.answer);
        drop(stdin);
        while matches!(child.try_wait(), Ok(None)) {
            if begun.elapsed() > RUN_TIMEOUT {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut out = String::new();
        let _ = stdout.read_to_string(&mut out);
        let _ = reader.join();
        match missing {
            Some(module) => {
                Err(format!("{module} cannot be loaded. Run, to see why: ldd on its file, or journalctl"))
            }
            None => Ok(out.lines().any(|line| line == LET_IN)),
        }
    });
    let said = said.into_inner().unwrap_or_default();
    result.map(|lets_in| (lets_in, said))
}
