#!/bin/sh
# `make run`: a private totpd on scratch state, a demo user's enrollment, and logins through libpam with the
# module. It changes nothing on the host and needs no root: the demo user is the user who runs it.
set -eu
cd "$(dirname "$0")/.."
user=$(id -un)
scratch=$(mktemp -d)
daemon=
finish() { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$scratch"; }
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || say() { printf '\n%s\n' "$1"; }
totpd() { target/demo/totpd --config "$scratch/totpd.toml" "$@"; }

mkdir "$scratch/pam.d"
cat > "$scratch/totpd.toml" <<TOML
login_socket = "$scratch/login.sock"
admin_socket = "$scratch/admin.sock"
state_dir = "$scratch/state"
witness_dir = "$scratch/witness"
[totp]
issuer = "totpd demo"
TOML
# A member of the daemon's own uid's group may administer it here; on a host it is root.
[ "$(id -u)" = 0 ] || sed -i "1i admin_group = \"$(id -gn)\"" "$scratch/totpd.toml"
cat > "$scratch/pam.d/demo" <<PAM
auth required $PWD/target/demo/libpam_totp.so socket=$scratch/login.sock server_uid=$(id -u) nodelay
account required pam_permit.so
PAM
echo 'auth required pam_deny.so' > "$scratch/pam.d/other"

say "1. A store, its key, and a daemon"
totpd init
target/demo/totpd --config "$scratch/totpd.toml" serve 2> "$scratch/log" &
daemon=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do totpd -q status 2>/dev/null && break; sleep 0.1; done
totpd status

say "2. Enrolling $user (on a host: totpd enroll USER)"
totpd enroll "$user" < /dev/null | tee "$scratch/shown"
key=$(sed -n 's/^Or type this key:  //p' "$scratch/shown" | tr -d ' ')
recovery=$(sed -n 's/^    \([^ ]*\).*/\1/p' "$scratch/shown" | head -n 1)

# pam_wrapper points libpam at the scratch folder instead of /etc/pam.d.
login() {
    printf '%s\n' "$1" | env LD_PRELOAD=libpam_wrapper.so PAM_WRAPPER=1 PAM_WRAPPER_SERVICE_DIR="$scratch/pam.d" \
        pamtester demo "$user" authenticate 2>&1 | sed 's/^/   /'
}

say "3. A login through libpam with the code that the phone shows now: it confirms the enrollment"
code=$(oathtool --totp -b "$key")
login "$code"
say "4. The same code again: refused"
login "$code"
say "5. A recovery code: good once"
login "$recovery"
totpd status "$user"
say "6. What the auditor reads"
grep '^{' "$scratch/log"

if [ -t 0 ] && [ -t 1 ]; then
    say "Your turn: scan the QR code above and type codes (Ctrl-C ends it)"
    while true; do
        printf 'Verification code: '
        read -r code || break
        login "$code" | sed 's/Verification code: //'
    done
fi
