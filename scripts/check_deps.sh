#!/bin/sh
# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# Fails on an include that points up or sideways, on a file name that stands
# twice, and on a file without its licence. Folder, then the folders it may include from besides itself.
# Those of storage and of server say besides which of their neighbours they
# include from; all of them may what stands in storage/ itself.
set -eu

allowed() {
    case $1 in
    quant) echo "" ;;
    storage | storage/io) echo "quant storage" ;;
    storage/source) echo "quant storage storage/io storage/table" ;;
    storage/table) echo "quant storage storage/io storage/source" ;;
    storage/repo) echo "quant storage storage/io storage/table" ;;
    storage/builder) echo "$(allowed storage/source) storage/source" ;;
    storage/export | storage/eval)
        echo "$(allowed storage/builder) storage/builder"
        ;;
    proto) echo "quant" ;;
    server/log) echo "$BELOW" ;;
    server/stats) echo "$BELOW" ;;
    server/settings) echo "$BELOW server/log" ;;
    server/models) echo "$BELOW server/log server/settings server/stats" ;;
    server/request) echo "$(allowed server/models) server/models" ;;
    server/net) echo "$(allowed server/request) server/request" ;;
    server/admin) echo "$(allowed server/net) server/net" ;;
    server) echo "$(allowed server/admin) server/admin" ;;
    client/lib) echo "quant proto" ;;
    client/bench) echo "quant $STORAGE proto client/lib" ;;
    client/cli) echo "quant $STORAGE proto client/lib client/bench" ;;
    esac
}

# A folder of the project from the path of an include or a file.
folder_of() {
    case $1 in
    client/*/* | server/*/* | storage/*/*) echo "$1" | cut -d/ -f1-2 ;;
    */*) echo "${1%%/*}" ;;
    # The installed headers, as users include them.
    nibble.h) echo quant ;;
    nibble_client.h) echo client/lib ;;
    esac
}

STORAGE="$(git ls-files 'storage/*/*' | cut -d/ -f1-2 | sort -u | tr '\n' ' ')\
storage"
BELOW="quant $STORAGE proto"

bad=0
files=$(git ls-files 'quant/*.[ch]' 'quant/*.def' 'storage/*.[ch]' \
    'storage/*.def' 'proto/*.[ch]' 'server/*.[ch]' 'server/*.def' \
    'client/*.[ch]' 'client/*.def')
[ -n "$files" ] || { echo "git lists no files"; exit 1; }
for file in $files; do
    case $file in
    client/lib/examples/*) continue ;;
    esac
    from=$(folder_of "$file")
    for include in $(sed -n 's/^ *# *include "\([^"]*\)".*/\1/p' "$file"); do
        to=$(folder_of "$include")
        if [ -z "$to" ]; then
            echo "$file: \"$include\" is not relative to the root"
            bad=1
            continue
        fi
        case " $from $(allowed "$from") " in
        *" $to "*) ;;
        *)
            echo "$file: $from may not include \"$include\""
            bad=1
            ;;
        esac
    done
done

twice=$(git ls-files '*.c' '*.h' '*.cc' '*.hh' | sed 's|.*/||' | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "file names that stand twice:" $twice
    bad=1
fi

long=$(git ls-files '*.c' '*.h' '*.cc' '*.hh' | xargs wc -l |
    awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, over 600" }')
if [ -n "$long" ]; then
    echo "$long"
    bad=1
fi

bare=$(git ls-files '*.c' '*.h' '*.cc' '*.hh' '*.def' '*.py' '*.sh' '*.proto' '*.in' \
    Makefile .ci | xargs grep -L 'SPDX-License-Identifier: Apache-2.0')
if [ -n "$bare" ]; then
    echo "no licence in:" $bare
    bad=1
fi
exit $bad
