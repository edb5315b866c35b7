"""From the lines of results.jsonl to figures: for each set, size, configuration and measure the
values of all runs."""

import dataclasses
import statistics

LEAST_SAMPLES = {'p50': 1, 'p99': 100, 'p999': 3000}  # fewer say nothing about the percentile


@dataclasses.dataclass(frozen=True)
class Measure:
    key: str
    title: str
    unit: str             # 'rows/s', '/s', 's', 'B/row', 'x', 'B'
    higher_is_better: bool = False


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    note: str
    measures: tuple


def _late(percent):
    return (Measure(f'late_ingest_{percent}', f'ingest, {percent} % late', 'rows/s', True),
            Measure(f'late_size_{percent}', f'size, {percent} % late', 'B/row'),
            Measure(f'late_slice_{percent}', f'slice p50, {percent} % late', 's'),
            Measure(f'late_hourly_{percent}', f'hourly, all, {percent} % late', 's'))


GROUPS = (
    Group('Ingest', 'Rows a second, every commit on disk before it counts (`periodic` Cassandra '
          'alone is not: it acknowledges up to ten seconds of rows that a power cut loses). *Whole '
          'set* is the fastest way of each peer. Cassandra has 1,024 requests in flight where '
          'varve and RocksDB have as many writers; its batches hold 100 rows of one partition. varve '
          'takes rows one by one up to *by columns*, and columns in *whole set*.', (
              Measure('ingest_1_one', '1 row a commit, one writer', 'rows/s', True),
              Measure('ingest_1_many', '1 row a commit, many writers', 'rows/s', True),
              Measure('ingest_100', '100 rows', 'rows/s', True),
              Measure('ingest_1000', '1,000 rows', 'rows/s', True),
              Measure('ingest_10000', '10,000 rows', 'rows/s', True),
              Measure('ingest_columns', '10,000 rows by columns', 'rows/s', True),
              Measure('ingest_whole', 'whole set', 'rows/s', True),
              Measure('ingest_flushed', 'whole set, then flushed', 'rows/s', True),
              Measure('first_answer', 'first answer after it', 's'))),
    Group('Size and work', 'Bytes a row of the data files after a flush and after merging (beside '
          'an engine that does not merge: its flushed ones); bytes '
          'that the process wrote to the disk over bytes given; the greatest anonymous memory of the '
          'process that loads, and the greatest resident size of the one that answers.', (
              Measure('size_flushed', 'flushed', 'B/row'),
              Measure('size_merged', 'merged', 'B/row'),
              Measure('size_other', 'logs and other files', 'B'),
              Measure('amplification', 'written / given, flushed', 'x'),
              Measure('amplification_merged', 'written / given, merged', 'x'),
              Measure('memory_load', 'peak memory, load', 'B'),
              Measure('memory_ask', 'peak memory, questions', 'B'))),
    Group('Processor time', 'Seconds of one core: for a million rows, for one answer. Of the process '
          'that holds the store, with all its threads: Cassandra\'s node alone, without its client, '
          'so this says what the work costs whatever the way to it.', (
              Measure('cpu_1_many', 'a million single rows', 's'),
              Measure('cpu_100', 'in commits of 100', 's'),
              Measure('load_cpu', 'whole set', 's'),
              Measure('flush_cpu', 'flushing it', 's'),
              Measure('cpu_slice', 'a slice', 's'),
              Measure('cpu_hour', 'an aggregate of an hour', 's'),
              Measure('cpu_hourly_all', 'hourly, all', 's'),
              Measure('cpu_total', 'sum of a column', 's'),
              Measure('cpu_scan', 'all rows', 's'))),
    Group('One hour of one partition', 'All columns of its rows (*slice*), and count and average '
          'of one column (*aggregate*); one client, then 64. *Cold* is the mean of the first 200 '
          'slices after the store was opened without a page of it cached. Cassandra\'s figures have a network '
          'hop over loopback and a client in Java in them.', (
              Measure('slice_p50', 'slice p50', 's'), Measure('slice_p99', 'slice p99', 's'),
              Measure('slice_p999', 'slice p99.9', 's'),
              Measure('slice_crowd', 'slices, 64 clients', '/s', True),
              Measure('hour_p50', 'aggregate p50', 's'), Measure('hour_p99', 'aggregate p99', 's'),
              Measure('cold_slice', 'slice, cold', 's'))),
    Group('Questions to many rows', 'Seconds for one answer, page cache warm; cold ones after the '
          'store\'s pages were dropped from the page cache and the store was opened anew.', (
              Measure('hourly_one', 'hourly, one partition', 's'),
              Measure('hourly_all', 'hourly, all', 's'),
              Measure('by_partition', 'average by partition', 's'),
              Measure('total', 'sum of a column', 's'), Measure('latest', 'latest rows', 's'),
              Measure('scan', 'all rows', 's'), Measure('cold_hourly_all', 'hourly, all, cold', 's'),
              Measure('cold_total', 'sum, cold', 's'))),
    Group('After kill -9', 'Seconds from opening the store, or starting the server, to the first '
          'answer. Every acknowledged row must be there.', (Measure('reopen', 'reopen', 's'),)),
    Group('Late rows', 'A part of the rows arrives up to a tenth of the set later; 1,000 rows a '
          'commit (Cassandra: batches of 100).',
          tuple(m for percent in (0, 1, 10, 50) for m in _late(percent))),
)
# Where varve has no such figure, its figure of another measure says what a user of it has instead.
INSTEAD = {'size_merged': 'size_flushed', 'amplification_merged': 'amplification'}
MEASURES = {measure.key: measure for group in GROUPS for measure in group.measures}


def full_title(measure):
    group = next(group for group in GROUPS if measure in group.measures)
    return f'{group.title}: {measure.title}'


@dataclasses.dataclass(frozen=True)
class Goal:
    """What varve should reach beside the best of some configurations."""

    text: str
    key: str              # varve's measure
    beside: str           # what the other configuration's label begins with
    keys: tuple           # the other's measures; the best counts
    least: float          # times better
    ending: str = ''      # what the label ends with


GOALS = (
    Goal('durable ingest, 50x Cassandra\'s best durable', 'ingest_whole', 'cassandra',
         ('ingest_1_many', 'ingest_100', 'ingest_whole'), 50, ', batch'),
    *(Goal(f'durable ingest, 2x RocksDB, {size:,} rows a commit', f'ingest_{size}', 'rocksdb',
           (f'ingest_{size}',), 2) for size in (100, 1000, 10000)),
    Goal('bytes a row at most 0.7 of Cassandra\'s with zstd', 'size_flushed', 'cassandra',
         ('size_merged',), 1 / 0.7, ', zstd'),
    Goal('slice p50 at most 1.5x RocksDB\'s', 'slice_p50', 'rocksdb', ('slice_p50',), 1 / 1.5),
    Goal('slice p50, 25x sooner than Cassandra', 'slice_p50', 'cassandra', ('slice_p50',), 25),
    Goal('hourly aggregates over all, 500x Cassandra', 'hourly_all', 'cassandra', ('hourly_all',),
         500),
    Goal('hourly aggregates over all, 5x DuckDB', 'hourly_all', 'duckdb', ('hourly_all',), 5),
)


@dataclasses.dataclass(frozen=True)
class Figure:
    values: tuple

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def spread(self):
        """Half of what lies between the extremes, as a part of the median."""
        low, high = min(self.values), max(self.values)
        return (high - low) / 2 / self.median if self.median else 0.0


class Table:
    """Figures of one set at one size: by configuration, then by measure."""

    def __init__(self, name, rows):
        self.name, self.rows = name, rows
        self.raw = {}      # label -> key -> values
        self.threads = {}  # label -> how many

    def add(self, label, threads, key, value):
        self.threads[label] = threads
        self.raw.setdefault(label, {}).setdefault(key, []).append(value)

    def figure(self, label, key):
        values = self.raw.get(label, {}).get(key)
        return Figure(tuple(values)) if values else None

    def base(self, label):
        """varve with as many threads, if it was measured."""
        return next((candidate for candidate in self.raw if candidate.startswith('varve')
                     and self.threads[candidate] == self.threads[label]), None)

    def reached(self, goal):
        """How many times better than the best of the goal's configurations, or None."""
        ratios = []
        for label in self.raw:
            if not label.startswith(goal.beside) or not label.endswith(goal.ending):
                continue
            mine = self.figure(self.base(label), goal.key)
            theirs = [f.median for f in (self.figure(label, key) for key in goal.keys) if f]
            if mine is None or not theirs:
                continue
            ratios.append(mine.median / max(theirs) if MEASURES[goal.key].higher_is_better
                          else min(theirs) / mine.median)
        return min(ratios, default=None)

    def ratio(self, label, key):
        """How many times better varve is, or None."""
        base = self.base(label)
        mine = self.figure(base, key) or self.figure(base, INSTEAD.get(key))
        theirs = self.figure(label, key)
        if mine is None or theirs is None or mine.median <= 0 or theirs.median <= 0:
            return None
        if MEASURES[key].higher_is_better:
            return mine.median / theirs.median
        return theirs.median / mine.median


def _percentiles(line, measure):
    for key, least in LEAST_SAMPLES.items():
        if line['n'] >= least and f'{measure}_{key}' in MEASURES:
            yield f'{measure}_{key}', line[key]


def _of_load(line):
    if line['measure'] == 'ingest':
        rate = line['rows'] / line['seconds']
        if line['phase'] == 'ingest':
            size, writers = line['commit'], line['writers']
            many = ('_many' if writers > 1 else '_one') if size == 1 else ''
            yield ('ingest_columns' if line.get('form') == 'columns' else
                   f'ingest_{size}{many}'), rate
            if f'cpu_{size}{many}' in MEASURES and line['rows'] > 0:
                yield f'cpu_{size}{many}', line['cpu'] / line['rows'] * 1e6
        elif line['phase'] == 'main':
            yield 'ingest_whole', rate
            yield 'load_cpu', line['cpu'] / line['rows'] * 1e6
        elif line['phase'] == 'late':
            yield f"late_ingest_{line['late']}", rate
    elif line['measure'] == 'flush' and line['phase'] == 'main':
        yield 'flush_cpu', line['cpu'] / line['rows_total'] * 1e6
    elif line['measure'] == 'first_answer' and line['phase'] == 'main':
        yield 'first_answer', line['seconds']


def _of_store(line):
    if line['measure'] == 'size':
        key = {'main': 'size_flushed', 'merge': 'size_merged',
               'late': f"late_size_{line.get('late')}"}[line['phase']]
        yield key, line['bytes'] / line['rows_total']
        if line['phase'] == 'main':
            yield 'size_other', line['other_bytes']
    elif line['measure'] == 'reopen':
        yield 'reopen', line['start_seconds'] + line['seconds']
    elif line['measure'] == 'memory' and line['phase'] == 'ask' and line['threads'] == 1:
        yield 'memory_ask', line['peak_bytes']
    elif line['measure'] == 'anonymous_memory' and line['phase'] == 'main' \
            and line['command'] == 'load':
        yield 'memory_load', line['peak_bytes']


def _of_answer(line):
    measure, phase = line['measure'], line['phase']
    if phase == 'ask':
        if measure in ('slice', 'hour'):
            yield from _percentiles(line, measure)
            yield f'cpu_{measure}', line['cpu'] / line['n']
        elif measure == 'slice_crowd' and 'n' in line:
            yield measure, line['n'] / line['seconds']
        elif measure in MEASURES and 'seconds' in line:
            yield measure, line['seconds']
            if f'cpu_{measure}' in MEASURES:
                yield f'cpu_{measure}', line['cpu']
    elif phase == 'cold' and f'cold_{measure}' in MEASURES:
        yield f'cold_{measure}', line['seconds'] / line.get('n', 1)
    elif phase == 'late' and measure == 'slice':
        yield f"late_slice_{line['late']}", line['p50']
    elif phase == 'late' and measure == 'hourly_all':
        yield f"late_hourly_{line['late']}", line['seconds']


def _amplification(lines):
    """Bytes written by a load, its flush and its merge, run by run."""
    written = {}
    for line in lines:
        if line.get('phase') in ('main', 'merge') and line['measure'] in ('ingest', 'flush', 'merge'):
            key = (line['set'], line['rows_total'], line['configuration'], line['run'])
            written.setdefault(key, {'given': line['given']})[line['measure']] = line.get('written')
    for (name, rows, label, _), by in written.items():
        flushed = (by.get('ingest') or 0) + (by.get('flush') or 0)
        yield name, rows, label, 'amplification', flushed / by['given']
        if by.get('merge') is not None:
            yield name, rows, label, 'amplification_merged', (flushed + by['merge']) / by['given']


def _flushed(lines):
    """Rows a second of a whole load with its flush, run by run."""
    parts = {}
    for line in lines:
        if line.get('phase') == 'main' and line['measure'] in ('ingest', 'flush'):
            key = (line['set'], line['rows_total'], line['configuration'], line['run'])
            parts.setdefault(key, {})[line['measure']] = line['seconds']
    for (name, rows, label, _), by in parts.items():
        if len(by) == 2:
            yield name, rows, label, 'ingest_flushed', rows / sum(by.values())


def _unmerged(lines):
    """Configurations that do not merge; their size after it is no figure."""
    return {line['configuration'] for line in lines
            if line.get('measure') == 'merge' and 'not' in line}


def tables(lines):
    """One Table for each set and size that was measured, smallest first."""
    found = {}

    def table(name, rows):
        return found.setdefault((name, rows), Table(name, rows))

    unmerged = _unmerged(lines)
    servers = {line['configuration'] for line in lines
               if line.get('measure') == 'peer' and line.get('server')}
    for line in lines:
        if line.get('phase') in (None, 'agreement'):
            continue
        threads, label = line.get('threads', 1), line['configuration']
        for key, value in (*_of_load(line), *_of_store(line), *_of_answer(line)):
            if (key == 'size_merged' and label in unmerged) or (
                    key == 'memory_load' and label in servers):
                continue
            full = label if threads == 1 else f'{label}, {threads} threads'
            table(line['set'], line['rows_total']).add(full, threads, key, value)
    for name, rows, label, key, value in (*_amplification(lines), *_flushed(lines)):
        table(name, rows).add(label, 1, key, value)
    return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]


def _part_of(key):
    """The part of a measurement (plan.py) that gives it."""
    if key.startswith('late_'):
        return 'late'
    if key == 'reopen':
        return 'kill'
    one_size = key.startswith(('ingest_1', 'cpu_1')) or key == 'ingest_columns'
    return 'ingest' if one_size else 'main'


OF_A_LOAD = {'ingest_whole', 'ingest_flushed', 'first_answer', 'size_flushed', 'size_merged',
             'size_other', 'amplification', 'amplification_merged', 'load_cpu', 'flush_cpu',
             'memory_load'}


def required(facts, late, part):
    """The measures that this part of a peer with these facts must have produced."""
    keys = {key for key in MEASURES if _part_of(key) == part and key not in
            ('slice_p99', 'slice_p999', 'hour_p99')}
    if part == 'late':
        return {m.key for percent in late for m in _late(percent)}
    if facts.get('size_only'):
        keys &= OF_A_LOAD
    if not facts.get('columns'):
        keys -= {'ingest_columns'}
    if not facts['merges']:
        keys -= {'size_merged', 'amplification_merged'}
    if not facts['many_writers']:
        keys -= {'ingest_1_many', 'cpu_1_many'}
    if not facts.get('crowd', True):
        keys -= {'slice_crowd'}
    if not facts.get('commits', True):
        keys -= {'cpu_100'}
    if facts.get('in_memory'):
        keys -= {'cold_slice', 'cold_hourly_all', 'cold_total'}
    if facts.get('server'):
        keys -= {'ingest_1000', 'ingest_10000', 'memory_load'}
    return keys
