#!/bin/sh
# Installs every file: the one list for `make install`, the deb and the rpm.
#   BUILD=target/release   the folder of the binaries
#   DESTDIR=               put in front of every path
#   MODULE_DIR=            the folder of PAM modules [default: this system's own]
#   ZSH_DIR=               the folder of zsh's completions
set -eu
umask 022
cd "$(dirname "$0")/.."
BUILD=${BUILD:-target/release}
DESTDIR=${DESTDIR:-}
ZSH_DIR=${ZSH_DIR:-/usr/share/zsh/vendor-completions}
if [ -z "${MODULE_DIR:-}" ]; then
    # Those of this architecture first.
    for module in "/lib/$(uname -m)-linux-gnu"*/security/pam_unix.so /usr/lib64/security/pam_unix.so \
        /lib64/security/pam_unix.so /usr/lib/security/pam_unix.so /lib/security/pam_unix.so /lib/*/security/pam_unix.so; do
        [ ! -e "$module" ] || { MODULE_DIR=$(dirname "$module"); break; }
    done
    [ -n "${MODULE_DIR:-}" ] || {
        echo "install: no folder with pam_unix.so was found: name that of your PAM modules with MODULE_DIR=" >&2
        exit 1
    }
fi

# put MODE FOLDER FILE...
put() {
    mode=$1 folder=$DESTDIR$2
    shift 2
    install -d -m 0755 "$folder"
    install -m "$mode" -t "$folder" "$@"
}
# put_as MODE PATH FILE
put_as() { install -D -m "$1" "$3" "$DESTDIR$2"; }

doc=/usr/share/doc/totpd
put 0755 /usr/bin "$BUILD/totpd"
put_as 0644 "$MODULE_DIR/pam_totp.so" "$BUILD/libpam_totp.so"
put 0644 /usr/lib/systemd/system config/systemd/*.service config/systemd/*.socket
for timer in config/systemd/*.timer; do [ ! -e "$timer" ] || put 0644 /usr/lib/systemd/system "$timer"; done
put 0644 /usr/lib/systemd/system-preset config/systemd/80-totpd.preset
put 0644 /usr/lib/sysusers.d config/sysusers.d/totpd.conf
put 0644 /usr/lib/tmpfiles.d config/tmpfiles.d/totpd.conf
put 0644 /etc/fail2ban/filter.d config/fail2ban/filter.d/totpd.conf
put_as 0644 $doc/examples/fail2ban-jail.conf config/fail2ban/jail.d/totpd.conf
put 0644 $doc/examples config/totpd.toml
# Not with the documents, which small images leave out (dpkg's path-exclude, rpm's nodocs): hosts need it.
put 0644 /usr/share/totpd config/totpd.service.d/network.conf
put 0644 $doc/examples/pam.d config/pam.d/*
put 0644 $doc LICENSE-APACHE LICENSE-MIT
# Made by scripts/third-party.py.
[ ! -e target/third-party ] || put_as 0644 $doc/THIRD-PARTY target/third-party

for shell in bash zsh fish; do "$BUILD/totpd" completions $shell > "$BUILD/totpd.$shell"; done
put_as 0644 /usr/share/bash-completion/completions/totpd "$BUILD/totpd.bash"
put_as 0644 "$ZSH_DIR/_totpd" "$BUILD/totpd.zsh"
put_as 0644 /usr/share/fish/vendor_completions.d/totpd.fish "$BUILD/totpd.fish"

# Made by scripts/man.sh. Without the time of the packing in them.
for page in target/man/*.[1-8]; do
    [ -e "$page" ] || continue
    folder=$DESTDIR/usr/share/man/man${page##*.}
    install -d -m 0755 "$folder"
    gzip -9n < "$page" > "$folder/$(basename "$page").gz"
    chmod 0644 "$folder/$(basename "$page").gz"
done
