"""A site: one daemon with a store, a configuration and a clock of its own."""

import base64
import itertools
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .codes import base32, secret_of
from .control import Control
from .scratch import EVERY, FIRST_UID, LARGEST_STORE, any_user, run


class Site:
    """Starts the totpd of a build (a folder with totpd and libpam_totp.so) on an empty store."""

    def __init__(self, scratch, name, build, http="", database=None, beside=None):
        """`http` is the table of its HTTP API, or nothing.

        The store is in SQLite, in a new `database` of PostgreSQL, or it is that of the site `beside`, which is reached
        by `database` if there is one."""
        self.scratch, self.name, self.build = scratch, name, Path(build).resolve()
        self.database = database or (beside and beside.database)
        self.folder = scratch.folder / name
        self.folder.mkdir()
        # All that share a database have its clock.
        self.control = self.database.control if self.database else Control(scratch, name)
        self.config = self.folder / "totpd.toml"
        self.config.write_text(
            f'login_socket = "{self.folder}/run/login.sock"\nadmin_socket = "{self.folder}/run/admin.sock"\n'
            f'state_dir = "{self.folder}/state"\nwitness_dir = "{self.folder}/witness"\n'
            f"{self.database.config if self.database else ''}{http}"
        )
        # What `totpd status` says when everything answers that is configured.
        self.ready = "answers on" if http else ""
        self.process = None
        if beside:
            # Copied with their modes: the key is for its owner alone.
            for file in ["totpd.key", "store.id"]:
                shutil.copy(beside.folder / file, self.folder)
            (self.folder / "state").mkdir()
        else:
            self.totpd("-q", "init")

    @property
    def module_line(self):
        """The line of a PAM stack that asks this daemon, without the delay after a refusal."""
        return f"auth required {self.build}/libpam_totp.so socket={self.folder}/run/login.sock nodelay timeout=60\n"

    @property
    def pid(self):
        return self.process.pid

    def totpd(self, *words, **options):
        return run(self.build / "totpd", "--config", self.config, *words, **options)

    def start(self, *wrapper, patience=10):
        """Starts the daemon, under another program if one is named, and waits until it answers."""
        with (self.folder / "daemon.log").open("a") as log:
            self.process = subprocess.Popen(
                [*wrapper, str(self.build / "totpd"), "--config", str(self.config), "serve"],
                env=self.control.environment, stdout=log, stderr=log,
            )
        end = time.monotonic() + patience
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench: the daemon of {self.build} does not answer. Its log:\n{self.log()}")
            time.sleep(0.1)
        return self

    def _is_ready(self):
        words = [str(self.build / "totpd"), "--config", str(self.config), "status"]
        asked = subprocess.run(words, capture_output=True, text=True, check=False)
        return asked.returncode == 0 and self.ready in asked.stdout

    def log(self):
        return (self.folder / "daemon.log").read_text()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def import_users(self, names):
        """Enrolls these users through the program itself."""
        table = "user,secret\n" + "".join(f"{name},{base32(secret_of(name))}\n" for name in names)
        self.totpd("-q", "import", "csv", "-", input=table)

    def generate_users(self, count, measured):
        """Seals records of `count` users into the store, the first `measured` of the measured ones among them.

        The daemon must not run: bench_users writes the store by the daemon's own library. Returns its seconds."""
        program = self.build / "bench_users"
        if not program.exists():
            raise SystemExit(f"bench: {self.build} has no bench_users. Run: cargo build --release -p totpd -p bench_users")
        chosen = {number * EVERY for number in range(measured)}
        others = (number for number in range(LARGEST_STORE) if number not in chosen)
        numbers = sorted([*chosen, *itertools.islice(others, count - measured)])
        lines = [f"{any_user(n)} {FIRST_UID + n} {base32(secret_of(any_user(n)))}\n" for n in numbers]
        started = time.monotonic()
        run(program, self.config, input="".join(lines))
        return time.monotonic() - started

    def client(self, name, *words):
        """Adds a client of the HTTP API. Returns its credentials as `id:secret`."""
        made = json.loads(self.totpd("client", "add", name, *words, "--json"))
        return f"{made['project_id']}:{made['secret']}"

    def memory_kib(self):
        """Resident memory of the daemon, and the most it ever had."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return tuple(int(lines[key].split()[0]) for key in ("VmRSS", "VmHWM"))

    def own_memory_kib(self):
        """Resident memory that is the daemon's own: without the program's text, which the kernel can read again."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        return int(dict(line.split(":", 1) for line in rollup)["Private_Dirty"].split()[0])


def basic(credentials):
    return base64.b64encode(credentials.encode()).decode()
