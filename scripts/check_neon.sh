#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
# Builds the library and the kernels' property tests for ARM, and runs those of
# the NEON kernels in an emulator: check_neon.sh MAKE JOBS
set -eu

make=$1
jobs=$2
host=$(uname -m)
if [ "$host" != x86_64 ]; then
    echo "check-neon: skipped: made for x86_64, this is $host"
    exit 0
fi

build=build/aarch64
main=$build/tests/property/kernels_main
"$make" --no-print-directory -j"$jobs" MODE=release BUILD=$build WERROR=1 \
    CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar \
    CFLAGS= CPPFLAGS= LDFLAGS=-static $main
log=$build/check-neon.log
kernels=$(qemu-aarch64 $main list neon)
echo "$kernels" | xargs -n 1 -P "$jobs" qemu-aarch64 $main | tee $log
passed=$(grep -c ' ok$' $log) || true
failed=$(($(echo "$kernels" | wc -w) - passed))
echo "check-neon: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
