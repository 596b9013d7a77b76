#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Latency of small requests beside a stream of large ones that keeps the loop
# busy: bench_mixed.sh DIR [BUILD]. Makes tables below DIR if there are none.
set -eu
dir=${1:?bench_mixed.sh DIR [BUILD]}
build=${2:-build/release}
mkdir -p "$dir"
if [ ! -d "$dir/repo" ]; then
    "$build/nibble" bench --make-tables rm2 --repo "$dir/repo" --scale 0.02
    "$build/nibble" bench --make-tables point --repo "$dir/repo" --scale 0.05
fi
rm -f "$dir/address"
"$build/nibbled" --repo "$dir/repo" --loops 1 --listen 127.0.0.1:0 \
    --address-file "$dir/address" 2>"$dir/nibbled.log" &
server=$!
trap 'kill $server' EXIT
while [ ! -s "$dir/address" ]; do sleep 0.05; done
address=$(cat "$dir/address")
"$build/nibble" bench --server "$address" --profile rm2 --model rm2 \
    --connections 8 --duration 8 --request-mib 16 >"$dir/rm2.txt" 2>&1 &
large=$!
sleep 2 # it makes its requests, and warms up
echo "point, 500 requests/s, beside rm2 on 8 connections:"
"$build/nibble" bench --server "$address" --profile point --model point \
    --connections 4 --rate 500 --duration 4 --warm-up 0.5 |
    grep -E ' p50 |latency|service|warning'
wait "$large"
echo "rm2 meanwhile:"
grep -E 'requests/s|latency' "$dir/rm2.txt"
