#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Only files named for AVX may hold AVX: a VEX or EVEX instruction anywhere else
# would crash on a processor without it. check_isa.sh BUILD
set -eu

build=$1
case $(objdump -f "$build/quant/err.o" | sed -n 's/^architecture: *//p') in
*x86-64*) ;;
*) exit 0 ;; # nothing to check on other processors
esac

bad=0
checked=0
for object in $(find "$build/quant" "$build/storage" "$build/proto" \
    "$build/server" "$build/client" -name '*.o' ! -name '*_avx2.o' \
    ! -name '*_avx512.o'); do
    checked=$((checked + 1))
    found=$(objdump -d --no-show-raw-insn "$object" |
        grep -E '^ +[0-9a-f]+:\s+v[a-z0-9]+ .*%[xyz]mm' | head -n 2) || true
    if [ -n "$found" ]; then
        echo "$object: $found"
        bad=1
    fi
done
[ "$checked" -gt 10 ] || {
    echo "$build: $checked objects, is it built?"
    exit 1
}
exit $bad
