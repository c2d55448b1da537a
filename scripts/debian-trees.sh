#!/bin/sh
# Small Debian trees for the end-to-end tests. They are made once, and no test writes to them.
#   trixie-1    newer sudo, sudo-rs and login than this machine has; the tests bind-mount what they need into it
#   bookworm-2, trixie-2
#               machines that boot, for tests that need systemd itself (units, packages, logins by ssh and sudo)
# The number at the end is the version of the list of packages: a new list is a new tree.
set -eu

trees=/var/lib/totpd-e2e-trees

# The mirror that this machine's own apt uses.
mirror() {
    mirror=${TOTPD_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(CREATED_BY) $(RELEASE) $(REPO_URI)' |
        awk '$1 == "Debian" && $2 == "Packages" && $3 !~ /-/ { print $4; exit }')}
    if [ -z "$mirror" ]; then
        echo "debian-trees.sh: apt knows no Debian archive here; name one in TOTPD_DEBIAN_MIRROR" >&2
        exit 1
    fi
    echo "$mirror"
}

# make_tree NAME PACKAGES [bound]
make_tree() {
    tree=$trees/$1
    [ ! -e "$tree/.complete" ] || return 0
    archive=$(mirror)
    echo "making $tree"
    install -d -m 0755 "$trees"
    rm -rf "$tree" "$tree.new"
    # As root without a namespace: what is setuid in it has to stay so. Signatures are checked by Debian's keyring.
    mmdebstrap --quiet --mode=root --variant=minbase --format=directory --keyring=/usr/share/keyrings \
        --include="$(echo "$2" | tr ' ' ',')" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${1%-*}" "$tree.new" "$archive"
    if [ -n "${3:-}" ]; then
        # Where the tests bind the module and their scratch folder.
        touch "$(dirname "$(find "$tree.new/usr/lib" -name pam_unix.so)")/pam_totp.so"
        mkdir -p "$tree.new/var/lib/totpd-e2e"
    fi
    touch "$tree.new/.complete"
    mv "$tree.new" "$tree"
}

machine="systemd systemd-sysv dbus openssh-server openssh-client sudo login passwd util-linux procps iproute2 \
libpam-modules libpam-runtime polkitd debconf"
make_tree trixie-1 "sudo sudo-rs login libpam-modules libpam-runtime" bound
make_tree bookworm-2 "$machine"
make_tree trixie-2 "$machine"
