"""What there is to measure, in the order in which it matters, how long that may take, and how far
it is.

A *unit* is what is measured at one go: one part of one configuration on one set of rows. It takes
some minutes at most, and is measured again if it was interrupted.
"""

import contextlib
import dataclasses
import math
import time

REAL_SETS = ('real_bars', 'real_readings', 'real_purchases')
SETS = ('bars', 'listens', *REAL_SETS)
# Parts that ask the store which `load` leaves; they follow it, so that it is loaded once.
STORED = ('slices', 'crowd', 'questions', 'scan', 'cold')
PARTS = ('load', *STORED, 'ingest', 'kill', 'late')
NATIVE = ('varve', 'rocksdb', 'sqlite')  # peers in C
MANY_ROWS, MOST_ROWS = 3_000_000, 30_000_000  # beyond: fewer configurations, runs and parts
AGREEMENT_ROWS = 20_000
LATE_PERCENT = (0, 1, 10, 50)


@dataclasses.dataclass(frozen=True)
class Configuration:
    """`role` is 'best': measured in every stage; 'main': in those with a set of ordinary size;
    'size': for its bytes a row, and its reads at one size."""

    label: str
    peer: str
    options: dict = dataclasses.field(default_factory=dict)
    threads: tuple = (1,)
    role: str = 'best'


def cassandra(kind, sync, compression='lz4', role='main'):
    label = f'cassandra {kind}, {sync}' + (', zstd' if compression == 'zstd' else '')
    return Configuration(label, 'cassandra',
                         {'kind': kind, 'sync': sync, 'compression': compression}, role=role)


CONFIGURATIONS = (
    Configuration('varve', 'varve', threads=(1, 2)),
    Configuration('rocksdb lz4', 'rocksdb', {'compression': 'lz4'}),
    Configuration('rocksdb zstd', 'rocksdb', {'compression': 'zstd'}, role='size'),
    Configuration('sqlite', 'sqlite'),
    Configuration('duckdb', 'duckdb', threads=(1, 2)),
    Configuration('chdb lz4', 'chdb', {'compression': 'lz4'}, threads=(1, 2)),
    Configuration('chdb zstd', 'chdb', {'compression': 'zstd'}, threads=(1, 2), role='size'),
    Configuration('parquet', 'parquet', threads=(1, 2)),
    Configuration('polars', 'polars', threads=(1, 2)),
    cassandra('latest', 'group', role='best'),
    cassandra('latest', 'batch'),
    cassandra('latest', 'periodic'),
    cassandra('default', 'batch'),
    cassandra('default', 'periodic'),
    cassandra('latest', 'batch', 'zstd', role='size'),
)
# Engines that one would look for in a report.
NO_PEER = {'questdb': 'no peer is written for it', 'kafka': 'no peer is written for it'}


@dataclasses.dataclass(frozen=True)
class Stage:
    """Parts of one set for the sizes of one kind: 'small', 'many' or 'most'."""

    set: str
    size: str
    parts: tuple
    roles: tuple = ('best',)
    without: tuple = ()  # peers

    def is_for(self, configuration):
        return configuration.role in self.roles and configuration.peer not in self.without


EVERYONE, BUT_SIZE = ('best', 'main', 'size'), ('best', 'main')
READ = ('slices', 'crowd', 'questions', 'scan')
STAGES = (
    Stage('bars', 'small', ('load', *READ), EVERYONE),  # these two have
    Stage('bars', 'small', ('ingest',), BUT_SIZE),      # all the goals
    Stage('bars', 'small', ('kill',), BUT_SIZE),
    Stage('bars', 'small', ('cold',)),
    *(Stage(name, 'small', ('load', 'slices', 'questions', 'scan')) for name in REAL_SETS),
    *(Stage(name, 'small', ('load',), ('size',)) for name in REAL_SETS),
    Stage('bars', 'small', ('late',)),
    Stage('listens', 'small', ('load', *READ), EVERYONE),
    Stage('listens', 'small', ('ingest', 'kill', 'cold')),
    Stage('bars', 'many', ('load', *READ)),
    Stage('bars', 'many', ('load',), ('size',)),
    Stage('bars', 'most', ('load', *READ), without=('cassandra', 'polars')),
)


def size_of(rows):
    return 'small' if rows <= MANY_ROWS else 'many' if rows <= MOST_ROWS else 'most'


@dataclasses.dataclass(frozen=True)
class Unit:
    label: str
    set: str
    rows: int   # of a real set 0: as many as there are
    part: str   # 'agreement', 'drift' or one of PARTS, with which percentage or run

    @property
    def store(self):
        return (self.label, self.set, self.rows)

    @property
    def key(self):
        return (*self.store, self.part)

    def __str__(self):
        rows = f', {self.rows:,} rows' if self.rows else ''
        return f'{self.set}{rows}: {self.label}: {self.part}'


def runs_of(facts, rows, most):
    """How often a figure is measured."""
    if size_of(rows) == 'most' or facts.get('server'):
        return min(most, 3)
    return most


def _subparts(part, facts, rows, arguments):
    """A part that would take long is several units."""
    if part == 'late':
        return [f'late {percent}' for percent in arguments.late]
    if part == 'load' and rows > MANY_ROWS:
        runs = 1 if rows > MOST_ROWS else runs_of(facts, rows, arguments.runs)
        return [f'load {run}' for run in range(1, runs + 1)]
    return [part]


# What an engine cannot do says a fact about it: the fact, its default, parts, and why.
IMPOSSIBLE = (
    ('in_memory', False, True, ('cold',), 'it reads all rows when it is opened'),
    ('commits', True, False, ('ingest', 'kill', 'late'), 'it takes only whole sets'),
    ('many_writers', False, False, ('commits by many',), 'driven with one writer'),
    ('merges', False, False, ('merged size',), 'it does not merge'),
)


def impossible(facts):
    """Parts, or measures of one, that there are not with an engine, and why."""
    return [(what, why) for fact, default, value, what, why in IMPOSSIBLE
            if facts.get(fact, default) is value]


def left_out(configuration, name, rows):
    """Parts of a set that no stage has for this configuration."""
    there = {part for stage in STAGES for part in stage.parts
             if (stage.set, stage.size) == (name, size_of(rows)) and stage.is_for(configuration)}
    return [part for part in PARTS if part not in there]


def _possible(part, facts):
    return not any(part in parts for parts, _ in impossible(facts))


def _of_stage(stage, known, arguments):
    sizes = [n for n in arguments.rows if size_of(n) == stage.size]
    if stage.set in REAL_SETS:
        sizes = [0] if arguments.real and arguments.rows else []
    for rows in sizes:
        for configuration, facts in known:
            if not stage.is_for(configuration):
                continue
            for part in stage.parts:
                if part in arguments.parts and _possible(part, facts):
                    yield from (Unit(configuration.label, stage.set, rows, subpart)
                                for subpart in _subparts(part, facts, rows, arguments))


def units(known, arguments):
    """Everything that the arguments name, in order, for (configuration, facts) pairs. Answers to a
    set are compared of all that will be measured with it; of all, if nothing will."""
    found = [unit for stage in STAGES if stage.set in arguments.sets
             for unit in _of_stage(stage, known, arguments)]
    if arguments.quick:  # a second set, and peers that take seconds to start, only for their answers
        found = [unit for unit in found if unit.set == 'bars' and unit.label.startswith(NATIVE)]
    pairs = {(unit.label, unit.set) for unit in found}
    agreement = [Unit(configuration.label, name, AGREEMENT_ROWS, 'agreement')
                 for name in arguments.sets for configuration, _ in known
                 if arguments.quick or not pairs or (configuration.label, name) in pairs]
    return agreement + found


# ------------------------------------------------------------------------------------ Estimates

# On an ordinary machine with two cores. Only the estimate of how long it takes depends on them.
RATES = {'varve': 3e6, 'rocksdb': 6e5, 'sqlite': 2.5e5, 'duckdb': 1e6, 'chdb': 1e6, 'parquet': 2e6,
         'polars': 2e6, 'cassandra': 6e4}       # rows a second of a whole load
SLICE = {'duckdb': 2e-3, 'chdb': 5e-3, 'parquet': 6e-3, 'polars': 3e-3}  # seconds of a slice
QUESTIONS = {'varve': 0.05, 'rocksdb': 1.5, 'sqlite': 1.8, 'chdb': 0.6, 'cassandra': 9}  # once
REAL_ROWS = 700_000                            # of a real set, about
START_SECONDS, SERVER_START_SECONDS = 1.0, 25  # of a process; of a server, with its end
LEAST_SAMPLES, MOST_OF_BOX = 3000, 4           # of slices: so many, within so many time boxes
# How many; their part of QUESTIONS; ways that there are to ask them of a server, each of which warms.
TO_MANY_ROWS = {'questions': (5, 0.7, 9), 'scan': (1, 0.3, 2)}
WARM_SECONDS, SERVER_WARM_SECONDS = 5, 10


def _estimate_ask(unit, configuration, facts, runs, arguments):
    """What the questions to a loaded store take, without the start of a server."""
    peer, rows, server = configuration.peer, unit.rows or REAL_ROWS, facts.get('server')
    warm = SERVER_WARM_SECONDS if server else min(WARM_SECONDS, arguments.slices * SLICE.get(peer, 1e-5))
    if unit.part == 'slices':
        box = arguments.seconds
        slow = min(LEAST_SAMPLES * SLICE.get(peer, 0), MOST_OF_BOX * box)
        return runs * (START_SECONDS + 2 * (max(box, slow) + warm))
    if unit.part == 'crowd':
        return runs * (START_SECONDS + max(5, arguments.seconds) + warm)
    if unit.part in TO_MANY_ROWS:
        n, share, of_server = TO_MANY_ROWS[unit.part]
        once = max(rows / 1e6 * QUESTIONS.get(peer, 0.3) * share, n * arguments.seconds / 10)
        if server:
            return START_SECONDS + (runs + 2) * once + of_server * SERVER_WARM_SECONDS
        ways = len(configuration.threads) * (2 if unit.part == 'questions'
                                             and facts.get('zone_maps') else 1)
        return runs * ways * (START_SECONDS + 1.5 * once)
    load = rows / RATES.get(peer, 1e6) + (SERVER_START_SECONDS if server else 0)  # cold: anew
    return load + 3 * runs * (START_SECONDS + (SERVER_START_SECONDS + warm if server else 0)
                              + rows / 1e6 * QUESTIONS.get(peer, 0.3) / 3)


def estimate(unit, configuration, facts, arguments):
    """Seconds, before anything like it was measured."""
    rows = unit.rows or REAL_ROWS
    start = SERVER_START_SECONDS if facts.get('server') else START_SECONDS
    runs = runs_of(facts, rows, arguments.runs)
    load = min(rows / RATES.get(configuration.peer, 1e6), arguments.load_seconds) + START_SECONDS
    if facts.get('server'):
        load += 1.5 * SERVER_WARM_SECONDS
    part = unit.part.split()[0]
    if part == 'agreement':
        return start + 2 * load + START_SECONDS
    if part == 'load':
        ways = len(facts.get('load_threads', (1,)))
        return start + (1 if ' ' in unit.part else runs) * ways * 1.6 * load  # flush, merge
    if part == 'ingest':  # single rows fill their time box, most others do not
        ways = 2 if facts.get('server') else 7 if facts.get('many_writers') else 5
        return start + runs * ways * (0.6 * arguments.seconds + start / 3)
    if part == 'kill':
        return runs * (2 * start + load)
    if part == 'late':
        warm = 2 * SERVER_WARM_SECONDS if facts.get('server') else 2
        return start + runs * (1.5 * load + 2 * START_SECONDS + 2 + warm)
    return start + _estimate_ask(unit, configuration, facts, runs, arguments)


def duration(seconds):
    minutes = round(seconds / 60)
    if minutes < 1:
        return f'{max(round(seconds), 1)} s'
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60:02} min'


def _summed(estimates, name_of):
    total = {}
    for unit, seconds in estimates:
        name = name_of(unit)
        count, before = total.get(name, (0, 0))
        total[name] = (count + 1, before + seconds)
    return [f'    {name}: {count} units, about {duration(seconds)}'
            for name, (count, seconds) in total.items()]


def summary(estimates, minutes):
    """What is planned: in the order in which it is measured, and by configuration."""
    if not estimates:
        return ['nothing to measure']
    whole = sum(seconds for _, seconds in estimates)
    lines = [f'plan: {len(estimates)} units, about {duration(whole)}']
    if minutes:
        lines[0] += f', {math.ceil(whole / 60 / minutes)} sittings of {duration(60 * minutes)}'
    lines += ['  in this order:'] + _summed(estimates, lambda unit: (
        f'{unit.set}, ' + (f'{unit.rows:,} rows' if unit.rows else 'all rows')
        + f', {unit.part.split()[0]}'))
    return lines + ['  by configuration:'] + _summed(estimates, lambda unit: unit.label)


class Progress:
    """Over the units of one sitting, of which each has an estimate."""

    def __init__(self, estimates):
        self.left = dict(estimates)
        self.n, self.done = len(self.left), 0
        self.expected = self.took = 0.0

    def pace(self):
        """How long a unit takes beside its estimate, once enough was seen to tell."""
        return min(max(self.took / self.expected, 0.2), 5) if self.expected > 60 else 1

    def head(self, unit):
        left = self.pace() * sum(self.left.values())
        return f'[{self.done + 1}/{self.n}, about {duration(left)} left] {unit}'

    def skip(self, unit):
        del self.left[unit]
        self.done += 1

    @contextlib.contextmanager
    def timed(self, unit):
        started = time.monotonic()
        yield
        self.expected += self.left[unit]
        self.took += time.monotonic() - started
        self.skip(unit)
