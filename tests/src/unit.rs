//! The limits of the shipped unit: memory and tasks by a cgroup, descriptors by a resource limit.

use crate::Site;
use crate::paths::{native, repository, totpd};
use nix::sys::resource::{Resource, getrlimit};
use std::path::{Path, PathBuf};

/// A cgroup of version 1, which the tests' hosts have, with the limits of
/// `config/systemd/totpd.service`.
#[derive(Debug)]
pub struct UnitLimits {
    memory: PathBuf,
    tasks: PathBuf,
    descriptors: u64,
}

/// Returns the value of a setting of the unit.
#[track_caller]
fn setting(name: &str) -> String {
    let unit = std::fs::read_to_string(repository().join("config/systemd/totpd.service")).unwrap();
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| unreachable!("totpd.service sets no {name}")).to_owned()
}

impl UnitLimits {
    /// Makes the cgroup of a site.
    #[track_caller]
    pub fn new(site: &Site) -> Self {
        let name = format!("totpd-e2e-{}", site.root.file_name().unwrap().to_string_lossy());
        let folder = |controller: &str| {
            let folder = Path::new("/sys/fs/cgroup").join(controller).join(&name);
            std::fs::create_dir(&folder).unwrap_or_else(|error| {
                unreachable!("{}: {error}: these tests need cgroups", folder.display())
            });
            folder
        };
        let (memory, tasks) = (folder("memory"), folder("pids"));
        std::fs::write(memory.join("memory.limit_in_bytes"), setting("MemoryMax")).unwrap();
        std::fs::write(tasks.join("pids.max"), setting("TasksMax")).unwrap();
        // A host may allow fewer: then the daemon has less than the unit gives it.
        let (_, allowed) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let descriptors: u64 = setting("LimitNOFILE").parse().unwrap();
        Self { memory, tasks, descriptors: descriptors.min(allowed) }
    }

    /// Starts the site's daemon with these limits.
    pub fn start(&self, site: &Site) {
        let script = r#"echo $$ > "$1/cgroup.procs" && echo $$ > "$2/cgroup.procs" && ulimit -n "$3" && shift 3 && exec "$@""#;
        let mut command = site.command("sh");
        command.args(["-c", script, "sh"]).arg(&self.memory).arg(&self.tasks);
        command.arg(self.descriptors.to_string()).arg(totpd());
        command.arg("--config").arg(site.path("etc/totpd/totpd.toml")).arg("serve");
        command.env("LD_PRELOAD", native("faults.so")).env("TOTPD_FAULTS", &site.faults.path);
        site.start_as(command);
    }

    /// Returns whether the kernel refused memory.
    pub fn was_exceeded(&self) -> bool {
        std::fs::read_to_string(self.memory.join("memory.failcnt")).unwrap().trim() != "0"
    }
}

impl Drop for UnitLimits {
    fn drop(&mut self) {
        // The daemon has ended with its site, or moves to the root group here.
        for folder in [&self.memory, &self.tasks] {
            for pid in std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
                let _ = std::fs::write(folder.parent().unwrap().join("cgroup.procs"), pid);
            }
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Returns the number of descriptors that a process has open.
pub fn descriptors(pid: nix::unistd::Pid) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
