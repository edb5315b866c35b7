"""Real minute bars as a set of rows, in the files that row_writer.c writes.

    real_bars.py FOLDER OUT SLICES ROWS

Writes the first ROWS rows, or all if that is 0.
FOLDER is searched for *-1m-*.csv.zst and *-1m-*.csv files in the layout of the Binance exchange:
open_time, open, high, low, close, volume, close_time, quote_volume, count, ... with or without a
header line, milliseconds. A symbol is what stands before "-1m" in a file's name. Rows are merged by
time, as a live service would see them.
"""

import array
import csv
import glob
import heapq
import itertools
import os
import random
import subprocess
import sys

HOUR_MS = 3600000
REALS = {'open': 1, 'high': 2, 'low': 3, 'close': 4, 'volume': 5, 'quote_volume': 7}
TRADES = 8


def lines_of(path):
    if not path.endswith('.zst'):
        with open(path, encoding='ascii', newline='') as file:
            yield from file
        return
    with subprocess.Popen(['zstd', '-dc', path], stdout=subprocess.PIPE, text=True) as process:
        yield from process.stdout
    if process.returncode != 0:
        sys.exit(f'{path}: zstd failed')


def rows_of(path, symbol):
    for fields in csv.reader(lines_of(path)):
        if fields[0].isdigit():
            yield int(fields[0]), symbol, fields


def find(folder):
    paths = sorted(glob.glob(os.path.join(folder, '**', '*-1m-*.csv*'), recursive=True))
    if not paths:
        sys.exit(f'{folder}: no minute bars')
    return [(path, os.path.basename(path).partition('-1m')[0]) for path in paths]


class Columns:
    def __init__(self):
        self.values = {'name.u32': array.array('I'), 'ts.i64': array.array('q'),
                       'trades.i32': array.array('i'),
                       **{f'{name}.f64': array.array('d') for name in REALS}}
        self.names, self.given = {}, 0

    def add(self, ts, symbol, fields):
        self.values['name.u32'].append(self.names.setdefault(symbol, len(self.names)))
        self.values['ts.i64'].append(ts)
        self.values['trades.i32'].append(int(fields[TRADES]))
        for name, at in REALS.items():
            self.values[f'{name}.f64'].append(float(fields[at]))
        self.given += len(symbol) + 8 + 4 + 8 * len(REALS)

    def write(self, folder):
        for name, values in self.values.items():
            with open(os.path.join(folder, name), 'wb') as file:
                values.tofile(file)
        times = self.values['ts.i64']
        meta = [f'set bars\nrows {len(times)}\npartitions {len(self.names)}\nfirst {min(times)}',
                f'last {max(times)}\ngiven {self.given}\nmeasured close']
        meta += [f'column {name} f64' for name in REALS] + ['column trades i32']
        write_lines(folder, 'name.txt', self.names)
        write_lines(folder, 'meta.txt', meta)


def write_lines(folder, name, lines):
    with open(os.path.join(folder, name), 'w', encoding='ascii') as file:
        file.writelines(f'{line}\n' for line in lines)


def choose_slices(columns, n):
    """The hours of rows that are picked at random, the same ones each time."""
    picked = random.Random(1)
    names, times = columns.values['name.u32'], columns.values['ts.i64']
    for _ in range(n):
        at = picked.randrange(len(times))
        hour = times[at] - times[at] % HOUR_MS
        yield f'{names[at]} {hour} {hour + HOUR_MS}'


def main():
    folder, out, slices, most = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    columns = Columns()
    rows = heapq.merge(*(rows_of(path, symbol) for path, symbol in find(folder)),
                       key=lambda row: row[0])
    for row in itertools.islice(rows, most or None):
        columns.add(*row)
    write_lines(out, 'slices.txt', choose_slices(columns, slices))
    columns.write(out)


main()
