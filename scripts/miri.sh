#!/bin/sh
# Runs the tests of totp_core and totp_wire under Miri, which finds undefined behaviour, even in their dependencies.
# Miri has no sockets: of totp_wire it runs the tests that read and write bytes.
set -eu
cd "$(dirname "$0")/.."

rustup component add --toolchain nightly miri rust-src
# Property tests write the seeds of their failures to files, and run only a few cases: Miri is a hundred times slower.
export MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4
# One test simulates days of guessing, which takes longer than all others together.
cargo +nightly miri nextest run -p totp_core --lib -E 'not test(strangers_together)'
cargo +nightly miri nextest run -p totp_wire --lib -E 'test(frame::) | test(message::) | test(shape::) | test(text::)'
