#!/bin/sh
# Fails on an include that points up or sideways, and on a file name that
# stands twice. Folder, then the folders it may include from besides itself.
set -eu

allowed() {
    case $1 in
    quant) echo "" ;;
    storage) echo "quant" ;;
    proto) echo "quant" ;;
    server) echo "quant storage proto" ;;
    client/lib) echo "quant proto" ;;
    client/bench) echo "quant storage proto client/lib" ;;
    client/cli) echo "quant storage proto client/lib client/bench" ;;
    esac
}

# A folder of the project from the path of an include or a file.
folder_of() {
    case $1 in
    client/lib/* | client/bench/* | client/cli/*) echo "$1" | cut -d/ -f1-2 ;;
    */*) echo "${1%%/*}" ;;
    # The installed headers, as users include them.
    nibble.h) echo quant ;;
    nibble_client.h) echo client/lib ;;
    esac
}

bad=0
for file in $(git ls-files 'quant/*.[ch]' 'quant/*.def' 'storage/*.[ch]' \
    'storage/*.def' 'proto/*.[ch]' 'server/*.[ch]' 'server/*.def' \
    'client/*.[ch]' 'client/*.def'); do
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

twice=$(git ls-files '*.c' '*.h' | sed 's|.*/||' | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "file names that stand twice:" $twice
    bad=1
fi

long=$(git ls-files '*.c' '*.h' | xargs wc -l |
    awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, over 600" }')
if [ -n "$long" ]; then
    echo "$long"
    bad=1
fi
exit $bad
