#!/bin/sh
# header_check.sh INCLUDE LANGUAGE STANDARD COMPILER...: each public header alone and twice, then all
# of them in both orders, as LANGUAGE.
set -eu
include=$1 language=$2 standard=$3
shift 3

check() { # the program is on stdin
    "$@" -x "$language" -std="$standard" -Wall -Wextra -pedantic -Werror -Wconversion -Wshadow \
        -fsyntax-only -I "$include" -
}

names=$(cd "$include" && printf '%s\n' varve/*.h)
backwards=$(printf '%s\n' "$names" | sort -r)
for name in $names; do
    printf '#include <%s>\n#include <%s>\nint header_check;\n' "$name" "$name" | check "$@"
done
for order in "$names" "$backwards"; do
    { printf '%s\n' "$order" | sed 's/.*/#include <&>/'; echo 'int header_check;'; } | check "$@"
done
