#!/bin/bash
# Measures totps.authenticate over HTTP with its durable write, at 1 and 64 connections, beside a bare axum handler that
# returns a constant, with the same client in the same run; and the daemon's memory with 10,000 open sessions.
# Prints tables; docs/explanation/benchmarks.md keeps one run.
set -euo pipefail
cd "$(dirname "$0")/../.."

. bench/lib.sh
set_up totpd-bench-http

USERS=640; PAIRS=5; SESSIONS=10000
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
PORT=$(free); BARE=$(free)

start_daemon <<TOML
[http]
listen = "127.0.0.1:$PORT"
requests_per_minute = 100000000
TOML
tool() { target/release/bench_http "$@"; }
target/release/bench_http bare $BARE > /dev/null & helpers+=($!)
for _ in $(seq 100); do totpd status 2>/dev/null | grep -q 'answers on' && break; sleep 0.1; done
totpd status | grep -q 'answers on'
sleep 1; idle=$(rss)
credentials=$(totpd client add bench --scope enroll --json |
    python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["project_id"] + ":" + d["secret"])')
tool enroll $PORT "$credentials" $USERS > $S/users

step=$(( $(date +%s) / 30 + 10 ))
# Writes the bodies of one round to $S/bodies, each with a code of the next time step, and moves the daemon's clock there.
next() { # users more-json
    step=$((step + 1))
    set_word 0 $((step * 30 + 10 - $(date +%s)))
    head -n "$1" $S/users | while read -r user secret; do
        printf '{"user_id":"%s","totp_code":"%s"%s}\n' "$user" "$(oathtool --totp -b -N "@$((step * 30 + 10))" "$secret")" "$2"
    done > $S/bodies
}
request_table() { head_row "$1" "p50 µs" "p99 µs" "requests/s" "failed"; }

next $USERS ""; tool load $PORT "$credentials" 1 < $S/bodies > /dev/null   # confirms every factor
for connections in 1 64; do
    request_table "$connections connection$([ $connections = 1 ] || echo s)"
    slower=(); fewer=()
    for ((pair = 1; pair <= PAIRS; pair++)); do
        next $USERS ""
        line=$(tool load $PORT "$credentials" $connections < $S/bodies); row "totpd ($pair)" $line
        p50=$(field 1); rate=$(field 3)
        line=$(tool load $BARE "$credentials" $connections < $S/bodies); row "a constant ($pair)" $line
        slower+=("$(ratio "$p50" "$(field 1)")"); fewer+=("$(ratio "$rate" "$(field 3)")")
    done
    eval "slower$connections='$(median "${slower[@]}") (of ${slower[*]})' fewer$connections='$(median "${fewer[@]}") (of ${fewer[*]})'"
done
set_word 1 5000
next $USERS ""; line=$(tool load $PORT "$credentials" 64 < $S/bodies)
request_table "64 connections, syncs take 5 ms"; row totpd $line
set_word 1 0
before=$(rss)
for ((made = 0; made < SESSIONS; made += USERS)); do
    next $USERS ',"session_duration_minutes":600,"session_custom_claims":{"role":"customer"}'
    line=$(tool load $PORT "$credentials" 64 < $S/bodies)
done
request_table "64 connections, with a session and its JWT"; row totpd $line
# The latency of one client while another one floods the daemon with signatures.
next 1 ',"session_duration_minutes":600'
token=$(curl -s -u "$credentials" "http://127.0.0.1:$PORT/v1/totps/authenticate" -d @$S/bodies |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["session_token"])')
other=$(totpd client add neighbour --scope verify --json |
    python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["project_id"] + ":" + d["secret"])')
read -r user _ < $S/users
line=$(tool neighbour $PORT "$credentials" "$other" 250 /v1/sessions/authenticate "{\"session_token\":\"$token\"}" "$user")
head_row "users.get of one client" "p50 µs" "p99 µs"
row alone "$(field 1)" "$(field 2)"
row "beside 250 connections of sessions.authenticate of another" "$(field 3)" "$(field 4)"
head_row figure measured
row "median answer at 1 connection, totpd to a constant" "$slower1"
row "median answer at 64 connections, totpd to a constant" "$slower64"
row "rate at 1 connection, totpd to a constant" "$fewer1"
row "rate at 64 connections, totpd to a constant" "$fewer64"
row "RSS idle, before and with $made open sessions" "$((idle / 1024)), $((before / 1024)) and $(($(rss) / 1024)) MiB"
grep -v '^{' $S/daemon.log >&2 || true
