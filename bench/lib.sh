# Shared set-up of the benchmarks: a scratch folder $S, a daemon on it whose clock and disk the benchmark controls, and
# the helpers that print tables. Sourced by run.sh of each benchmark, from the root of the repository.

# Makes the scratch folder NAME, and the preload with its control file. Everything ends with the script.
set_up() { # NAME FOLDER…
    S=/var/lib/$1
    shift
    daemon=; helpers=()
    rm -rf $S
    mkdir -p $S "${@/#/$S/}"
    trap tear_down EXIT
    gcc -O2 -Wall -shared -fPIC -o $S/faults.so tests/native/faults.c
    head -c 32 /dev/zero > $S/control
}
tear_down() {
    kill $daemon "${helpers[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    umount -l $S/dev 2>/dev/null || true
    rm -rf $S
}

# Writes a word of the control file: 0 moves the clock by seconds, 1 delays syncs by microseconds.
set_word() { python3 -c "f=open('$S/control','r+b'); f.seek($1*8); f.write(int($2).to_bytes(8,'little',signed=True))"; }

# Adds the lines of standard input to /etc/passwd of this mount namespace.
add_users() {
    cat /etc/passwd - > $S/passwd
    mount --bind $S/passwd /etc/passwd
}

# Replaces /dev of this mount namespace: a log sink behind /dev/log reads what everybody logs, since a serial console
# would slow the benchmark.
sink_log() {
    mkdir -p $S/dev
    mount -t tmpfs -o mode=0755 tmpfs $S/dev
    for node in "null 1 3" "zero 1 5" "urandom 1 9" "random 1 8" "tty 5 0"; do set -- $node; mknod -m 666 $S/dev/$1 c $2 $3; done
    mkdir $S/dev/shm $S/dev/pts
    mount --bind /dev/pts $S/dev/pts
    mount --rbind $S/dev /dev
    python3 -c "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('/dev/log')
while True: s.recv(8192)" &
    helpers+=($!)
}

totpd() { ${BIN:-target/release}/totpd --config $S/totpd.toml "$@"; }

# Initialises a store and starts the daemon. Standard input is the end of its configuration.
start_daemon() {
    { printf 'login_socket = "%s/run/login.sock"\nadmin_socket = "%s/run/admin.sock"\n' $S $S
      printf 'state_dir = "%s/state"\nwitness_dir = "%s/witness"\n' $S $S; cat; } > $S/totpd.toml
    totpd -q init
    LD_PRELOAD=$S/faults.so TOTPD_FAULTS=$S/control ${BIN:-target/release}/totpd --config $S/totpd.toml serve 2> $S/daemon.log &
    daemon=$!
    for _ in $(seq 50); do totpd -q status 2>/dev/null && break; sleep 0.1; done
}
rss() { awk '/VmRSS/ {print $2}' /proc/$daemon/status; }

# The measurements of one run are words in $line.
field() { cut -d' ' -f"$1" <<< "$line"; }
ratio() { python3 -c "print(f'{$1 / $2:.2f}')"; }
median() { printf '%s\n' "$@" | sort -n | sed -n "$(( ($# + 1) / 2 ))p"; }
# Prints the head of a table, and a row of it.
head_row() { local rule=; echo; row "$@"; for _ in "$@"; do rule+='| --- '; done; echo "$rule|"; }
row() { local IFS='|'; echo; echo "|${*/%/ }|" | sed 's/|/| /g; s/ $//'; echo "|$(printf ' --- |%.0s' "$@")"; }
row() { local name=$1; shift; printf '| %s ' "$name" "$@"; echo '|'; }
