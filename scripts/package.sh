#!/bin/sh
# Builds packages: package.sh deb | rpm | test
#   deb, rpm  from a release build with LTO; the bytes do not depend on the folder: target/package/totpd…
#   test      quickly, from the binaries of `cargo build`: target/package/test/totpd.deb, and totpd-next.deb, the same
#             with a higher version. lintian checks them; the rpm is built and listed.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
kind=${1:-deb}
out=target/package
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
triplet=$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")
mkdir -p "$out"

# The compiler of releases: another one gives other bytes.
toolchain=1.95.0

# Binaries without the paths of this checkout, of cargo's home and of the toolchain.
release() {
    if command -v rustup > /dev/null; then export RUSTUP_TOOLCHAIN=$toolchain; fi
    rustc --version | grep -q "^rustc $toolchain " || { echo "package.sh: releases are built with rustc $toolchain" >&2; exit 1; }
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    maps="$root=/usr/src/totpd $cargo_home=/usr/src/cargo $(rustc --print sysroot)=/usr/src/rust"
    RUSTFLAGS=
    CFLAGS=
    for map in $maps; do
        RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$map"
        CFLAGS="$CFLAGS -ffile-prefix-map=$map"
    done
    export RUSTFLAGS CFLAGS
    export CXXFLAGS="$CFLAGS"
    cargo build --quiet --release --locked --target-dir "$out/build" -p totpd -p pam_totp
    unset RUSTFLAGS CFLAGS CXXFLAGS
    build=$out/build/release
    scripts/check-binary.sh "$build/totpd" "$build/libpam_totp.so"
}

# The files of a package: stage FOLDER MODULE_DIR ZSH_DIR
stage() {
    rm -rf "$1"
    BUILD=$build DESTDIR=$root/$1 MODULE_DIR=$2 ZSH_DIR=$3 scripts/install.sh
    # One time for everything, that of the commit.
    find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# Maintainer scripts that know the store's schema, and the changelog in Debian's form.
scripts_of() {
    schema=$(find totpd/src/store/sqlite/migrations -name 'V*__*.sql' | sed 's/.*V\([0-9]*\)__.*/\1/' | sort -n | tail -n 1)
    rm -rf "$out/$1"
    cp -r "config/$1" "$out/$1"
    sed -i "s/@SCHEMA@/$schema/" "$out/$1"/pre*
}

# deb FILE [options of cargo-deb]
deb() {
    file=$1
    shift
    stage $out/stage-deb "/usr/lib/$triplet/security" /usr/share/zsh/vendor-completions
    scripts_of debian
    install -D -m 0644 config/debian/lintian-overrides $out/stage-deb/usr/share/lintian/overrides/totpd
    install -m 0644 config/debian/copyright $out/stage-deb/usr/share/doc/totpd/copyright
    printf 'totpd (%s-1) unstable; urgency=medium\n\n  * See https://github.com/totpd/totpd/blob/main/CHANGELOG.md\n\n -- %s  %s\n' \
        "$version" "The totpd authors <totpd@users.noreply.github.com>" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" > $out/changelog
    cargo deb --quiet -p totpd --no-build --no-strip --deb-version "$version-1" --output "$file" "$@"
}

# rpm_package FILE [options of cargo-generate-rpm]
rpm_package() {
    stage $out/stage-rpm /usr/lib64/security /usr/share/zsh/site-functions
    scripts_of rpm
    mkdir -p $out/stage-rpm/usr/share/selinux/packages
    checkmodule -M -m -o $out/totpd.mod config/selinux/totpd.te > /dev/null
    semodule_package -o $out/stage-rpm/usr/share/selinux/packages/totpd.pp -m $out/totpd.mod -f config/selinux/totpd.fc
    find $out/stage-rpm -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    cargo generate-rpm -p totpd --auto-req disabled --source-date "$SOURCE_DATE_EPOCH" --output "$@"
}

scripts/man.sh
scripts/third-party.py

case "$kind" in
deb)
    release
    rm -f $out/*.deb
    deb "$out/"
    lintian --allow-root --fail-on error $out/*.deb
    ;;
rpm)
    release
    rm -f $out/*.rpm
    rpm_package "$out/"
    rpm --query --package --list $out/*.rpm
    ;;
test)
    # Smaller by far without their lines, and quicker to pack.
    build=$out/test-build
    mkdir -p $build $out/test
    for binary in totpd libpam_totp.so; do strip -o $build/$binary target/debug/$binary; done
    deb $out/test/totpd.deb --fast
    lintian --allow-root --fail-on error $out/test/totpd.deb > $out/test/lintian ||
        { cat $out/test/lintian >&2; exit 1; }
    next=$out/test-next
    rm -rf $next
    dpkg-deb -R $out/test/totpd.deb $next
    sed -i "s/^Version: .*/Version: $version-2/" $next/DEBIAN/control
    dpkg-deb --root-owner-group -Zgzip -z1 -b $next $out/test/totpd-next.deb > /dev/null
    rpm_package $out/test/totpd.rpm --payload-compress none
    rpm --query --package --list $out/test/totpd.rpm > $out/test/rpm-list
    # Both have the same files; only their folders differ.
    for file in /usr/bin/totpd /usr/lib64/security/pam_totp.so /usr/lib/systemd/system/totpd.socket /usr/share/selinux/packages/totpd.pp \
        /usr/share/man/man8/totpd.8.gz /usr/share/man/man5/totpd.toml.5.gz; do
        grep -qxF $file $out/test/rpm-list || { echo "package.sh: the rpm lacks $file" >&2; exit 1; }
    done
    echo "packages: $(stat -c '%n %s bytes' $out/test/*.deb $out/test/*.rpm | tr '\n' ' ')"
    ;;
*) echo "package.sh: deb, rpm or test" >&2; exit 2 ;;
esac
