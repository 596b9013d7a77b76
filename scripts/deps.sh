#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Installs the Debian packages that are missing, by name: deps.sh [SET...]
# Sets: build (the default), demo, test, ci, lint, browser, grpc. What tests use
# if it is there is in ci: a package of it starts a service of its own. grpc is
# for a comparison only.
set -eu

build="pkg-config libuv1-dev libprotobuf-c-dev protobuf-c-compiler
protobuf-compiler libjemalloc-dev libxxhash-dev libjansson-dev zlib1g-dev
libmicrohttpd-dev systemtap-sdt-dev"
demo="python3 python3-protobuf python3-numpy"
test="$demo python3-xxhash check gcc-aarch64-linux-gnu libc6-dev-arm64-cross
qemu-user"
ci="prometheus"
lint="clang-format clang-tidy"
browser="chromium"
grpc="libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc"

missing=
for set in "${@:-build}"; do
    case $set in
    build) packages=$build ;;
    demo) packages=$demo ;;
    test) packages=$test ;;
    ci) packages=$ci ;;
    lint) packages=$lint ;;
    browser) packages=$browser ;;
    grpc) packages=$grpc ;;
    *)
        echo "deps.sh: no set called '$set' (build, demo, test, ci, lint," \
            "browser, grpc)" >&2
        exit 2
        ;;
    esac
    for package in $packages; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null |
            grep -q '^install ok installed' || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# Word splitting is wanted: a list of package names.
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing
