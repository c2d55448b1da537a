"""The number of users: stores of 1, 1,000 and 1,000,000 users take turns."""

from ..contender import Shape, Totpd
from ..figure import figure
from ..scratch import LARGEST_STORE, MEASURED_USERS
from ..turns import in_turns, ratio, series

# Users of the store, and how many of them log in. They are spread over the whole store.
STORES = {"1 user": (1, 1), "1,000 users": (1000, MEASURED_USERS), "1,000,000 users": (LARGEST_STORE, MEASURED_USERS)}
# One login in a time step: more often one user alone cannot log in, and all stores are asked alike.
ROUNDS, WARM = 150, 20
TOGETHER = Shape(clients=64, logins=10, rounds=4)
TARGET = ("at most", 1.05)


def _contender(bench, name, number):
    size, measured = STORES[name]
    site = bench.site(f"store-{number}")
    seconds = site.generate_users(size, measured)
    contender = Totpd(site.start(), name)
    contender.seconds, contender.measured = seconds, measured
    return contender


def users(bench):
    contenders = [_contender(bench, name, number) for number, name in enumerate(STORES)]
    shapes = {one.name: Shape(clients=1, logins=1, rounds=ROUNDS, warm=WARM, users=one.measured) for one in contenders}
    alone = in_turns(contenders, bench.turns_or(21), lambda one: one.measure(shapes[one.name]))
    together = in_turns(contenders[1:], bench.turns_or(9), lambda one: one.measure(TOGETHER))
    one, thousand, million = STORES
    figures = [
        figure("median login of one client, 1,000,000 users to 1", ratio(alone, million, one, "p50"), target=TARGET),
        figure("median login of one client, 1,000 users to 1", ratio(alone, thousand, one, "p50")),
        figure("rate of 64 clients, 1,000,000 users to 1,000", ratio(together, million, thousand, "rate")),
        *(figure(f"memory of the daemon, {one.name}", one.site.memory_kib()[0] / 1024, "MiB") for one in contenders),
        figure("time to make the store of 1,000,000 users", contenders[-1].seconds, "s"),
    ]
    all_series = {f"{name}, one client": spreads for name, spreads in series(alone).items()}
    all_series |= {f"{name}, 64 clients": spreads for name, spreads in series(together).items()}
    return {"title": "The number of users", "series": all_series, "figures": figures}
