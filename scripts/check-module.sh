#!/bin/sh
# The module that sshd and sudo load: its dependencies, its symbols and its flags are what was agreed on.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "check-module: $1" >&2; exit 1; }

cargo tree -p pam_totp --edges normal,no-proc-macro --prefix none --format '{p}' --locked |
    sed 's/ (.*//' | grep -v '^\(pam_totp\|totp_wire\) ' | sort -u > target/module-dependencies
diff -u pam_totp/dependencies.txt target/module-dependencies ||
    fail "the module's dependencies changed; if that is meant, say why in ARCHITECTURE.md and commit the list"

cargo build --quiet --release -p pam_totp
so=target/release/libpam_totp.so
symbols=$(nm -D --defined-only "$so" | awk '{print $3}' | sort | tr '\n' ' ')
expected="pam_sm_acct_mgmt pam_sm_authenticate pam_sm_chauthtok pam_sm_close_session pam_sm_open_session pam_sm_setcred "
[ "$symbols" = "$expected" ] || fail "exported symbols are: $symbols"
readelf -d "$so" | grep -q NODELETE || fail "the module could be unloaded (no NODELETE)"
needed=$(readelf -d "$so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
case "$needed" in
    "ld-linux"*"libc.so.6 libgcc_s.so.1 libpam.so.0 ") ;;
    *) fail "it needs: $needed" ;;
esac
size=$(stat -c %s "$so")
[ "$size" -lt 716800 ] || fail "it has $size bytes; 700 KiB is the most"
forbidden=$(nm -D --undefined-only "$so" | awk '{print $2}' | sed 's/@.*//' |
    grep -xE 'pthread_create|fork|vfork|execv[pe]*|posix_spawnp?|system|popen|setenv|putenv|openlog|closelog' || true)
[ -z "$forbidden" ] || fail "it can call: $forbidden"
echo "module: six symbols, NODELETE, no thread, no fork, no exec, $size bytes"
