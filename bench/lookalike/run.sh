#!/bin/bash
# Whether a person at the prompt can tell by time why they were refused: unknown and unenrolled users, locked,
# wrong and used codes, in turn, without the fail delay. A daemon of its own on scratch state, with a log sink behind
# /dev/log. Prints tables; docs/explanation/benchmarks.md keeps one.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" != inside ]; then exec unshare --mount --propagation private --fork --pid --mount-proc "$0" inside; fi

S=/var/lib/totpd-lookalike
rm -rf $S; mkdir -p $S/pam.d $S/dev
sink=; daemon=
trap 'kill $sink $daemon 2>/dev/null || true; wait 2>/dev/null || true; umount -l $S/dev 2>/dev/null || true; rm -rf $S' EXIT

gcc -O2 -Wall -shared -fPIC -o $S/faults.so tests/native/faults.c
gcc -O2 -Wall -o $S/attempt bench/lookalike/attempt.c -lpam
head -c 32 /dev/zero > $S/control

cp /etc/passwd $S/passwd
uid=70000
for cause in unenrolled locked wrong replayed; do
    for ((n = 0; n < 50; n++)); do echo "$cause$n:x:$((uid++)):70000::/:/bin/false"; done
done >> $S/passwd
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

printf 'login_socket = "%s"\nadmin_socket = "%s"\nstate_dir = "%s"\nwitness_dir = "%s"\n' $S/run/login.sock $S/run/admin.sock $S/state $S/witness > $S/totpd.toml
echo "auth required $PWD/target/release/libpam_totp.so socket=$S/run/login.sock nodelay" > $S/pam.d/look
totpd() { target/release/totpd --config $S/totpd.toml "$@"; }
totpd -q init
LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control target/release/totpd --config $S/totpd.toml serve 2> $S/daemon.log & daemon=$!
for _ in $(seq 50); do totpd -q status 2>/dev/null && break; sleep 0.1; done

python3 bench/lookalike/lookalike.py $S "target/release/totpd|--config|$S/totpd.toml" \
    "$S/attempt|$S/pam.d|look|$S/run/login.sock|198.51.100.9"
