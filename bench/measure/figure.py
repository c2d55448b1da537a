"""A figure of a run: what it is, its value or spread, and whether it keeps its target."""

import operator

COMPARE = {"at most": operator.le, "at least": operator.ge}


def figure(what, value, unit="", target=None):
    """`value` is a number, or a spread, whose median counts. `target` is such as ("at most", 0.7)."""
    made = {"what": what, "unit": unit}
    if isinstance(value, dict):
        made |= {"value": value["median"], "spread": value}
    else:
        made |= {"value": value}
    if target:
        direction, limit = target
        made |= {"target": f"{direction} {limit:,}", "kept": bool(COMPARE[direction](made["value"], limit))}
    return made
