#!/bin/sh
# Obtain the engines that varve is measured beside, and what the charts need.
#
#   sh tools/bench/setup.sh [PEER...]      rocksdb sqlite duckdb chdb parquet polars cassandra charts
#
# Everything that is not a Debian package lies in one folder: $VARVE_PEERS, or varve-peers in the
# user's cache. Uses apt-get, pip and mvn as this machine has them configured. Says at the end what
# it could not get, and then ends with 1; the comparison runs without it and reports it as not run.
set -u
here=$(cd "$(dirname "$0")" && pwd)
folder=${VARVE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/varve-peers}
wanted=${*:-rocksdb sqlite duckdb chdb parquet polars cassandra charts}
missing=
arrow=pyarrow==26.0.1

# as_root COMMAND...
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# debian PACKAGE HEADER
debian() {
    [ -e "/usr/include/$2" ] || as_root apt-get install -y -q "$1"
}

# python PACKAGE==VERSION...: in the versions that the peers were written for.
python() {
    [ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv" || return 1
    "$folder/venv/bin/pip" install -q --disable-pip-version-check "$@"
}

cassandra() {
    jars=$folder/cassandra
    command -v java >/dev/null || { echo "cassandra: needs Java 11 or 17" >&2; return 1; }
    [ -e "$jars/.complete" ] && return 0
    mvn -q -B -Dmaven.repo.local="$folder/m2" -f "$here/peers/cassandra/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$jars" -DincludeScope=runtime || return 1
    rm -f "$jars"/*linux-riscv64.jar # the jar for this processor has the same classes
    touch "$jars/.complete"
}

obtain() {
    case $1 in
    rocksdb) debian librocksdb-dev rocksdb/c.h ;;
    sqlite) debian libsqlite3-dev sqlite3.h ;;
    duckdb) python duckdb==2.0.0 $arrow ;;
    chdb) python chdb==4.4.0 $arrow ;;
    parquet) python $arrow ;;
    polars) python polars==2.1.0 $arrow ;;
    charts) python matplotlib==3.11.2 ;;
    cassandra) cassandra ;;
    *) echo "$1: no such peer" >&2; return 1 ;;
    esac
}

mkdir -p "$folder" || exit 1
for peer in $wanted; do
    if obtain "$peer" >&2; then
        echo "$peer: there"
    else
        missing="$missing $peer"
    fi
done
[ -z "$missing" ] || { echo "could not get:$missing"; exit 1; }
