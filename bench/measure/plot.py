"""A run as a plot: panels of bars in one SVG, which is readable on light and on dark pages."""

from html import escape

from .tables import NAMES, number

WIDTH = 760
LEFT = 250  # where bars begin
RIGHT = 90  # room for the value behind the longest one
BAR = 16
LINE = 24
TITLE = 40

STYLE = """
  svg { color-scheme: light dark; }
  .page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; } .bar { fill: #9aa4b0; }
  .ours { fill: #2f6fde; } .spread { stroke: #1f2328; stroke-width: 1.5; }
  text { font: 13px system-ui, sans-serif; } .title { font-weight: 600; font-size: 14px; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #e6edf3; } .faint { fill: #9198a1; } .bar { fill: #59636e; }
    .ours { fill: #4c8dff; } .spread { stroke: #e6edf3; }
  }
"""


def _bars(case, figure, names=None):
    """A bar for each of these contenders: its label, its spread, and whether it is ours."""
    found = case["series"]
    return [(NAMES.get(name, name), found[name][figure]) for name in names or found if name in found]


def _panels(cases):
    """The panels of a run: title, unit, bars."""
    if "alone" in cases:
        yield "Login, one client", "µs (median)", _bars(cases["alone"], "p50", ["floor", "constant", "totpd", "google"])
    if "together" in cases:
        yield "Logins, 64 clients", "logins/s", _bars(cases["together"], "rate", ["constant", "totpd", "google"])
    if "slow-disk" in cases:
        yield "Logins, 64 clients, syncs take 5 ms longer", "logins/s", _bars(cases["slow-disk"], "rate", ["constant", "totpd", "google"])
    if "users" in cases:
        names = [name for name in cases["users"]["series"] if name.endswith("one client")]
        bars = _bars(cases["users"], "p50", names)
        yield "Login of totpd by number of users, one client", "µs (median)", [(name.removesuffix(", one client"), spread) for name, spread in bars]
    if "api" in cases:
        names = [name for name in cases["api"]["series"] if name.endswith("64 connections")]
        bars = _bars(cases["api"], "rate", names)
        shorter = [(name.removesuffix(", 64 connections").replace(" with a session and its JWT", " with a JWT"), spread) for name, spread in bars]
        yield "HTTP API of totpd, 64 connections", "requests/s", shorter
    if "memory" in cases:
        points = cases["memory"]["points"]
        bars = [(f"after {logins:,} logins", {"median": mib}) for logins, mib in zip(points["logins"], points["mib"], strict=True)]
        yield "Memory of totpd", "MiB", [bars[0], bars[len(bars) // 2], bars[-1]]


def _panel(title, unit, bars, top):
    """The SVG of one panel, and its height."""
    peers = any(name == NAMES["google"] for name, _ in bars)
    longest = max(spread.get("q3", spread["median"]) for _, spread in bars)
    scale = (WIDTH - LEFT - RIGHT) / longest
    lines = [
        f'<text class="text title" x="16" y="{top + 24}">{escape(title)}</text>',
        f'<text class="faint" x="{WIDTH - 16}" y="{top + 24}" text-anchor="end">{escape(unit)}</text>',
    ]
    for row, (name, spread) in enumerate(bars):
        y = top + TITLE + row * LINE
        ours = "ours" if name == "totpd" or not peers else "bar"
        width = spread["median"] * scale
        end = LEFT + max(width, spread.get("q3", 0) * scale) + 8
        middle = y + BAR / 2
        lines += [
            f'<text class="text" x="{LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{ours}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>',
            f'<text class="text" x="{end:.1f}" y="{y + 12}">{number(spread["median"])}</text>',
        ]
        if spread.get("turns", 1) > 1:
            low, high = (LEFT + spread[part] * scale for part in ("q1", "q3"))
            lines.append(f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>')
            lines += [f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 4}" y2="{middle + 4}"/>' for x in (low, high)]
    return lines, TITLE + len(bars) * LINE + 12


def svg(result):
    """The plot of a run."""
    body, top = [], 4
    for title, unit, bars in _panels(result["cases"]):
        lines, height = _panel(title, unit, bars, top)
        body += lines
        top += height
    about = result["about"]
    note = f"{about['date'][:10]}, {about['machine']['processors']} processors. Lines across the ends of bars: quartiles of the turns."
    body.append(f'<text class="faint" x="16" y="{top + 16}">{escape(note)}</text>')
    top += 30
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" role="img">'
    title = "<title>What a login costs: medians and quartiles</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", f'<rect class="page" width="{WIDTH}" height="{top}"/>', *body, "</svg>\n"])
