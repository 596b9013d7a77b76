#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Runs the Dockerfile's steps where Docker cannot run: prove.sh DIR [--check].
# Makes two Debian 12 trees below DIR by debootstrap, one a stage, runs every
# RUN line of the file in the tree of its stage, copies what COPY copies, then
# serves a published model as the image's user and asks the health check. In
# the first tree, which has nothing but what the steps installed, `make demo`
# is run then, and with --check all of `make check`. As root; needs
# debootstrap. DIR must not exist, and is left for looking at.
set -eu

cd "$(dirname "$0")/.."
dir=${1:?prove.sh DIR [--check]}
targets=demo
case ${2:-} in
'') ;;
--check) targets="demo check" ;;
*)
    echo "prove.sh: '$2' is not --check" >&2
    exit 2
    ;;
esac
mkdir "$dir"
dir=$(cd "$dir" && pwd)
mirror=${MIRROR:-}

# run TREE FOLDER COMMAND: in the tree, with /proc and /dev as a container has
# them. They are mounted where this command alone sees them, so that nothing is
# mounted in the tree once it has ended, however it ends.
run() {
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child /bin/sh -ec '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        exec chroot "$1" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            DEBIAN_FRONTEND=noninteractive /bin/sh -ec "cd $2; $3"
        ' run "$@" </dev/null
}

# fail LOG: ends, and shows how that did.
fail() {
    tail -n 20 "$1" >&2
    exit 1
}

tree() {
    # shellcheck disable=SC2086
    debootstrap --variant=minbase bookworm "$1" $mirror >"$1.log" 2>&1 ||
        fail "$1.log"
    # A container's; debootstrap leaves none.
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$1/etc/hosts"
    for file in /etc/apt/sources.list /etc/resolv.conf; do
        [ ! -e $file ] || cp $file "$1$file"
    done
    [ ! -d /etc/apt/apt.conf.d ] ||
        cp -r /etc/apt/apt.conf.d/. "$1/etc/apt/apt.conf.d/"
    [ ! -d /etc/apt/sources.list.d ] ||
        cp -r /etc/apt/sources.list.d/. "$1/etc/apt/sources.list.d/"
}

# The commands of RUN lines of stage $1.
steps() {
    awk -v want="$1" '/^FROM /{stage++}
        stage == want && /^RUN /{sub(/^RUN /, ""); print}' docker/Dockerfile
}

build=$dir/build
image=$dir/image
tree "$build"
mkdir "$build/src"
git archive HEAD | tar -x -C "$build/src"
steps 1 | while IFS= read -r step; do
    echo "build: $step"
    run "$build" /src "$step" >>"$build.log" 2>&1 || fail "$build.log"
done

tree "$image"
steps 2 | while IFS= read -r step; do
    echo "image: $step"
    run "$image" / "$step" >>"$image.log" 2>&1 || fail "$image.log"
done
cp -a "$build/out/usr/bin/." "$image/usr/bin/"

# As the publisher of compose.yaml does, and then the server.
cp tests/data/glove-6B-50d-head.txt "$image/tmp/"
become_nibble() {
    exec chroot --userspec=nibble "$image" /usr/bin/env \
        NIBBLED_REPO=/models NIBBLED_LISTEN=127.0.0.1:0 \
        NIBBLED_ADMIN=127.0.0.1:17701 NIBBLED_LOG_FORMAT=json "$@"
}
as_nibble() (
    become_nibble "$@"
)
as_nibble nibble quantize --input /tmp/glove-6B-50d-head.txt \
    --output /tmp/words.nbt
as_nibble nibble publish --repo /models --model glove words=/tmp/words.nbt
become_nibble nibbled --address-file /tmp/address 2>"$dir/nibbled.log" &
server=$!
trap 'kill "$server" 2>/dev/null || :' EXIT
for _ in $(seq 100); do
    [ -s "$image/tmp/address" ] && break
    sleep 0.1
done
as_nibble curl -fsS http://127.0.0.1:17701/readyz
as_nibble nibble lookup --server "$(cat "$image/tmp/address")" --table words \
    --ids 0
kill "$server"
wait "$server"
trap - EXIT # its number may be another's by then
echo "the Dockerfile's steps work"

for target in $targets; do
    echo "make $target"
    run "$build" /src "make -j$(nproc) $target" >"$dir/$target.log" 2>&1 ||
        fail "$dir/$target.log"
    tail -n 1 "$dir/$target.log"
done
