#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Stages an install and builds a consumer against it through pkg-config:
# installcheck.sh MAKE CC
set -eu

make=$1
cc=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

"$make" --no-print-directory -s install PREFIX=/opt/nibble DESTDIR="$stage"
cat > "$stage/consumer.c" <<'EOF'
#include <nibble_client.h>
#include <stdio.h>

int main(void)
{
    struct nb_client *client = NULL;
    struct nb_errctx err;
    int rv = nb_client_connect("not an address", NULL, &client, &err);
    printf("%s, %s\n", nb_version(), nb_strerror(rv));
    const char *nobody = "127.0.0.1:1";
    struct nb_channel *channel = NULL;
    if (rv != NB_ERR_INVALID ||
        nb_channel_open(&nobody, 1, NULL, &channel, &err) != 0) {
        return 1;
    }
    nb_channel_close(channel, NULL, NULL);
    return 0;
}
EOF
export PKG_CONFIG_PATH="$stage/opt/nibble/lib/pkgconfig"
export PKG_CONFIG_SYSROOT_DIR="$stage"
# shellcheck disable=SC2046
"$cc" -Wall -Wextra -Werror -o "$stage/consumer" "$stage/consumer.c" \
    $(pkg-config --cflags --libs libnibble-client) \
    -Wl,-rpath-link,"$stage/opt/nibble/lib"
LD_LIBRARY_PATH="$stage/opt/nibble/lib" "$stage/consumer"
# The archives do as well, and hold no names but the public ones.
for name in quant/libnibble client/lib/libnibble-client; do
    nm -g --defined-only "$stage/opt/nibble/lib/${name##*/}.a" |
        awk 'NF == 3 { print $3 }' | LC_ALL=C sort > "$stage/names"
    diff "$name.abi" "$stage/names"
done
# shellcheck disable=SC2046
"$cc" -o "$stage/static" "$stage/consumer.c" -I"$stage/opt/nibble/include" \
    "$stage/opt/nibble/lib/libnibble-client.a" \
    "$stage/opt/nibble/lib/libnibble.a" \
    $(pkg-config --libs libuv libprotobuf-c) -lm
"$stage/static"
# What is linked to what: the programs to jemalloc, the libraries not.
for name in libnibble libnibble-client; do
    readelf -d "$stage/opt/nibble/lib/$name.so" > "$stage/dynamic"
    grep -q "SONAME.*\[$name\.so\.[0-9]*\]" "$stage/dynamic"
    ! grep jemalloc "$stage/dynamic"
done
for name in nibble nibbled; do
    readelf -d "$stage/opt/nibble/bin/$name" > "$stage/dynamic"
    grep -q 'NEEDED.*libjemalloc' "$stage/dynamic"
done
test -s "$stage/opt/nibble/share/man/man3/nibble_client.3"
grep -q '^\.SS nibble lookup' "$stage/opt/nibble/share/man/man1/nibble.1"
"$stage/opt/nibble/bin/nibble" --version
"$stage/opt/nibble/bin/nibbled" --version
"$make" --no-print-directory -s uninstall PREFIX=/opt/nibble DESTDIR="$stage"
left=$(find "$stage/opt" ! -type d)
if [ -n "$left" ]; then
    echo "uninstall left behind: $left"
    exit 1
fi
echo "installcheck: ok"
