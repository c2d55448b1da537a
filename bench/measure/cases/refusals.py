"""Whether the time of a refusal tells its cause: unknown and unenrolled users, locked ones, wrong and used codes.

Attempts of all causes are shuffled, without the delay after a refusal, through libpam (pam_start to pam_end) and on
the socket (answer to verdict). A threshold is chosen on one half of them and tried on the other; 50 % is chance."""

import collections
import itertools
import json
import random
import statistics
import time

from ..classify import told_apart
from ..codes import code, secret_of
from ..figure import figure
from ..scratch import FIRST_UID, LARGEST_STORE, run

ROUNDS = 10
EACH = 50  # users of a cause
TRIES = 2  # of each user in a round, of each kind: a round has to end while its used codes are in the window
REASONS = {"unknown": "not-enrolled", "unenrolled": "not-enrolled", "locked": "locked", "wrong": "wrong", "replayed": "replayed"}
KINDS = {"pam": "login", "socket": "answer to verdict"}
FAILURES_TO_LOCK = 10
TARGET = ("at most", 55)


class Attempts:
    """A site with users of each cause, and attempts on it."""

    def __init__(self, bench):
        self.enrolled = [f"{cause}{n}" for cause in ["locked", "wrong", "replayed"] for n in range(EACH)]
        names = [*self.enrolled, *(f"unenrolled{n}" for n in range(EACH))]
        bench.scratch.add_users(f"{name}:x:{FIRST_UID + LARGEST_STORE + n}:70000::/:/bin/false" for n, name in enumerate(names))
        self.site = bench.site("refusals").start()
        self.site.import_users(self.enrolled)
        folder = bench.scratch.folder / "pam.d"
        folder.mkdir(exist_ok=True)
        (folder / "refusals").write_text(self.site.module_line)
        socket = self.site.folder / "run/login.sock"
        self.program = [bench.scratch.folder / "attempt", folder, "refusals", socket, "198.51.100.9"]

    def make(self, lines):
        """Makes the attempts (kind, cause, user, code) in order. Returns each as (kind, cause, time or "granted")."""
        output = run(*self.program, input="".join(" ".join(line) + "\n" for line in lines))
        return [line.split() for line in output.splitlines()]

    def wrong(self, user, step):
        """A code that no step of the window has for the user."""
        near = {code(secret_of(user), step + n) for n in range(-3, 4)} if user in self.enrolled else set()
        return next(c for c in iter(lambda: f"{random.randrange(1000000):06}", None) if c not in near)

    def next_round(self):
        """The attempts of one round, shuffled, after the users of `replayed` have used their codes."""
        step = self.site.control.take_steps(4)
        self.site.control.move_clock(step)
        for n in range(EACH):
            self.site.totpd("unlock", f"wrong{n}")
        used = {f"replayed{n}": code(secret_of(f"replayed{n}"), step) for n in range(EACH)}
        granted = self.make(("socket", "replayed", user, typed) for user, typed in used.items())
        if any(line[2] != "granted" for line in granted):
            raise SystemExit(f"bench: a right code was refused: {granted}")
        lines = [
            (kind, cause, f"{cause}{n}", used.get(f"{cause}{n}") or self.wrong(f"{cause}{n}", step))
            for kind in KINDS for cause in REASONS for n in range(EACH) for _ in range(TRIES)
        ]
        random.shuffle(lines)
        return lines

    def lock(self):
        step = self.site.control.take_steps(4)
        self.site.control.move_clock(step)
        names = [f"locked{n}" for n in range(EACH)]
        self.make(("socket", "-", name, self.wrong(name, step)) for name in names for _ in range(FAILURES_TO_LOCK))

    def refusals(self):
        """Counts refusals by cause and reason. The log names no user that the host does not know."""
        events = [json.loads(line) for line in self.site.log().split("\n")[:-1] if line.startswith("{") and line.endswith("}")]
        causes = ("unknown" if e.get("unknown") else e.get("user", "").rstrip("0123456789") for e in events)
        return collections.Counter(zip(causes, (e.get("reason") for e in events), strict=True))

    def check_causes(self, times):
        """Every attempt was refused for its cause. Lines of the log go through a queue, and may come late."""
        expected = {(cause, reason): sum(len(times[kind][cause]) for kind in KINDS) for cause, reason in REASONS.items()}
        for _ in range(50):
            counts = self.refusals()
            if all(counts[key] == count for key, count in expected.items()):
                return
            time.sleep(0.1)
        raise SystemExit(f"bench: refused were {counts} instead of {expected}: the states were distorted")


def refusals(bench):
    random.seed(1)
    attempts = Attempts(bench)
    attempts.lock()
    times = {kind: {cause: [] for cause in REASONS} for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, cause, took in attempts.make(attempts.next_round()):
            times[kind][cause].append(int(took))
    attempts.check_causes(times)
    rows = []
    for cause in REASONS:
        tenths = [statistics.quantiles(times[kind][cause], n=10) for kind in KINDS]
        rows.append([cause, *(f"{tenth[i] / 1000:.0f}" for tenth in tenths for i in (0, 4, 8))])
    pairs, worst = [], dict.fromkeys(KINDS, 0)
    for one, other in itertools.combinations(REASONS, 2):
        cells = []
        for kind in KINDS:
            fresh, same = told_apart(times[kind][one], times[kind][other])
            worst[kind] = max(worst[kind], fresh)
            cells += [f"{fresh:.1f} %", f"{same:.1f} %"]
        pairs.append([f"{one}, {other}", *cells])
    figures = [figure(f"told right of the pair that differs most, {name}", worst[kind], "%", TARGET) for kind, name in KINDS.items()]
    head = ["cause", *(f"{name}: {part} µs" for name in KINDS.values() for part in ("p10", "median", "p90"))]
    pair_head = ["pair", *(part for name in KINDS.values() for part in (f"{name}: told right", "(same half)"))]
    return {"title": "Time of a refusal by cause", "tables": [[head, *rows], [pair_head, *pairs]], "figures": figures}
