#!/bin/sh
# turn.sh TARGET CORPUS [OPTION...]: one target's turn at fuzzing, VARVE_FUZZ_SECONDS (8) long, from the committed
# corpus and the seed VARVE_SEED. The corpus is copied: what the run finds stays out of the tree unless
# it is a fault, which is left in the build folder under the target's name. Says how many were tried.
set -eu
target=$1 corpus=$2
shift 2
name=$(basename "$target")

work=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$work" "$log"' EXIT
[ ! -d "$corpus" ] || cp -R "$corpus/." "$work/"
seed=$((${VARVE_SEED:-1} % 4294967295 + 1))
# A small quarantine: more of a turn is spent fuzzing, and an input frees far less than that.
export ASAN_OPTIONS="quarantine_size_mb=16:${ASAN_OPTIONS:-}"
# Undefined behaviour is a fault, not a message.
export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1:${UBSAN_OPTIONS:-}"
# Leaks show at the end: to look for them after an input may take longer than many inputs.
# libFuzzer's own exit status of a find, 77, would count as a skipped test.
"$target" -max_total_time="${VARVE_FUZZ_SECONDS:-8}" -seed="$seed" -timeout=10 -rss_limit_mb=1024 \
    -detect_leaks=0 -error_exitcode=1 -timeout_exitcode=1 -artifact_prefix="$(dirname "$target")/$name-" \
    -print_final_stats=1 "$@" "$work" >"$log" 2>&1 && status=0 || status=$?
cat "$log" >&2
echo "share: fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions, seed $seed"
exit "$status"
