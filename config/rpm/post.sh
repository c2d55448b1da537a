sockets="totpd.socket totpd-root.socket totpd-admin.socket"
systemd-sysusers totpd.conf || :
systemd-tmpfiles --create totpd.conf || :
if command -v selinuxenabled >/dev/null && selinuxenabled; then
    semodule -i /usr/share/selinux/packages/totpd.pp || :
    restorecon -R /run/totpd || :
fi
if [ "$1" -eq 1 ]; then
    for unit in totpd.service $sockets totpd-init.service totpd-pam-take-back.service totpd-doctor.timer; do
        [ ! -e "/usr/lib/systemd/system/$unit" ] || systemctl --no-reload preset "$unit" >/dev/null 2>&1 || :
    done
fi
# In a chroot or an image nothing starts, and so nothing makes a key that many hosts would share.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    for unit in totpd-init.service $sockets totpd-doctor.timer; do
        if systemctl --quiet is-enabled "$unit" 2>/dev/null; then systemctl start "$unit" || :; fi
    done
    if [ "$1" -gt 1 ]; then
        systemctl try-restart totpd.service || :
    elif systemctl --quiet is-enabled totpd.service 2>/dev/null; then
        systemctl start totpd.service || :
    fi
fi
exit 0
