#!/bin/sh
# run.sh [--full]: everything that has to pass, from a fresh clone on Debian 12.
#
# Builds four times and runs every suite as `meson test` (docs/TESTING.md says what is in which):
#   build-asan     gcc, address and undefined-behaviour sanitizers   all suites but those below
#   build-tsan     clang, thread sanitizer, that suite compiled      suite threads
#   build-fuzz     clang, libFuzzer, address sanitizer               suite fuzz
#   build-release  gcc, optimised                                    suites lint, release, bench,
#                                                                    bench-smoke; --full: full
#   build-coverage gcc, not optimised, --full only                   what the suites reach, and the bars
# Prints a line a stage and, below it, what its tests did (the lines `share: ...` of their output:
# states, operations, kills, faults, bytes damaged, executions of fuzz targets), the log's tail of what
# failed, and at the end, alone on a line, `N passed, N failed` (with `, N skipped` if any were). Exit
# status 0 only if nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 1

export LC_ALL=C.UTF-8
# Without it undefined behaviour is printed and passes.
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-halt_on_error=1:abort_on_error=1:print_stacktrace=1}"
full=0
for argument; do
    case $argument in
    --full) full=1 ;;
    *)
        echo "usage: sh tests/run.sh [--full]" >&2
        exit 2
        ;;
    esac
done
export VARVE_FUZZ_SECONDS="${VARVE_FUZZ_SECONDS:-8}"
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-4}" # as much as meson's below: machines are busy
if [ "$full" -eq 1 ]; then
    export VARVE_FULL=1 VARVE_FUZZ_SECONDS=600
fi

passed=0 failed=0 skipped=0
logs=build-logs
mkdir -p "$logs" || exit 1

finish() {
    summary="$passed passed, $failed failed"
    [ "$skipped" -eq 0 ] || summary="$summary, $skipped skipped"
    echo "$summary"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

# stage NAME COMMAND...: run quietly; a line with the duration, or the end of the log.
stage() {
    title=$1
    shift
    log=$logs/$(printf %s "$title" | tr ' ' '-').log
    start=$(date +%s)
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    printf '%-24s %5d s%s\n' "$title" $(($(date +%s) - start)) \
        "$([ $status -eq 0 ] || echo '  FAILED')"
    [ $status -eq 0 ] || tail -n 80 "$log"
    return $status
}

# Add the results in a meson test log to the totals. A log that is not there counts as a failure.
count() {
    totals=$(python3 - "$1" <<'PYTHON'
import json
import sys

results = {'passed': 0, 'failed': 0, 'skipped': 0}
try:
    with open(sys.argv[1], encoding='utf-8') as log:
        for line in log:
            result = json.loads(line)['result']
            kind = {'OK': 'passed', 'EXPECTEDFAIL': 'passed', 'SKIP': 'skipped'}.get(result, 'failed')
            results[kind] += 1
except (OSError, ValueError, KeyError):
    results['failed'] += 1
print(results['passed'], results['failed'], results['skipped'])
PYTHON
    ) || totals='0 1 0'
    # shellcheck disable=SC2086 # three words
    set -- $totals
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# What the tests of a meson test log say that they did.
shares() {
    python3 - "$1" <<'PYTHON'
import json
import sys

try:
    with open(sys.argv[1], encoding='utf-8') as log:
        for line in log:
            for said in (json.loads(line).get('stdout') or '').splitlines():
                if said.startswith('share: '):
                    print('   ', said)
except (OSError, ValueError):
    pass # count() takes it for a failure
PYTHON
}

# build NAME COMPILER TARGET OPTIONS...: configure once, then compile. A failure is one failed test.
build() {
    name=$1 compiler=$2 target=$3
    shift 3
    command -v ccache >/dev/null && compiler="ccache $compiler"
    if [ ! -f "build-$name/build.ninja" ]; then
        rm -rf "build-$name"
        stage "$name setup" env CC="$compiler" meson setup "build-$name" "$@" || {
            failed=$((failed + 1))
            return 1
        }
    fi
    stage "$name build" ninja -C "build-$name" "$target" || {
        failed=$((failed + 1))
        return 1
    }
}

# suites BUILD LABEL SELECTION...: run tests of a build and count them.
suites() {
    name=$1 label=$2
    shift 2
    rm -f "build-$name/meson-logs/$label.json"
    stage "$name $label" meson test -C "build-$name" --no-rebuild --print-errorlogs \
        --logbase "$label" --timeout-multiplier 4 "$@"
    tested=$?
    if [ $tested -eq 0 ] && grep -q '^No suitable tests' "$log"; then
        return 0
    fi
    shares "build-$name/meson-logs/$label.json"
    before=$failed
    count "build-$name/meson-logs/$label.json"
    [ $tested -eq 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
}

stage packages sh tools/packages.sh gcc g++ libc6-dev binutils meson ninja-build pkg-config python3 \
    check libxxhash-dev liblz4-dev libzstd-dev liburing-dev zlib1g-dev libyajl-dev libsqlite3-dev sqlite3 \
    clang-14 clang-format-14 libclang-rt-14-dev llvm-14 gzip zstd || {
    failed=1
    finish
}
commit=$(git rev-parse --short=8 HEAD 2>/dev/null || echo 00000001)
export VARVE_SEED="${VARVE_SEED:-$((0x$commit))}"
echo "seed $VARVE_SEED"

if build release gcc release-tests --buildtype=release; then
    suites release lint --suite lint
    suites release release --suite release --suite bench --suite bench-smoke
fi
# Line tables (-g1) are enough to name a place, and take a third of the compiling time less than -g.
if build asan gcc all -Db_sanitize=address,undefined -Ddebug=false -Dc_args=-g1; then
    suites asan tests --no-suite lint --no-suite release --no-suite full \
        --no-suite bench --no-suite bench-smoke
fi
if build tsan clang-14 threads-tests -Db_sanitize=thread -Db_lundef=false; then
    suites tsan threads --suite threads
fi
if build fuzz clang-14 all -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
    -Ddebug=false -Dc_args=-gline-tables-only; then
    suites fuzz fuzz --suite fuzz
fi
if [ "$full" -eq 1 ] && [ -f build-release/build.ninja ]; then
    suites release full --suite full
fi
if [ "$full" -eq 1 ]; then
    # The short suites, which is what the bars are about: the long ones have been run above.
    if sh tools/packages.sh gcovr &&
        stage coverage env -u VARVE_FULL CC="$(command -v ccache >/dev/null && echo ccache) gcc" \
            sh tests/coverage.sh; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    [ ! -f "$logs/coverage.log" ] || sed -n 's/^\(core\|WAL reader\|manifest reader\|recovery\) /    share: coverage: \1 /p' \
        "$logs/coverage.log"
fi
finish
