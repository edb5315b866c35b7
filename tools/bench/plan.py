"""What there is to measure, how long that may take, and how far it is."""

import contextlib
import dataclasses
import time

PARTS = ('main', 'ingest', 'kill', 'late')
# Rows a second of a whole load, roughly, on an ordinary machine; only the estimate depends on it.
RATES = {'varve': 3e6, 'rocksdb': 6e5, 'sqlite': 2.5e5, 'duckdb': 4e5, 'chdb': 8e5, 'parquet': 2e6,
         'polars': 2e6, 'cassandra': 3e4}
START_SECONDS, SERVER_START_SECONDS = 1.5, 20
QUESTION_SHARE = 0.25  # of its time box that a question to many rows takes, all runs together


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is measured at one go, and measured again if it was interrupted."""

    label: str
    set: str
    rows: int
    part: str  # 'agreement' or one of PARTS

    @property
    def key(self):
        return (self.label, self.set, self.rows, self.part)

    def __str__(self):
        where = f'{self.set}, {self.rows:,} rows: ' if self.set else ''
        return f'{where}{self.label}: {self.part}'


def _main_seconds(configuration, start, load, runs, arguments):
    seconds = runs * 1.5 * load  # with its flush and its merge
    if not configuration.size_only:
        seconds += runs * 0.75 * arguments.seconds
        seconds += len(configuration.threads) * 6 * QUESTION_SHARE * arguments.seconds
        seconds += 3 * min(runs, 3) * start  # cold
    return seconds


def estimate(unit, configuration, facts, arguments):
    """Seconds, before anything like it was measured."""
    server = bool(facts.get('server'))
    start = SERVER_START_SECONDS if server else START_SECONDS
    runs = min(arguments.runs, 3) if server else arguments.runs
    load = min(unit.rows / RATES.get(configuration.peer, 5e5), arguments.load_seconds) + START_SECONDS
    if unit.part == 'agreement':
        return start + len(arguments.sets) * (load + 3 * START_SECONDS)
    if unit.part == 'main':
        return start + _main_seconds(configuration, start, load, runs, arguments)
    if unit.part == 'ingest':  # single rows fill their time box, most others do not
        ways = 3 if server else 5
        return start + runs * ways * (0.5 * min(arguments.seconds, 20 * load) + START_SECONDS)
    repeats = min(runs, 3)
    if unit.part == 'kill':
        return repeats * (start + load + START_SECONDS)
    return start + len(arguments.late) * repeats * (2 * load + 0.6 * arguments.seconds)


def duration(seconds):
    minutes = round(seconds / 60)
    if minutes < 1:
        return f'{max(round(seconds), 1)} s'
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60} min'


class Progress:
    """Over the units of one sitting, of which each has an estimate."""

    def __init__(self, estimates):
        self.left = dict(estimates)
        self.n, self.done = len(self.left), 0
        self.expected = self.took = 0.0

    def lines(self):
        """The plan, by configuration."""
        if not self.left:
            return ['nothing to measure']
        total = {}
        for unit, seconds in self.left.items():
            count, before = total.get(unit.label, (0, 0))
            total[unit.label] = (count + 1, before + seconds)
        return [f'plan: {self.n} units, about {duration(sum(self.left.values()))}'] + [
            f'    {label}: {count} units, about {duration(seconds)}'
            for label, (count, seconds) in total.items()]

    def _remaining(self):
        """As fast as before, once enough was seen to tell."""
        pace = min(max(self.took / self.expected, 0.2), 5) if self.expected > 60 else 1
        return pace * sum(self.left.values())

    def head(self, unit):
        return f'[{self.done + 1}/{self.n}, about {duration(self._remaining())} left] {unit}'

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
