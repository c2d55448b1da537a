#!/bin/sh
# The oldest supported compiler, `rust-version` in Cargo.toml, accepts the programs that are installed.
set -eu
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
case "$(rustc --version)" in
"rustc $oldest."*) echo "msrv: this is Rust $oldest" && exit 0 ;;
esac
rustup toolchain list | grep -q "^$oldest-" || rustup toolchain install "$oldest" --profile minimal --no-self-update
cargo "+$oldest" check --quiet --locked -p totpd -p pam_totp --target-dir target/msrv
echo "msrv: Rust $oldest accepts the programs"
