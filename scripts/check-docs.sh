#!/bin/sh
# The documents agree with the code.
set -eu
cd "$(dirname "$0")/.."
fail() { echo "check-docs: $1" >&2; exit 1; }

# docs/explanation/guessing.md has the figures that the simulation prints.
cargo run --quiet -p totp_core --example guessing > target/guessing
while IFS= read -r line; do
    grep -qF -- "$line" docs/explanation/guessing.md || fail "guessing.md lacks the simulation's line: $line"
done < target/guessing

# Every test that ARCHITECTURE.md, SECURITY.md and the explanations name exists.
for test in $(grep -oh '`[a-z_0-9:]*::[a-z_0-9]*`' ARCHITECTURE.md SECURITY.md docs/explanation/*.md | tr -d '`' | sort -u); do
    name=${test##*::}
    grep -rqE "fn $name\b" --include='*.rs' totp_core totp_wire pam_totp totpd tests || fail "there is no $test"
done

# The names of tests are sentences that fit in a line of a report.
long=$(git grep -hoE 'fn [a-z0-9_]{61,}' -- '*.rs' || true)
[ -z "$long" ] || fail "names of more than 60 characters: $long"

# Every link leads to an existing file and heading. The tests totpd/tests/documents.rs and
# totpd/src/config/documented.rs compare commands, options, keys and arguments with the code.
scripts/docs.py check

# Every man page is made, and mandoc and groff read it without a warning.
scripts/man.sh
mandoc -T lint target/man/*
for page in target/man/*; do
    complaints=$(groff -K utf8 -man -Tutf8 -ww -z "$page" 2>&1)
    [ -z "$complaints" ] || fail "$page: $complaints"
done
echo "documents: true"
