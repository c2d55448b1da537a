//! SIGKILL of `totpd pam enable` before each system call that writes: after the undo every login
//! works as before.

use super::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// System calls that change a file, a folder or a lock.
const WRITES: &str = "write,fsync,renameat,renameat2,unlinkat,mkdir,fchmod,fchown,flock";

/// Returns the host's pid of a process in the machine.
fn outside(machine: &Booted, pid: &str) -> u32 {
    let name = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let space = name(&machine.leader().to_string()).unwrap();
    let mut pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let found = pids.find(|outer| {
        let status = std::fs::read_to_string(format!("/proc/{outer}/status")).unwrap_or_default();
        let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        inner.split_whitespace().last() == Some(pid) && name(outer).is_ok_and(|of| of == space)
    });
    found.unwrap().parse().unwrap()
}

/// Starts `totpd pam enable` stopped, attaches strace to it, and lets both run until it ends or
/// waits for logins. Returns what strace printed.
#[track_caller]
fn traced(machine: &Booted, arguments: &str, inject: &[String]) -> String {
    machine.sh("rm -f /root/enable /root/pid").assert_success();
    machine.sh(&format!(
        "setsid -f sh -c 'echo $$ > /root/pid; kill -STOP $$; exec totpd pam enable {arguments} --yes' > /root/enable 2>&1"
    ));
    wait_until("totpd pam enable is stopped", || {
        machine.sh("grep -q 'State:.T' /proc/$(cat /root/pid)/status").code == 0
    });
    let pid = machine.sh("cat /root/pid").assert_success().stdout.trim().to_owned();
    let outer = outside(machine, &pid).to_string();
    let log = std::env::temp_dir().join(format!("totpd-strace-{outer}"));
    let mut strace = Command::new("strace")
        .args(["-q", "-y", "-e", &format!("trace={WRITES}"), "-o"])
        .arg(&log)
        .args(inject)
        .args(["-p", &outer])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("strace is attached", || {
        let status = std::fs::read_to_string(format!("/proc/{outer}/status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    });
    machine.sh(&format!("kill -CONT {pid}")).assert_success();
    wait_until("totpd pam enable has ended or waits", || {
        strace.try_wait().unwrap().is_some() || machine.sh("cat /root/enable").stdout.contains("Now log in")
    });
    machine.sh("kill -KILL $(cat /root/pid)");
    strace.wait().unwrap();
    let seen = std::fs::read_to_string(&log).unwrap();
    let _ = std::fs::remove_file(log);
    seen
}

#[test]
fn after_a_kill_before_any_write_the_undo_restores_logins() {
    let (machine, _) = machine(Release::Bookworm);
    let seen = traced(&machine, "sshd sudo", &[]);
    machine.sh("totpd pam take-back --boot; systemctl restart ssh").assert_success();
    assert_as_before(&machine);
    // The trial before has only its own files.
    let calls: Vec<&str> =
        seen.lines().filter(|line| WRITES.split(',').any(|call| line.starts_with(call))).collect();
    let first = calls.iter().position(|line| line.contains("/var/lib/totpd-pam/lock")).unwrap() + 1;
    let last = calls.iter().rposition(|line| line.contains("/var/lib/totpd-pam/lock")).unwrap() + 1;
    let all: Vec<usize> = (first..=last).collect();
    let long = totpd_e2e::is_long();
    // The short form has only the renames in /etc.
    let chosen: Vec<usize> = all
        .iter()
        .copied()
        .filter(|at| long || (calls[at - 1].starts_with("renameat") && calls[at - 1].contains("/etc/")))
        .collect();
    assert!(chosen.len() >= 4, "{seen}");
    for at in chosen {
        let inject = format!("--inject={WRITES}:signal=KILL:when={at}");
        let seen = traced(&machine, "sshd sudo", &[inject]);
        // Even before the undo, a wrong password lets nobody in.
        assert_ne!(sudo(&machine, "", &["wrong"]).code, 0);
        machine.sh("systemctl start totpd-pam-take-back.service && systemctl restart ssh").assert_success();
        let what = format!("killed at {at}: {}", seen.lines().last().unwrap_or_default());
        let _ = writeln!(std::io::stderr(), "{what}");
        assert_as_before(&machine);
        let left = machine
            .sh("ls -A /etc/pam.d /etc/ssh/sshd_config.d | grep totpd; ls /var/lib/totpd-pam/pending")
            .stdout;
        assert_eq!(left, "", "{what}");
        machine.sh("systemctl stop 'totpd-pam-*.timer'").assert_success();
    }
}
