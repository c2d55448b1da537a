#!/bin/sh
# A small Debian trixie tree for the end-to-end tests, whose sudo, sudo-rs and login are newer than this
# machine's. Made once; the tests bind what they need into it in namespaces of their own and never write to it.
set -eu

# The name ends in the list's version: another list is another tree.
tree=/var/lib/totpd-e2e-trees/trixie-1
packages="sudo sudo-rs login libpam-modules libpam-runtime"
[ ! -e "$tree/.complete" ] || exit 0

# The mirror that this machine's own apt uses.
mirror=${TOTPD_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(CREATED_BY) $(RELEASE) $(REPO_URI)' |
    awk '$1 == "Debian" && $2 == "Packages" && $3 !~ /-/ { print $4; exit }')}
if [ -z "$mirror" ]; then
    echo "trixie-tree.sh: apt knows no Debian archive here; name one in TOTPD_DEBIAN_MIRROR" >&2
    exit 1
fi

echo "making $tree"
install -d -m 0755 "$(dirname "$tree")"
rm -rf "$tree" "$tree.new"
# As root without a namespace: what is setuid in it has to stay so. Signatures are checked by Debian's keyring.
mmdebstrap --quiet --mode=root --variant=minbase --format=directory --keyring=/usr/share/keyrings \
    --include="$(echo "$packages" | tr ' ' ',')" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$tree.new" "$mirror"

# Where the tests bind the module and their scratch folder.
touch "$(dirname "$(find "$tree.new/usr/lib" -name pam_unix.so)")/pam_totp.so"
mkdir -p "$tree.new/var/lib/totpd-e2e"
touch "$tree.new/.complete"
mv "$tree.new" "$tree"
