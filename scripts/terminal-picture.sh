#!/bin/sh
# The pictures of README.md and docs/explanation/screens.md, in docs/images, from a real run. In private namespaces
# (mount, network, host name) it sets up sshd, sudo and totpd as README does; scripts/terminal-picture.py types, and
# draws what the terminal shows. Arguments are scenes: readme, screens, first_login; without one it plays all.
# Needs root, and changes nothing on this host.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || { echo "terminal-picture.sh: run it as root" >&2; exit 2; }
    for program in /usr/sbin/sshd ssh sudo oathtool python3; do
        command -v $program > /dev/null || { echo "terminal-picture.sh: no $program; run scripts/bootstrap.sh test" >&2; exit 2; }
    done
    cargo build --quiet -p totpd -p pam_totp
    if [ ! -x target/picture/bin/python ]; then
        python3 -m venv target/picture
        target/picture/bin/pip install --quiet --disable-pip-version-check pyte==0.8.2
    fi
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    unshare --mount --net --uts --propagation private "$0" inside "$scratch" "$@"
    exit
fi

hostname server
ip link set lo up
scratch=$2
shift 2
mount -t tmpfs none "$scratch"
mkdir "$scratch/bin"
cp target/debug/totpd "$scratch/bin/totpd"
cp -a /etc "$scratch/etc"
mount --bind "$scratch/etc" /etc
for folder in /run /var/lib /var/log /home; do mount -t tmpfs none "$folder"; done
cp target/debug/libpam_totp.so "$scratch/pam_totp.so"

# The machine as README installs it. Python, which types, may live in root's own home: that one stays where it is.
HOME=/home/root
export HOME
mkdir -m 700 "$HOME" "$HOME/.ssh"
sed -i "s#^root:.*#root:x:0:0:root:$HOME:/bin/bash#" /etc/passwd
for user in alice bob; do
    userdel --force "$user" 2>/dev/null || true
    useradd --create-home --shell /bin/bash "$user"
    echo "$user:correct horse" | chpasswd
done
printf 'Defaults env_keep+=PATH,lecture=never,!fqdn\nroot ALL=(ALL) ALL\nalice ALL=(ALL) ALL\n' > /etc/sudoers
rm -rf /etc/sudoers.d /etc/totpd /etc/ssh/sshd_config.d /etc/update-motd.d /etc/motd
printf '127.0.0.1 localhost server\n' > /etc/hosts
cat > /etc/pam.d/sshd <<PAM
auth     required  $scratch/pam_totp.so
account  required  pam_unix.so
session  required  pam_permit.so
PAM
cat > /etc/pam.d/sudo <<PAM
auth     required  pam_unix.so
auth     required  $scratch/pam_totp.so
account  required  pam_unix.so
session  required  pam_permit.so
PAM
mkdir -p /run/sshd /run/totpd
PATH=$scratch/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
totpd init > /dev/null
totpd serve 2> "$scratch/log" &
daemon=$!
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/picture_host_key
ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
for user in alice bob; do
    mkdir -m 700 "/home/$user/.ssh"
    cp "$HOME/.ssh/id_ed25519.pub" "/home/$user/.ssh/authorized_keys"
    chown -R "$user": "/home/$user"
done
printf 'server %s\n' "$(cat /etc/ssh/picture_host_key.pub)" > "$HOME/.ssh/known_hosts"
cat > /etc/ssh/sshd_config <<SSHD
HostKey /etc/ssh/picture_host_key
UsePAM yes
KbdInteractiveAuthentication yes
PasswordAuthentication no
AuthenticationMethods publickey,keyboard-interactive:pam
PrintLastLog no
SetEnv PATH=$PATH
SSHD
/usr/sbin/sshd
until totpd -q status 2>/dev/null; do sleep 0.1; done

status=0
target/picture/bin/python scripts/terminal-picture.py docs/images "$@" || status=$?
kill "$daemon" "$(cat /run/sshd.pid)"
exit "$status"
