#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# The symbols a library exports are those of the committed list, and each bears
# the prefix: check_abi.sh LIBRARY LIST
set -eu

exported=$(nm -D --defined-only "$1" | awk '{ print $3 }' | LC_ALL=C sort)
echo "$exported" | diff "$2" - || {
    echo "$1 does not export what $2 lists (< listed, > exported)"
    exit 1
}
if echo "$exported" | grep -v '^nb_'; then
    echo "$1 exports names without the prefix nb_"
    exit 1
fi
