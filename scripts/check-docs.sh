#!/bin/sh
# Documents say what the code says.
set -eu
cd "$(dirname "$0")/.."
fail() { echo "check-docs: $1" >&2; exit 1; }

# The chance of guessing in ARCHITECTURE.md is what the engine's simulation prints.
cargo run --quiet -p totp_core --example guessing > target/guessing
while IFS= read -r line; do
    grep -qF -- "$line" ARCHITECTURE.md || fail "ARCHITECTURE.md lacks the simulation's line: $line"
done < target/guessing

# Every test that ARCHITECTURE.md, SECURITY.md and past-failures.md name exists.
for test in $(grep -oh '`[a-z_0-9:]*::[a-z_0-9]*`' ARCHITECTURE.md SECURITY.md docs/explanation/past-failures.md | tr -d '`' | sort -u); do
    name=${test##*::}
    grep -rqE "fn $name\b" --include='*.rs' totp_core totp_wire pam_totp totpd tests || fail "there is no $test"
done

# Every argument of the module and every command has its row.
for word in socket= timeout= tries= server_uid= first_factor=passed use_first_pass try_first_pass forward_pass nodelay debug; do
    grep -qF "\`$word" docs/reference/pam-module.md || fail "docs/reference/pam-module.md lacks the argument $word"
done
for command in init serve enroll confirm verify status list revoke unlock forget recovery-codes history report explain cancel trust-clock \
    breakglass backup restore "client add" "config check"; do
    grep -qF "totpd $command" docs/reference/commands.md || fail "docs/reference/commands.md lacks totpd $command"
done
# Every key of a rule is explained.
sed -n 's/^# \([a-z_]*\) = .*/\1/p' config/totpd.toml | sort -u | while read -r key; do
    case "$key" in key_file|witness_dir|admin_group|uid|listen|certificate|private_key) continue ;; esac
    grep -q "\`$key" docs/reference/policy.md || fail "docs/reference/policy.md lacks $key"
done
# Every file that a document of ours links to is there.
for document in *.md docs/*/*.md; do
    grep -oE '\]\([^)#:]+' "$document" | sed 's/^](//' | while read -r link; do
        [ -e "$(dirname "$document")/$link" ] || fail "$document links to $link, which is not there"
    done
done
echo "documents: true"
