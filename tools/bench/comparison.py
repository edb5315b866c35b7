"""Measures varve beside other engines: the same rows, the same questions, one after the other.

run.sh starts it. plan.py says what there is to do; everything that is measured becomes a line of
OUT/results.jsonl (results.py); figures.py turns those into figures and report.py into tables. Answers
are compared (answers.py) before any time counts.
"""

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import answers
import machine
import peer_run
import plan
import report
import results

HERE = os.path.dirname(os.path.abspath(__file__))
HOUR = ('slice', 'hour', 'slice_crowd')
WHOLE = ('hourly_one', 'hourly_all', 'by_partition', 'total', 'latest', 'scan')
COLD = ('slice', 'hourly_all', 'total')
COMMITS = ((1, 1), (1, 1024), (100, 1), (1000, 1), (10000, 1))  # rows a commit, writers at once
LATE_COMMIT = 1000
AGREEMENT_ROWS = 20000
PARTITIONS = {'bars': 20, 'listens': 2000}


@dataclasses.dataclass
class Configuration:
    label: str
    peer: str
    options: dict = dataclasses.field(default_factory=dict)
    threads: tuple = (1,)
    best: bool = True  # also measured at more than a few million rows
    size_only: bool = False


def cassandra(kind, sync, compression='lz4', **more):
    label = f'cassandra {kind}, {sync}' + (', zstd' if compression == 'zstd' else '')
    return Configuration(label, 'cassandra',
                         {'kind': kind, 'sync': sync, 'compression': compression}, **more)


CONFIGURATIONS = (
    Configuration('varve', 'varve', threads=(1, 2)),
    Configuration('rocksdb lz4', 'rocksdb', {'compression': 'lz4'}),
    Configuration('rocksdb zstd', 'rocksdb', {'compression': 'zstd'}),
    Configuration('sqlite', 'sqlite'),
    Configuration('duckdb', 'duckdb', threads=(1, 2)),
    Configuration('chdb', 'chdb', threads=(1, 2)),
    Configuration('parquet', 'parquet', threads=(1, 2)),
    Configuration('polars', 'polars', threads=(1, 2)),
    cassandra('default', 'periodic', best=False),
    cassandra('default', 'batch', best=False),
    cassandra('latest', 'periodic', best=False),
    cassandra('latest', 'batch'),
    cassandra('default', 'periodic', 'zstd', best=False, size_only=True),
    cassandra('latest', 'periodic', 'zstd', best=False, size_only=True),
)
FOLDER_OPTIONS = ('--build', '--out', '--work', '--real')
NATIVE = ('varve', 'rocksdb', 'sqlite')
MANY_ROWS, MOST_ROWS = 3_000_000, 30_000_000  # beyond: fewer configurations, fewer measures


class NotRun(Exception):
    """A peer is not there."""


class DataSets:
    """Folders of rows, made when they are first asked for."""

    def __init__(self, arguments):
        self.folder = os.path.join(arguments.work, 'rows')
        self.writer = os.path.join(arguments.build, 'tools/bench/peers/row_writer')
        self.real = arguments.real
        self.slices = arguments.slices

    def get(self, name, rows, late=0):
        folder = os.path.join(self.folder, f'{name}-{rows}-{late}')
        if os.path.exists(os.path.join(folder, 'meta.txt')):
            return folder
        os.makedirs(folder, exist_ok=True)
        if name == 'real_bars':
            words = [sys.executable, os.path.join(HERE, 'real_bars.py'), self.real, folder,
                     self.slices]
        else:
            words = [self.writer, name, folder, rows, PARTITIONS[name], late, self.slices]
        subprocess.run([str(word) for word in words], check=True)
        return folder

    def drop(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def facts_of(rows_folder):
    with open(os.path.join(rows_folder, 'meta.txt'), encoding='ascii') as file:
        return dict(line.split()[:2] for line in file)


class Measurement:
    """One configuration of one peer on one set of rows."""

    def __init__(self, arguments, sink, configuration, data_sets, log):
        self.arguments, self.results, self.log = arguments, sink, log
        self.configuration, self.data_sets = configuration, data_sets
        self.context = {}
        self.server = None
        self.folder = os.path.join(arguments.work, 'store')
        self.facts = self._describe()

    # -------------------------------------------------------------------------- Commands

    def _program(self):
        peer = self.configuration.peer
        if peer in NATIVE:
            path = os.path.join(self.arguments.build, 'tools/bench/peers', f'{peer}_peer')
            if not os.path.exists(path):
                raise NotRun('not built: its library is not installed')
            return [path]
        return [sys.executable, '-B', os.path.join(HERE, 'peers', f'{peer}_peer.py')]

    def _options(self, extra):
        return [f'{key}={value}' for key, value in {**self.configuration.options, **extra}.items()
                if key not in ('kind', 'sync')]

    def _describe(self):
        words = [*self._program(), 'describe']
        words += [f'{key}={value}' for key, value in self.configuration.options.items()]
        try:
            lines, _ = peer_run.run(words, self.log, 120)
        except peer_run.PeerFailure as failure:
            raise NotRun(f'not installed, or broken: {failure}') from None
        return lines[0]

    def _words(self, command, rows, extra):
        return [*self._program(), command, self.folder, rows, *self._options(extra)]

    def _command(self, command, rows, context, limit=None, **options):
        """Run a command and record what it prints, with `context`; returns the lines."""
        status(' '.join([command, *(f'{key}={value}' for key, value in options.items()),
                         *(f'{key} {context[key]}' for key in ('run', 'late') if key in context)]))
        lines, peak = peer_run.run(self._words(command, rows, options), self.log,
                                   limit or self.arguments.limit)
        known = {key: options[key] for key in ('commit', 'writers', 'threads', 'form')
                 if key in options}
        for line in lines:
            self._record(line, {**context, **known})
        self._record({'measure': 'anonymous_memory', 'command': command, 'peak_bytes': peak},
                     context)
        return lines

    def _record(self, line, context):
        self.results.add(**{**self.context, **context, **line})

    # ------------------------------------------------------------------- Store and server

    def start(self, fresh=True):
        """An empty folder, or the one that is there; a server on it if the peer has one."""
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.makedirs(self.folder)
        if self.facts.get('server'):
            options = [f'{key}={self.configuration.options[key]}' for key in ('kind', 'sync')]
            self.server = peer_run.Server([*self._program(), 'serve', self.folder, *options],
                                          self.log)

    def renew(self):
        """An empty store. A server keeps running: each load drops the table first."""
        if self.server is None:
            self.start()

    def stop(self, remove=True):
        if self.server is not None:
            self.server.stop()
            self.server = None
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------------------- Phases

    def commits(self):
        sizes = self.facts.get('commit_sizes')
        if not self.facts.get('commits', True):
            return []
        if sizes is not None:  # a server: requests are in flight at any size
            return [(1, 1), *((size, 1024) for size in sizes)]
        many = self.facts['many_writers']
        return [(size, writers) for size, writers in COMMITS if writers == 1 or many]

    def forms(self, size):
        """Row by row, as most peers take them; of the greatest commits also by columns."""
        if not self.facts.get('columns'):
            return [{}]
        columns = [{'form': 'columns'}] if size == COMMITS[-1][0] else []
        return [{'form': 'rows'}, *columns]

    def bulk(self):
        """How the peer loads fastest with every commit on disk."""
        sizes = self.facts.get('commit_sizes')
        return (sizes[-1], 1024) if sizes is not None else (10000, 1)

    def runs(self):
        return min(self.arguments.runs, 3) if self.facts.get('server') else self.arguments.runs

    def load_runs(self, n):
        """Of a whole load: fewer where one takes minutes."""
        return min(self.runs(), 1 if n > MOST_ROWS else 3 if n > MANY_ROWS else self.runs())

    def load_whole(self, rows, context, **options):
        """Load every row; refuses a load that the time box cut short."""
        size, writers = self.bulk()
        lines = self._command('load', rows, context, limit=3 * self.arguments.load_seconds + 120,
                              **{'commit': size, 'writers': writers,
                                 'seconds': self.arguments.load_seconds, **options})
        if not all(line['complete'] for line in lines if line['measure'] == 'ingest'):
            raise peer_run.PeerFailure('its load did not finish within the time box')

    def ingest(self, rows):
        """Rows a second for each size of a commit, each run in an empty store."""
        for size, writers in self.commits():
            for form in self.forms(size):
                for run in range(self.runs()):
                    self.renew()
                    self._command('load', rows, {'phase': 'ingest', 'run': run}, commit=size,
                                  writers=writers, seconds=self.arguments.seconds, **form)

    def main_load(self, rows, n):
        """Load everything, again and again for the spread; what is loaded last stays."""
        for run in range(self.load_runs(n)):
            self.renew()
            main, merge = {'phase': 'main', 'run': run}, {'phase': 'merge', 'run': run}
            self.load_whole(rows, main)
            self._command('size', rows, main)
            self._command('merge', rows, merge, limit=3 * self.arguments.load_seconds)
            self._command('size', rows, merge)

    def ask(self, rows):
        for run in range(self.runs()):  # the store is opened for each
            self._command('ask', rows, {'phase': 'ask', 'run': run}, threads=1,
                          seconds=self.arguments.seconds / 3, questions=','.join(HOUR))
        for threads in self.configuration.threads:
            self._command('ask', rows, {'phase': 'ask'}, threads=threads, runs=self.runs(),
                          seconds=self.arguments.seconds, questions=','.join(WHOLE),
                          limit=self.arguments.limit * len(WHOLE))

    def ask_cold(self, rows):
        """The first answer to a question when no page of the store is cached."""
        if self.facts.get('in_memory'):
            return
        for question in COLD:
            for run in range(min(self.runs(), 3)):
                if self.server is not None:
                    self.stop(remove=False)
                machine.evict(self.folder)
                if self.facts.get('server'):
                    self.start(fresh=False)
                self._command('ask', rows, {'phase': 'cold', 'run': run}, questions=question,
                              runs=1, seconds=0, warm=0)

    def kill(self, rows):
        """Reopen after kill -9: how long until the first answer, and whether all rows are there."""
        if not self.facts.get('commits', True):
            return
        for run in range(min(self.runs(), 3)):
            self.renew()
            acknowledged = self._load_and_kill(rows)
            context = {'phase': 'kill', 'run': run, 'acknowledged': acknowledged,
                       'start_seconds': self.server.seconds if self.server else 0}
            self._command('reopen', rows, context)

    def _load_and_kill(self, rows):
        """Returns how many rows were acknowledged."""
        size, writers = self.bulk()
        extra = {'commit': size, 'writers': writers, 'seconds': self.arguments.load_seconds}
        limit = self.arguments.load_seconds * 3 + 120
        if self.server is None:
            lines = peer_run.run_until_held(self._words('load', rows, {**extra, 'hold': 1}),
                                            self.log, limit)
        else:
            lines, _ = peer_run.run(self._words('load', rows, extra), self.log, limit)
            self.server.kill()
            self.server = None
            self.start(fresh=False)
        return next(line['rows'] for line in lines if line['measure'] == 'ingest')

    def late(self, name, n):
        """The same rows, a part of them late."""
        if not self.facts.get('commits', True):
            return
        size, writers = self.bulk() if self.facts.get('server') else (LATE_COMMIT, 1)
        for percent in self.arguments.late:
            rows = self.data_sets.get(name, n, percent)
            for run in range(min(self.runs(), 3)):
                context = {'phase': 'late', 'run': run, 'late': percent}
                self.renew()
                self.load_whole(rows, context, commit=size, writers=writers)
                self._command('size', rows, context)
                self._command('ask', rows, context, runs=1, seconds=self.arguments.seconds,
                              questions='slice,hourly_all')

    # ------------------------------------------------------------------------------ All

    def agreement(self, name):
        """Answers to every question over a small set."""
        rows = self.data_sets.get(name, AGREEMENT_ROWS)
        self.context = {'configuration': self.configuration.label, 'set': name,
                        'rows_total': AGREEMENT_ROWS}
        self.start()
        try:
            size, writers = self.bulk()
            context = {'phase': 'agreement'}
            self._command('load', rows, context, seconds=120, commit=size, writers=writers)
            self._command('ask', rows, context, runs=1, seconds=0,
                          questions=','.join(('slice', 'hour', *WHOLE)))
        finally:
            self.stop()

    def measure(self, name, n, part):
        """One part (plan.py) of what there is to measure."""
        rows = self.data_sets.get(name, n)
        facts = facts_of(rows)
        self.context = {'configuration': self.configuration.label, 'set': name,
                        'rows_total': int(facts['rows']), 'given': int(facts['given'])}
        if part == 'ingest':
            self._phases(lambda: self.ingest(rows))
        elif part == 'kill':
            self._phases(lambda: self.kill(rows))
        elif part == 'late':
            self._phases(lambda: self.late(name, n))
        elif self.configuration.size_only:
            self._phases(lambda: self.main_load(rows, n))
        else:
            self._phases(lambda: self.main_load(rows, n), lambda: self.ask(rows),
                         lambda: self.ask_cold(rows))

    def _phases(self, *phases):
        """Each needs the one before; a failure is recorded, not hidden. Leaves nothing behind."""
        try:
            for phase in phases:
                phase()
        except peer_run.PeerFailure as failure:
            self.results.add(**self.context, measure='failure', reason=str(failure))
            say(f'    {failure}')
        finally:
            self.stop()


def repeatable(words):
    """The command line without the folders of this machine."""
    kept, skip = [], False
    for word in words:
        option = word.partition('=')[0]
        if option in FOLDER_OPTIONS:
            skip = '=' not in word
            if option == '--real':
                kept.append('--real FOLDER')
        elif not skip:
            kept.append(word)
        else:
            skip = False
    return kept


def say(text):
    status('')
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def status(text):
    """What is being done, on a terminal: a line that is written over."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write('\r\x1b[K' + (f'    {text}'[:width] if text else ''))
        sys.stderr.flush()


# ---------------------------------------------------------------------------------- Comparison

class Comparison:
    def __init__(self, arguments):
        self.arguments = arguments
        os.makedirs(arguments.out, exist_ok=True)
        self.path = os.path.join(arguments.out, 'results.jsonl')
        self.results = results.Results(self.path, arguments.resume)
        self.data_sets = DataSets(arguments)
        self.measurements = {}  # label -> Measurement, of those that are there

    def _settings(self, part):
        """What else a unit's figures depend on."""
        known = vars(self.arguments)
        names = {'agreement': ('sets',), 'late': ('runs', 'seconds', 'slices', 'late')}
        return {name: known[name]
                for name in names.get(part, ('runs', 'seconds', 'load_seconds', 'slices'))}

    def _fingerprint(self, unit):
        facts = self.measurements[unit.label].facts
        return self.results.fingerprint(facts, self._settings(unit.part))

    def open_all(self, log):
        """Ask every chosen configuration whether it is there."""
        for configuration in CONFIGURATIONS:
            label = configuration.label
            if configuration.peer not in self.arguments.peers or self.arguments.only not in label:
                continue
            try:
                found = Measurement(self.arguments, self.results, configuration, self.data_sets, log)
            except NotRun as failure:
                self.results.add(configuration=label, measure='not_run', reason=str(failure))
                say(f'not run: {label}: {failure}')
                continue
            self.measurements[label] = found
            self.results.add(configuration=label, measure='peer',
                             size_only=configuration.size_only, **found.facts)

    # ------------------------------------------------------------------------------- Plan

    def _wanted(self, configuration, n):
        if n > MOST_ROWS:
            return configuration.peer not in ('cassandra', 'polars')
        return n <= MANY_ROWS or configuration.best

    def _parts(self, measurement, name, n):
        parts = plan.PARTS
        if (measurement.configuration.size_only or n > MOST_ROWS
                or not measurement.facts.get('commits', True)):
            parts = ('main',)
        elif name == 'real_bars':
            parts = ('main', 'ingest', 'kill')
        return [part for part in parts if part in self.arguments.parts]

    def units(self):
        """Everything that this command is about, in order; agreement first."""
        found = [plan.Unit(label, '', AGREEMENT_ROWS, 'agreement') for label in self.measurements]
        for n in self.arguments.rows:
            for name in self.arguments.sets:
                for label, measurement in self.measurements.items():
                    if self._wanted(measurement.configuration, n):
                        found += [plan.Unit(label, name, n, part)
                                  for part in self._parts(measurement, name, n)]
        return found

    def _estimate(self, unit):
        past = self.results.past(unit.key)
        if past is not None:
            return past['seconds']
        measurement = self.measurements[unit.label]
        return plan.estimate(unit, measurement.configuration, measurement.facts, self.arguments)

    def make_plan(self):
        everything = self.units()
        todo = [unit for unit in everything
                if self.results.past(unit.key, self._fingerprint(unit)) is None]
        progress = plan.Progress([(unit, self._estimate(unit)) for unit in todo])
        if len(todo) < len(everything):
            say(f'{len(everything) - len(todo)} of {len(everything)} units are in '
                f'{self.path} already')
        for line in progress.lines():
            say(line)
        return todo, progress

    # -------------------------------------------------------------------------------- Run

    def _run_unit(self, unit):
        """A failure of the peer is a result like any other."""
        measurement = self.measurements[unit.label]
        with self.results.unit(unit.key, self._fingerprint(unit)):
            if unit.part != 'agreement':
                measurement.measure(unit.set, unit.rows, unit.part)
                return
            try:
                for name in self.arguments.sets:
                    if name != 'real_bars':
                        measurement.agreement(name)
            except peer_run.PeerFailure as failure:
                self.results.add(configuration=unit.label, measure='failure', reason=str(failure))
                say(f'    {failure}')

    def _unfit(self):
        """Configurations whose times do not count: they answered wrongly, or not at all."""
        lines = results.selected(self.results.lines)
        agreed = {line['unit'] for line in lines
                  if line['measure'] == 'unit' and line['key'][3] == 'agreement'}
        lines = [line for line in lines if line.get('unit') in agreed]
        for line in answers.disagreements(lines):
            say(f"{line['configuration']}, {line['set']}, {line['question']}: answers "
                f"{line['answer']}, but {line['reference_of']} {line['reference']}")
            yield line['configuration']
        yield from (line['configuration'] for line in lines if line['measure'] == 'failure')

    def _run_all(self, todo, progress):
        rows, unfit = None, None
        for unit in todo:
            if unit.part != 'agreement' and unfit is None:
                unfit = set(self._unfit())
            if unfit and unit.label in unfit:
                progress.skip(unit)
                continue
            if rows not in (None, unit.rows):
                self.data_sets.drop()
            rows = unit.rows
            say(progress.head(unit))
            with progress.timed(unit):
                self._run_unit(unit)

    def run(self):
        """False: it was interrupted."""
        os.makedirs(self.arguments.work, exist_ok=True)
        self.results.begin(machine.facts(self.arguments.work), repeatable(sys.argv[1:]))
        with open(os.path.join(self.arguments.out, 'peers.log'),
                  'a' if self.arguments.resume else 'w', encoding='utf-8') as log:
            try:
                self.open_all(log)
                self._run_all(*self.make_plan())
            except KeyboardInterrupt:
                say('interrupted: the same command with --resume goes on')
                return False
            finally:
                shutil.rmtree(self.arguments.work, ignore_errors=True)
        return True


def parse_arguments():
    parser = argparse.ArgumentParser(prog='tools/bench/run.sh', description=__doc__.split('\n')[0])
    everything = list(dict.fromkeys(c.peer for c in CONFIGURATIONS))
    parser.add_argument('--peers', default=','.join(everything), help='of %(default)s')
    parser.add_argument('--only', default='', help='of those, configurations with this in the name')
    parser.add_argument('--rows', default='1000000',
                        help='sizes, "," between; %(default)s; empty: only compare answers')
    parser.add_argument('--sets', default='bars,listens', help='%(default)s')
    parser.add_argument('--parts', default=','.join(plan.PARTS), help='of %(default)s')
    parser.add_argument('--runs', type=int, default=5, help='at most 3 for servers; %(default)s')
    parser.add_argument('--seconds', type=float, default=15, help='time box of one measure')
    parser.add_argument('--load-seconds', type=float, default=600, help='time box of a whole load')
    parser.add_argument('--slices', type=int, default=20000, help='that are chosen; %(default)s')
    parser.add_argument('--late', default='0,1,10,50', help='per cent; %(default)s')
    parser.add_argument('--real', help='a folder of real minute bars (*.csv.zst): adds real_bars')
    parser.add_argument('--resume', action='store_true',
                        help='go on with what OUT has: what was measured of the same program, on '
                             'this machine, with the same settings is not measured again')
    parser.add_argument('--quick', action='store_true',
                        help='a smoke test of this program: three peers, few rows')
    parser.add_argument('--out', default='bench-results', help='%(default)s')
    parser.add_argument('--work', help='where stores and rows lie meanwhile; OUT/work')
    parser.add_argument('--build', required=True, help='meson build folder')
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.peers, arguments.rows, arguments.runs = ','.join(NATIVE), '20000', 1
        arguments.seconds, arguments.load_seconds, arguments.late = 0.4, 30, '10'
        arguments.slices = 1000
    arguments.peers = arguments.peers.split(',')
    if not arguments.resume and not arguments.quick and os.path.exists(
            os.path.join(arguments.out, 'results.jsonl')):
        parser.error(f'{arguments.out} has results: --resume goes on with them, or name another --out')
    arguments.parts = arguments.parts.split(',')
    for kind, chosen, known in (('peer', arguments.peers, everything),
                                ('part', arguments.parts, plan.PARTS)):
        unknown = set(chosen) - set(known)
        if unknown:
            parser.error(f'no such {kind}: {", ".join(sorted(unknown))}')
    arguments.rows = [int(float(n)) for n in arguments.rows.split(',') if n]
    arguments.sets = arguments.sets.split(',') + (['real_bars'] if arguments.real else [])
    arguments.late = [int(percent) for percent in arguments.late.split(',')]
    arguments.limit = 20 * arguments.seconds + 120
    arguments.work = os.path.abspath(arguments.work or os.path.join(arguments.out, 'work'))
    return arguments


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    comparison = Comparison(arguments)
    complete = comparison.run()
    verdict = report.write(comparison.results.lines, arguments.out)
    for line in verdict.missing:
        say(f'missing: {line}')
    for line in verdict.wrong:
        say(f'wrong: {line}')
    say(f'report: {os.path.join(arguments.out, "BENCHMARKS.md")}')
    if not complete:
        sys.exit(130)
    # A quick run must have produced every measure; a full one says in its report what it lacks.
    if verdict.wrong or (arguments.quick and verdict.missing):
        sys.exit(1)


main()
