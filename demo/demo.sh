#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
#
# The whole way on real vectors: quantize, judge, serve, ask. `make demo` puts
# nibble and nibbled on the PATH; PYTHON may name a Python that has numpy.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
vectors=$here/../tests/data/glove-6B-50d-head.txt
python=${PYTHON:-python3}

die()
{
    echo "demo: $*" >&2
    exit 1
}

say()
{
    printf '\n-- %s\n' "$*"
}

for program in nibble nibbled; do
    command -v $program > /dev/null ||
        die "$program is not on the PATH: run 'make demo'"
done
[ -r "$vectors" ] || die "$vectors: cannot read the vectors"
"$python" -c 'import numpy' 2> /dev/null ||
    die "$python has no numpy: run 'make demo'"

scratch=$(mktemp -d) || die "no place for temporary files"
server=
cleanup()
{
    [ -z "$server" ] || kill "$server" 2> /dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp "$vectors" "$scratch/glove.txt"
cd "$scratch"

say "Quantize $(wc -l < glove.txt) GloVe vectors to 4 bits, words as keys"
nibble quantize --input glove.txt --keys text --output glove.nbt

say "What it costs in precision"
nibble eval glove.nbt --against glove.txt | sed '2,5d;10,$d'

say "What is in the file"
nibble inspect glove.nbt

say "Serve it"
nibbled --table glove=glove.nbt --listen 127.0.0.1:0 --address-file address \
    2> log &
server=$!
tries=100
until [ -s address ]; do
    kill -0 $server 2> /dev/null ||
        die "nibbled did not start: $(tail -n 1 log)"
    tries=$((tries - 1))
    [ $tries -gt 0 ] || die "nibbled did not get ready within 10 s"
    sleep 0.1
done
address=$(head -n 1 address)
echo "nibbled listens at $address"

"$python" "$here/neighbours.py" "$address" glove.txt

say "Stop the server"
kill -TERM $server
status=0
wait $server || status=$?
server=
[ $status -eq 0 ] || die "nibbled ended with status $status: $(tail -n 1 log)"
echo "nibbled finished what was in flight and ended with status 0"
