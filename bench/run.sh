#!/bin/bash
# Latency and rate of logins through libpam with their durable write: totpd beside pam_permit,
# pam_google_authenticator (reuse forbidden), pam_oath, and a bare append + fdatasync. All in one run, on one
# file system, with a log sink behind /dev/log for everybody. Prints a table; docs/explanation/benchmarks.md keeps one.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then exec unshare --mount --propagation private --fork --pid --mount-proc "$0" inside; fi

S=/var/lib/totpd-bench
rm -rf $S; mkdir -p $S/pam.d $S/ga $S/dev
sink=; daemon=
trap 'kill $sink $daemon 2>/dev/null || true; wait 2>/dev/null || true; umount -l $S/dev 2>/dev/null || true; rm -rf $S' EXIT

CLIENTS=64; USERS=10; ROUNDS=6          # 64 clients, 10 users each
SOLO=50; SOLO_ROUNDS=12                 # 1 client, 50 users
ALL=$((CLIENTS * USERS))

gcc -O2 -shared -fPIC -o $S/faults.so tests/native/faults.c
gcc -O2 -o $S/pambench bench/pambench.c -lpam -lpthread
gcc -O2 -o $S/appendbench bench/appendbench.c
head -c 32 /dev/zero > $S/control
set_word() { python3 -c "import sys; f=open('$S/control','r+b'); f.seek($1*8); f.write(int($2).to_bytes(8,'little',signed=True))"; }

# Users, and a log that costs no serial console.
cp /etc/passwd $S/passwd
for ((u = 0; u < ALL; u++)); do echo "b$u:x:$((70000 + u)):70000::/:/bin/false"; done >> $S/passwd
mount --bind $S/passwd /etc/passwd
mount -t tmpfs -o mode=0755 tmpfs $S/dev
for node in "null 1 3" "zero 1 5" "urandom 1 9" "random 1 8" "tty 5 0"; do set -- $node; mknod -m 666 $S/dev/$1 c $2 $3; done
mkdir $S/dev/shm $S/dev/pts
mount --bind /dev/pts $S/dev/pts
mount --rbind $S/dev /dev
python3 -c "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/dev/log')
while True: s.recv(8192)" & sink=$!

cat > $S/totpd.toml <<TOML
login_socket = "$S/run/login.sock"
admin_socket = "$S/run/admin.sock"
state_dir = "$S/state"
witness_dir = "$S/witness"
TOML
totpd() { target/release/totpd --config $S/totpd.toml "$@"; }
totpd -q init
LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control target/release/totpd --config $S/totpd.toml serve 2> $S/daemon.log & daemon=$!
for _ in $(seq 50); do totpd -q status 2>/dev/null && break; sleep 0.1; done
sleep 1
idle_rss=$(awk '/VmRSS/ {print $2}' /proc/$daemon/status)

so() { ls /lib/*/security/$1 /usr/lib/*/security/$1 2>/dev/null | head -n1; }
echo "auth required pam_permit.so" > $S/pam.d/permit
echo "auth required $PWD/target/release/libpam_totp.so socket=$S/run/login.sock nodelay" > $S/pam.d/totpd
echo "auth required $(so pam_google_authenticator.so) user=root secret=$S/ga/\${USER} no_increment_hotp" > $S/pam.d/ga
for n in 1 10000; do echo "auth required $(so pam_oath.so) usersfile=$S/oath-$n digits=6 window=3" > $S/pam.d/oath-$n; done

STEP0=$(( $(date +%s) / 30 + 10 )); step=$STEP0
codes() { oathtool --totp -b -N "@$((step * 30 + 10))" -w $(($1 - 1)) "$2" | tr '\n' ' '; echo; }

# Secrets: ours are made by totpd; the others share one.
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
# Leaves p50 p99 rate syncs failures in $line; each run begins after the steps of the one before.
measure() { # service clients users rounds
    prepare "$@"
    line=$(LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control $S/pambench $S/pam.d "$1" "$2" "$3" "$4" $S/codes $S/control $step)
    step=$((step + $4 + 5))
}

row() { printf '| %s | %s | %s | %s | %s | %s |\n' "$1" $2; }
# Machines are noisy and drift: the two that are compared take turns, each turn gives a ratio, the middle counts.
median() { printf '%s\n' "$@" | sort -n | sed -n "$(( ($# + 1) / 2 ))p"; }
field() { cut -d' ' -f"$1" <<< "$line"; }
ratio() { python3 -c "print(f'{$1 / $2:.2f}')"; }
table() { echo; echo "| $1 | p50 µs | p99 µs | logins/s | syncs/login | failed |"; echo "| --- | --- | --- | --- | --- | --- |"; }

table "one client"
read -r a50 a99 <<< "$($S/appendbench $S/append 2000)"
printf '| append + fdatasync | %s | %s | | 1 | 0 |\n' "$a50" "$a99"
measure permit 1 $SOLO $SOLO_ROUNDS; row pam_permit "$line"
ratios=()
for turn in 1 2 3 4 5 6 7; do
    measure totpd 1 $SOLO $SOLO_ROUNDS; row "totpd ($turn)" "$line"; ours=$(field 1)
    measure ga 1 $SOLO $SOLO_ROUNDS; row "pam_google_authenticator ($turn)" "$line"; ratios+=("$(ratio "$ours" "$(field 1)")")
done
latency="$(median "${ratios[@]}") (of ${ratios[*]})"
measure oath-1 1 1 200; row "pam_oath, 1 user" "$line"
measure oath-10000 1 $SOLO 6; row "pam_oath, 10,000 users" "$line"

table "$CLIENTS clients"
measure permit $CLIENTS $USERS $ROUNDS; row pam_permit "$line"
ratios=()
for turn in 1 2 3; do
    measure totpd $CLIENTS $USERS $ROUNDS; row "totpd ($turn)" "$line"; ours=$(field 3)
    measure ga $CLIENTS $USERS $ROUNDS; row "pam_google_authenticator ($turn)" "$line"; ratios+=("$(ratio "$ours" "$(field 3)")")
done
rate="$(median "${ratios[@]}") (of ${ratios[*]})"
set_word 1 5000
measure totpd $CLIENTS $USERS $ROUNDS; row "totpd, syncs take 5 ms" "$line"; per_sync=$(ratio 1 "$(field 4)")
measure ga $CLIENTS $USERS $ROUNDS; row "pam_google_authenticator, syncs take 5 ms" "$line"
set_word 1 0
busy_rss=$(awk '/VmRSS/ {print $2}' /proc/$daemon/status)

echo
echo "| figure | measured | target |"
echo "| --- | --- | --- |"
echo "| median login, totpd to pam_google_authenticator | $latency | at most 0.8 |"
echo "| rate at $CLIENTS clients, totpd to pam_google_authenticator | $rate | at least 2.5 |"
echo "| logins per sync at $CLIENTS clients, syncs slowed to 5 ms | $per_sync | at least 8 |"
echo "| idle daemon, RSS | $((idle_rss / 1024)) MiB; $((busy_rss / 1024)) MiB after the load | under 16 MiB |"
echo "| pam_totp.so | $(($(stat -c %s target/release/libpam_totp.so) / 1024)) KiB, $(wc -l < pam_totp/dependencies.txt) crates | under 700 KiB |"
