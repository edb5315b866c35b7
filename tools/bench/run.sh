#!/bin/sh
# Measure varve beside other engines: the same rows, the same questions, one after the other.
#
#   sh tools/bench/run.sh [--peers varve,rocksdb,...] [--rows N,...] [--quick] [--out DIR] ...
#
# Installs nothing: setup.sh obtains the peers; what is absent is `not run` in the report. Builds
# varve without sanitizers in build-bench unless --build names a build folder; says what the build
# printed only if it failed. --help lists all.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
VARVE_PEERS=${VARVE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/varve-peers}
export VARVE_PEERS
build=$root/build-bench
for word in "$@"; do
    case $word in --build | --build=* | -h | --help) build= ;; esac
done

make_build() {
    [ -e "$build/build.ninja" ] || meson setup --buildtype=release "$build" "$root" || return
    ninja -C "$build"
}

if [ -n "$build" ]; then
    [ -e "$build/build.ninja" ] || echo "building varve in $build" >&2
    log=$(make_build 2>&1) || { printf '%s\n' "$log" | tail -n 40 >&2; exit 1; }
    set -- --build "$build" "$@"
fi
python=$VARVE_PEERS/venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -B "$here/comparison.py" "$@"
