#!/usr/bin/env python3
"""The licences of the libraries that are linked into totpd and its module: to target/third-party.

Read from the sources that cargo unpacked; a text that several libraries share is there once. Two runs of one Cargo.lock
give the same bytes."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def linked():
    """Package ids that normal dependencies of our two binaries reach."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [key for key, package in packages.items() if package["name"] in ("totpd", "pam_totp")]
    found = set()
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        for dependency in nodes[key]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted((packages[key] for key in found if packages[key]["source"]), key=lambda p: (p["name"], p["version"]))


def main():
    texts = {}
    lines = ["Libraries that are linked into totpd and pam_totp.so, and their licences.", ""]
    lacking = []
    for package in linked():
        name = f"{package['name']} {package['version']}"
        lines.append(f"{name}: {package['license'] or 'see its text'}")
        folder = pathlib.Path(package["manifest_path"]).parent
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name.upper().startswith(NAMES)]
        if not files:
            lacking.append(name)
        for file in files:
            texts.setdefault(file.read_text(errors="replace").strip(), []).append(name)
    lines += ["", "Without a text of their own, under the licences named above: " + ", ".join(lacking) + "."]
    for text, names in sorted(texts.items(), key=lambda item: item[1]):
        lines += ["", "-" * 80, ", ".join(dict.fromkeys(names)), "-" * 80, "", text]
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/third-party")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


main()
