"""The programs whose logins are measured: the floor, pam_google_authenticator, a daemon of constants, and totpd."""

import glob
import subprocess
import time
from dataclasses import asdict, dataclass

from .codes import base32, code, secret_of
from .control import Control
from .scratch import MEASURED_USERS, run, user

# The other build of a comparison. It names a PAM service, and `other` would be the fallback of all services.
BASELINE = "baseline"
# Longer than any run of logins takes: a client that crashed would be waited for without an end.
LONGEST = 3600


@dataclass(frozen=True)
class Shape:
    """How many logins there are: in each round each client logs in so often, and then the clock moves on."""

    clients: int
    logins: int
    rounds: int
    warm: int = 1
    # How many of the measured users log in, in turn.
    users: int = MEASURED_USERS

    @property
    def in_round(self):
        return self.clients * self.logins

    @property
    def total(self):
        return self.in_round * self.rounds


@dataclass(frozen=True)
class Run:
    """What one run of logins measured. Times in microseconds."""

    p10: float
    p50: float
    p90: float
    p99: float
    rate: float
    syncs_per_login: float

    as_dict = asdict


def module(name):
    """The path of a PAM module of the host."""
    found = glob.glob(f"/lib/*/security/{name}") + glob.glob(f"/usr/lib/*/security/{name}")
    if not found:
        raise SystemExit(f"bench: {name} is not installed. Run: scripts/bootstrap.sh bench")
    return found[0]


class Contender:
    """One program under test, with its PAM stack."""

    floor = None

    def __init__(self, scratch, name, control, stack):
        self.scratch, self.name, self.service, self.control = scratch, name, name, control
        self.confdir = scratch.folder / "pam.d"
        self.confdir.mkdir(exist_ok=True)
        (self.confdir / name).write_text(stack)
        # Every host has it. Without it libpam writes a line to syslog for each login.
        (self.confdir / "other").write_text("auth required pam_deny.so\n")
        self._next_user = 0

    def users(self, shape):
        """The users who log in, one for each login. Within a round nobody logs in twice."""
        for _ in range(shape.total):
            yield user(self._next_user % shape.users)
            self._next_user += 1

    def measure(self, shape):
        """Logs in. Any login that fails ends the benchmark: its figures would mean nothing."""
        if shape.in_round > shape.users:
            raise ValueError(f"{shape}: a code works once")
        first = self.control.take_steps(shape.rounds)
        schedule = self.scratch.folder / "schedule"
        with schedule.open("w") as lines:
            for number, name in enumerate(self.users(shape)):
                lines.write(f"{name} {code(secret_of(name), first + number // shape.in_round)}\n")
        words = [self.scratch.folder / "pambench", self.confdir, self.service, shape.clients, shape.logins, shape.rounds,
                 shape.warm, schedule, self.control.file, first, *([self.floor] if self.floor else [])]
        output = run(*words, env=self.control.environment, timeout=LONGEST)
        *figures, failed = output.split()
        if int(failed) > (self._equal_codes(schedule, first, shape) if failed != "0" else 0):
            raise SystemExit(f"bench: {failed} of {shape.total} logins of {self.name} failed")
        return Run(*map(float, figures))


    def _equal_codes(self, schedule, first, shape):
        """How many logins have the same code as the user's neighbouring steps: one in 500,000.

        Such a code works once, although it is right twice; its second login is refused."""
        logins = (line.split() for line in schedule.read_text().splitlines())
        return sum(
            typed in [code(secret_of(name), first + number // shape.in_round + n) for n in (-2, -1, 1, 2)]
            for number, (name, typed) in enumerate(logins)
        )


class Floor(Contender):
    """pam_permit, and one fdatasync(2) of a page of an allocated file: no durable login costs less."""

    def __init__(self, scratch):
        super().__init__(scratch, "floor", Control(scratch, "floor"), "auth required pam_permit.so\n")
        self.floor = scratch.folder / "floor"
        self.floor.mkdir()


class GoogleAuthenticator(Contender):
    """pam_google_authenticator, told to accept no code twice (DISALLOW_REUSE), as totpd does."""

    def __init__(self, scratch):
        folder = scratch.folder / "google"
        folder.mkdir()
        for number in range(MEASURED_USERS):
            file = folder / user(number)
            secret = base32(secret_of(user(number)))
            file.write_text(f'{secret}\n" DISALLOW_REUSE\n" WINDOW_SIZE 3\n" TOTP_AUTH\n')
            file.chmod(0o400)
        path = module("pam_google_authenticator.so")
        stack = f"auth required {path} user=root secret={folder}/${{USER}} no_increment_hotp\n"
        super().__init__(scratch, "google", Control(scratch, "google"), stack)


class Constant(Contender):
    """The module, and a daemon that answers with constants after one sync for all who wait (constant.c).

    No daemon that decides anything is faster behind this module."""

    def __init__(self, scratch, build):
        socket = scratch.folder / "constant.sock"
        stack = f"auth required {build}/libpam_totp.so socket={socket} nodelay timeout=60\n"
        super().__init__(scratch, "constant", Control(scratch, "constant"), stack)
        words = [scratch.folder / "constant", socket, scratch.folder / "constant.page"]
        self.process = subprocess.Popen([str(word) for word in words], env=self.control.environment)
        end = time.monotonic() + 10
        while not socket.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit("bench: the daemon of constants does not listen")
            time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Fleet(Contender):
    """Several totpd over one store. The clients are spread over them."""

    def __init__(self, sites, name):
        first = sites[0]
        super().__init__(first.scratch, first.name, first.control, first.module_line)
        for site in sites[1:]:
            (self.confdir / site.name).write_text(site.module_line)
        self.name, self.service = name, ",".join(site.name for site in sites)


class Sockets(Contender):
    """The same, asked at their sockets, as other hosts would ask them: without what libpam and the module take here."""

    def __init__(self, sites, name):
        first = sites[0]
        super().__init__(first.scratch, first.name, first.control, first.module_line)
        self.name, self.service = name, ",".join(str(site.folder / "run/login.sock") for site in sites)


class Totpd(Contender):
    """The totpd of a site. Tables show it under `name`."""

    def __init__(self, site, name=None):
        super().__init__(site.scratch, site.name, site.control, site.module_line)
        self.site, self.name = site, name or site.name
