"""Memory: a daemon that has just started, and the same over 50,000 logins, or a million (--long)."""

from ..contender import Shape
from ..figure import figure
from ..scratch import MEASURED_USERS
from ..tables import NAMES
from ..turns import spread

IDLE_MIB = ("at most", 12)
# Between the first and the last tenth of the logins. An allocator keeps a page here and there.
GROWTH_MIB = ("at most", 0.5)
LOGINS = 50_000
LONG_LOGINS = 1_000_000
PARTS = 10
CLIENTS = 64


def _shape(logins):
    """A tenth of the logins."""
    return Shape(CLIENTS, MEASURED_USERS // CLIENTS, -(-logins // PARTS // MEASURED_USERS), warm=0)


def _of(contender, shape):
    """The points and figures of one daemon. Restarts it, so that its memory is not that of the cases before."""
    contender.site.stop()
    contender.site.start()
    idle, _ = contender.site.memory_kib()
    own = contender.site.own_memory_kib()
    after, rates = [], []
    for _ in range(PARTS):
        rates.append(contender.measure(shape).rate)
        after.append(contender.site.memory_kib()[0] / 1024)
    _, most = contender.site.memory_kib()
    name = f", {NAMES[contender.name]}" if contender.name in NAMES else ""
    return after, [
        figure(f"memory of the daemon at its start{name}", idle / 1024, "MiB", IDLE_MIB),
        figure(f"of it the daemon's own, without the mapped program{name}", own / 1024, "MiB"),
        figure(f"memory after {shape.total:,} logins{name}", after[0], "MiB"),
        figure(f"memory after {shape.total * PARTS:,} logins{name}", after[-1], "MiB"),
        figure(f"growth from the first tenth of the logins to the last{name}", after[-1] - after[0], "MiB", GROWTH_MIB),
        figure(f"highest memory{name}", most / 1024, "MiB"),
        figure(f"rate{name}", spread(rates), "logins/s"),
    ]


def memory(bench):
    shape = _shape(LONG_LOGINS if bench.long else LOGINS)
    found = {contender.name: _of(contender, shape) for contender in bench.totpds}
    return {
        "title": f"Memory over {shape.total * PARTS:,} logins",
        "points": {"logins": [shape.total * (n + 1) for n in range(PARTS)], "mib": found["totpd"][0]},
        "figures": [made for _, figures in found.values() for made in figures],
    }
