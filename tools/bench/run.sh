#!/bin/sh
# Measure varve beside other engines: the same rows, the same questions, one after the other.
#
#   sh tools/bench/run.sh [--peers varve,rocksdb,...] [--rows N,...] [--quick] [--out DIR] ...
#
# Installs nothing: setup.sh obtains the peers; what is absent is `not run` in the report. Builds
# varve without sanitizers in build-bench unless --build names a build folder. --help lists all.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
VARVE_PEERS=${VARVE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/varve-peers}
export VARVE_PEERS
build=
for word in "$@"; do
    case $word in --build | --build=*) build=given ;; esac
done
if [ -z "$build" ]; then
    build=$root/build-bench
    [ -e "$build/build.ninja" ] || meson setup --buildtype=release "$build" "$root" >&2
    ninja -C "$build" >&2
    set -- --build "$build" "$@"
fi
python=$VARVE_PEERS/venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -B "$here/comparison.py" "$@"
