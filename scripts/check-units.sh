#!/bin/sh
# The systemd units are valid, and the services are sandboxed. For unknown keys and wrong values systemd-analyze exits
# with 0 and only prints them: so any output is a failure.
set -eu
cd "$(dirname "$0")/.."
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
fail() { echo "check-units: $1" >&2; exit 1; }
for unit in config/systemd/*.service config/systemd/*.socket config/systemd/*.timer; do
    [ -e "$unit" ] || continue
    # The program does not have to be installed on this machine.
    sed 's|/usr/bin/totpd|/bin/true|' "$unit" > "$units/$(basename "$unit")"
done
said=$(systemd-analyze verify --man=no --recursive-errors=no "$units"/* 2>&1) || true
[ -z "$said" ] || fail "$said"
# A running daemon cannot take a new socket: a restart of it has to start the socket first.
grep -q '^WantedBy=.*totpd.service' config/systemd/totpd-http.socket ||
    fail "totpd-http.socket is not started with totpd.service"
# A start or trigger limit would stop the sockets for good.
grep -q '^StartLimitIntervalSec=0$' config/systemd/totpd.service || fail "totpd.service limits its starts"
for socket in config/systemd/*.socket; do
    grep -q '^TriggerLimitIntervalSec=0$' "$socket" || fail "$socket limits its triggers"
done
# The daemon sees the mounts of the host as they are now.
! grep -q '^StateDirectory=' config/systemd/totpd.service ||
    fail "totpd.service has a mount of its own of its state folder, and would serve a store that the host has unmounted"

# exposed UNIT TENTHS
exposed() {
    systemd-analyze security --offline=true --threshold="$2" "$1" > "$units/report" ||
        { cat "$units/report" >&2; fail "$1 is more exposed than $2 tenths of 10"; }
    tail -n 1 "$units/report" | sed 's/.*service: //; s/ [A-Z].*//'
}
daemon=$(exposed "$units/totpd.service" 6)
# With the drop-in for the network. systemd-analyze reads no drop-ins of a file: their lines are put where they would count.
mkdir "$units/open"
sed '/^\[Install\]/,$d' "$units/totpd.service" > "$units/open/totpd.service"
grep -v '^\[' config/totpd.service.d/network.conf >> "$units/open/totpd.service"
network=$(exposed "$units/open/totpd.service" 15)
init=$(exposed "$units/totpd-init.service" 30)
doctor=$(exposed "$units/totpd-doctor.service" 20)
echo "units: valid; of 10 exposed are totpd.service $daemon ($network with the network), totpd-init.service $init, totpd-doctor.service $doctor"
