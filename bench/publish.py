#!/usr/bin/env python3
"""Puts a run of bench/run.py into docs/explanation/: its figures into benchmarks.md, the plot, and all of it as JSON.

usage: bench/publish.py FILE.json"""

import json
import sys
from pathlib import Path

from measure import plot, tables
from measure.scratch import ROOT

DOCS = ROOT / "docs/explanation"
BEGIN = "<!-- bench/publish.py writes from here -->\n"
END = "<!-- to here -->\n"


def about_table(about):
    """Where and when the run was made."""
    machine, build, versions = about["machine"], about["build"], about["versions"]
    load = " to ".join(str(about[key][0]) for key in ("load_at_start", "load_at_end"))
    rows = [
        ["date", about["date"]],
        ["build", f"{build['version']}, commit {build['commit']}"],
        ["machine", f"{machine['processors']} × {machine['processor']}, {machine['memory_mib'] // 1024} GiB, load {load}"],
        ["system", f"{machine['system']}, Linux {machine['kernel']}, {machine['file_system']}"],
        ["peers", f"libpam {versions['pam']}, pam_google_authenticator {versions['pam_google_authenticator']}"],
        ["size", f"totpd {build['totpd_kib'] / 1024:.1f} MiB, pam_totp.so {build['module_kib']} KiB"],
    ]
    return tables.table(["this run", ""], rows)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    result = json.loads(Path(sys.argv[1]).read_text())
    parts = [about_table(result["about"]), *(tables.case_table(case) for case in result["cases"].values())]
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        sys.exit(f"{page} has no lines {BEGIN.strip()} and {END.strip()}")
    page.write_text(before + BEGIN + "\n" + "\n".join(parts) + "\n" + END + after)
    (DOCS / "benchmarks.svg").write_text(plot.svg(result))
    (DOCS / "benchmarks.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {page}, benchmarks.svg and benchmarks.json beside it")


if __name__ == "__main__":
    main()
