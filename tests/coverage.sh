#!/bin/sh
# coverage.sh - what the tests reach, and whether it is enough.
#
#     sh tests/coverage.sh [SUITE...]
#
# Builds into build-coverage without optimisation, runs the suites named (all short ones unless any
# is: everything but lint, header, release and full), and prints lines and branches by module, what is
# missing in the files that must be reached completely, and which bars are missed. Exit status 1 if
# one is, or if a test fails. tests/coverage_report.py says what is counted, and holds the bars.
# Needs gcovr. VARVE_FULL=1 runs the long shares of the suites too.
set -eu
cd "$(dirname "$0")/.."

command -v gcovr >/dev/null || { echo "coverage.sh: gcovr is not installed (apt-get install gcovr)" >&2; exit 2; }
[ -f build-coverage/build.ninja ] ||
    CC="${CC:-gcc}" meson setup build-coverage -Db_coverage=true -Doptimization=0 >/dev/null
ninja -C build-coverage >build-coverage/ninja.log || { tail -n 40 build-coverage/ninja.log >&2; exit 2; }
find build-coverage -name '*.gcda' -delete

[ $# -gt 0 ] || set -- unit threads golden fuzz fault damage crash model cli
for suite; do set -- "$@" --suite "$suite"; shift; done
failed=0
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-10}"
meson test -C build-coverage --no-rebuild --timeout-multiplier 10 "$@" >build-coverage/tests.log 2>&1 || {
    tail -n 30 build-coverage/tests.log >&2
    echo "coverage.sh: tests failed" >&2
    failed=1
}
gcovr --root . --object-directory build-coverage --filter storage/ --filter index/ \
    --json build-coverage/coverage.json >build-coverage/gcovr.log 2>&1 || {
    tail -n 20 build-coverage/gcovr.log >&2
    exit 2
}
python3 tests/coverage_report.py build-coverage/coverage.json || failed=1
exit $failed
