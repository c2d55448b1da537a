"""Several totpd over one PostgreSQL, beside a bare transaction there; and a million users in it."""

from ..contender import Fleet, Shape, Sockets
from ..figure import figure
from ..postgres import BareTransactions, Database, Server, record_bytes
from ..scratch import LARGEST_STORE, MEASURED_USERS
from ..turns import in_turns, ratio, series

MOST_SERVERS = 3
ALONE = Shape(clients=1, logins=50, rounds=7, users=MEASURED_USERS)
TOGETHER = Shape(clients=64, logins=10, rounds=6)
# How far away the database is at a site, whose servers are not on its machine: 0.5 ms there and back, as in one building.
ONE_WAY_US = 250
AWAY = ", 0.5 ms away"
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


def _beside(bench, bare, sites, where):
    """One client, and 64, over one, two and three of the sites: through PAM, and at their sockets. All beside the bare transaction."""
    rows = [(sites[:n], f"{n} server{'s' if n > 1 else ''}") for n in range(1, len(sites) + 1)]
    logins = [Fleet(*row) for row in rows]
    asked = [Sockets(some, f"{name}, at the socket") for some, name in rows]
    alone = in_turns([bare, logins[0], asked[0]], bench.turns_or(15), lambda one: one.measure(ALONE))
    together = in_turns([bare, *logins, *asked], bench.turns_or(9), lambda one: one.measure(TOGETHER))
    figures, all_series = [], {}
    for clients, runs in {"one client": alone, "64 clients": together}.items():
        all_series |= {f"{name}, {clients}{where}": spreads for name, spreads in series(runs).items()}
        figures += [
            figure(f"rate of {clients}, {name} to a bare transaction{where}", ratio(runs, name, bare.name, "rate"), target=RATE_TARGET)
            for name in runs if name != bare.name
        ]
    return all_series, figures


def _sites(bench, name, first, database):
    return [bench.site(f"{name}-{n}", beside=first, database=database).start() for n in range(1, MOST_SERVERS + 1)]


def _measure(bench, server):
    stores, seconds = _stores(bench, server)
    small, large = stores.values()
    bare = BareTransactions(small.database, record_bytes(small.database), TOGETHER.clients)
    all_series, figures = {}, []
    for where, database in {"": small.database, AWAY: small.database.at_distance(ONE_WAY_US)}.items():
        sites = _sites(bench, "away" if where else "here", small, database)
        server.settle()
        more_series, more_figures = _beside(bench, bare.at(database), sites, where)
        all_series |= more_series
        figures += more_figures
        for site in sites:
            site.stop()
    thousand, million = Fleet([small.start()], "1,000 users"), Fleet([large.start()], "1,000,000 users")
    server.settle()
    sizes = in_turns([thousand, million], bench.turns_or(11), lambda one: one.measure(TOGETHER))
    figures += [
        figure("rate of 64 clients, 1,000,000 users to 1,000", ratio(sizes, million.name, thousand.name, "rate"), target=SIZE_TARGET),
        figure("bytes of a user in the database", int(large.database.sql("SELECT pg_database_size(current_database())")) / LARGEST_STORE, "B"),
        figure("time to make the store of 1,000,000 users", seconds, "s"),
    ]
    all_series |= {f"1 server, {name}, 64 clients": spreads for name, spreads in series(sizes).items()}
    return {"title": "Servers over one PostgreSQL", "series": all_series, "figures": figures}
