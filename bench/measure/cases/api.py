"""The HTTP API: totps.authenticate with its durable write, with and without a session, and users.get."""

from ..api_site import ApiSite, BareHandler
from ..contender import BASELINE
from ..figure import figure
from ..turns import in_turns, ratio, series

HEADS = {"p10": "p10 µs", "p50": "p50 µs", "p90": "p90 µs", "p99": "p99 µs", "rate": "requests/s", "syncs_per_login": "syncs/request"}
# Connections, and requests of a run: about half a second each.
ONE = (1, 500)
MANY = (64, 2560)
READS = {1: (1, 4000), 64: (64, 20000)}
SESSION = {"session_duration_minutes": 600, "session_custom_claims": {"role": "customer"}}
RATE_TARGET = ("at least", 10_000)

KINDS = {
    "totps.authenticate, 1 connection": lambda site: site.authenticate(*ONE),
    "totps.authenticate, 64 connections": lambda site: site.authenticate(*MANY),
    "totps.authenticate with a session and its JWT, 1 connection": lambda site: site.authenticate(*ONE, **SESSION),
    "totps.authenticate with a session and its JWT, 64 connections": lambda site: site.authenticate(*MANY, **SESSION),
    "users.get, 1 connection": lambda site: site.get_users(*READS[1]),
    "users.get, 64 connections": lambda site: site.get_users(*READS[64]),
}


def api(bench):
    sites = [ApiSite(bench, "totpd", bench.build)]
    if bench.against:
        sites.append(ApiSite(bench, BASELINE, bench.against))
    bare = BareHandler(bench)
    all_series, figures = {}, []
    try:
        for kind, measure in KINDS.items():
            contenders = sites
            # What the framework and the client cost alone is measured once for each number of connections.
            if not bench.against and kind.startswith("totps.authenticate,"):
                contenders = [*sites, bare]
            runs = in_turns(contenders, bench.turns_or(9), measure)
            for name, spreads in series(runs).items():
                all_series[kind if name == "totpd" else f"{kind}: {name}"] = spreads
            if bench.against:
                figures.append(figure(f"{kind}: median, this build to the other", ratio(runs, "totpd", BASELINE, "p50")))
                figures.append(figure(f"{kind}: rate, this build to the other", ratio(runs, "totpd", BASELINE, "rate")))
    finally:
        bare.stop()
    rate = all_series["totps.authenticate, 64 connections"]["rate"]
    figures.append(figure("totps.authenticate at 64 connections", rate, "requests/s", RATE_TARGET))
    for site in sites:
        figures.append(figure(f"memory of the daemon at its start, {site.name}", site.idle_kib / 1024, "MiB"))
        figures.append(figure(f"memory after these requests, {site.name}", site.site.memory_kib()[0] / 1024, "MiB"))
    return {"title": "The HTTP API", "heads": HEADS, "series": all_series, "figures": figures}
