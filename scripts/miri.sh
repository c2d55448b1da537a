#!/bin/sh
# Runs the tests of totp_core and totp_wire under Miri, which finds undefined behaviour, also that of their dependencies.
# Sockets and threads that wait for them are beyond it: of totp_wire what reads and writes bytes.
set -eu
cd "$(dirname "$0")/.."

rustup component add --toolchain nightly miri rust-src
# Properties write the seeds of their failures to files, and a few cases of each have to do: Miri is a hundred times slower.
export MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4
# One plays days of guessing, which takes longer than all others together.
cargo +nightly miri nextest run -p totp_core --lib -E 'not test(strangers_together)'
cargo +nightly miri nextest run -p totp_wire --lib -E 'test(frame::) | test(message::) | test(shape::) | test(text::)'
