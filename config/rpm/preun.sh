# 0: the last one goes. An upgrade changes no PAM file and stops nothing.
if [ "$1" -eq 0 ]; then
    # The files of PAM that name the module after this sed script. Copies that no service reads do not count.
    naming() {
        for file in /etc/pam.conf /etc/pam.d/* /etc/authselect/* /usr/lib/pam.d/* /usr/share/pam.d/*; do
            case "$file" in *~ | *.bak | *.orig | *.rpm* | *.sw?) continue ;; esac
            [ -f "$file" ] || continue
            if sed "$1" "$file" | grep -qE '^[^#]*pam_totp(\.so)?'; then echo "$file"; fi
        done
    }
    # Where the module stays because of lines that were written by hand, the blocks stay, too.
    left=$(naming '/^# BEGIN totpd/,/^# END totpd/d')
    if [ -z "$left" ]; then
        /usr/bin/totpd pam disable --all --yes >&2 || :
        left=$(naming '')
    fi
    if [ -n "$left" ]; then
        echo "totpd: NOT REMOVED. These files still name pam_totp.so, and without the module they would refuse everybody:" >&2
        echo "$left" | sed 's/^/    /' >&2
        echo "Take our line out of them (totpd pam disable --all, or an editor) and remove the package again." >&2
        exit 1
    fi
    systemctl --no-reload disable --now totpd-doctor.timer totpd-http.socket totpd.socket totpd-root.socket \
        totpd-admin.socket totpd.service totpd-init.service totpd-pam-take-back.service >/dev/null 2>&1 || :
fi
exit 0
