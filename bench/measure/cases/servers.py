"""Several totpd over one PostgreSQL, beside a bare transaction there; and a million users in it."""

from ..contender import Fleet, Shape
from ..figure import figure
from ..postgres import BareTransactions, Database, Server, record_bytes
from ..scratch import LARGEST_STORE, MEASURED_USERS
from ..turns import in_turns, ratio, series

MOST_SERVERS = 3
ALONE = Shape(clients=1, logins=50, rounds=7, users=MEASURED_USERS)
TOGETHER = Shape(clients=64, logins=10, rounds=6)
# A login reads its record twice, and a bare transaction once: only the commits are alike.
RATE_TARGET = ("at least", 0.7)
STORES = {"1,000 users": 1000, "1,000,000 users": LARGEST_STORE}
SIZE_TARGET = ("at least", 0.95)


def _stores(bench, server):
    """A site over each of two stores of different sizes, and the seconds that the larger one took to make."""
    sites, seconds = {}, 0
    for number, (name, size) in enumerate(STORES.items()):
        database = Database(server, f"store_{number}")
        sites[name] = bench.site(f"postgres-{number}", database=database)
        seconds = sites[name].generate_users(size, MEASURED_USERS)
        # As autovacuum(8) would do in time.
        database.sql("VACUUM ANALYZE")
    return sites, seconds


def servers(bench):
    server = Server(bench.scratch)
    others = list(bench.sites)
    try:
        return _measure(bench, server)
    finally:
        for site in bench.sites:
            if site not in others:
                site.stop()
        server.stop()


def _measure(bench, server):
    stores, seconds = _stores(bench, server)
    small, large = stores.values()
    sites = [small.start(), *(bench.site(f"server-{n}", beside=small).start() for n in range(2, MOST_SERVERS + 1))]
    fleets = [Fleet(sites[:n], f"{n} server{'s' if n > 1 else ''}") for n in range(1, MOST_SERVERS + 1)]
    bare = BareTransactions(small.database, record_bytes(small.database), TOGETHER.clients)
    million = Fleet([large.start()], "1,000,000 users")
    server.settle()
    alone = in_turns([bare, fleets[0]], bench.turns_or(15), lambda one: one.measure(ALONE))
    together = in_turns([bare, *fleets], bench.turns_or(9), lambda one: one.measure(TOGETHER))
    thousand = Fleet([small], "1,000 users")
    sizes = in_turns([thousand, million], bench.turns_or(11), lambda one: one.measure(TOGETHER))
    figures = [
        figure("rate of one client, 1 server to a bare transaction", ratio(alone, fleets[0].name, bare.name, "rate"), target=RATE_TARGET),
        *(
            figure(f"rate of 64 clients, {fleet.name} to a bare transaction", ratio(together, fleet.name, bare.name, "rate"), target=RATE_TARGET)
            for fleet in fleets
        ),
        figure("rate of 64 clients, 1,000,000 users to 1,000", ratio(sizes, million.name, thousand.name, "rate"), target=SIZE_TARGET),
        figure("bytes of a user in the database", int(large.database.sql("SELECT pg_database_size(current_database())")) / LARGEST_STORE, "B"),
        figure("time to make the store of 1,000,000 users", seconds, "s"),
    ]
    all_series = {f"{name}, one client": spreads for name, spreads in series(alone).items()}
    all_series |= {f"{name}, 64 clients": spreads for name, spreads in series(together).items()}
    all_series |= {f"1 server, {name}, 64 clients": spreads for name, spreads in series(sizes).items()}
    return {"title": "Servers over one PostgreSQL", "series": all_series, "figures": figures}
