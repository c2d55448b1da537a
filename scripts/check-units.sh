#!/bin/sh
# The systemd units are valid and the service is shut in. systemd-analyze exits 0 for unknown keys and bad
# values and only prints them: any output fails.
set -eu
cd "$(dirname "$0")/.."
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
for unit in totpd.service totpd.socket totpd-root.socket totpd-admin.socket totpd-http.socket; do
    # The program need not be installed where this runs.
    sed 's|/usr/bin/totpd|/bin/true|' "config/systemd/$unit" > "$units/$unit"
done
said=$(systemd-analyze verify --man=no --recursive-errors=no "$units"/* 2>&1) || true
[ -z "$said" ] || { echo "check-units: $said" >&2; exit 1; }
# A socket cannot be added to a daemon that runs: a restart of it has to start the socket first.
grep -q '^WantedBy=.*totpd.service' config/systemd/totpd-http.socket ||
    { echo "check-units: totpd-http.socket is not started with totpd.service" >&2; exit 1; }
systemd-analyze security --offline=true --threshold=10 config/systemd/totpd.service > "$units/report" ||
    { cat "$units/report" >&2; echo "check-units: the service is more exposed than 1.0 of 10" >&2; exit 1; }
echo "units: valid, $(tail -n 1 "$units/report" | sed 's/.*service: //; s/ [A-Z].*//') of 10 exposed"
