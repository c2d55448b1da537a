#!/bin/bash
# Counts what one login costs the daemon: system calls, context switches, and processor time. Counts do not drift with
# the machine as times do, so that two builds can be compared by them. docs/explanation/benchmarks.md keeps one run.
#
# usage: bench/cost.sh [FOLDER]   FOLDER has totpd and libpam_totp.so [default: target/release]
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=$(realpath "${1:-target/release}")
if [ "${2:-}" != inside ]; then exec unshare --mount --propagation private --fork --pid --mount-proc "$0" "$BIN" inside; fi

. bench/lib.sh
set_up totpd-cost pam.d

USERS=50; ROUNDS=8      # one client; the first round warms up and is counted as well
LOGINS=$((USERS * ROUNDS))

gcc -O2 -o $S/pambench bench/pambench.c -lpam -lpthread
for ((u = 0; u < USERS; u++)); do echo "b$u:x:$((70000 + u)):70000::/:/bin/false"; done | add_users
sink_log
start_daemon < /dev/null
for ((u = 0; u < USERS; u++)); do
    totpd enroll b$u --json --expires 30d | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret"])'
done > $S/secrets
echo "auth required $BIN/libpam_totp.so socket=$S/run/login.sock nodelay" > $S/pam.d/totpd

step=$(( $(date +%s) / 30 + 10 ))
codes() { oathtool --totp -b -N "@$((step * 30 + 10))" -w $((ROUNDS - 1)) "$1" | tr '\n' ' '; echo; }
log_in() {
    while read -r secret; do codes $secret; done < $S/secrets > $S/codes
    read -r _ _ _ _ failed <<< "$(LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control \
        $S/pambench $S/pam.d totpd 1 $USERS $ROUNDS $S/codes $S/control $step)"
    [ "$failed" = 0 ] || { echo "bench/cost.sh: $failed logins failed" >&2; exit 1; }
    step=$((step + ROUNDS + 5))
}
switches() { cat /proc/$daemon/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
ticks() { awk '{ print $14 + $15 }' /proc/$daemon/stat; }

log_in
switches_before=$(switches) ticks_before=$(ticks)
for _ in 1 2 3; do log_in; done
switches_after=$(switches) ticks_after=$(ticks)
each() { python3 -c "print(f'{($2 - $1) * ${3:-1} / (3 * $LOGINS):.${4:-1}f}')"; }

strace -f -c -U name,calls -o $S/calls -p $daemon 2> /dev/null &
tracer=$!
sleep 1
log_in
kill -INT $tracer
wait $tracer || true

head_row "of the daemon, for one login" count
row "context switches" "$(each $switches_before $switches_after)"
row "processor time, µs" "$(each $ticks_before $ticks_after $((1000000 / $(getconf CLK_TCK))) 0)"
# What happens less than once in four logins is not of the login.
awk -v logins=$LOGINS '$2 ~ /^[0-9]+$/ && $1 != "total" && $2 * 4 > logins {
    printf "| %s | %.1f |\n", $1, $2 / logins; all += $2 } END { printf "| all system calls | %.1f |\n", all / logins }' \
    $S/calls
