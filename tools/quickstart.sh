#!/bin/sh
# quickstart.sh: from a fresh clone on Debian 12 to a working `varve` and a look at what it does.
# Installs what building needs, builds the program as a release into build/, and runs
# `build/tools/varve demo`. VARVE_BUILD names another folder, which may hold a build already.
set -eu
cd "$(dirname "$0")/.."

sh tools/packages.sh gcc libc6-dev meson ninja-build pkg-config libxxhash-dev liblz4-dev \
    libzstd-dev liburing-dev zlib1g-dev libyajl-dev check \
    libsqlite3-dev

build=${VARVE_BUILD:-build}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fail() {
    tail -n 30 "$log" >&2
    echo "quickstart: $1" >&2
    exit 1
}
if [ ! -f "$build/build.ninja" ]; then
    echo "quickstart: configuring $build"
    meson setup "$build" --buildtype=release >"$log" 2>&1 </dev/null || fail 'meson setup failed'
fi
echo 'quickstart: building (a minute or two the first time)'
ninja -C "$build" tools/varve >"$log" 2>&1 </dev/null || fail 'the build failed'
[ -x "$build/tools/varve" ] || fail "the build made no $build/tools/varve"
rm -f "$log" # `exec` runs no trap

echo "quickstart: $build/tools/varve demo"
exec "$build/tools/varve" demo
