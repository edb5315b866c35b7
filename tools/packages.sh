#!/bin/sh
# packages.sh PACKAGE...: install the Debian packages that are missing. Quiet when there is nothing to
# do; otherwise needs root or sudo, and says what to do by hand if it cannot.
set -eu

missing=
if command -v dpkg-query >/dev/null; then
    for package; do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = 'install ok installed' ] || missing="$missing $package"
    done
else
    echo "packages: this is no Debian; taking it that these are here: $*" >&2
fi
[ -n "$missing" ] || exit 0

by_hand() {
    echo "packages: $1; install by hand: apt-get install$missing" >&2
    exit 1
}
root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || by_hand 'neither root nor sudo'
    root='sudo -n'
    $root true 2>/dev/null || by_hand 'sudo asks for a password'
fi
echo "packages: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # words are meant to be split
if ! { $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    by_hand 'apt-get failed'
fi
