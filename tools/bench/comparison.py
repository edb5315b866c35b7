"""Measures varve beside other engines: the same rows, the same questions, one after the other.

run.sh starts it. Everything that is measured becomes a line of OUT/results.jsonl; figures.py turns
those into figures and report.py into tables. Answers are compared before any time counts.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import machine
import peer_run
import report

HERE = os.path.dirname(os.path.abspath(__file__))
QUESTIONS = ('slice', 'hour', 'slice_crowd', 'hourly_one', 'hourly_all', 'by_partition', 'total',
             'latest', 'scan')
WHOLE = QUESTIONS[3:]
SAME_QUESTION = {'first_answer': 'first slice', 'reopen': 'first slice'}
COLD = ('slice', 'hourly_all', 'total')
COMMITS = ((1, 1), (1, 1024), (100, 1), (1000, 1), (10000, 1))  # rows a commit, writers at once
LATE_COMMIT = 1000
AGREEMENT_ROWS = 20000
TOLERANCE = 1e-9
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
)
FOLDER_OPTIONS = ('--build', '--out', '--work', '--real')
NATIVE = ('varve', 'rocksdb', 'sqlite')
MANY_ROWS, MOST_ROWS = 3_000_000, 30_000_000  # beyond: fewer configurations, fewer measures


class NotRun(Exception):
    """A peer is not there."""


class Results:
    """results.jsonl, written line by line so that a run that is cut short keeps what it has."""

    def __init__(self, path):
        self.lines = []
        self.file = open(path, 'w', encoding='utf-8')

    def add(self, **line):
        self.lines.append(line)
        self.file.write(json.dumps(line) + '\n')
        self.file.flush()


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


def differs(answer, reference):
    return len(answer) != len(reference) or not all(
        math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        for a, b in zip(answer, reference))


class Measurement:
    """One configuration of one peer on one set of rows."""

    def __init__(self, arguments, results, configuration, data_sets, log):
        self.arguments, self.results, self.log = arguments, results, log
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
        lines, peak = peer_run.run(self._words(command, rows, options), self.log,
                                   limit or self.arguments.limit)
        known = {key: options[key] for key in ('commit', 'writers', 'threads') if key in options}
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

    def bulk(self):
        """How the peer loads fastest with every commit on disk."""
        sizes = self.facts.get('commit_sizes')
        return (sizes[-1], 1024) if sizes is not None else (10000, 1)

    def runs(self):
        return min(self.arguments.runs, 3) if self.facts.get('server') else self.arguments.runs

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
            for run in range(self.runs()):
                self.renew()
                self._command('load', rows, {'phase': 'ingest', 'run': run}, commit=size,
                              writers=writers, seconds=self.arguments.seconds)

    def main_load(self, rows):
        """Load everything, again and again for the spread; what is loaded last stays."""
        for run in range(self.runs()):
            self.renew()
            main, merge = {'phase': 'main', 'run': run}, {'phase': 'merge', 'run': run}
            self.load_whole(rows, main)
            self._command('size', rows, main)
            self._command('merge', rows, merge, limit=3 * self.arguments.load_seconds)
            self._command('size', rows, merge)

    def ask(self, rows):
        for threads in self.configuration.threads:
            questions = QUESTIONS if threads == 1 else WHOLE
            self._command('ask', rows, {'phase': 'ask'}, threads=threads, runs=self.runs(),
                          seconds=self.arguments.seconds, questions=','.join(questions),
                          limit=self.arguments.limit * len(questions))

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
            lines = self._command('ask', rows, context, runs=1, seconds=0,
                                  questions=','.join(q for q in QUESTIONS if q != 'slice_crowd'))
        finally:
            self.stop()
        return {line['measure']: line['answer'] for line in lines if 'answer' in line}

    def measure(self, name, n):
        rows = self.data_sets.get(name, n)
        facts = facts_of(rows)
        self.context = {'configuration': self.configuration.label, 'set': name,
                        'rows_total': int(facts['rows']), 'given': int(facts['given'])}
        self._phases(lambda: self.main_load(rows),
                     *([] if self.configuration.size_only else
                       [lambda: self.ask(rows), lambda: self.ask_cold(rows)]))
        if not self.configuration.size_only and n <= MOST_ROWS:
            self._phases(lambda: self.ingest(rows))
            self._phases(lambda: self.kill(rows))
            if name != 'real_bars':
                self._phases(lambda: self.late(name, n))

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
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------- Comparison

class Comparison:
    def __init__(self, arguments):
        self.arguments = arguments
        os.makedirs(arguments.out, exist_ok=True)
        self.results = Results(os.path.join(arguments.out, 'results.jsonl'))
        self.data_sets = DataSets(arguments)
        self.references = {}
        self.wrong = 0

    def _chosen(self):
        return [c for c in CONFIGURATIONS
                if c.peer in self.arguments.peers and self.arguments.only in c.label]

    def _open(self, configuration, log):
        return Measurement(self.arguments, self.results, configuration, self.data_sets, log)

    def _disagree(self, where, label, question, answer, reference):
        self.wrong += 1
        reference_of, expected = reference
        self.results.add(configuration=label, set=where, measure='disagreement', question=question,
                         answer=answer, reference=expected, reference_of=reference_of)
        say(f'    {label}, {where}, {question}: answers {answer}, but {reference_of} {expected}')

    def _compare(self, configuration, name, answers):
        """The first peer's answers are what the others' are held against."""
        for measure, answer in answers.items():
            reference = self.references.setdefault((name, measure), (configuration.label, answer))
            if differs(answer, reference[1]):
                self._disagree(name, configuration.label, measure, answer, reference)

    def agree(self, log):
        """Which configurations are there and answer as the others do."""
        fit = []
        for configuration in self._chosen():
            say(f'agreement: {configuration.label}')
            before = self.wrong
            try:
                measurement = self._open(configuration, log)
                self.results.add(configuration=configuration.label, measure='peer',
                                 **measurement.facts)
                for name in self.arguments.sets:
                    if name != 'real_bars':
                        self._compare(configuration, name, measurement.agreement(name))
            except (NotRun, peer_run.PeerFailure) as failure:
                self.results.add(configuration=configuration.label, measure='not_run',
                                 reason=str(failure))
                say(f'    not run: {failure}')
                continue
            if self.wrong == before:
                fit.append(configuration)
        return fit

    def check_answers(self):
        """Every answer of the measured runs, also those over other sizes and after late rows."""
        first = {}
        answered = [line for line in self.results.lines
                    if 'answer' in line and line.get('phase') not in (None, 'agreement')]
        for line in answered:
            question = SAME_QUESTION.get(line['measure'], line['measure'])
            reference = first.setdefault((line['set'], line['rows_total'], question),
                                         (line['configuration'], line['answer']))
            if differs(line['answer'], reference[1]):
                self._disagree(line['set'], line['configuration'],
                               f"{question} of {line['rows_total']} rows", line['answer'],
                               reference)

    def check_reopened(self):
        """Acknowledged rows that a kill -9 lost. Only `periodic` promises nothing."""
        for line in [line for line in self.results.lines if line.get('measure') == 'reopen']:
            if line['rows'] == line['acknowledged']:
                continue
            self.wrong += 'periodic' not in line['configuration']
            self.results.add(configuration=line['configuration'], set=line['set'],
                             rows_total=line['rows_total'], measure='failure',
                             reason=f"{line['acknowledged']} rows were acknowledged, "
                                    f"{line['rows']} are there after kill -9")

    def _wanted(self, configuration, n):
        if n > MOST_ROWS:
            return configuration.peer not in ('cassandra', 'polars')
        return n <= MANY_ROWS or configuration.best

    def measure_all(self, fit, log):
        for n in self.arguments.rows:
            for name in self.arguments.sets:
                for configuration in fit:
                    if not self._wanted(configuration, n):
                        continue
                    say(f'{name}, {n} rows: {configuration.label}')
                    measurement = self._open(configuration, log)
                    started = time.monotonic()
                    measurement.measure(name, n)
                    self.results.add(configuration=configuration.label, set=name, rows_total=n,
                                     measure='duration', seconds=time.monotonic() - started)
            self.data_sets.drop()

    def run(self):
        os.makedirs(self.arguments.work, exist_ok=True)
        self.results.add(measure='machine', **machine.facts(self.arguments.work))
        self.results.add(measure='command', words=repeatable(sys.argv[1:]))
        with open(os.path.join(self.arguments.out, 'peers.log'), 'w', encoding='utf-8') as log:
            try:
                self.measure_all(self.agree(log), log)
            finally:
                shutil.rmtree(self.arguments.work, ignore_errors=True)
        self.check_answers()
        self.check_reopened()
        self.results.file.close()


def parse_arguments():
    parser = argparse.ArgumentParser(prog='tools/bench/run.sh', description=__doc__.split('\n')[0])
    everything = list(dict.fromkeys(c.peer for c in CONFIGURATIONS))
    parser.add_argument('--peers', default=','.join(everything), help='of %(default)s')
    parser.add_argument('--only', default='', help='of those, configurations with this in the name')
    parser.add_argument('--rows', default='1000000',
                        help='sizes, "," between; %(default)s; empty: only compare answers')
    parser.add_argument('--sets', default='bars,listens', help='%(default)s')
    parser.add_argument('--runs', type=int, default=5, help='at most 3 for servers; %(default)s')
    parser.add_argument('--seconds', type=float, default=15, help='time box of one measure')
    parser.add_argument('--load-seconds', type=float, default=600, help='time box of a whole load')
    parser.add_argument('--slices', type=int, default=20000, help='that are chosen; %(default)s')
    parser.add_argument('--late', default='0,1,10,50', help='per cent; %(default)s')
    parser.add_argument('--real', help='a folder of real minute bars (*.csv.zst): adds real_bars')
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
    unknown = set(arguments.peers) - set(everything)
    if unknown:
        parser.error(f'no such peer: {", ".join(sorted(unknown))}')
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
    comparison.run()
    missing = report.write(comparison.results.lines, arguments.out)
    for line in missing:
        say(f'missing: {line}')
    say(f'report: {os.path.join(arguments.out, "BENCHMARKS.md")}')
    # A quick run must have produced every measure; a full one says in its report what it lacks.
    if comparison.wrong > 0 or (arguments.quick and missing):
        sys.exit(1)


main()
