#!/bin/sh
# turn.sh TARGET CORPUS: one target's turn at fuzzing, VARVE_FUZZ_SECONDS (10) long, from the committed
# corpus and the seed VARVE_SEED. The corpus is copied: what the run finds stays out of the tree unless
# it is a fault, which is left in the build folder under the target's name.
set -eu
target=$1 corpus=$2
name=$(basename "$target")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ ! -d "$corpus" ] || cp -R "$corpus/." "$work/"
seed=$((${VARVE_SEED:-1} % 4294967295 + 1))
# libFuzzer's own exit status of a find, 77, would count as a skipped test.
"$target" -max_total_time="${VARVE_FUZZ_SECONDS:-10}" -seed="$seed" -timeout=10 -rss_limit_mb=1024 \
    -error_exitcode=1 -timeout_exitcode=1 -artifact_prefix="$(dirname "$target")/$name-" \
    -print_final_stats=1 "$work"
