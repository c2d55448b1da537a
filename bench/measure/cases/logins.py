"""Logins through libpam, each with its durable write: one client, 64 clients, and 64 clients on slow disks."""

from ..contender import BASELINE, Shape
from ..figure import figure
from ..turns import in_turns, ratio, series

ALONE = Shape(clients=1, logins=50, rounds=7, users=50)
TOGETHER = Shape(clients=64, logins=10, rounds=4)
SLOW_SYNC_US = 5000
PEER = "google"
# What any daemon behind the module costs at least.
BOUND = "constant"


def _result(bench, title, runs, figures):
    """With another build its ratios are the result; without, those to the peers."""
    if bench.against:
        figures = [
            figure("median login, this build to the other", ratio(runs, "totpd", BASELINE, "p50")),
            # Where other programs run, they disturb one login in ten or more.
            figure("p10 of a login, this build to the other", ratio(runs, "totpd", BASELINE, "p10")),
            figure("p99 of a login, this build to the other", ratio(runs, "totpd", BASELINE, "p99")),
            figure("rate, this build to the other", ratio(runs, "totpd", BASELINE, "rate")),
        ]
    return {"title": title, "series": series(runs), "figures": figures}


def alone(bench):
    runs = in_turns(bench.login_contenders, bench.turns_or(21), lambda one: one.measure(ALONE))
    figures = [] if bench.against else [
        figure("median login, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "p50"), target=("at most", 0.7)),
        figure("median login, totpd to the floor", ratio(runs, "totpd", "floor", "p50"), target=("at most", 1.6)),
        figure("p10 of a login, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "p10")),
        figure("p10 of a login, totpd to the floor", ratio(runs, "totpd", "floor", "p10")),
        figure("p99 of a login, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "p99")),
        figure("median login, a daemon that decides nothing to pam_google_authenticator", ratio(runs, BOUND, PEER, "p50")),
        figure("median login, a daemon that decides nothing to the floor", ratio(runs, BOUND, "floor", "p50")),
    ]
    return _result(bench, "Logins of one client", runs, figures)


def together(bench):
    runs = in_turns(bench.login_contenders, bench.turns_or(11), lambda one: one.measure(TOGETHER))
    figures = [] if bench.against else [
        figure("rate, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "rate"), target=("at least", 4.5)),
        figure("p99 of a login, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "p99")),
        figure("rate, a daemon that decides nothing to pam_google_authenticator", ratio(runs, BOUND, PEER, "rate")),
    ]
    return _result(bench, "Logins of 64 clients", runs, figures)


def slow_disk(bench):
    """The same with syncs that take 5 ms more, as on a busy disk: what counts is how many logins share one."""

    def measure(contender):
        contender.control.slow_syncs(SLOW_SYNC_US)
        try:
            return contender.measure(TOGETHER)
        finally:
            contender.control.slow_syncs(0)

    contenders = [one for one in bench.login_contenders if one.name != "floor"]
    runs = in_turns(contenders, bench.turns_or(7), measure)
    result = series(runs)
    per_sync = {name: all_figures["syncs_per_login"] for name, all_figures in result.items()}
    figures = [] if bench.against else [
        figure("rate, totpd to pam_google_authenticator", ratio(runs, "totpd", PEER, "rate"), target=("at least", 2)),
        figure("rate, a daemon that decides nothing to pam_google_authenticator", ratio(runs, BOUND, PEER, "rate")),
    ]
    made = _result(bench, "Logins of 64 clients, syncs take 5 ms longer", runs, figures)
    for name in ("totpd", BASELINE):
        if name in per_sync:
            # A median of 1/x is the reciprocal of the median of x.
            logins = 1 / per_sync[name]["median"]
            target = ("at least", 30) if name == "totpd" else None
            made["figures"].append(figure(f"logins per sync, {name}", logins, target=target))
    return made
