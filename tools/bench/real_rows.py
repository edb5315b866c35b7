"""Real rows as a set, in the files that row_writer.c writes.

    real_rows.py SET FOLDER OUT SLICES ROWS

Writes the first ROWS rows, or all if that is 0, merged by time as a live service would see them.
FOLDER is searched, with everything below it, for *.csv and *.csv.zst files. Sets:

real_bars        *-1m-*: minute bars in the layout of the Binance exchange, open_time, open, high, low,
                 close, volume, close_time, quote_volume, count, ... with or without a header line, in
                 milliseconds. A symbol is what stands before "-1m" in a file's name.
real_readings    nab-real: series, timestamp, value. Of readings of one series at one time the last stays.
real_purchases   online-retail: the lines of invoices, by customer and minute, numbered from 0 where
                 several have the same ones. No customer is `none`; letters beyond ASCII become "?".
"""

import array
import csv
import datetime
import glob
import heapq
import itertools
import os
import random
import subprocess
import sys

HOUR_MS = 3600000


def _lines_of(path):
    if not path.endswith('.zst'):
        with open(path, encoding='utf-8', newline='') as file:
            yield from file
        return
    with subprocess.Popen(['zstd', '-dc', path], stdout=subprocess.PIPE, encoding='utf-8') as process:
        yield from process.stdout
    if process.returncode != 0:
        sys.exit(f'{path}: zstd failed')


def _milliseconds(text):
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()) * 1000


class Bars:
    pattern, table, measured = '*-1m-*', 'bars', 'close'
    columns = (('open', 'f64'), ('high', 'f64'), ('low', 'f64'), ('close', 'f64'), ('volume', 'f64'),
               ('quote_volume', 'f64'), ('trades', 'i32'))

    @staticmethod
    def _of_file(path):
        symbol = os.path.basename(path).partition('-1m')[0]
        for fields in csv.reader(_lines_of(path)):
            if fields[0].isdigit():
                reals = [float(fields[at]) for at in (1, 2, 3, 4, 5, 7)]
                yield int(fields[0]), symbol, (*reals, int(fields[8]))

    def rows(self, paths):
        return heapq.merge(*map(self._of_file, paths), key=lambda row: row[0])


class Readings:
    pattern, table, measured = 'nab-real', 'readings', 'value'
    columns = (('value', 'f64'),)

    @staticmethod
    def rows(paths):
        last = {}
        for path in paths:
            for fields in csv.DictReader(_lines_of(path)):
                last[_milliseconds(fields['timestamp']), fields['series']] = float(fields['value'])
        return ((ts, series, (value,)) for (ts, series), value in sorted(last.items()))


class Purchases:
    pattern, table, measured = 'online-retail', 'purchases', 'price'
    columns = (('line', 'i32', 'key'), ('item', 'text'), ('price', 'f64'), ('quantity', 'i32'))

    @staticmethod
    def rows(paths):
        lines = {}
        found = []
        for path in paths:
            for fields in csv.DictReader(_lines_of(path)):
                ts, customer = _milliseconds(fields['InvoiceDate']), fields['CustomerID'] or 'none'
                line = lines[ts, customer] = lines.get((ts, customer), -1) + 1
                item = f"{fields['StockCode']} {fields['Description']}".strip()
                found.append((ts, customer, (line, item.encode('ascii', 'replace').decode(),
                                             float(fields['UnitPrice']), int(fields['Quantity']))))
        return sorted(found, key=lambda row: row[0])


SETS = {'real_bars': Bars, 'real_readings': Readings, 'real_purchases': Purchases}
CODES = {'f64': 'd', 'i32': 'i', 'text': 'I'}
SIZES = {'f64': 8, 'i32': 4}


def find(name, folder):
    """The files of a set."""
    return sorted(path for ending in ('.csv', '.csv.zst') for path in
                  glob.glob(os.path.join(folder, '**', SETS[name].pattern + ending), recursive=True))


class Columns:
    """Of one set, in memory."""

    def __init__(self, layout):
        self.layout = layout
        self.partitions, self.times = array.array('I'), array.array('q')
        self.values = [array.array(CODES[column[1]]) for column in layout.columns]
        self.names, self.texts = {}, [{} for _ in layout.columns]
        self.given = 0

    def add(self, ts, partition, values):
        self.times.append(ts)
        self.partitions.append(self.names.setdefault(partition, len(self.names)))
        self.given += 8 + len(partition)
        for value, (_, kind, *_), into, texts in zip(values, self.layout.columns, self.values,
                                                     self.texts):
            self.given += SIZES.get(kind) or len(value)
            into.append(texts.setdefault(value, len(texts)) if kind == 'text' else value)

    def write(self, folder):
        _write_values(folder, 'name.u32', self.partitions)
        _write_values(folder, 'ts.i64', self.times)
        _write_lines(folder, 'name.txt', self.names)
        meta = [f'set {self.layout.table}', f'rows {len(self.times)}', f'partitions {len(self.names)}',
                f'first {min(self.times)}', f'last {max(self.times)}', f'given {self.given}',
                f'measured {self.layout.measured}']
        for (name, kind, *key), values, texts in zip(self.layout.columns, self.values, self.texts):
            meta.append(' '.join(['column', name, kind, *key]))
            _write_values(folder, f"{name}.{'u32' if kind == 'text' else kind}", values)
            if kind == 'text':
                _write_lines(folder, f'{name}.txt', texts)
        _write_lines(folder, 'meta.txt', meta)

    def slices(self, n):
        """The hours of rows that are picked at random, the same ones each time."""
        picked = random.Random(1)
        for _ in range(n):
            at = picked.randrange(len(self.times))
            hour = self.times[at] - self.times[at] % HOUR_MS
            yield f'{self.partitions[at]} {hour} {hour + HOUR_MS}'


def _write_values(folder, name, values):
    with open(os.path.join(folder, name), 'wb') as file:
        values.tofile(file)


def _write_lines(folder, name, lines):
    with open(os.path.join(folder, name), 'w', encoding='ascii') as file:
        file.writelines(f'{line}\n' for line in lines)


def write(name, folder, out, slices, most):
    """Into the folder `out`."""
    layout, paths = SETS[name](), find(name, folder)
    if not paths:
        sys.exit(f'{folder}: no files of {name}')
    columns = Columns(layout)
    for row in itertools.islice(layout.rows(paths), most or None):
        columns.add(*row)
    _write_lines(out, 'slices.txt', columns.slices(slices))
    columns.write(out)


if __name__ == '__main__':
    write(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]))
