#!/bin/sh
# The files of a package run on the systems that it names: check-binary.sh FILE...
#   nothing newer than GLIBC_2.34 (RHEL 9, Debian 12), and no path of the build machine.
set -eu
for file in "$@"; do
    newest=$(objdump -T "$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    [ "$(printf '%s\nGLIBC_2.34\n' "$newest" | sort -V | tail -n 1)" = GLIBC_2.34 ] ||
        { echo "check-binary: $file needs $newest" >&2; exit 1; }
    for path in "$PWD" "$HOME/.cargo" "$HOME/.rustup"; do
        found=$(grep -aoF "$path" "$file" | wc -l)
        [ "$found" = 0 ] || { echo "check-binary: $file names $path ($found times)" >&2; exit 1; }
    done
    echo "binary: $file needs $newest, and names no path of this machine"
done
