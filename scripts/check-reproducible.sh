#!/bin/sh
# Two builds of one commit in two folders give the same bytes. Takes many minutes: `make test-long`, and each release.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
scratch=$root/target/reproducible
rm -rf "$scratch"
mkdir -p "$scratch"
commit=$(git rev-parse HEAD)
for folder in one another-and-longer; do
    git clone --quiet --no-hardlinks "$root" "$scratch/$folder"
    git -C "$scratch/$folder" checkout --quiet --detach "$commit"
    for kind in deb rpm; do "$scratch/$folder/scripts/package.sh" $kind > "$scratch/$folder.$kind.log"; done
    (cd "$scratch/$folder/target/package" && sha256sum -- *.deb *.rpm) > "$scratch/$folder.sums"
    [ "$folder" = one ] || diff -u "$scratch/one.sums" "$scratch/$folder.sums" ||
        { echo "check-reproducible: two builds of one commit differ" >&2; exit 1; }
done
cat "$scratch/one.sums"
echo "packages: two builds of $commit in two folders are the same"
