#!/bin/bash
# What takes too long for each change, one step after the other: `make test-long`, as root for the end-to-end tests.
# target/test-long/COMMIT.log has all of the output, COMMIT.md a table of the steps for docs/explanation/assurance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git describe --always --dirty)
log=target/test-long/$commit.log
table=target/test-long/$commit.md
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo env "PATH=$PATH" "HOME=$HOME" "$@"; fi; }

mkdir -p target/test-long
{
    echo "$(date -u +%F), commit $commit, $(nproc) processors, $(rustc --version)"
    echo
    echo "| step | time | result |"
    echo "| --- | --- | --- |"
} | tee "$table" > "$log"

# step NAME COMMAND...: runs it, and writes its row. The result is the last line that sums something up.
step() {
    local name=$1 begin=$SECONDS output status=passed summary
    shift
    output=$(mktemp)
    "$@" 2>&1 | tee -a "$log" "$output" || status=failed
    summary=$(grep -oE 'Summary.*|test result:.*|two builds of .*' "$output" | tail -n 1 | tr '|' '/' | sed 's/^Summary *\[.*\] *//') || true
    rm -f "$output"
    echo "| $name | $((SECONDS - begin)) s | $status${summary:+: $summary} |" >> "$table"
    if [ "$status" = failed ]; then cat "$table"; exit 1; fi
}

step "unit and end-to-end tests, long counts" as_root env TOTPD_LONG=1 cargo nextest run --workspace --no-fail-fast
step "logins, enrollment, self-service, the help desk and the API on PostgreSQL" as_root env TOTPD_STORE=postgresql \
    cargo nextest run -p totpd_e2e --no-fail-fast -E 'test(/^(login|policy|enrollment|self_service|helpdesk|breakglass|api)::/)'
step "undefined behaviour (Miri)" scripts/miri.sh
step "two builds, the same bytes" scripts/check-reproducible.sh
step "release build" cargo build --release -p totpd -p pam_totp
step "memory over a million logins" as_root bench/run.py memory --long
step "fuzz targets, 60 s each" make --no-print-directory fuzz FUZZ_SECONDS=60
cat "$table"
echo "all of the output: $log"
