# An older totpd would refuse everybody with a newer store, so it is not installed over one (user_version in SQLite's
# header).
known=@SCHEMA@
folder=$(sed -n 's/^[[:space:]]*state_dir[[:space:]]*=[[:space:]]*["'\'']\([^"'\'']*\)["'\''].*/\1/p' \
    /etc/totpd/totpd.toml 2>/dev/null | head -n 1)
store=${folder:-/var/lib/totpd}/totpd.db
if [ -f "$store" ] && [ ! -L "$store" ]; then
    stored=0
    for byte in $(timeout 10 od -A n -t u1 -j 60 -N 4 "$store"); do stored=$((stored * 256 + byte)); done
    if [ "$stored" -gt "$known" ]; then
        echo "totpd: $store was written by a newer totpd (schema $stored), and this one knows schema $known. Not installed." >&2
        exit 1
    fi
fi
exit 0
