"""What one login, or one request, costs the daemon in counts, which do not drift with the machine as times do: system
calls, context switches, processor time, and instructions."""

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ..api_site import ApiSite
from ..contender import BASELINE, Shape
from ..figure import figure
from ..scratch import ROOT, run
from ..site import Site

ONE = Shape(clients=1, logins=50, rounds=8, users=50)
MANY = Shape(clients=64, logins=10, rounds=2)
REQUESTS = 1280
# Fewer than in the case `api`: the daemon answers within 10 s, also when Valgrind runs it.
CONNECTIONS = 16
# Instructions differ by less than 1 % between runs of so many.
ONE_BY_INSTRUCTIONS = Shape(clients=1, logins=50, rounds=4, users=50)
# What happens less often than this is not of the login.
RARE = 0.05
# Valgrind runs a program about 50 times slower, and translates each part of it at first.
VALGRIND_START_SECONDS = 120
COMPARED = ["instructions", "wake-ups (voluntary context switches)", "all system calls"]


@dataclass(frozen=True)
class Workload:
    """Something that a site is made to do `count` times by each call of `act`."""

    site: Site
    act: Callable[[], object]
    count: int


def _logins(contender, shape):
    return Workload(contender.site, lambda: contender.measure(shape), shape.total)


def _workloads(contender, api):
    """The workloads whose system calls are counted, and those whose instructions are. `api` may be None."""
    works = {
        "login, one client": (_logins(contender, ONE), _logins(contender, ONE_BY_INSTRUCTIONS)),
        "login, 64 clients": (_logins(contender, MANY), _logins(contender, MANY)),
    }
    if api:
        requests = Workload(api.site, lambda: api.authenticate(CONNECTIONS, REQUESTS), REQUESTS)
        works[f"totps.authenticate, {CONNECTIONS} connections"] = (requests, requests)
    return works


def _threads(pid):
    return list(Path(f"/proc/{pid}/task").iterdir())


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
    """Processor time so far, in user and kernel mode, in microseconds (/proc/PID/schedstat: nanoseconds)."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in _threads(pid)) / 1000


def _system_calls(work):
    """Calls of each kind, by strace."""
    output = work.site.folder / "calls"
    words = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(output), "-p", str(work.site.pid)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    time.sleep(1)  # until it is attached to every thread
    work.act()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(60)
    found = re.findall(r"^(\w+)\s+(\d+)$", output.read_text(), flags=re.M)
    calls = {name: int(count) / work.count for name, count in found if name != "total"}
    if not calls:
        raise SystemExit(f"bench: strace counted nothing:\n{output.read_text()}")
    return {"all system calls": sum(calls.values())} | {name: count for name, count in calls.items() if count > RARE}


def _instructions(site, works):
    """Instructions of each of these workloads of a site, by callgrind. Restarts the daemon, twice."""
    site.stop()
    profile = site.folder / "callgrind"
    wrapper = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--quiet"]
    site.start(*wrapper, patience=VALGRIND_START_SECONDS)
    found = {}
    for name, work in works.items():
        work.act()
        run("vgdb", f"--pid={site.pid}", "zero", stderr=subprocess.DEVNULL)
        work.act()
        run("vgdb", f"--pid={site.pid}", "dump", stderr=subprocess.DEVNULL)
        dumped = max(site.folder.glob("callgrind*"), key=lambda file: file.stat().st_mtime)
        total = re.search(r"^(?:totals|summary): (\d+)", dumped.read_text(), flags=re.M)
        found[name] = int(total[1]) / work.count
        _keep(dumped, f"callgrind-{site.name}-{re.sub('[^a-z0-9]+', '-', name)}")
    site.stop()
    site.start()
    return found


def _keep(profile, name):
    """Keeps a profile for callgrind_annotate(1)."""
    folder = ROOT / "target/bench"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(profile, folder / name)


def _count(work):
    """Counts of one workload, but its instructions."""
    pid = work.site.pid
    work.act()
    switches, processor = _switches(pid), _processor_us(pid)
    for _ in range(3):
        work.act()
    waits, preemptions = (after - before for after, before in zip(_switches(pid), switches, strict=True))
    processor = _processor_us(pid) - processor
    return {
        "processor time, µs": processor / (3 * work.count),
        "wake-ups (voluntary context switches)": waits / (3 * work.count),
        "preemptions": preemptions / (3 * work.count),
        **_system_calls(work),
    }


def _of_build(contender, api):
    """All counts of one build, by workload."""
    workloads = _workloads(contender, api)
    counted = {name: _count(work) for name, (work, _) in workloads.items()}
    instructions = {}
    for site in {work.site for work, _ in workloads.values()}:
        instructions |= _instructions(site, {name: work for name, (_, work) in workloads.items() if work.site is site})
    return {name: {"instructions": instructions[name], **counts} for name, counts in counted.items()}


def counts(bench):
    with_api = bench.tool("bench_http")
    if not with_api:
        print("bench_http is not built: requests of the API are not counted", file=sys.stderr)
    builds = {"totpd": bench.build} | ({BASELINE: bench.against} if bench.against else {})
    found = {}
    for contender, (name, build) in zip(bench.totpds, builds.items(), strict=True):
        found[name] = _of_build(contender, ApiSite(bench, f"counts-{name}", build) if with_api else None)
    figures = [
        figure(f"{name}, {workload}: this build to the other", found["totpd"][workload][name] / found[BASELINE][workload][name])
        for workload in found["totpd"] for name in COMPARED if bench.against
    ]
    columns = {
        workload + (": the other build" if build == BASELINE else ""): counted
        for workload in found["totpd"] for build, by_workload in found.items() for counted in [by_workload[workload]]
    }
    return {"title": "What one login or request costs the daemon", "counts": columns, "figures": figures}
