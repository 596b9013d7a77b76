#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Latency of small requests beside a stream of large ones that keeps the loop
# busy, of huge ones, and of ones with a single bag: bench_mixed.sh DIR [BUILD].
# Makes tables below DIR if there are none.
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
    --max-ids 2097152 --address-file "$dir/address" 2>"$dir/nibbled.log" &
server=$!
trap 'kill $server' EXIT
while [ ! -s "$dir/address" ]; do sleep 0.05; done
address=$(cat "$dir/address")

# beside NAME CONNECTIONS OPTION...: point requests, and these.
beside() {
    name=$1
    connections=$2
    shift 2
    "$build/nibble" bench --server "$address" "$@" --request-mib 16 \
        --connections "$connections" --duration 8 >"$dir/large.txt" 2>&1 &
    large=$!
    sleep 3 # it makes its requests, and warms up
    echo "point, 500 requests/s, beside $name on $connections connections:"
    "$build/nibble" bench --server "$address" --profile point --model point \
        --connections 4 --rate 500 --duration 4 --warm-up 0.5 |
        grep -E ' p50 |latency|service|warning'
    wait "$large"
    echo "$name meanwhile:"
    grep -E 'requests/s|latency' "$dir/large.txt"
}

sleep 11 # for so long, pages that are not in memory are looked for
beside rm2 8 --profile rm2 --model rm2
beside "sums of 2,000,000 ids" 1 --tables t0:20 --samples 100000 --model point
beside "one sum of 1,000,000 ids" 1 --tables t0:1000000 --model point
