#!/bin/sh
# coverage.sh - what the tests reach: branches of the core, lines of what reads the log back.
#
#     sh tests/coverage.sh [FULL]
#
# Builds into build-coverage, runs every suite (with FULL also the heavy shares), and prints one line
# a module and the lines that were not reached in the files that must be reached completely. Needs
# gcovr. Assertions count as reached: a failing one ends the test.
set -eu
cd "$(dirname "$0")/.."
[ "${1:-}" = FULL ] && export VARVE_FULL=1

command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is not installed (apt-get install gcovr)" >&2; exit 2; }
[ -d build-coverage ] ||
    CC="${CC:-gcc}" meson setup build-coverage -Db_coverage=true -Doptimization=0 >/dev/null
ninja -C build-coverage >/dev/null
find build-coverage -name '*.gcda' -delete
meson test -C build-coverage --no-suite lint --timeout-multiplier 10 >build-coverage/tests.log 2>&1 || {
    tail -n 30 build-coverage/tests.log >&2
    echo "coverage.sh: tests failed, figures below are of what ran" >&2
}

exclude='.*\bassert\s*\(.*'
summary() { # title, filter...
    title=$1
    shift
    for filter in "$@"; do set -- "$@" --filter "$filter"; shift; done
    gcovr --root . --object-directory build-coverage --exclude-branches-by-pattern "$exclude" \
        --exclude-throw-branches "$@" --json-summary-pretty --json-summary build-coverage/summary.json >/dev/null 2>&1
    python3 - "$title" <<'PY'
import json, sys
s = json.load(open('build-coverage/summary.json'))
print('%-28s lines %5.1f %%  branches %5.1f %%  (%d of %d)' % (
    sys.argv[1], s['line_percent'], s['branch_percent'], s['branch_covered'], s['branch_total']))
PY
}

for module in base vfs codec schema rows batch wal memtable sst manifest scan engine; do
    summary "storage/$module" "storage/$module/"
done
summary index "index/"
summary "core" "storage/" "index/"

echo "Files that must be reached completely:"
for file in storage/wal/wal_reader.c storage/wal/wal_scan.c storage/wal/wal_verdict.c \
            storage/wal/wal_recovery.c storage/manifest/manifest.c storage/engine/recover.c; do
    gcovr --root . --object-directory build-coverage --filter "$file" 2>/dev/null |
        awk -v f="$file" '$1 ~ /\.c$/ || $1 == f { print }'
done
