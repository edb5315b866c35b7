"""Measures one configuration of one peer: one unit (plan.py) at a time, through the peer's commands
(peers/README.md). What a command prints becomes lines of results.jsonl.

The store of a `load` stays until a unit needs another one, so that the parts after it ask the same.
"""

import os
import shutil
import subprocess
import sys

import machine
import peer_run
import plan

HERE = os.path.dirname(os.path.abspath(__file__))
SLICES = ('slice', 'hour')
WHOLE = ('hourly_one', 'hourly_all', 'by_partition', 'total', 'latest')
WITH_ZONE_MAPS = ('hourly_one', 'hourly_all', 'by_partition', 'total')
COLD = ('slice', 'hourly_all', 'total')
# Rows a commit, writers at once.
COMMITS = ((1, 1), (1, 1024), (100, 1), (100, 1024), (1000, 1), (10000, 1))
LATE_COMMIT = 10000
IN_FLIGHT = 1024
PARTITIONS = {'bars': 20, 'listens': 20000}
DRIFT_LOADS = 3
READ_BYTES = 4 << 20
LIMIT_ROWS, MOST_LIMIT_SECONDS = 1_000_000, 3600  # a command's limit is for so many rows
ROOM_A_ROW, ROOM = 300, 2 << 30  # bytes: rows, a store with its log, and that while it merges


class NotRun(Exception):
    """A peer is not there."""


class DataSets:
    """Folders of rows, made when they are first asked for. One at a time may be tens of gigabytes, so
    only the last size stays."""

    def __init__(self, arguments):
        self.folder = os.path.join(arguments.work, 'rows')
        self.writer = os.path.join(arguments.build, 'tools/bench/peers/row_writer')
        self.real, self.slices = arguments.real, arguments.slices
        self.size = None

    def get(self, name, rows, late=0):
        """Of a real set as many as there are, if `rows` is 0."""
        folder = os.path.join(self.folder, f'{name}-{rows}-{late}')
        if os.path.exists(os.path.join(folder, 'meta.txt')):
            return folder
        if self.size not in (None, rows):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.size = rows
        os.makedirs(folder, exist_ok=True)
        if name in plan.REAL_SETS:
            words = [sys.executable, '-B', os.path.join(HERE, 'real_rows.py'), name, self.real, folder,
                     self.slices, rows]
        else:
            words = [self.writer, name, folder, rows, PARTITIONS[name], late, self.slices]
        subprocess.run([str(word) for word in words], check=True)
        return folder


def read_once(folder):
    """Every file: a load that is timed finds the rows in the page cache, as far as they fit."""
    buffer = bytearray(READ_BYTES)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), 'rb', buffering=0) as file:
            while file.readinto(buffer):
                pass


def facts_of(rows_folder):
    with open(os.path.join(rows_folder, 'meta.txt'), encoding='ascii') as file:
        return dict(line.split()[:2] for line in file)


class Store:
    """The folder in which every peer in its turn keeps its rows."""

    def __init__(self, folder):
        self.folder = folder
        self.holds = None  # (label, set, rows) of the last whole load, merged

    def renew(self):
        self.remove()
        os.makedirs(self.folder)

    def remove(self):
        self.holds = None
        shutil.rmtree(self.folder, ignore_errors=True)


class Measurement:
    def __init__(self, arguments, sink, configuration, data_sets, store, log, status):
        self.arguments, self.results, self.log, self.status = arguments, sink, log, status
        self.configuration, self.data_sets, self.store = configuration, data_sets, store
        self.context, self.runs = {}, 1
        self.server = None
        self.facts = self._describe()

    # -------------------------------------------------------------------------- Commands

    def _program(self):
        peer = self.configuration.peer
        if peer in plan.NATIVE:
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
        return [*self._program(), command, self.store.folder, rows, *self._options(extra)]

    def _command(self, command, rows, context, limit=None, **options):
        """Run a command and record what it prints, with `context`; returns the lines."""
        self.status(' '.join([command, *(f'{key}={value}' for key, value in options.items()),
                              *(f'run {context[key]}' for key in ('run',) if key in context)]))
        self._settle()
        lines, peak = peer_run.run(self._words(command, rows, options), self.log,
                                   limit or self.arguments.limit)
        known = {key: options[key] for key in ('commit', 'writers', 'threads', 'form', 'zone_maps')
                 if key in options}
        for line in lines:
            self._record(line, {**context, **known})
        self._record({'measure': 'anonymous_memory', 'command': command, 'peak_bytes': peak},
                     {**context, **known})
        return lines

    def _settle(self):
        """Not while a server is there: what it does by itself is its own slowness."""
        if self.server is None:
            self.results.pace.settle()

    def _record(self, line, context):
        self.results.add(**{**self.context, **context, **line})

    def _ask(self, rows, context, questions, seconds, **options):
        """Warm, unless it says otherwise."""
        warm = self.arguments.warm_seconds
        if warm is None:
            warm = plan.SERVER_WARM_SECONDS if self.facts.get('server') else plan.WARM_SECONDS
        limit = self.arguments.limit * len(questions) * max(1, self.context['rows_total'] / LIMIT_ROWS)
        self._command('ask', rows, context, questions=','.join(questions), seconds=seconds,
                      limit=min(limit, MOST_LIMIT_SECONDS), **{'warm_seconds': warm, **options})

    # ------------------------------------------------------------------- Store and server

    def _serve(self):
        options = [f'{key}={self.configuration.options[key]}' for key in ('kind', 'sync')]
        self._settle()
        self.server = peer_run.Server([*self._program(), 'serve', self.store.folder, *options],
                                      self.log)

    def _open(self, fresh):
        """An empty folder, or the one that is there; a server on it if the peer has one, which
        drops what it has itself when a load begins."""
        if fresh and self.server is None:
            self.store.renew()
        if self.facts.get('server') and self.server is None:
            self._serve()

    def _end_server(self):
        if self.server is not None:
            self.server.stop()
            self.server = None

    # ----------------------------------------------------------------------------- Loads

    def bulk(self):
        """Rows a commit, and requests at once, with which the peer loads fastest, every commit on
        disk."""
        sizes = self.facts.get('commit_sizes')
        if sizes is not None:  # a server: requests are in flight at any size
            return sizes[-1], IN_FLIGHT
        return self.facts.get('bulk_commit') or 10000, self.facts.get('bulk_writers', 1)

    def _load_whole(self, rows, context, **options):
        """Load every row; refuses a load that the time box cut short."""
        self._open(fresh=True)
        size, writers = self.bulk()
        read_once(rows)
        lines = self._command('load', rows, context, limit=3 * self.arguments.load_seconds + 120,
                              **{'commit': size, 'writers': writers,
                                 'seconds': self.arguments.load_seconds, **options})
        if not all(line['complete'] for line in lines if line['measure'] == 'ingest'):
            raise peer_run.PeerFailure('its load did not finish within the time box')

    def _merge(self, rows, context):
        self._command('merge', rows, context, limit=3 * self.arguments.load_seconds)

    def _loads(self, unit, rows):
        """Load everything, again and again for the spread; what is loaded last stays, merged."""
        number = unit.part.partition(' ')[2]
        runs = [int(number) - 1] if number else range(self.runs)
        threads = self.facts.get('load_threads', [1])
        for run in runs:
            for n in sorted(threads, reverse=True):
                self._load_whole(rows, {'phase': 'load', 'run': run},
                                 **({'threads': n} if n > 1 else {}))
                self._command('size', rows, {'phase': 'load', 'run': run, 'threads': n})
            self._merge(rows, {'phase': 'merge', 'run': run})
            self._command('size', rows, {'phase': 'merge', 'run': run})

    def _stored(self, unit, rows):
        """The merged store of a load, which is loaded now if another one took its place."""
        wanted = (unit.label, unit.set, unit.rows)
        if self.store.holds == wanted:
            self._open(fresh=False)
            return
        self._load_whole(rows, {'phase': 'prepare'}, warm_seconds=0)
        self._merge(rows, {'phase': 'prepare'})
        self.store.holds = wanted

    def _forms(self, size):
        """Row by row, as most peers take them; of the greatest commits also by columns."""
        if not self.facts.get('columns'):
            return [{}]
        return [{'form': 'rows'}] + ([{'form': 'columns'}] if size == COMMITS[-1][0] else [])

    def _commits(self):
        """Size of a commit, writers and form: without those that a whole load has already."""
        sizes, many = self.facts.get('commit_sizes'), self.facts['many_writers']
        ways = COMMITS if sizes is None else [(1, 1), *((size, IN_FLIGHT) for size in sizes)]
        for size, writers in ways:
            if writers > 1 and not many:
                continue
            for form in self._forms(size):
                if (size, writers) != self.bulk() or form == {'form': 'rows'}:
                    yield size, writers, form

    def _ingest(self, rows):
        """Rows a second for each size of a commit, each run in an empty store."""
        for size, writers, form in self._commits():
            for run in range(self.runs):
                self._open(fresh=True)
                self._command('load', rows, {'phase': 'ingest', 'run': run}, commit=size,
                              writers=writers, seconds=self.arguments.seconds, **form)

    # ------------------------------------------------------------------------- Questions

    def _slices(self, rows, phase, questions):
        """With as many threads as suit the engine; the store is opened for each run."""
        threads = self.facts.get('slice_threads', 1)
        for run in range(self.runs):
            self._ask(rows, {'phase': phase, 'run': run}, questions, self.arguments.seconds,
                      **({'threads': threads} if threads > 1 else {}))

    def _questions(self, rows, phase, questions):
        """The store is opened for each run; a server, which would have to warm up anew, is asked by
        one client."""
        once = bool(self.facts.get('server'))
        for run in range(1 if once else self.runs):
            context = {'phase': phase, **({} if once else {'run': run})}
            for threads in self.configuration.threads:
                options = {'runs': self.runs if once else 1, 'threads': threads}
                self._ask(rows, context, questions, self.arguments.seconds, **options)
                if self.facts.get('zone_maps') and phase == 'questions':
                    self._ask(rows, context, WITH_ZONE_MAPS, self.arguments.seconds, zone_maps=0,
                              **options)

    def _cold(self, rows):
        """The first answer to a question when no page of the store is cached."""
        for question in COLD:
            for run in range(self.runs):
                self._end_server()
                machine.evict(self.store.folder)
                self._open(fresh=False)
                self._ask(rows, {'phase': 'cold', 'run': run}, [question], 0, runs=1, warm=0)

    def _kill(self, rows):
        """Reopen after kill -9: how long until the first answer, and whether all rows are there."""
        for run in range(self.runs):
            acknowledged = self._load_and_kill(rows)
            context = {'phase': 'kill', 'run': run, 'acknowledged': acknowledged,
                       'start_seconds': self.server.seconds if self.server else 0}
            self._command('reopen', rows, context)

    def _load_and_kill(self, rows):
        """Returns how many rows were acknowledged."""
        self._open(fresh=True)
        size, writers = self.bulk()
        extra = {'commit': size, 'writers': writers, 'seconds': self.arguments.load_seconds}
        limit = self.arguments.load_seconds * 3 + 120
        if self.server is None:
            lines = peer_run.run_until_held(self._words('load', rows, {**extra, 'hold': 1}),
                                            self.log, limit)
        else:
            words = self._words('load', rows, {**extra, 'hold': 1, 'warm': 0})
            lines, _ = peer_run.run(words, self.log, limit)
            self.server.kill()
            self.server = None
            self._open(fresh=False)
        rows = [line['rows'] for line in lines if line['measure'] == 'ingest']
        if not rows:
            raise peer_run.PeerFailure('did not say how many rows it loaded')
        return rows[0]

    def _late(self, unit, rows):
        """The same rows, a part of them late. Slices for a fifth of the time: what it does to them
        is what counts here."""
        size, writers = self.bulk() if self.facts.get('server') else (LATE_COMMIT, 1)
        for run in range(self.runs):
            context = {'phase': 'late', 'run': run, 'late': int(unit.part.split()[1])}
            self._load_whole(rows, context, commit=size, writers=writers, **self._forms(size)[0])
            self._command('size', rows, context)
            self._ask(rows, context, ('slice', 'hourly_all'), self.arguments.seconds / 5, runs=1)

    def _drift(self, rows):
        """A little of everything, at the end of each sitting: whether the machine is still the one
        that it was."""
        for run in range(DRIFT_LOADS):
            self._load_whole(rows, {'phase': 'drift', 'run': run})
        self._ask(rows, {'phase': 'drift'}, ('slice', 'scan'), self.arguments.seconds,
                  runs=self.runs)

    def _agreement(self, rows):
        """Answers to every question over a small set."""
        self._load_whole(rows, {'phase': 'agreement'}, warm_seconds=0)
        self._ask(rows, {'phase': 'agreement'}, (*SLICES, *WHOLE, 'scan'), 0, runs=1, warm_seconds=0)

    # ------------------------------------------------------------------------------ All

    def measure(self, unit):
        """One unit. Raises PeerFailure; leaves nothing running, and the store only if it is of use
        to the next one."""
        part = unit.part.split()[0]
        free = shutil.disk_usage(self.arguments.work).free
        if free < ROOM_A_ROW * unit.rows + ROOM:
            raise peer_run.PeerFailure(f'not begun: {free >> 30} GiB of disk are free')
        rows = self.data_sets.get(unit.set, unit.rows,
                                  int(unit.part.split()[1]) if part == 'late' else 0)
        os.sync()  # nothing of what was written before is written back meanwhile
        facts = facts_of(rows)
        self.context = {'configuration': self.configuration.label, 'set': unit.set,
                        'rows_total': int(facts['rows']), 'given': int(facts['given'])}
        self.runs = plan.runs_of(self.facts, int(facts['rows']), self.arguments.runs)
        kept = (unit.label, unit.set, unit.rows) if part == 'load' or part in plan.STORED else None
        try:
            if part in plan.STORED:
                self._stored(unit, rows)
            {'agreement': lambda: self._agreement(rows), 'load': lambda: self._loads(unit, rows),
             'slices': lambda: self._slices(rows, part, SLICES),
             'crowd': lambda: self._slices(rows, part, ['slice_crowd']),
             'questions': lambda: self._questions(rows, part, WHOLE),
             'scan': lambda: self._questions(rows, part, ['scan']), 'cold': lambda: self._cold(rows),
             'ingest': lambda: self._ingest(rows), 'kill': lambda: self._kill(rows),
             'late': lambda: self._late(unit, rows), 'drift': lambda: self._drift(rows)}[part]()
        except BaseException:
            kept = None
            raise
        finally:
            self._end_server()
            self.store.holds = kept
            if kept is None:
                self.store.remove()
