#!/bin/sh
# Man pages: docs/man/*.md to target/man, by pandoc and scripts/man.lua. Two runs of one commit give the same bytes.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/man}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[ -n "$when" ] || { echo "man.sh: set SOURCE_DATE_EPOCH: there is no git to ask for a date" >&2; exit 2; }
date=$(date -u -d "@$when" +%Y-%m-%d)

rm -rf "$out"
mkdir -p "$out"
for page in docs/man/*.md; do
    name=$(basename "$page" .md)
    pandoc --from markdown-smart --to man --standalone --lua-filter scripts/man.lua \
        --metadata title="$(echo "${name%.*}" | tr '[:lower:]' '[:upper:]')" --metadata section="${name##*.}" \
        --metadata date="$date" --metadata footer="totpd $version" --output "$out/$name" "$page"
    # A paragraph begins after a heading anyway, and mandoc complains. Newer versions of pandoc escape the date.
    awk '/^\.TH/ { gsub(/\\-/, "-") } !(heading && $0 == ".PP"); { heading = /^\.S[HS]/ }' "$out/$name" > "$out/$name.new"
    mv "$out/$name.new" "$out/$name"
done
