"""A run as tables in Markdown."""

NAMES = {
    "google": "pam_google_authenticator",
    "constant": "a daemon that decides nothing",
    "floor": "pam_permit + fdatasync",
    "baseline": "the other build",
}
HEADS = {"p10": "p10 µs", "p50": "p50 µs", "p90": "p90 µs", "p99": "p99 µs", "rate": "logins/s", "syncs_per_login": "syncs/login"}


def number(value):
    """A number with as many digits as mean something."""
    if isinstance(value, str):
        return value
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _row(name, figures):
    cells = []
    for figure, spread in figures.items():
        middle = number(spread["median"])
        quartiles = f" ({number(spread['q1'])}–{number(spread['q3'])})" if figure in ("p50", "rate") and spread["turns"] > 1 else ""
        cells.append(middle + quartiles)
    return [NAMES.get(name, name), *cells]


def figures_table(figures):
    """Figures with their spread and target. `quartiles` are those of the turns."""
    rows = []
    for figure in figures:
        value = f"{number(figure['value'])} {figure['unit']}".strip()
        spread = figure.get("spread")
        around = f"{number(spread['q1'])}–{number(spread['q3'])} ({number(spread['min'])}–{number(spread['max'])})" if spread else ""
        kept = {True: "kept", False: "missed", None: ""}[figure.get("kept")]
        rows.append([figure["what"], value, around, figure.get("target", ""), kept])
    return table(["figure", "median", "quartiles (range)", "target", ""], rows)


def case_table(case):
    """The tables of one case, with its title."""
    parts = [f"### {case['title']}\n"]
    if case.get("series"):
        figures = list(next(iter(case["series"].values())))
        heads = case.get("heads", HEADS)
        parts.append(table(["", *(heads[figure] for figure in figures)], [_row(*one) for one in case["series"].items()]))
    parts += [table(rows[0], rows[1:]) for rows in case.get("tables", [])]
    if case.get("counts"):
        parts.append(table(["of the daemon, for one", *(NAMES.get(name, name) for name in case["counts"])], count_rows(case["counts"])))
    if case.get("figures"):
        parts.append(figures_table(case["figures"]))
    return "\n".join(parts)


def count_rows(counts):
    """A row for each count that any build has, in the order in which they are found."""
    names = dict.fromkeys(name for one in counts.values() for name in one)
    return [[name, *(number(one[name]) if name in one else "0" for one in counts.values())] for name in names]
