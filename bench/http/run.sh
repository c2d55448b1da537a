#!/bin/bash
# totps.authenticate over HTTP with its durable write, at 1 and 64 connections, beside a bare axum handler that
# returns a constant, by the same client in the same run; and the daemon's memory with 10,000 open sessions.
# Prints a table; docs/explanation/benchmarks.md keeps one.
set -euo pipefail
cd "$(dirname "$0")/../.."

S=/var/lib/totpd-bench-http
rm -rf $S; mkdir -p $S
daemon=; bare=
trap 'kill $daemon $bare 2>/dev/null || true; wait 2>/dev/null || true; rm -rf $S' EXIT

USERS=640; TURNS=5; SESSIONS=10000
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
PORT=$(free); BARE=$(free)
gcc -O2 -shared -fPIC -o $S/faults.so tests/native/faults.c
head -c 32 /dev/zero > $S/control
set_word() { python3 -c "f=open('$S/control','r+b'); f.seek($1*8); f.write(int($2).to_bytes(8,'little',signed=True))"; }

cat > $S/totpd.toml <<TOML
login_socket = "$S/run/login.sock"
admin_socket = "$S/run/admin.sock"
state_dir = "$S/state"
witness_dir = "$S/witness"
[http]
listen = "127.0.0.1:$PORT"
requests_per_minute = 100000000
TOML
totpd() { target/release/totpd --config $S/totpd.toml "$@"; }
tool() { target/release/bench_http "$@"; }
totpd -q init
LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control target/release/totpd --config $S/totpd.toml serve 2> $S/daemon.log & daemon=$!
target/release/bench_http bare $BARE > /dev/null & bare=$!
for _ in $(seq 100); do totpd status 2>/dev/null | grep -q 'answers on' && break; sleep 0.1; done
totpd status | grep -q 'answers on'
rss() { awk '/VmRSS/ {print $2}' /proc/$daemon/status; }
sleep 1; idle=$(rss)
credentials=$(totpd client add bench --scope enroll --json |
    python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["project_id"] + ":" + d["secret"])')
tool enroll $PORT "$credentials" $USERS > $S/users

step=$(( $(date +%s) / 30 + 10 ))
# The bodies of one round in $S/bodies, a code of the next step for each user; the daemon's clock is moved there.
next() { # users more-json
    step=$((step + 1))
    set_word 0 $((step * 30 + 10 - $(date +%s)))
    head -n "$1" $S/users | while read -r user secret; do
        printf '{"user_id":"%s","totp_code":"%s"%s}\n' "$user" "$(oathtool --totp -b -N "@$((step * 30 + 10))" "$secret")" "$2"
    done > $S/bodies
}
row() { printf '| %s | %s | %s | %s | %s |\n' "$1" $2; }
field() { cut -d' ' -f"$1" <<< "$line"; }
ratio() { python3 -c "print(f'{$1 / $2:.2f}')"; }
median() { printf '%s\n' "$@" | sort -n | sed -n "$(( ($# + 1) / 2 ))p"; }
table() { echo; echo "| $1 | p50 µs | p99 µs | requests/s | failed |"; echo "| --- | --- | --- | --- | --- |"; }

next $USERS ""; tool load $PORT "$credentials" 1 < $S/bodies > /dev/null   # confirms everybody
for connections in 1 64; do
    table "$connections connection$([ $connections = 1 ] || echo s)"
    slower=(); fewer=()
    for ((turn = 1; turn <= TURNS; turn++)); do
        next $USERS ""
        line=$(tool load $PORT "$credentials" $connections < $S/bodies); row "totpd ($turn)" "$line"
        p50=$(field 1); rate=$(field 3)
        line=$(tool load $BARE "$credentials" $connections < $S/bodies); row "a constant ($turn)" "$line"
        slower+=("$(ratio "$p50" "$(field 1)")"); fewer+=("$(ratio "$rate" "$(field 3)")")
    done
    eval "slower$connections='$(median "${slower[@]}") (of ${slower[*]})' fewer$connections='$(median "${fewer[@]}") (of ${fewer[*]})'"
done
set_word 1 5000
next $USERS ""; line=$(tool load $PORT "$credentials" 64 < $S/bodies)
table "64 connections, syncs take 5 ms"; row totpd "$line"
set_word 1 0
before=$(rss)
for ((made = 0; made < SESSIONS; made += USERS)); do
    next $USERS ',"session_duration_minutes":600,"session_custom_claims":{"role":"customer"}'
    line=$(tool load $PORT "$credentials" 64 < $S/bodies)
done
table "64 connections, with a session and its JWT"; row totpd "$line"
# What another client waits for while one floods with signatures.
next 1 ',"session_duration_minutes":600'
token=$(curl -s -u "$credentials" "http://127.0.0.1:$PORT/v1/totps/authenticate" -d @$S/bodies |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["session_token"])')
other=$(totpd client add neighbour --scope verify --json |
    python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["project_id"] + ":" + d["secret"])')
read -r user _ < $S/users
line=$(tool neighbour $PORT "$credentials" "$other" 250 /v1/sessions/authenticate "{\"session_token\":\"$token\"}" "$user")
echo; echo "| users.get of one client | p50 µs | p99 µs |"; echo "| --- | --- | --- |"
echo "| alone | $(field 1) | $(field 2) |"; echo "| beside 250 connections of sessions.authenticate of another | $(field 3) | $(field 4) |"
cat <<TABLE

| figure | measured |
| --- | --- |
| median answer at 1 connection, totpd to a constant | $slower1 |
| median answer at 64 connections, totpd to a constant | $slower64 |
| rate at 1 connection, totpd to a constant | $fewer1 |
| rate at 64 connections, totpd to a constant | $fewer64 |
| RSS idle, before and with $made open sessions | $((idle / 1024)), $((before / 1024)) and $(($(rss) / 1024)) MiB |
TABLE
grep -v '^{' $S/daemon.log >&2 || true
