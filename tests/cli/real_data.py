"""Real data, imported and asked: each set against SQLite on the same rows, before the memtables are
written to files, after it, and after another open. Sums of doubles against math.fsum, integers and
decimals exactly.

The sets are not part of the source tree: VARVE_DATA names their folder (default: ../shared/data
beside the source). Without it the test is skipped. VARVE_FULL=1 takes every set and row."""

import bisect
import csv
import datetime
import decimal
import io
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import cli_case
from cli_case import ROOT, PROGRAM

DATA = os.environ.get('VARVE_DATA') or os.path.join(os.path.dirname(ROOT), 'shared', 'data')
FULL = os.environ.get('VARVE_FULL') == '1'
SHARE = 40000 # rows of a set in a run that is not full
EPOCH = datetime.datetime(1970, 1, 1)

decimal.getcontext().prec = 60

KLINES = ('open_time', 'open', 'high', 'low', 'close', 'volume', 'close_time', 'quote_volume',
          'count', 'taker_buy_volume', 'taker_buy_quote_volume', 'ignore')


def seconds(text, form='%Y-%m-%d %H:%M:%S'):
    return int((datetime.datetime.strptime(text, form) - EPOCH).total_seconds())


class Set:
    """A file, its table, and how each column is read independently of varve."""

    def __init__(self, name, file, table, arguments, key, columns, time, unit, expected,
                 header=True, delimiter=',', keep=False):
        self.name, self.file, self.table, self.arguments = name, file, table, arguments
        self.key, self.columns, self.time, self.unit = key, columns, time, unit
        self.expected, self.header, self.delimiter = expected, header, delimiter
        self.keep = keep


def klines(name, file, symbol, rows, header=False, always=False):
    table = ('CREATE TABLE t (symbol text, ts timestamp, open decimal(18,8), high decimal(18,8), '
             'low decimal(18,8), close decimal(18,8), volume decimal(18,8), '
             'quote_volume decimal(18,8), count bigint, PRIMARY KEY ((symbol), ts))')
    fields = dict(open=(1, 'decimal'), high=(2, 'decimal'), low=(3, 'decimal'),
                  close=(4, 'decimal'), volume=(5, 'decimal'), quote_volume=(7, 'decimal'),
                  count=(8, 'int'))
    columns = 'ts,open,high,low,close,volume,_,quote_volume,count,_,_,_'
    return Set(name, file, table, ['--columns', columns, '--set', 'symbol=' + symbol],
               lambda r: symbol, fields, lambda r: int(r[0]), 'ms', rows, header)


SONG = ('spotify_id text, name text, artists text, daily_rank int, daily_movement int, '
        'weekly_movement int, country text, snapshot_date timestamp, popularity int, '
        'is_explicit boolean, duration_ms int, album_name text, album_release_date date, '
        'danceability double, energy double, key int, loudness double, mode int, '
        'speechiness double, acousticness double, instrumentalness double, liveness double, '
        'valence double, tempo double, time_signature int')


def songs(name, file, rows):
    """One row is a rank in the list of a country and a day. Refused: records that are cut short, and
    the list of all countries, whose key would be an empty text."""
    return Set(name, file,
               f"CREATE TABLE t ({SONG}, PRIMARY KEY ((country), snapshot_date, daily_rank)) "
               "WITH clustering_unit = 's'", [], lambda r: r[6] or None if len(r) == 25 else None,
               dict(popularity=(8, 'int'), duration_ms=(10, 'int'), loudness=(16, 'double'),
                    speechiness=(18, 'double'), instrumentalness=(20, 'double'),
                    tempo=(23, 'double'), name=(1, 'text'), artists=(2, 'text')),
               lambda r: seconds(r[7], '%Y-%m-%d'), 's', rows)


AIR = ['pm25', 'pm10', 'so2', 'no2', 'co', 'o3', 'temp', 'pres', 'dewp', 'rain']

SETS = [
    klines('btc-2023', 'btcusdt-1m-2023/BTCUSDT-1m-2023', 'BTCUSDT', 525520),
    klines('btc-2024', 'btcusdt-1m-2024/BTCUSDT-1m-2024-01-01_2024-06-25', 'BTCUSDT', 254880),
    klines('eth', 'klines-other/ETHUSDT-1m-2023-03', 'ETHUSDT', 44560),
    klines('sol', 'klines-other/SOLUSDT-1m-2023-02_2023-03', 'SOLUSDT', 84879),
    klines('arb', 'klines-other/ARBUSDT-1m-2023-03', 'ARBUSDT', 11980),
    klines('fil', 'klines-other/UM-FILUSDT-1m-2024-11', 'FILUSDT', 43200, header=True),
    klines('link', 'klines-other/UM-LINKUSDT-1m-2023-02', 'LINKUSDT', 40320, header=True),
    Set('retail', 'online-retail/online-retail',
        "CREATE TABLE t (customerid text, invoicedate timestamp, invoiceno text, stockcode text, "
        "description text, quantity int, unitprice decimal(18,3), country text, "
        "PRIMARY KEY ((customerid), invoicedate)) "
        "WITH clustering_unit = 's' AND duplicates = 'keep'", [],
        lambda r: r[6] or None, dict(quantity=(3, 'int'), unitprice=(5, 'decimal'),
                                     country=(7, 'text')),
        lambda r: seconds(r[4]), 's', 541909, keep=True),
    Set('trades', 'ticks/binance-trades-20240808-09',
        "CREATE TABLE t (market text, symbol text, local_ts_ns timestamp, event_ms bigint, "
        "trade_ms bigint, trade_id bigint, price decimal(18,8), qty decimal(18,8), "
        "is_buyer_maker boolean, type text, PRIMARY KEY ((market, symbol), local_ts_ns, trade_id)) "
        "WITH clustering_unit = 'ns'", [], lambda r: r[1] + ',' + r[2],
        dict(trade_ms=(4, 'int'), price=(6, 'decimal'), qty=(7, 'decimal')),
        lambda r: int(r[0]), 'ns', 69808),
    Set('quotes', 'ticks/binance-book-ticker-20240808-09',
        "CREATE TABLE t (market text, symbol text, local_ts_ns timestamp, event_ms bigint, "
        "transact_ms bigint, update_id bigint, bid_price decimal(18,8), bid_qty decimal(18,8), "
        "ask_price decimal(18,8), ask_qty decimal(18,8), "
        "PRIMARY KEY ((market, symbol), local_ts_ns, update_id)) WITH clustering_unit = 'ns'", [],
        lambda r: r[1] + ',' + r[2],
        dict(event_ms=(3, 'int'), bid_price=(6, 'decimal'), ask_qty=(9, 'decimal')),
        lambda r: int(r[0]), 'ns', 252013),
    Set('depth', 'ticks/binance-depth-updates-20240808-09',
        "CREATE TABLE t (market text, symbol text, local_ts_ns timestamp, event_ms bigint, "
        "transact_ms bigint, final_update_id bigint, side text, price decimal(18,8), "
        "qty decimal(18,8), PRIMARY KEY ((market, symbol), local_ts_ns)) "
        "WITH clustering_unit = 'ns' AND duplicates = 'keep'", [],
        lambda r: r[1] + ',' + r[2],
        dict(transact_ms=(4, 'int'), price=(7, 'decimal'), qty=(8, 'decimal')),
        lambda r: int(r[0]), 'ns', 1443058, keep=True),
    Set('nab', 'sensors/nab-real',
        "CREATE TABLE t (series text, timestamp timestamp, value double, "
        "PRIMARY KEY ((series), timestamp)) WITH clustering_unit = 's' AND duplicates = 'keep'", [],
        lambda r: r[0], dict(value=(2, 'double')), lambda r: seconds(r[1]), 's', 321206, keep=True),
    Set('beijing', 'sensors/beijing-air-quality-12-stations',
        'CREATE TABLE t (station text, ts timestamp, ' +
        ', '.join(name + ' double' for name in AIR) + ', wd text, wspm double, '
        "PRIMARY KEY ((station), ts)) WITH clustering_unit = 's'",
        ['--columns', '_,_,_,_,_,' + ','.join(AIR) + ',wd,wspm,station', '--time-parts',
         'year,month,day,hour'],
        lambda r: r[17], {name: (5 + i, 'double') for i, name in enumerate(AIR)},
        lambda r: int((datetime.datetime(*map(int, r[1:5])) - EPOCH).total_seconds()), 's', 420768),
    Set('aep', 'electricity/AEP_hourly',
        "CREATE TABLE t (area text, ts timestamp, mw double, PRIMARY KEY ((area), ts)) "
        "WITH clustering_unit = 's' AND duplicates = 'keep'",
        ['--set', 'area=AEP', '--columns', 'ts,mw'], lambda r: 'AEP', dict(mw=(1, 'double')),
        lambda r: seconds(r[0], '%m/%d/%Y %H:%M'), 's', 121273, keep=True),
    Set('pjme', 'electricity/PJME_hourly',
        "CREATE TABLE t (area text, ts timestamp, mw double, PRIMARY KEY ((area), ts)) "
        "WITH clustering_unit = 's' AND duplicates = 'keep'",
        ['--set', 'area=PJME', '--columns', 'ts,mw'], lambda r: 'PJME', dict(mw=(1, 'double')),
        lambda r: seconds(r[0], '%d-%m-%Y %H:%M'), 's', 145366, keep=True),
    Set('otc', 'bitcoin-otc/soc-sign-bitcoinotc',
        "CREATE TABLE t (source int, time timestamp, target int, rating tinyint, "
        "PRIMARY KEY ((source), time, target)) WITH clustering_unit = 's'",
        ['--columns', 'source,target,rating,time'], lambda r: r[0], dict(rating=(2, 'int')),
        lambda r: int(r[3]), 's', 35592, header=False),
    Set('etth1', 'sensors/ETTh1',
        "CREATE TABLE t (k text, date timestamp, hufl double, hull double, mufl double, "
        "mull double, lufl double, lull double, ot double, PRIMARY KEY ((k), date)) "
        "WITH clustering_unit = 's'", ['--set', 'k=1'], lambda r: '1',
        dict(hufl=(1, 'double'), ot=(7, 'double')), lambda r: seconds(r[0]), 's', 17420),
    Set('weather', 'sensors/nyc-airport-weather-2013',
        "CREATE TABLE t (origin text, year int, month int, day int, hour int, temp double, "
        "dewp double, humid double, wind_dir int, wind_speed double, wind_gust double, "
        "precip double, pressure double, visib double, time_hour timestamp, "
        "PRIMARY KEY ((origin), time_hour)) WITH clustering_unit = 's'", [], lambda r: r[0],
        dict(temp=(5, 'double'), wind_dir=(8, 'int'), wind_speed=(9, 'double'),
             wind_gust=(10, 'double'), pressure=(12, 'double')),
        lambda r: seconds(r[14], '%Y-%m-%dT%H:%M:%SZ'), 's', 26115),
    songs('songs', 'spotify/universal_top_spotify_songs', 4999),
    songs('tracks', 'spotify/spotify_tracks', 1423),
]

# A run that is not full takes these, whole where they are small.
SHORT = ('btc-2023', 'arb', 'retail', 'trades', 'nab', 'beijing', 'pjme', 'otc', 'weather',
         'songs', 'tracks')

PER_SECOND = {'s': 1, 'ms': 1000, 'us': 10**6, 'ns': 10**9}


def number(text, kind):
    text = text.strip()
    if text in ('', 'NA'):
        return None
    if kind == 'int':
        return int(text)
    if kind == 'decimal':
        return decimal.Decimal(text)
    return float(text) if kind == 'double' else text


class RealData(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='varve-real-')
        self.addCleanup(shutil.rmtree, self.folder, True)

    def varve(self, *arguments, codes=(0,)):
        process = subprocess.run([PROGRAM, *arguments], cwd=self.folder, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, check=False)
        self.assertIn(process.returncode, codes, process.stderr.decode()[:2000])
        return process.stdout.decode(), process.stderr.decode()

    def source(self, data):
        """The CSV's text: all of it, or its first rows and as many from the middle."""
        raw = subprocess.run(['zstd', '-dc', os.path.join(DATA, data.file + '.csv.zst')],
                             stdout=subprocess.PIPE, check=True).stdout.decode('utf-8')
        if FULL or data.expected <= SHARE:
            return raw
        lines = raw.split('\n')
        middle = len(lines) // 2
        return '\n'.join(lines[:SHARE // 2] + lines[middle:middle + SHARE // 2]) + '\n'

    def load(self, data):
        """Import with varve, and into SQLite with Python's csv: (rows, refused) as it should be."""
        text = self.source(data)
        with open(os.path.join(self.folder, 'data.csv'), 'w', encoding='utf-8', newline='') as out:
            out.write(text)
        self.varve('create', 's', data.table)
        _, err = self.varve('import', 's', 't', 'data.csv', '--rejects', 'bad.csv', '--policy', 'os',
                            '--flush', 'no',
                            *data.arguments, codes=(0, 3))
        names = list(data.columns)
        database = sqlite3.connect(':memory:')
        database.execute('create table t (key text, ts integer, ' + ', '.join(names) + ')')
        rows, refused = [], 0
        reader = csv.reader(io.StringIO(text, newline=''))
        if data.header:
            next(reader)
        for record in reader:
            key = data.key(record)
            if key is None:
                refused += 1
                continue
            values = [number(record[f], kind) for f, kind in data.columns.values()]
            rows.append((key, data.time(record), *values))
        database.executemany(
            'insert into t values (' + ','.join('?' * (2 + len(names))) + ')',
            [tuple(str(v) if isinstance(v, decimal.Decimal) else v for v in row) for row in rows])
        self.assertIn(f'{len(rows)} rows loaded, {refused} rejected', err)
        if FULL:
            self.assertEqual(len(rows) + refused, data.expected)
        database.execute('create index i on t (key, ts)')
        return database, rows

    # ------------------------------------------------------------------------------- Questions

    def ask(self, *arguments):
        out, _ = self.varve('scan', 's', 't', *arguments, '--time', 'raw', codes=(0, 1))
        return list(csv.reader(io.StringIO(out)))[1:]

    @staticmethod
    def fold(values, kind):
        """count, sum, min, max, avg as varve prints them (texts), exact or rounded once."""
        values = [v for v in values if v is not None]
        if not values:
            return [0, None, None, None, None]
        if kind == 'double':
            total = math.fsum(values)
            return [len(values), total, min(values), max(values), total / len(values)]
        total = sum(values)
        average = float(fraction(total) / len(values))
        return [len(values), total, min(values), max(values), average]

    def same(self, got, wanted, kind, where):
        """One group's five answers."""
        self.assertEqual(int(got[0]), wanted[0], where)
        convert = {'int': int, 'decimal': decimal.Decimal, 'double': float}[kind]
        for i in (1, 2, 3):
            self.assertEqual(convert(got[i]) if got[i] != '' else None, wanted[i], where)
        self.assertEqual(float(got[4]) if got[4] != '' else None, wanted[4], where)

    def check_hourly(self, data, database, rng):
        """Every hour of some partitions, and of all rows together."""
        hour = 3600 * PER_SECOND[data.unit]
        numeric = [(n, k) for n, (_, k) in data.columns.items() if k != 'text']
        keys = [k for k, in database.execute('select distinct key from t order by key')]
        for key in rng.sample(keys, min(len(keys), 4)) + [None]:
            name, kind = rng.choice(numeric)
            where = 'where key = ?' if key is not None else ''
            groups = {}
            for ts, value in database.execute(f'select ts, {name} from t {where} order by ts',
                                              (key,) if key is not None else ()):
                if kind == 'decimal' and value is not None:
                    value = decimal.Decimal(value)
                groups.setdefault(ts // hour * hour, []).append(value)
            aggregates = f'count({name}),sum({name}),min({name}),max({name}),avg({name}),count'
            arguments = ['--partition=' + key] if key is not None else []
            got = self.ask(*arguments, '--every', '1h', '--agg', aggregates)
            self.assertEqual([int(g[0]) for g in got], sorted(groups), (data.name, key))
            for g in got:
                values = groups[int(g[0])]
                self.same(g[1:], self.fold(values, kind), kind, (data.name, key, name, g[0]))
                self.assertEqual(int(g[6]), len(values))

    def check_partitions(self, data, database):
        """Aggregates of every partition."""
        name, (_, kind) = next(iter(data.columns.items()))
        groups = {}
        for key, value in database.execute(f'select key, {name} from t'):
            if kind == 'decimal' and value is not None:
                value = decimal.Decimal(value)
            groups.setdefault(key, []).append(value)
        got = self.ask('--by', 'partition', '--agg',
                       f'count({name}),sum({name}),min({name}),max({name}),avg({name})')
        self.assertEqual(sorted(','.join(g[:-5]) for g in got), sorted(groups))
        for g in got:
            key = ','.join(g[:-5])
            self.same(g[-5:], self.fold(groups[key], kind), kind, (data.name, key))

    def check_ranges(self, data, database, rng):
        """Rows of ranges of time, all columns that were read, in any order among equals."""
        names = list(data.columns)
        kinds = [k for _, k in data.columns.values()]
        keys = [k for k, in database.execute('select distinct key from t order by key')]
        time_name = self.time_column(data)
        for _ in range(12):
            key = rng.choice(keys)
            times = [t for t, in database.execute('select ts from t where key = ? order by ts',
                                                  (key,))]
            low = rng.choice(times)
            high = times[min(bisect.bisect(times, low) + rng.randrange(1, 400), len(times) - 1)] + 1
            wanted = [(r[0], *(decimal.Decimal(v) if k == 'decimal' and v is not None else v
                               for v, k in zip(r[1:], kinds)))
                      for r in database.execute(
                          'select ts, ' + ', '.join(names) +
                          ' from t where key = ? and ts >= ? and ts < ?', (key, low, high))]
            got = [(int(g[0]), *(number(v, k) for v, k in zip(g[1:], kinds)))
                   for g in self.ask('--partition=' + key, '--from', str(low), '--to', str(high),
                                     '--columns', ','.join([time_name] + names))]
            self.assertEqual([g[0] for g in got], sorted(w[0] for w in wanted), (data.name, key))
            order = lambda row: tuple((v is None, v if v is not None else 0) for v in row)
            self.assertEqual(sorted(got, key=order), sorted(wanted, key=order), (data.name, key))

    @staticmethod
    def time_column(data):
        inside = data.table.split('PRIMARY KEY ((')[1]
        return inside.split('),')[1].split(',')[0].split(')')[0].strip()

    def check_all(self, data, database, seed):
        rng = random.Random(seed)
        self.check_hourly(data, database, rng)
        self.check_partitions(data, database)
        self.check_ranges(data, database, rng)

    def dump_all(self):
        return self.varve('scan', 's', 't', '--time', 'raw')[0]

    def run_set(self, data):
        database, _ = self.load(data)
        seed = int(os.environ.get('VARVE_SEED', '1'))
        self.check_all(data, database, seed)
        before = self.dump_all()
        self.varve('flush', 's')
        self.check_all(data, database, seed + 1)
        self.assertEqual(self.dump_all(), before, 'the same rows from files, after another open')
        self.varve('verify', 's')
        database.close()


def fraction(value):
    import fractions
    return fractions.Fraction(value)


def add_tests():
    for data in SETS:
        if FULL or data.name in SHORT:
            setattr(RealData, 'test_' + data.name.replace('-', '_'),
                    lambda self, data=data: self.run_set(data))


if __name__ == '__main__':
    if not os.path.isdir(DATA) or shutil.which('zstd') is None:
        print('SKIP: no real data, or no zstd to read it')
        sys.exit(77)
    add_tests()
    cli_case.main()
