#!/bin/sh
# Runs fuzz targets: fuzz.sh SECONDS TARGET... Prints how many inputs each target ran, and fails if one fails.
# New inputs go to target/fuzz-corpus; `fuzz.sh --keep` puts the smallest set of them into fuzz/corpus.
set -eu
cd "$(dirname "$0")/../fuzz"

# Without a sanitizer: these crates have no `unsafe`, and stable has none. overflow-checks and debug assertions are on.
fuzz() { command=$1; shift; cargo fuzz "$command" -s none "$@"; }

if [ "${1:-}" = --keep ]; then
    for target in corpus/*; do
        target=${target#corpus/}
        [ -d "../target/fuzz-corpus/$target" ] || continue
        features=; case $target in config|http_body|import|sealed_record) features=--features=daemon ;; esac
        fuzz cmin $features "$target" "../target/fuzz-corpus/$target" >/dev/null 2>&1
        # A file of each size class is enough to start from.
        find "../target/fuzz-corpus/$target" -type f -size -4k | sort | head -n 40 | xargs -r cp -n -t "corpus/$target"
    done
    exit 0
fi

seconds=$1; shift
features=; case " $* " in *" config "*|*" http_body "*|*" import "*|*" sealed_record "*) features=--features=daemon ;; esac
fuzz build $features 2>/dev/null || fuzz build $features
failed=
for target in "$@"; do
    found=../target/fuzz-corpus/$target; log=../target/fuzz-corpus/$target.log
    mkdir -p "$found"
    if fuzz run $features "$target" "$found" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=32768 -print_final_stats=1 -verbosity=1 >"$log" 2>&1; then
        awk -v t="$target" '/number_of_executed_units/ { n = $2 } / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") c = $(i + 1) }
            END { printf "%-16s %12d inputs, %6d edges\n", t, n, c }' "$log"
    else
        grep -A 4 -E 'panicked at|ERROR: libFuzzer|artifact_prefix|cargo fuzz run' "$log" | cut -c -300 >&2
        failed="$failed $target"
    fi
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
