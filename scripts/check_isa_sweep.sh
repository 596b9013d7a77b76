#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
# Runs tests again with the instruction sets of this processor taken away one
# after the other, best first: check_isa_sweep.sh COMMAND...
set -eu

case $(uname -m) in
aarch64) sets=neon ;;
*) sets="avx512 avx2" ;;
esac
disabled=
for set in $sets; do
    disabled=${disabled:+$disabled,}$set
    echo "without $disabled:"
    NB_ISA_DISABLE=$disabled "$@"
done
