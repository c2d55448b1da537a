"""What one login costs the daemon in counts, which do not drift with the machine as times do: system calls, context
switches, processor time, and instructions."""

import re
import signal
import subprocess
import time
from pathlib import Path

from ..contender import BASELINE, Shape
from ..figure import figure
from ..scratch import run

SHAPE = Shape(clients=1, logins=50, rounds=8, users=50)
# What happens less often than this is not of the login.
RARE = 0.25
# Valgrind runs a program about 50 times slower, and translates each part of it at first.
VALGRIND_START_SECONDS = 120
VALGRIND_SHAPE = Shape(clients=1, logins=50, rounds=4, users=50)


def _threads(pid):
    return [thread for thread in Path(f"/proc/{pid}/task").iterdir()]


def _switches(pid):
    """Context switches so far: those of threads that waited (each a wake-up), and those that were preempted."""
    kinds = {"voluntary_ctxt_switches": 0, "nonvoluntary_ctxt_switches": 0}
    for thread in _threads(pid):
        for line in (thread / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in kinds:
                kinds[name] += int(value)
    return list(kinds.values())


def _processor_us(pid):
    """Processor time so far, in user and kernel mode, in microseconds (proc_pid_schedstat: nanoseconds)."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in _threads(pid)) / 1000


def _system_calls(contender):
    """Calls of each kind in one login, by strace."""
    output = contender.scratch.folder / "calls"
    words = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(output), "-p", str(contender.site.pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    time.sleep(1)  # until it is attached to every thread
    contender.measure(SHAPE)
    tracer.send_signal(signal.SIGINT)
    tracer.wait(60)
    found = re.findall(r"^(\w+)\s+(\d+)$", output.read_text(), flags=re.M)
    calls = {name: int(count) / SHAPE.total for name, count in found if name != "total"}
    calls = {name: count for name, count in calls.items() if count > RARE}
    if not calls:
        raise SystemExit(f"bench: strace counted nothing:\n{output.read_text()}")
    return calls


def instructions(contender):
    """Instructions of the daemon in one login, by callgrind. Restarts the daemon, twice."""
    site = contender.site
    site.stop()
    profile = contender.scratch.folder / f"callgrind-{contender.name}"
    wrapper = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--quiet"]
    site.start(*wrapper, patience=VALGRIND_START_SECONDS)
    contender.measure(VALGRIND_SHAPE)
    run("vgdb", f"--pid={site.pid}", "zero", stderr=subprocess.DEVNULL)
    contender.measure(VALGRIND_SHAPE)
    run("vgdb", f"--pid={site.pid}", "dump", stderr=subprocess.DEVNULL)
    dumped = max(profile.parent.glob(f"{profile.name}*"), key=lambda file: file.stat().st_mtime)
    total = re.search(r"^(?:totals|summary): (\d+)", dumped.read_text(), flags=re.M)
    site.stop()
    site.start()
    return int(total[1]) / VALGRIND_SHAPE.total


def _counts(contender):
    pid = contender.site.pid
    contender.measure(SHAPE)
    switches, processor = _switches(pid), _processor_us(pid)
    for _ in range(3):
        contender.measure(SHAPE)
    waits, preemptions = (after - before for after, before in zip(_switches(pid), switches, strict=True))
    processor = _processor_us(pid) - processor
    logins = 3 * SHAPE.total
    calls = _system_calls(contender)
    return {
        "instructions": instructions(contender),
        "processor time, µs": processor / logins,
        "wake-ups (voluntary context switches)": waits / logins,
        "preemptions": preemptions / logins,
        "all system calls": sum(calls.values()),
        **calls,
    }


def counts(bench):
    contenders = [bench.totpd, bench.other] if bench.against else [bench.totpd]
    found = {contender.name: _counts(contender) for contender in contenders}
    figures = []
    if bench.against:
        for name in ["instructions", "wake-ups (voluntary context switches)", "all system calls"]:
            figures.append(figure(f"{name}, this build to the other", found["totpd"][name] / found[BASELINE][name]))
    return {"title": "What one login costs the daemon", "counts": found, "figures": figures}
