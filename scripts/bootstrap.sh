#!/bin/sh
# Installs what a machine with only a Rust toolchain lacks:
#   bootstrap.sh build | check | run | package | test | bench | docs
# Each installs only what it needs (a demonstration installs no SSH server), and skips what is installed already.
# For Debian and systems derived from it.
set -eu
cd "$(dirname "$0")/.."

packages="gcc libc6-dev libpam0g-dev make"
# Its programs only: tests start servers of their own in scratch folders (tests/postgres), as an ordinary user.
database="postgresql util-linux"
# What makes and checks a deb and an rpm.
packaging="binutils dpkg-dev lintian rpm checkpolicy semodule-utils pandoc python3"
case "${1:-test}" in
    build) ;;
    check) packages="$packages python3 python3-venv git openssl $database" ;;
    package) packages="$packages g++ $packaging" ;;
    run) packages="$packages libpam-modules pamtester libpam-wrapper oathtool" ;;
    test) packages="$packages $packaging $database nftables g++ libpam-modules libpam-google-authenticator libpam-oath openssh-server openssh-client sudo util-linux procps python3 \
python3-venv python3-paramiko oathtool zbar-tools openssl librsvg2-bin fonts-dejavu-core pamtester libpam-wrapper \
binutils systemd iproute2 fail2ban python3-systemd systemd-journal-remote login dbus-daemon polkitd dbus-bin cron xvfb xdotool \
i3lock cockpit-ws mmdebstrap debian-archive-keyring systemd-container xrdp mandoc groff-base"
        # Some packages of Node contain npm, and conflict with the package npm.
        command -v node >/dev/null || packages="$packages nodejs"
        command -v npm >/dev/null || packages="$packages npm" ;;
    bench) packages="$packages $database libpam-modules util-linux python3 git strace valgrind libpam-google-authenticator" ;;
    docs) packages="python3 gcc libc6-dev" ;;
    *) echo "bootstrap.sh: build, check, run, package, test, bench or docs" >&2; exit 2 ;;
esac

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    # Servers among them are needed as programs only: none is started on this host (policy-rc.d of Debian's invoke-rc.d).
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    as_root apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
    [ -z "$(trap)" ] || { as_root rm -f /usr/sbin/policy-rc.d; trap - EXIT; }
fi

if [ "${1:-test}" = docs ]; then
    # Built quickly rather than to run quickly, and without its server and file watcher.
    command -v mdbook >/dev/null || CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo install --locked mdbook --version 0.5.4 --no-default-features --features search
    exit 0
fi
case "${1:-test}" in
test | package)
    command -v cargo-deb >/dev/null || cargo install --locked cargo-deb --version 3.8.0
    command -v cargo-generate-rpm >/dev/null || cargo install --locked cargo-generate-rpm --version 0.21.1 ;;
esac

# The spelling checker of scripts/check-text.py.
typos=1.52.0
case "${1:-test}" in
test | check)
    [ -x .venv/bin/python ] || python3 -m venv .venv
    [ "$(.venv/bin/typos --version 2>/dev/null)" = "typos-cli $typos" ] ||
        .venv/bin/pip install --quiet --disable-pip-version-check "typos==$typos"
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt ;;
esac
[ "${1:-test}" = test ] || exit 0

as_root scripts/debian-trees.sh

# A reader of QR codes that is not zbar's.
.venv/bin/python -c 'import cv2' 2>/dev/null ||
    .venv/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93

# A Varlink client that others wrote, for the test of the running daemon.
.venv/bin/python -c 'import varlink' 2>/dev/null ||
    .venv/bin/pip install --quiet --disable-pip-version-check varlink==31.0.0

# Stytch's own SDKs, for the tests of the HTTP API (tests/sdk); cargo installs the Rust one. Again when a pin changes.
if ! cmp -s tests/sdk/python/requirements.txt .venv/requirements.txt; then
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/sdk/python/requirements.txt
    cp tests/sdk/python/requirements.txt .venv/requirements.txt
fi
# Schemathesis, which tests the API against its description. In a separate environment, because it has its own pins.
if ! cmp -s tests/sdk/schemathesis.txt .venv-schemathesis/requirements.txt; then
    python3 -m venv .venv-schemathesis
    .venv-schemathesis/bin/pip install --quiet --disable-pip-version-check -r tests/sdk/schemathesis.txt
    cp tests/sdk/schemathesis.txt .venv-schemathesis/requirements.txt
fi
# Generators of clients from that description, with their own pins as well.
if ! cmp -s tests/sdk/generated/python/requirements.txt .venv-openapi/requirements.txt; then
    python3 -m venv .venv-openapi
    .venv-openapi/bin/pip install --quiet --disable-pip-version-check -r tests/sdk/generated/python/requirements.txt
    cp tests/sdk/generated/python/requirements.txt .venv-openapi/requirements.txt
fi
for folder in tests/sdk/node tests/sdk/generated/typescript; do
    if ! cmp -s "$folder/package-lock.json" "$folder/node_modules/totpd-lock.json"; then
        npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
        cp "$folder/package-lock.json" "$folder/node_modules/totpd-lock.json"
    fi
done

command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz --version 0.13.2
command -v cargo-deny >/dev/null || cargo install --locked cargo-deny --version 0.20.2
