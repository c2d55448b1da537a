"""The scratch folder of a run, and what all programs under test share: users, a log sink, the C workers."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# On the file system of a real store, so that a sync reaches a disk.
FOLDER = Path("/var/lib/totpd-bench")
LOCK = Path("/run/totpd-bench.lock")
# The most users that any case measures. All of them are in /etc/passwd of every run: its length is part of the cost.
MEASURED_USERS = 640
LARGEST_STORE = 1_000_000
EVERY = LARGEST_STORE // MEASURED_USERS
FIRST_UID = 70000


def run(*command, **options):
    """Runs a command and returns its output. Its errors are shown, and end the run."""
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def enter_namespaces():
    """Runs this program again in mount and process namespaces of its own: nothing of it outlives the run."""
    if os.environ.get("TOTPD_BENCH_INSIDE") == "1":
        return
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for a mount namespace with users and a /dev/log of its own. Run: sudo make bench")
    os.environ["TOTPD_BENCH_INSIDE"] = "1"
    words = ["unshare", "--mount", "--propagation", "private", "--fork", "--kill-child", "--pid", "--mount-proc"]
    os.execvp("unshare", [*words, sys.executable, *sys.argv])


def any_user(number):
    """The name of a user of the largest store."""
    return f"u{number:06}"


def user(number):
    """The name of a measured user. Their names are spread over those of the largest store."""
    return any_user(number * EVERY)


class Scratch:
    """Makes the folder, and removes it at the end."""

    def __init__(self):
        self.folder = FOLDER

    def __enter__(self):
        # Two runs at once would measure each other.
        self.lock = LOCK.open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is measuring; waiting for its end…", file=sys.stderr)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        workers = {
            "pambench": ["bench/measure/pambench.c", "-lpam", "-lpthread"],
            "constant": ["bench/measure/constant.c", "-lpthread"],
            "attempt": ["bench/measure/attempt.c", "-lpam"],
            "distance": ["bench/measure/distance.c", "-lpthread"],
            "faults.so": ["-shared", "-fPIC", "tests/native/faults.c"],
        }
        for name, words in workers.items():
            run("gcc", "-O2", "-Wall", "-o", self.folder / name, *words, cwd=ROOT)
        self._add_users()
        self._sink_log()
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder / "dev"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add_users(self):
        lines = [f"{user(n)}:x:{FIRST_UID + n * EVERY}:70000::/:/bin/false" for n in range(MEASURED_USERS)]
        self.passwd = self.folder / "passwd"
        self.passwd.write_text(Path("/etc/passwd").read_text() + "\n".join(lines) + "\n")
        run("mount", "--bind", self.passwd, "/etc/passwd")

    def add_users(self, lines):
        """Adds lines to /etc/passwd of this run."""
        with self.passwd.open("a") as passwd:
            passwd.write("\n".join(lines) + "\n")

    def _sink_log(self):
        """Replaces /dev: a sink behind /dev/log reads what everybody logs, since a serial console would slow it."""
        dev = self.folder / "dev"
        dev.mkdir()
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", dev)
        for name, major, minor in [("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9), ("random", 1, 8), ("tty", 5, 0)]:
            os.mknod(dev / name, 0o020666, os.makedev(major, minor))
            (dev / name).chmod(0o666)
        for name in ["shm", "pts"]:
            (dev / name).mkdir()
        run("mount", "--bind", "/dev/pts", dev / "pts")
        run("mount", "--rbind", dev, "/dev")
        sink = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sink.bind("/dev/log")
        os.chmod("/dev/log", 0o666)

        def read():
            while True:
                sink.recv(8192)

        threading.Thread(target=read, daemon=True).start()
