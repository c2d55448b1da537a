//! A Debian that boots in systemd-nspawn, for what only systemd shows: the sandbox of the shipped
//! unit, packages, and logins by real ssh and sudo. Its clock is the host's, and its network is a
//! loopback.

use crate::paths::{module, repository, target, totpd};
use crate::run::{Finished, run, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The Debian release that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Release {
    /// Both releases.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// Returns the tree that `scripts/debian-trees.sh` makes.
    fn tree(self) -> &'static str {
        match self {
            Self::Bookworm => "/var/lib/totpd-e2e-trees/bookworm-2",
            Self::Trixie => "/var/lib/totpd-e2e-trees/trixie-2",
        }
    }
}

/// What of totpd is installed when a machine boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Nothing,
    /// The files of this build that `make install` installs.
    Files,
}

/// Debian's package manager, without questions.
pub const APT: &str = "DEBIAN_FRONTEND=noninteractive apt-get -q -y";

/// Returns a package that `scripts/package.sh test` has made.
#[track_caller]
pub fn package(name: &str) -> PathBuf {
    let path = target().join("package/test").join(name);
    assert!(path.exists(), "{} is made by scripts/package.sh test", path.display());
    path
}

/// The number of machines that this process has started: two can run at the same time.
static MACHINES: AtomicU32 = AtomicU32::new(0);

/// `TREE SCRATCH CONFIG TOTPD MODULE files|nothing`: boots the tree in a mount namespace, under an
/// overlay in memory, with cgroups of version 2.
const BOOT: &str = r#"
set -e
umount -R /sys/fs/cgroup 2>/dev/null || true
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# A cgroup for each machine: in one they would end each other's units, which have the same names.
group=/sys/fs/cgroup/$(basename "$2")
mkdir "$group"
echo $$ > "$group/cgroup.procs"
mount -t tmpfs -o mode=0755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
root=$2/root
if [ "$6" = files ]; then
    install -m 0755 "$4" "$root/usr/bin/totpd"
    install -m 0644 "$5" "$(dirname "$(find "$root/usr/lib" -name pam_unix.so)")/pam_totp.so"
    install -m 0644 "$3"/systemd/* "$root/usr/lib/systemd/system/"
    install -m 0644 "$3/sysusers.d/totpd.conf" "$root/usr/lib/sysusers.d/"
    install -m 0644 "$3/tmpfiles.d/totpd.conf" "$root/usr/lib/tmpfiles.d/"
fi
# 133 is a reboot. The file is there after `power_cut`.
while :; do
    status=0
    setpriv --pdeathsig KILL systemd-nspawn --quiet --register=no --keep-unit --boot --private-network \
        --private-users=no --console=pipe -D "$root" || status=$?
    [ "$status" = 133 ] || rm "$2.again" || exit "$status"
done
"#;

/// `SCRATCH`: removes the cgroups of a machine that is off, once its last processes have ended.
const CLEAN_UP: &str = r#"
mount -t cgroup2 cgroup2 "$1"
group=$1/$(basename "$1")
for _ in $(seq 50); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$group" ] || exit 0
    sleep 0.1
done
echo "$group stays" >&2
"#;

/// A machine. Dropping it switches it off.
#[derive(Debug)]
pub struct Booted {
    nspawn: Child,
    leader: u32,
    scratch: PathBuf,
}

impl Booted {
    /// Boots Debian 12 with the files that `make install` installs.
    pub fn new() -> Self {
        Self::on(Release::Bookworm)
    }

    /// Boots this release with the files that `make install` installs.
    pub fn on(release: Release) -> Self {
        Self::boot(release, Before::Files)
    }

    /// Boots this release without totpd.
    pub fn bare(release: Release) -> Self {
        Self::boot(release, Before::Nothing)
    }

    /// Boots this release and installs the package that `scripts/package.sh test` has made.
    #[track_caller]
    pub fn packaged(release: Release) -> Self {
        let machine = Self::bare(release);
        machine.copy(&package("totpd.deb"), "/root/totpd.deb");
        machine.sh(&format!("{APT} install /root/totpd.deb")).assert_success();
        machine
    }

    #[track_caller]
    fn boot(release: Release, before: Before) -> Self {
        let tree = release.tree();
        assert!(Path::new(tree).join(".complete").exists(), "{tree} is made by scripts/bootstrap.sh test");
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let scratch = PathBuf::from(format!("/var/lib/totpd-e2e/booted-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let console = std::fs::File::create(scratch.with_extension("console")).unwrap();
        // The machine ends with the test, even when the test is killed.
        let mut command = Command::new("setpriv");
        command
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                BOOT,
                "sh",
                tree,
            ])
            .arg(&scratch);
        command.arg(repository().join("config"));
        command.arg(totpd()).arg(module());
        command.arg(if before == Before::Files { "files" } else { "nothing" });
        command.stdin(Stdio::null()).stdout(console.try_clone().unwrap()).stderr(console);
        let mut nspawn = command.spawn().unwrap();
        let mut leader = 0;
        wait_until("systemd-nspawn starts its machine", || {
            assert!(nspawn.try_wait().unwrap().is_none(), "see {}.console", scratch.display());
            leader = first_process(nspawn.id()).unwrap_or(0);
            leader != 0
        });
        let booted = Self { nspawn, leader, scratch };
        booted.wait_for_boot();
        booted
    }

    #[track_caller]
    fn wait_for_boot(&self) {
        wait_until("the machine has booted", || {
            let state = self.sh("systemctl is-system-running");
            matches!(state.stdout.trim(), "running" | "degraded")
        });
    }

    /// Reboots the machine cleanly.
    pub fn reboot(&mut self) {
        let _ = self.sh("systemctl reboot");
        self.boots_again();
    }

    /// Kills all processes at once, and boots the machine again. Its disk keeps what was written.
    pub fn power_cut(&mut self) {
        std::fs::write(self.scratch.with_extension("again"), "").unwrap();
        let leader = nix::unistd::Pid::from_raw(i32::try_from(self.leader).unwrap());
        nix::sys::signal::kill(leader, nix::sys::signal::SIGKILL).unwrap();
        self.boots_again();
    }

    #[track_caller]
    fn boots_again(&mut self) {
        let before = self.leader;
        wait_until("the machine starts again", || {
            let leader = first_process(self.nspawn.id()).filter(|leader| *leader != before);
            self.leader = leader.unwrap_or(before);
            leader.is_some()
        });
        self.wait_for_boot();
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.leader.to_string(),
            "--all",
            "env",
            "-i",
            "HOME=/root",
            "LANG=C.UTF-8",
        ]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c"]);
        command
    }

    /// Runs a script as root.
    pub fn sh(&self, script: &str) -> Finished {
        self.sh_with(script, "")
    }

    /// Runs a script as root, with `input` as its standard input.
    pub fn sh_with(&self, script: &str, input: &str) -> Finished {
        let mut command = self.command();
        command.arg(script);
        run(command, input)
    }

    /// Copies a file of the host to the machine.
    #[track_caller]
    pub fn copy(&self, from: &Path, to: &str) {
        let mut command = self.command();
        command.arg(format!("cat > '{to}'")).stdin(std::fs::File::open(from).unwrap());
        assert!(command.status().unwrap().success(), "{to} cannot be written");
    }

    /// Returns the host's path of a file of the machine, with the machine's mounts.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// Returns a program of the host, in the network of the machine.
    pub fn command_in_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader.to_string(), "--net", program]);
        command
    }

    /// Returns the host's pid of the machine's first process.
    pub const fn leader(&self) -> u32 {
        self.leader
    }

    /// Returns the time, in seconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "nothing moves this clock")]
    pub fn now(&self) -> i64 {
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
    }

    /// Returns the journal of the daemon's unit, with the lines of systemd about it.
    #[track_caller]
    pub fn journal(&self) -> String {
        self.sh("journalctl --sync; journalctl --no-pager --output=cat --unit=totpd.service")
            .assert_success()
            .stdout
    }
}

impl Default for Booted {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // The end of the first process ends the machine; the mounts end with their namespace.
        let leader = nix::unistd::Pid::from_raw(i32::try_from(self.leader).unwrap());
        let _ = nix::sys::signal::kill(leader, nix::sys::signal::SIGKILL);
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let mut clean_up = Command::new("unshare");
        clean_up.args(["--mount", "--propagation", "private", "sh", "-c", CLEAN_UP, "sh"]).arg(&self.scratch);
        let _ = clean_up.status();
        let _ = std::fs::remove_dir_all(&self.scratch);
        let _ = std::fs::remove_file(self.scratch.with_extension("console"));
    }
}

/// Returns the machine's first process. The shell that prepares the boot has other children before.
fn first_process(shell: u32) -> Option<u32> {
    let child = |parent: u32, wanted: &str| -> Option<u32> {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        let child = children.split_whitespace().next()?.parse().ok()?;
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        (name.trim() == wanted).then_some(child)
    };
    child(child(shell, "systemd-nspawn")?, "systemd")
}
