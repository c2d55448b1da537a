if [ "$1" -eq 0 ]; then
    if command -v selinuxenabled >/dev/null && selinuxenabled; then semodule -r totpd || :; fi
    [ ! -d /run/systemd/system ] || systemctl daemon-reload || :
    for folder in /etc/totpd /var/lib/totpd /var/log/totpd; do
        [ ! -d "$folder" ] || echo "totpd: kept $folder. Store and key are needed together; remove both or neither." >&2
    done
fi
exit 0
