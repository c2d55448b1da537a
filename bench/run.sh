#!/bin/bash
# Measures latency and rate of logins through libpam, each with its durable write: totpd beside pam_permit,
# pam_google_authenticator (reuse forbidden), pam_oath, and a bare append + fdatasync, in one run on one file system.
# Prints tables; docs/explanation/benchmarks.md keeps one run.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then exec unshare --mount --propagation private --fork --pid --mount-proc "$0" inside; fi

. bench/lib.sh
set_up totpd-bench pam.d ga

CLIENTS=64; USERS=10; ROUNDS=6          # 64 clients, 10 users each
SOLO=50; SOLO_ROUNDS=12                 # 1 client, 50 users
ALL=$((CLIENTS * USERS))

gcc -O2 -o $S/pambench bench/pambench.c -lpam -lpthread
gcc -O2 -o $S/appendbench bench/appendbench.c

for ((u = 0; u < ALL; u++)); do echo "b$u:x:$((70000 + u)):70000::/:/bin/false"; done | add_users
sink_log
start_daemon < /dev/null
sleep 1
idle_rss=$(rss)

so() { ls /lib/*/security/$1 /usr/lib/*/security/$1 2>/dev/null | head -n1; }
echo "auth required pam_permit.so" > $S/pam.d/permit
echo "auth required $PWD/target/release/libpam_totp.so socket=$S/run/login.sock nodelay" > $S/pam.d/totpd
echo "auth required $(so pam_google_authenticator.so) user=root secret=$S/ga/\${USER} no_increment_hotp" > $S/pam.d/ga
for n in 1 10000; do echo "auth required $(so pam_oath.so) usersfile=$S/oath-$n digits=6 window=3" > $S/pam.d/oath-$n; done

STEP0=$(( $(date +%s) / 30 + 10 )); step=$STEP0
codes() { oathtool --totp -b -N "@$((step * 30 + 10))" -w $(($1 - 1)) "$2" | tr '\n' ' '; echo; }

# Secrets: totpd makes one for each user; the other modules share one.
SHARED=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
for ((u = 0; u < ALL; u++)); do
    totpd enroll b$u --json --expires 30d | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret"])'
done > $S/secrets
write_ga() {
    for ((u = 0; u < ALL; u++)); do
        printf '%s\n" DISALLOW_REUSE\n" WINDOW_SIZE 3\n" TOTP_AUTH\n' $SHARED > $S/ga/b$u; chmod 400 $S/ga/b$u
    done
}
write_oath() {
    for n in 1 10000; do
        for ((u = 0; u < (n == 1 ? 1 : n); u++)); do
            printf 'HOTP/T30/6 b%d - 3132333435363738393031323334353637383930\n' $u
        done > $S/oath-$n; chmod 600 $S/oath-$n
    done
}
prepare() { # service clients users rounds
    case $1 in
        totpd) head -n $(($2 * $3)) $S/secrets | while read -r secret; do codes $4 $secret; done > $S/codes ;;
        *) line=$(codes $4 $SHARED); for ((u = 0; u < $2 * $3; u++)); do echo "$line"; done > $S/codes ;;
    esac
    case $1 in ga) write_ga ;; oath-*) write_oath ;; esac
}
# Leaves p50 p99 rate syncs failures in $line. Each run begins after the time steps of the run before.
measure() { # service clients users rounds
    prepare "$@"
    line=$(LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control $S/pambench $S/pam.d "$1" "$2" "$3" "$4" $S/codes $S/control $step)
    step=$((step + $4 + 5))
}

login_table() { head_row "$1" "p50 µs" "p99 µs" "logins/s" "syncs/login" "failed"; }

# The hardware is noisy and drifts: totpd and the module it is compared with alternate, each pair gives a ratio, and
# the median ratio counts.
login_table "one client"
read -r a50 a99 <<< "$($S/appendbench $S/append 2000)"
row "append + fdatasync" "$a50" "$a99" "" 1 0
measure permit 1 $SOLO $SOLO_ROUNDS; row pam_permit $line
ratios=()
for pair in 1 2 3 4 5 6 7; do
    measure totpd 1 $SOLO $SOLO_ROUNDS; row "totpd ($pair)" $line; ours=$(field 1)
    measure ga 1 $SOLO $SOLO_ROUNDS; row "pam_google_authenticator ($pair)" $line; ratios+=("$(ratio "$ours" "$(field 1)")")
done
latency="$(median "${ratios[@]}") (of ${ratios[*]})"
measure oath-1 1 1 200; row "pam_oath, 1 user" $line
measure oath-10000 1 $SOLO 6; row "pam_oath, 10,000 users" $line

login_table "$CLIENTS clients"
measure permit $CLIENTS $USERS $ROUNDS; row pam_permit $line
ratios=()
for pair in 1 2 3; do
    measure totpd $CLIENTS $USERS $ROUNDS; row "totpd ($pair)" $line; ours=$(field 3)
    measure ga $CLIENTS $USERS $ROUNDS; row "pam_google_authenticator ($pair)" $line; ratios+=("$(ratio "$ours" "$(field 3)")")
done
rate="$(median "${ratios[@]}") (of ${ratios[*]})"
set_word 1 5000
measure totpd $CLIENTS $USERS $ROUNDS; row "totpd, syncs take 5 ms" $line; per_sync=$(ratio 1 "$(field 4)")
measure ga $CLIENTS $USERS $ROUNDS; row "pam_google_authenticator, syncs take 5 ms" $line
set_word 1 0
busy_rss=$(rss)

head_row figure measured target
row "median login, totpd to pam_google_authenticator" "$latency" "at most 0.8"
row "rate at $CLIENTS clients, totpd to pam_google_authenticator" "$rate" "at least 2.5"
row "logins per sync at $CLIENTS clients, syncs slowed to 5 ms" "$per_sync" "at least 8"
row "idle daemon, RSS" "$((idle_rss / 1024)) MiB; $((busy_rss / 1024)) MiB after the load" "under 16 MiB"
row pam_totp.so "$(($(stat -c %s target/release/libpam_totp.so) / 1024)) KiB, $(wc -l < pam_totp/dependencies.txt) crates" "under 700 KiB"
