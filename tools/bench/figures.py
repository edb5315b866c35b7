"""From the lines of results.jsonl to figures: for each set and size a table, of which a row is a
configuration (with its threads, or its share of late rows) and a column a measure; a figure is the
values of all runs."""

import dataclasses
import statistics

LEAST_SAMPLES = {'p50': 1, 'p99': 100, 'p999': 3000}  # fewer say nothing about the percentile


@dataclasses.dataclass(frozen=True)
class Measure:
    key: str
    title: str
    unit: str              # in tables and charts
    scale: float           # what one of it is, in the unit of the results
    higher_is_better: bool = False
    compared: bool = True  # False: a ratio would say nothing


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    note: str
    measures: tuple
    chart: bool = False


def rate(key, title):
    return Measure(key, title, 'k rows/s', 1e3, True)


def micro(key, title):
    return Measure(key, title, 'us', 1e-6)


def milli(key, title, compared=True):
    return Measure(key, title, 'ms', 1e-3, compared=compared)


def mega(key, title, compared=True):
    return Measure(key, title, 'MiB', 1 << 20, compared=compared)


GROUPS = (
    Group('Ingest', 'Every commit is on disk before it counts; `periodic` Cassandra alone is not '
          'durable (it acknowledges up to ten seconds of rows that a power cut loses). *Many* are '
          '1,024 commits in flight of Cassandra and varve, and threads of RocksDB (settings below); '
          'everything else is one writer, which waits for each commit. Cassandra\'s batches hold up to '
          '100 rows of one partition; few users of listens have so many. varve takes rows one by one, '
          'except *by columns* and in *whole set*. *Whole set* is a load of all rows in the way that suits the engine (settings '
          'below); where that is a way of this table it is the same measurement. *2 threads* fill it; '
          'threads of the engine work in the background besides, in varve, RocksDB and ClickHouse also '
          'where one fills it, so that the ratio stands beside the sooner way alone.', (
              rate('ingest_1_one', '1 row, one writer'), rate('ingest_1_many', '1 row, many'),
              rate('ingest_100', '100 rows'), rate('ingest_100_many', '100 rows, many'),
              rate('ingest_1000', '1,000 rows'),
              rate('ingest_10000', '10,000 rows'), rate('ingest_columns', '10,000 by columns'),
              rate('ingest_whole', 'whole set'), rate('ingest_flushed', 'whole set and flush')), True),
    Group('Size on disk', 'Data files after a flush, and after merging everything (an engine that '
          'does not merge, as varve does not yet: its flushed ones). *Logs and others* is what lies beside them once '
          'everything is flushed. For varve that is segments of the log in use and made ahead, and a '
          'file that keeps room for a full disk: some `wal_segment_bytes`, which do not grow with '
          'the rows. For ClickHouse that is also parts that it has merged into others and removes some '
          'minutes later.', (
              Measure('size_flushed', 'flushed', 'B/row', 1), Measure('size_merged', 'merged', 'B/row', 1),
              mega('size_other', 'logs and others', False), mega('size_total', 'all files'))),
    Group('Work and memory', 'Bytes that the process wrote to the disk, from before it opened the store until '
          'it had closed it, over bytes given (8 a double or time, 4 an integer, text as it is). Processor seconds for a million rows: of the process '
          'that holds the store with all its threads, Cassandra\'s node without its client. Memory: '
          'the most at any time; of embedded engines the anonymous memory of the process, which for '
          'those in Python includes Python, and the rows that it hands over or is given (of questions '
          'without that for all rows); of '
          'Cassandra the whole node, which reserves its heap at the start, so that no ratio is given. '
          '*Resident* counts pages of mapped files besides: those of the rows that a load is given, and '
          'of a store that is read through a mapping. '
          'varve does not merge yet: beside merged files stand its flushed ones.', (
              Measure('amplification', 'written / given, flushed', 'x', 1),
              Measure('amplification_merged', 'written / given, merged', 'x', 1, compared=False),
              Measure('cpu_1_one', 'CPU, 1 row, one writer', 's', 1),
              Measure('cpu_1_many', 'CPU, 1 row, many', 's', 1), Measure('cpu_100_many', 'CPU, 100 a commit', 's', 1),
              Measure('load_cpu', 'CPU, whole set and flush', 's', 1),
              Measure('client_cpu_load', 'CPU of a client, whole set', 's', 1, compared=False),
              mega('memory_load', 'memory, load'), mega('memory_slices', 'memory, slices'),
              mega('memory_questions', 'memory, questions'),
              mega('resident_load', 'resident, load', False), mega('resident_slices', 'resident, slices', False),
              mega('resident_questions', 'resident, questions', False)), True),
    Group('One hour of one partition', 'All columns of its rows (*slice*), and count and average '
          'of one column (*aggregate*): one client, then 64. For some seconds before the clock started '
          'every slice was asked once, as far as they allowed. A slice is answered by one thread, of '
          'Parquet and polars by all cores, which is sooner. Cassandra is asked over loopback by a '
          'client in Java; DuckDB, ClickHouse (chdb), Parquet and polars from Python.', (
              micro('slice_p50', 'slice p50'), micro('slice_p99', 'slice p99'),
              micro('slice_p999', 'slice p99.9'),
              Measure('slice_crowd', 'slices, 64 clients', 'k/s', 1e3, True),
              micro('hour_p50', 'aggregate p50'), micro('hour_p99', 'aggregate p99'),
              micro('cpu_slice', 'CPU, a slice'), micro('cpu_slice_crowd', 'CPU, a slice, 64 clients'),
              micro('cpu_hour', 'CPU, an aggregate'),
              Measure('client_cpu_slice', 'CPU of a client, a slice', 'us', 1e-6, compared=False)),
          True),
    Group('Questions to many rows', 'The time of one answer; page cache and engine are warm. *Hourly* '
          'is count, min, max and sum of one column by partition and hour; *latest* all columns of the last row '
          'of each partition. varve keeps statistics of '
          'each block and answers *sum*, *by partition* and parts of *hourly* from them; the rows '
          '*every value read* say what they take without.', (
              milli('hourly_one', 'hourly, one partition'), milli('hourly_all', 'hourly, all'),
              milli('by_partition', 'average by partition'), milli('total', 'sum of a column'),
              milli('latest', 'latest rows'), milli('scan', 'all rows, all columns')), True),
    Group('Processor time of questions to many rows', 'Of the process that holds the store, with all its '
          'threads; *client* is what Cassandra\'s client took besides, which turns rows into aggregates '
          'where CQL cannot.', (
              milli('cpu_hourly_one', 'hourly, one partition'), milli('cpu_hourly_all', 'hourly, all'),
              milli('cpu_by_partition', 'average by partition'), milli('cpu_total', 'sum of a column'),
              milli('cpu_latest', 'latest rows'), milli('cpu_scan', 'all rows, all columns'),
              *(milli(f'client_cpu_{key}', f'client: {title}', False) for key, title in
                (('hourly_one', 'hourly, one partition'), ('hourly_all', 'hourly, all'),
                 ('by_partition', 'average'), ('total', 'sum'), ('latest', 'latest rows'),
                 ('scan', 'all rows')))), True),
    Group('First answers', '*After a load*: one slice, before a flush, of a client that is there with its '
          'statement prepared. *After kill -9*: from opening '
          'the store, or starting the server, to the first answer; every acknowledged row must be '
          'there. *Just started*: a store or server that was opened with no page of it cached, of '
          'Cassandra with both Java machines warm from another table; of slices the median of the '
          'first 200.', (
              milli('first_answer', 'after a load'), milli('reopen', 'after kill -9'),
              milli('cold_slice', 'just started, slice p50'),
              milli('cold_hourly_all', 'just started, hourly, all'),
              milli('cold_total', 'just started, sum')), True),
    Group('Late rows', 'A part of the rows arrives up to a tenth of the set later; 10,000 rows a '
          'commit (Cassandra: batches of up to 100). Size after a flush.', (
              rate('late_ingest', 'ingest'), Measure('late_size', 'size', 'B/row', 1),
              micro('late_slice', 'slice p50'), milli('late_hourly', 'hourly, all')), True),
)
# Where varve has no such figure, its figure of another measure says what a user of it has instead.
INSTEAD = {'size_merged': 'size_flushed'}
WHOLE_LOADS = ('ingest_whole', 'ingest_flushed')
MEASURES = {measure.key: measure for group in GROUPS for measure in group.measures}
GROUP_OF = {measure.key: group for group in GROUPS for measure in group.measures}


@dataclasses.dataclass(frozen=True)
class Goal:
    """What varve should reach beside the best of some configurations."""

    text: str
    key: str              # varve's measure
    beside: str           # what the other configuration's label begins with
    keys: tuple           # the other's measures; the best counts
    least: float          # times better
    having: str = ''      # what the label has
    lacking: str = '\n'   # what it has not
    every_value: bool = False  # varve without block statistics

    def is_about(self, label):
        return label.startswith(self.beside) and self.having in label and self.lacking not in label


NOT_DURABLE = 'periodic'
GOALS = (
    Goal('durable ingest of a whole set, 50x Cassandra\'s best durable way', 'ingest_whole', 'cassandra',
         ('ingest_1_many', 'ingest_100_many', 'ingest_whole'), 50, lacking=NOT_DURABLE),
    Goal('the same, 100 rows a commit, many in flight, beside 100 a batch', 'ingest_100_many',
         'cassandra', ('ingest_100_many', 'ingest_whole'), 50, lacking=NOT_DURABLE),
    *(Goal(f'durable ingest, 2x RocksDB, {title}', f'ingest_{size}', 'rocksdb', (f'ingest_{size}',), 2)
      for size, title in (('1_one', '1 row a commit'), ('1_many', '1 row a commit, many in flight'),
                          ('100', '100 rows a commit'), ('100_many', '100 rows, many in flight'),
                          ('1000', '1,000 rows'), ('10000', '10,000 rows'))),
    Goal('bytes a row at most 0.7 of Cassandra\'s with zstd', 'size_flushed', 'cassandra',
         ('size_merged',), 1 / 0.7, having='zstd'),
    Goal('slice p50 at most 1.5x RocksDB\'s', 'slice_p50', 'rocksdb', ('slice_p50',), 1 / 1.5),
    Goal('slice p50, 25x sooner than Cassandra', 'slice_p50', 'cassandra', ('slice_p50',), 25),
    Goal('hourly aggregates over all, 500x Cassandra', 'hourly_all', 'cassandra', ('hourly_all',),
         500),
    Goal('the same, varve reading every value', 'hourly_all', 'cassandra', ('hourly_all',), 500,
         every_value=True),
    Goal('hourly aggregates over all, 5x DuckDB, same threads', 'hourly_all', 'duckdb',
         ('hourly_all',), 5),
    Goal('the same, varve reading every value', 'hourly_all', 'duckdb', ('hourly_all',), 5,
         every_value=True),
)


@dataclasses.dataclass(frozen=True)
class Figure:
    values: tuple
    disturbed: bool  # others used the machine while some of them were measured

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def n(self):
        return len(self.values)

    def overlaps(self, other):
        return max(self.values) >= min(other.values) and max(other.values) >= min(self.values)


@dataclasses.dataclass(frozen=True)
class Row:
    """What a figure is of."""

    label: str
    threads: int = 1
    late: int = None           # per cent
    every_value: bool = False  # varve was told not to use block statistics

    def __str__(self):
        more = [f'{self.threads} threads'] if self.threads > 1 else []
        more += ['every value read'] if self.every_value else []
        more += [f'{self.late} % late'] if self.late is not None else []
        return ', '.join([self.label, *more])


@dataclasses.dataclass(frozen=True)
class Reached:
    """How far a goal is."""

    ratio: float
    mine: Figure
    theirs: Figure
    row: Row
    key: str  # the other's measure


class Table:
    """Figures of one set at one size: by row, then by measure."""

    def __init__(self, name, rows):
        self.name, self.rows = name, rows
        self.raw = {}  # Row -> key -> [(value, disturbed)]

    @property
    def title(self):
        return f'{self.name}, {self.rows:,} rows'

    def add(self, row, key, value, disturbed):
        self.raw.setdefault(row, {}).setdefault(key, []).append((value, disturbed))

    def figure(self, row, key):
        found = self.raw.get(row, {}).get(key)
        return Figure(tuple(value for value, _ in found), any(bad for _, bad in found)) \
            if found else None

    def row_beside(self, row, key, every_value=False):
        """varve's row to hold `row` against: as many late rows, and as many threads if it has use for
        them."""
        base = dataclasses.replace(row, label='varve', every_value=every_value)
        there = self.figure(base, key) or self.figure(base, INSTEAD.get(key))
        return base if there else dataclasses.replace(base, threads=1)

    def mine(self, row, key, every_value=False):
        """varve's figure in that row."""
        base = self.row_beside(row, key, every_value)
        return self.figure(base, key) or self.figure(base, INSTEAD.get(key))

    def ratio(self, row, key, every_value=False):
        """How many times better varve is than another engine, or None."""
        theirs, mine = self.figure(row, key), self.mine(row, key, every_value)
        if row.label == 'varve' or not MEASURES[key].compared or mine is None or theirs is None:
            return None
        if key in MAXIMA and row.label.startswith('cassandra'):
            return None  # its heap is what it was told to reserve
        if key in WHOLE_LOADS and self._is_outdone(row, key):
            return None
        return times_better(MEASURES[key], mine.median, theirs.median)

    def _is_outdone(self, row, key):
        """Whether the same engine loads sooner with another number of threads. Threads in the
        background take a second core whatever a load is told, varve's as well, so that its load is
        held against the soonest."""
        mine = self.figure(row, key).median
        return any(other.label == row.label and other.late == row.late and found is not None
                   and found.median > mine
                   for other in self.raw for found in [self.figure(other, key)])

    def reached(self, goal):
        """Beside the one of the goal's configurations that comes closest, or None."""
        found = []
        for row in self.raw:
            if not goal.is_about(row.label):
                continue
            mine = self.mine(row, goal.key, goal.every_value)
            for key in goal.keys:
                theirs = self.figure(row, key)
                ratio = mine and theirs and times_better(MEASURES[goal.key], mine.median,
                                                         theirs.median)
                if ratio:
                    found.append(Reached(ratio, mine, theirs, row, key))
        return min(found, key=lambda reached: reached.ratio, default=None)


def times_better(measure, mine, theirs):
    if mine <= 0 or theirs <= 0:
        return None
    return mine / theirs if measure.higher_is_better else theirs / mine


# --------------------------------------------------------------------------- From lines to values

def _percentiles(line, measure):
    for key, least in LEAST_SAMPLES.items():
        if line['n'] >= least and f'{measure}_{key}' in MEASURES:
            yield f'{measure}_{key}', line[key]


def _of_commits(line):
    size, writers = line['commit'], line['writers']
    many = '_many' if writers > 1 else '_one' if size == 1 else ''
    key = f'{size}{many}'
    name = f'ingest_{key}' if line.get('form') != 'columns' else f'ingest_columns{many}'
    if name in MEASURES:
        yield name, line['rows'] / line['seconds']
    if f'cpu_{key}' in MEASURES and line['rows'] > 0:
        yield f'cpu_{key}', line['cpu'] / line['rows'] * 1e6


def _of_load(line, facts):
    phase = line['phase']
    if line['measure'] == 'ingest' and phase == 'ingest':
        yield from _of_commits(line)
    elif line['measure'] == 'ingest' and phase == 'load':
        yield 'ingest_whole', line['rows'] / line['seconds']
        if 'client_cpu' in line:
            yield 'client_cpu_load', line['client_cpu'] / line['rows'] * 1e6
        if facts.get('commits', True) and line.get('threads', 1) == 1:
            form = {'form': 'columns'} if facts.get('columns') else {}
            yield from _of_commits({**line, **form})
    elif line['measure'] == 'ingest' and phase == 'late':
        yield 'late_ingest', line['rows'] / line['seconds']
    elif line['measure'] == 'first_answer' and phase == 'load':
        yield 'first_answer', line['seconds']


def _of_store(line, facts):
    measure, phase = line['measure'], line['phase']
    if measure == 'size' and phase == 'load':
        yield 'size_flushed', line['bytes'] / line['rows_total']
        yield 'size_other', line['other_bytes']
        yield 'size_total', line['bytes'] + line['other_bytes']
    elif measure == 'size' and phase == 'merge' and facts['merges']:
        yield 'size_merged', line['bytes'] / line['rows_total']
    elif measure == 'size' and phase == 'late':
        yield 'late_size', line['bytes'] / line['rows_total']
    elif measure == 'reopen':
        yield 'reopen', line['start_seconds'] + line['seconds']
    elif measure in ('memory', 'anonymous_memory') and (
            phase in ('load', 'slices', 'questions') and line.get('zone_maps') != 0
            and line.get('command') in (None, phase, 'ask')):
        if measure == ('memory' if facts.get('server') else 'anonymous_memory'):
            yield f'memory_{phase}', line['peak_bytes']
        elif measure == 'memory':
            yield f'resident_{phase}', line['peak_bytes']


def _of_answer(line):
    measure, phase = line['measure'], line['phase']
    if phase == 'slices' and measure in ('slice', 'hour'):
        yield from _percentiles(line, measure)
        yield f'cpu_{measure}', line['cpu'] / line['n']
        if measure == 'slice' and 'client_cpu' in line:
            yield 'client_cpu_slice', line['client_cpu'] / line['n']
    elif phase == 'crowd' and measure == 'slice_crowd' and 'n' in line:
        yield measure, line['n'] / line['seconds']
        yield 'cpu_slice_crowd', line['cpu'] / line['n']
    elif phase in ('questions', 'scan') and measure in MEASURES and 'seconds' in line:
        yield measure, line['seconds']
        yield f'cpu_{measure}', line['cpu']
        if 'client_cpu' in line:
            yield f'client_cpu_{measure}', line['client_cpu']
    elif phase == 'cold' and f'cold_{measure}' in MEASURES:
        yield f'cold_{measure}', line['p50'] if 'p50' in line else line['seconds']
    elif phase == 'late' and measure == 'slice':
        yield 'late_slice', line['p50']
    elif phase == 'late' and measure == 'hourly_all':
        yield 'late_hourly', line['seconds']


def _by_run(lines, measures, field):
    """Of each whole load with one thread what its steps gave: the context, and by step `field`."""
    runs = {}
    for line in lines:
        if line['phase'] in ('load', 'merge') and line['measure'] in measures:
            key = (line['configuration'], line['set'], line['rows_total'], line['run'],
                   line.get('threads', 1))
            runs.setdefault(key, (line, {}))[1][line['measure']] = line.get(field)
    return runs.values()


def _of_runs(lines):
    """Measures that several lines make together: bytes written over bytes given, rows a second and
    processor seconds of a load with its flush."""
    for line, by in _by_run(lines, ('ingest', 'flush', 'merge'), 'written'):
        if 'ingest' in by:
            flushed = (by['ingest'] or 0) + (by.get('flush') or 0)
            yield line, 'amplification', flushed / line['given']
            if by.get('merge') is not None:
                yield line, 'amplification_merged', (flushed + by['merge']) / line['given']
    for line, by in _by_run(lines, ('ingest', 'flush'), 'seconds'):
        if len(by) == 2:
            yield line, 'ingest_flushed', line['rows_total'] / sum(by.values())
    for line, by in _by_run(lines, ('ingest', 'flush'), 'cpu'):
        if len(by) == 2:
            yield line, 'load_cpu', sum(by.values()) / line['rows_total'] * 1e6


MAXIMA = ('memory_load', 'memory_slices', 'memory_questions', 'resident_load', 'resident_slices',
          'resident_questions')


def row_of(line):
    """Slices are asked in one way, whether that takes one thread or all cores."""
    threads = 1 if line['phase'] in ('slices', 'crowd') else int(line.get('threads', 1))
    return Row(line['configuration'], threads, line.get('late'), line.get('zone_maps') == 0)


def tables(lines, peers, disturbed):
    """One Table for each set and size that was measured, smallest first. `peers` has the facts of
    each configuration, `disturbed` the units that others disturbed."""
    found = {}

    def add(line, key, value):
        where = (line['set'], line['rows_total'])
        table = found.setdefault(where, Table(*where))
        row, bad = row_of(line), line['unit'] in disturbed
        if key in MAXIMA:  # the greatest of all runs
            before = table.figure(row, key)
            table.raw.get(row, {}).pop(key, None)
            value = max(value, before.median if before else 0)
        table.add(row, key, value, bad)

    lines = [line for line in lines if line.get('phase') not in (
        None, 'agreement', 'drift', 'prepare')]
    for line in lines:
        facts = peers[line['configuration']]
        for key, value in (*_of_load(line, facts), *_of_store(line, facts), *_of_answer(line)):
            add(line, key, value)
    for line, key, value in _of_runs(lines):
        add(line, key, value)
    return [found[key] for key in sorted(found, key=lambda key: (key[1] > 3e6, key[1] > 3e7, key[0]))]


# ------------------------------------------------------------------------------- What must be there

PART_GIVES = {
    'load': {'ingest_whole', 'ingest_flushed', 'first_answer', 'size_flushed', 'size_merged',
             'size_other', 'size_total', 'amplification', 'amplification_merged', 'load_cpu',
             'memory_load', 'resident_load'},
    'slices': {'slice_p50', 'hour_p50', 'cpu_slice', 'cpu_hour', 'memory_slices',
               'resident_slices'},
    'crowd': {'slice_crowd', 'cpu_slice_crowd'},
    'questions': {'hourly_one', 'hourly_all', 'by_partition', 'total', 'latest', 'cpu_hourly_one',
                  'cpu_hourly_all', 'cpu_by_partition', 'cpu_total', 'cpu_latest', 'memory_questions',
                  'resident_questions'},
    'scan': {'scan', 'cpu_scan'},
    'cold': {'cold_slice', 'cold_hourly_all', 'cold_total'},
    'ingest': {'ingest_1_one', 'ingest_1_many', 'ingest_100', 'ingest_100_many', 'ingest_1000',
               'cpu_1_one', 'cpu_1_many', 'cpu_100_many'},
    'kill': {'reopen'},
    'late': {'late_ingest', 'late_size', 'late_slice', 'late_hourly'},
}


def required(part, facts):
    """The measures that this part of a peer with these facts must have produced. ingest_10000 comes
    from either of two parts, and percentiles need their samples."""
    keys = set(PART_GIVES.get(part, ()))
    if not facts['merges']:
        keys -= {'size_merged', 'amplification_merged'}
    if not facts['many_writers']:
        keys -= {'ingest_1_many', 'ingest_100_many', 'cpu_1_many', 'cpu_100_many'}
    if facts.get('server'):
        keys -= {'ingest_100', 'ingest_100_many', 'ingest_1000', 'cpu_100_many', 'resident_load',
                 'resident_slices', 'resident_questions'}
    return keys
