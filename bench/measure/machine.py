"""What is known of the machine and of the versions that a run measured."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

from .scratch import FOLDER, ROOT


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else None


def _first(file, key, separator=":"):
    """The value of the first line with this key."""
    lines = (line.split(separator, 1) for line in Path(file).read_text().splitlines() if separator in line)
    return next((value.strip().strip('"') for name, value in lines if name.strip() == key), "unknown")


def load():
    return [round(value, 2) for value in os.getloadavg()]


def _build(folder):
    """What a build is: its folder, what the program says of itself, and its size."""
    folder = Path(folder).resolve()
    return {
        "folder": str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else folder.name,
        "commit": _output("git", "-C", str(folder.parent), "describe", "--always", "--dirty", "--abbrev=9"),
        "version": _output(str(folder / "totpd"), "--version"),
        "totpd_kib": (folder / "totpd").stat().st_size // 1024,
        "module_kib": (folder / "libpam_totp.so").stat().st_size // 1024,
    }


def describe(given):
    file_system = _output("stat", "-f", "-c", "%T", str(FOLDER.parent))
    package = "${Version}"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "build": _build(given.build),
        "against": _build(given.against) if given.against else None,
        "machine": {
            "processor": _first("/proc/cpuinfo", "model name"),
            "processors": os.cpu_count(),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
            "kernel": platform.release(),
            "system": _first("/etc/os-release", "PRETTY_NAME", "="),
            "file_system": file_system,
        },
        "versions": {
            "pam": _output("dpkg-query", "-W", "-f", package, "libpam0g"),
            "pam_google_authenticator": _output("dpkg-query", "-W", "-f", package, "libpam-google-authenticator"),
        },
        "load_at_start": load(),
    }
