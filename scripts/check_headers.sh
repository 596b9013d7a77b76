#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Every header compiles alone: check_headers.sh COMPILER FLAG...
set -eu

bad=0
headers=$(git ls-files '*.h')
[ -n "$headers" ] || { echo "git lists no headers"; exit 1; }
for header in $headers; do
    case $header in
    # Templates state what must be defined before they are included.
    *_template.h) continue ;;
    *_neon.h) [ "$("$1" -dumpmachine | cut -d- -f1)" = aarch64 ] || continue ;;
    esac
    isa=
    case $header in
    *_avx2.h) isa="-mavx2 -mfma -mf16c" ;;
    *_avx512.h) isa="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c" ;;
    esac
    # shellcheck disable=SC2086
    "$@" $isa -w -fsyntax-only -x c -include "$header" /dev/null || {
        echo "$header does not compile alone"
        bad=1
    }
done
exit $bad
