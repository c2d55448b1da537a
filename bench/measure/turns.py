"""Measuring in turns, and what is left of the noise: medians, quartiles and ratios within a turn.

Machines are noisy and drift. So the programs take turns, and each turn gives one ratio of what was measured within
seconds of each other; the median of the ratios counts, and its spread says how much to trust it."""

import statistics
import sys


def in_turns(contenders, turns, measure):
    """Measures each contender once in each turn, in an order that rotates. Returns the runs by name, turn by turn."""
    runs = {contender.name: [] for contender in contenders}
    for turn in range(turns):
        first = turn % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            runs[contender.name].append(measure(contender))
        if sys.stderr.isatty():
            print(f"\r  turn {turn + 1} of {turns}", end="\n" if turn + 1 == turns else "", file=sys.stderr)
    return runs


def spread(values):
    """Median, quartiles, and range."""
    values = sorted(values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "q1": low, "q3": high, "min": values[0], "max": values[-1], "turns": len(values)}


def ratio(runs, one, other, figure):
    """The spread of the ratios of one figure, turn by turn."""
    pairs = zip(runs[one], runs[other], strict=True)
    return spread([getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in pairs])


def series(runs):
    """The spread of each figure of each contender."""
    return {
        name: {figure: spread([getattr(run, figure) for run in all_runs]) for figure in all_runs[0].as_dict()}
        for name, all_runs in runs.items()
    }
