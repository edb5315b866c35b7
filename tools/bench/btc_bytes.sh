#!/bin/sh
# btc_bytes.sh [VARVE]: bytes a row of a year of minute bars, for the eight columns time, open, high,
# low, close, volume, quote volume and count as decimals. VARVE_DATA names the folder that has
# btcusdt-1m-2023/BTCUSDT-1m-2023.csv.zst; without it there is nothing to do.
set -eu

varve=${1:-build/tools/varve}
file=${VARVE_DATA:-}/btcusdt-1m-2023/BTCUSDT-1m-2023.csv.zst
if [ ! -r "$file" ]; then
    echo "btc_bytes: not run: VARVE_DATA names no folder with BTCUSDT-1m-2023" >&2
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$varve" create "$folder/store" "CREATE TABLE bars (symbol text, ts timestamp, open decimal(18,2),
    high decimal(18,2), low decimal(18,2), close decimal(18,2), volume decimal(18,6),
    quote_volume decimal(18,8), count bigint, PRIMARY KEY ((symbol), ts))"
"$varve" import "$folder/store" bars "$file" --set symbol=BTCUSDT \
    --columns ts,open,high,low,close,volume,_,quote_volume,count,_,_,_
"$varve" bench --store "$folder/store"
