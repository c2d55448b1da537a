#!/bin/bash
# Measures whether the time of a refusal reveals its cause: unknown and unenrolled users, locked users, wrong and used
# codes, interleaved and without the fail delay. Prints tables; docs/explanation/benchmarks.md keeps one run.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" != inside ]; then exec unshare --mount --propagation private --fork --pid --mount-proc "$0" inside; fi

. bench/lib.sh
set_up totpd-bench-refusals pam.d
gcc -O2 -Wall -o $S/attempt bench/refusal_timing/attempt.c -lpam

uid=70000
for cause in unenrolled locked wrong replayed; do
    for ((n = 0; n < 50; n++)); do echo "$cause$n:x:$((uid++)):70000::/:/bin/false"; done
done | add_users
sink_log
echo "auth required $PWD/target/release/libpam_totp.so socket=$S/run/login.sock nodelay" > $S/pam.d/refusals
start_daemon < /dev/null

python3 bench/refusal_timing/refusal_timing.py $S "target/release/totpd|--config|$S/totpd.toml" \
    "$S/attempt|$S/pam.d|refusals|$S/run/login.sock|198.51.100.9"
