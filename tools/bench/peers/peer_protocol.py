"""The commands of a peer written in Python: parses them, runs the clock, prints a JSON object a line.

    PEER describe [key=value...]
    PEER load|merge|size|reopen|ask FOLDER ROWS [key=value...]

README.md says what each does and prints; peer_main.c is the same for peers in C. A peer derives
from Peer and calls main(ThePeer).
"""

import array
import json
import os
import resource
import statistics
import sys
import threading
import time

import pyarrow as pa
import pyarrow.compute as pc

HOUR_MS = 3600000
ANSWER_SLICES = 200   # slices that make up a slice's answer; every peer asks at least these
LEAST_SAMPLES = 3000  # fewer say nothing about the rarest of a thousand
MOST_BOXES = 4        # time boxes that may go by until there are so many
CROWD_SECONDS = 5     # at least
QUESTION_SHARE = 10   # of the time box, for which a question to many rows is repeated
DEFAULTS = {'commit': 10000, 'rows': 0, 'writers': 1, 'clients': 64, 'runs': 5, 'threads': 1,
            'seconds': 60.0, 'warm_seconds': 10.0, 'questions': 'slice', 'compression': '',
            'hold': 0, 'warm': 1}
WHOLE = ('hourly_one', 'hourly_all', 'by_partition', 'total', 'latest', 'scan')


class Rows:
    """What row_writer wrote: the description, and on demand the rows as one Arrow table."""

    def __init__(self, folder):
        self.folder = folder
        self.columns = []  # (name, 'f64' | 'i32' | 'text'), in the table's order
        self.key = None    # the further clustering column's name
        facts = {}
        with open(os.path.join(folder, 'meta.txt'), encoding='ascii') as file:
            for line in file:
                words = line.split()
                if words[0] == 'column':
                    self.columns.append((words[1], words[2]))
                    if words[3:] == ['key']:
                        self.key = words[1]
                else:
                    facts[words[0]] = words[1]
        self.set = facts['set']
        self.measured = facts['measured']
        self.n = int(facts['rows'])
        self.names = self._lines('name')
        self.slices = [(self.names[int(a)], int(b), int(c))
                       for a, b, c in (line.split() for line in self._lines('slices'))]

    def _lines(self, name):
        with open(os.path.join(self.folder, name + '.txt'), encoding='ascii') as file:
            return file.read().splitlines()

    def table(self):
        types = {'f64': pa.float64(), 'i32': pa.int32(), 'i64': pa.timestamp('ms')}

        def column(name, kind):
            ending = 'u32' if kind == 'text' else kind
            source = pa.memory_map(os.path.join(self.folder, f'{name}.{ending}'))
            buffer = source.read_buffer()
            if kind != 'text':
                return pa.Array.from_buffers(types[kind], self.n, [None, buffer])
            codes = pa.Array.from_buffers(pa.int32(), self.n, [None, buffer])
            return pa.DictionaryArray.from_arrays(codes, self._lines(name)).cast(pa.string())

        all_columns = [('name', 'text'), ('ts', 'i64'), *self.columns]
        return pa.table({name: column(name, kind) for name, kind in all_columns})


class Peer:
    """What a peer provides. `options` are the command line's."""

    name = version = ''
    parallel = True         # a question can use several threads
    merges = False
    commits = True          # takes commits of any size; otherwise only the whole set at once
    bulk_commit = 0         # rows a commit that load a whole set soonest; 0: it takes no others
    load_threads = (1, 2)   # that can load it at once
    slice_threads = 1       # with which a slice is answered soonest
    in_memory = False       # reads everything when it is opened: no question finds a cold store

    def __init__(self, folder, rows, options):
        self.folder, self.rows, self.options = folder, rows, options

    def describe(self):
        """What was set, one line."""
        raise NotImplementedError

    def open(self, create):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def commit(self, table):
        """Make these rows, an Arrow table, part of the store, on disk at return."""
        raise NotImplementedError

    def flush(self):
        """Bring what a log holds into the store's files."""

    def merge(self):
        raise NotImplementedError

    def size(self):
        """Bytes of the data, and of all else that the store keeps."""
        raise NotImplementedError

    def client(self):
        """An object with slice, hour, hourly, by_partition, total, latest and scan (peer.h)."""
        raise NotImplementedError


class SqlClient:
    """The questions to many rows in SQL, for peers that answer with Arrow tables. Peers give the
    dialect, and how they ask for slices and hours soonest."""

    bucket = ''

    def __init__(self, rows):
        self.rows = rows

    def query(self, sql):
        raise NotImplementedError

    def batches(self, sql):
        """The rows of a large answer in parts, as they come."""
        raise NotImplementedError

    def latest_rows(self):
        """What selects the latest row of each partition, all its columns."""
        raise NotImplementedError

    def slice(self, asked):
        raise NotImplementedError

    def hour(self, asked):
        raise NotImplementedError

    def hourly(self, name):
        m = self.rows.measured
        where = f"WHERE name = '{name}'" if name else ''
        table = self.query(f'SELECT name, {self.bucket} AS bucket, count(*) AS n, min({m}) AS lo, '
                           f'max({m}) AS hi, sum({m}) AS total FROM {self.rows.set} {where} '
                           'GROUP BY name, bucket')
        return [table.num_rows, *sums(table, ['n', 'lo', 'hi', 'total'])]

    def by_partition(self):
        table = self.query(f'SELECT name, count(*) AS n, avg({self.rows.measured}) AS a '
                           f'FROM {self.rows.set} GROUP BY name')
        return [table.num_rows, *sums(table, ['n', 'a'])]

    def total(self):
        return sums(self.query(f'SELECT sum({self.rows.measured}) AS s FROM {self.rows.set}'),
                    ['s'])

    def latest(self):
        return with_times(self.rows, self.query(self.latest_rows()))

    def scan(self):
        return all_rows(self.rows, self.batches(f'SELECT * FROM {self.rows.set}'))


def column_sum(table, name):
    return float(pc.sum(table[name]).as_py() or 0)


def text_bytes(column):
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.sum(pc.binary_length(column)).as_py() or 0


def by_rows(table):
    """The rows as tuples of Python values, by way of NumPy, which takes a third as long."""
    return zip(*(column.to_numpy().tolist() for column in table.columns))


def whole_rows(rows, table):
    """What shows that every column of these rows was read: peer.h, slice and scan."""
    values = [(name, kind) for name, kind in rows.columns if name != rows.key]
    numbers = {name: column_sum(table, name) for name, kind in values if kind != 'text'}
    texts = sum(text_bytes(table[name]) for name, kind in values if kind == 'text')
    return [table.num_rows, numbers[rows.measured], sum(numbers.values()), texts]


def with_times(rows, table):
    """What *latest* answers: whole_rows and the sum of the rows' times."""
    times = table['ts'].cast(pa.int64())  # of the milliseconds that every peer keeps
    return [*whole_rows(rows, table), pc.sum(times).as_py()]


def all_rows(rows, batches):
    """whole_rows of an answer that comes in parts."""
    return add_answers([whole_rows(rows, batch) for batch in batches])


def sums(table, names):
    return [column_sum(table, name) for name in names]


# ---------------------------------------------------------------------------------- What it costs

def process_number(path, label):
    with open(path, encoding='ascii') as file:
        return next((int(line.split()[1]) for line in file if line.startswith(label)), 0)


def written_bytes():
    return process_number('/proc/self/io', 'write_bytes:')


class Cost:
    """Seconds, CPU seconds and bytes written from its making to stop(); of bytes, from when there
    were `written`, if that is given."""

    def __init__(self, written=None):
        self.written = written_bytes() if written is None else written
        self.cpu = self._cpu()
        self.seconds = None
        self.started = time.perf_counter()

    @staticmethod
    def _cpu():
        use = resource.getrusage(resource.RUSAGE_SELF)
        return use.ru_utime + use.ru_stime

    def past(self):
        return time.perf_counter() - self.started

    def stop(self):
        self.seconds = self.past()
        self.cpu = self._cpu() - self.cpu
        self.written = written_bytes() - self.written
        return self

    def line(self, measure, **more):
        say(measure=measure, **more, seconds=self.seconds, cpu=self.cpu, written=self.written)


def say(**line):
    print(json.dumps(line), flush=True)


def say_memory():
    """The greatest size that the process had; the mapped rows count while it loads."""
    say(measure='memory', of='process',
        peak_bytes=1024 * process_number('/proc/self/status', 'VmHWM:'))


# -------------------------------------------------------------------------------------- Commands

def command_describe(peer):
    say(peer=peer.name, version=peer.version, parallel=peer.parallel, merges=peer.merges,
        many_writers=False, commits=peer.commits, in_memory=peer.in_memory,
        bulk_commit=peer.bulk_commit, load_threads=list(peer.load_threads),
        slice_threads=peer.slice_threads, settings=peer.describe())


def load_rows(peer, table, written):
    """Commit after commit until all rows are in or time is up."""
    rows = min(peer.options['rows'] or table.num_rows, table.num_rows)
    size = peer.options['commit'] if peer.commits else rows
    done, cost = 0, Cost(written)
    while done < rows and cost.past() < peer.options['seconds']:
        part = table.slice(done, min(size, rows - done))
        peer.commit(part)
        done += part.num_rows
    cost.stop().line('ingest', rows=done, complete=done == table.num_rows)
    return done == table.num_rows


def first_answer(peer):
    """Whoever loads rows has a client already, with statements prepared where there are any."""
    client, cost = peer.client(), Cost()
    answer = client.slice(peer.rows.slices[0])
    cost.stop().line('first_answer', answer=answer)


def finish(peer, measure, work, written):
    """The last work on a store, which is then closed. What was written counts from the `written`
    bytes of earlier until the store is closed, since engines write when they open and close it, too."""
    cost = Cost()
    work()
    cost.stop()
    peer.close()
    cost.written = written_bytes() - written
    cost.line(measure)


def command_load(peer):
    table, written = peer.rows.table(), written_bytes()
    peer.open(True)
    complete = load_rows(peer, table, written)
    written = written_bytes()
    if complete:
        first_answer(peer)
    if peer.options['hold']:
        say(event='holding')
        sys.stdin.read()  # until it is killed, or whoever started it is gone
    finish(peer, 'flush', peer.flush, written)
    say_memory()


def command_merge(peer):
    if not peer.merges:
        say(measure='merge', **{'not': f'{peer.name} does not merge'})
        return
    written = written_bytes()
    peer.open(False)
    finish(peer, 'merge', peer.merge, written)


def command_size(peer):
    data, other = peer.size()
    say(measure='size', bytes=data, other_bytes=other)


def command_reopen(peer):
    cost = Cost()
    peer.open(False)
    client = peer.client()
    answer = client.slice(peer.rows.slices[0])
    cost.stop()
    cost.line('reopen', answer=answer, rows=client.scan()[0])
    peer.close()


def add_answers(answers):
    return [sum(values) for values in zip(*answers)]


def warm_slices(peer, ask):
    """Every slice once, as far as time allows."""
    deadline = time.perf_counter() + peer.options['warm_seconds']
    for asked in peer.rows.slices:
        if time.perf_counter() >= deadline:
            break
        ask(asked)


def time_slices(peer, ask, box):
    """Until there are samples for the rarest percentile and the time box is full; the times of all
    and the answers of the first ANSWER_SLICES."""
    slices, times, answers = peer.rows.slices, array.array('d'), []
    counted, started = min(len(slices), ANSWER_SLICES), time.perf_counter()
    while True:
        asked = time.perf_counter()
        past = asked - started
        if len(times) >= counted and past >= box and (len(times) >= LEAST_SAMPLES
                                                      or past >= MOST_BOXES * box):
            return times, answers
        answer = ask(slices[len(times) % len(slices)])
        times.append(time.perf_counter() - asked)
        if len(answers) < counted:
            answers.append(answer)


def ask_slices(peer, measure):
    """One client asks slice after slice."""
    ask = getattr(peer.client(), measure)
    if peer.options['warm']:
        warm_slices(peer, ask)
    cost = Cost()
    times, answers = time_slices(peer, ask, peer.options['seconds'])
    cost.stop()
    ordered = sorted(times)
    at = {label: ordered[min(int(part * len(times)), len(times) - 1)]
          for label, part in (('p50', 0.5), ('p99', 0.99), ('p999', 0.999))}
    cost.line(measure, n=len(times), **at, answer=add_answers(answers))


class Crowd:
    """Many clients, one thread each, that ask slices in turn. Clients are opened before the clock
    starts; it starts when all of them have warmed up."""

    def __init__(self, peer):
        self.peer, self.slices = peer, peer.rows.slices
        self.clients = [peer.client() for _ in range(peer.options['clients'])]
        self.counts, self.failures = [0] * len(self.clients), []
        self.cost = self.deadline = None
        self.ready = threading.Barrier(len(self.clients), action=self._start)

    def _start(self):
        """In the last thread that is ready."""
        self.deadline = time.perf_counter() + max(self.peer.options['seconds'], CROWD_SECONDS)
        self.cost = Cost()

    def _warm(self, number):
        deadline = time.perf_counter() + self.peer.options['warm_seconds']
        for asked in self.slices[number::len(self.clients)]:
            if time.perf_counter() >= deadline:
                break
            self.clients[number].slice(asked)

    def _work(self, number):
        try:
            if self.peer.options['warm']:
                self._warm(number)
            self.ready.wait()
            at = number
            while time.perf_counter() < self.deadline:
                self.clients[number].slice(self.slices[at % len(self.slices)])
                self.counts[number] += 1
                at += len(self.clients)
        except Exception as problem:  # a thread's failure is the whole question's
            self.failures.append(problem)
            self.ready.abort()

    def run(self):
        threads = [threading.Thread(target=self._work, args=(i,)) for i in range(len(self.clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
        return self.cost.stop()


def ask_crowd(peer):
    """Slices a second of many clients at once."""
    crowd = Crowd(peer)
    crowd.run().line('slice_crowd', clients=len(crowd.clients), n=sum(crowd.counts))


def ask_whole(peer, measure):
    """The same question in several runs; before, once outside the clock."""
    client = peer.client()
    ask = {'hourly_one': lambda: client.hourly(peer.rows.names[0]),
           'hourly_all': lambda: client.hourly(None)}.get(measure) or getattr(client, measure)
    if peer.options['warm']:
        ask()
    for run in range(peer.options['runs']):
        ask_run(peer, measure, run, ask)


def ask_run(peer, measure, run, ask):
    """Again and again for a share of the time box, and once without warming: the time of the one in
    the middle, and what an answer costs on average."""
    box = peer.options['seconds'] / QUESTION_SHARE if peer.options['warm'] else 0
    times, cost = [], Cost()
    while not times or cost.past() < box:
        asked = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - asked)
    cost.stop()
    say(measure=measure, run=run, n=len(times), answer=answer, seconds=statistics.median(times),
        cpu=cost.cpu / len(times))


def command_ask(peer):
    peer.open(False)
    for question in peer.options['questions'].split(','):
        if question in ('slice', 'hour'):
            ask_slices(peer, question)
        elif question == 'slice_crowd':
            ask_crowd(peer)
        elif question in WHOLE:
            ask_whole(peer, question)
        else:
            sys.exit(f'no question is named {question}')
    peer.close()
    say_memory()


COMMANDS = {'describe': command_describe, 'load': command_load, 'merge': command_merge,
            'size': command_size, 'reopen': command_reopen, 'ask': command_ask}


def parse_options(words):
    options = dict(DEFAULTS)
    for word in words:
        key, _, value = word.partition('=')
        if key not in DEFAULTS:
            sys.exit(f'no option is named {key}')
        options[key] = type(DEFAULTS[key])(value)
    return options


def main(peer_class):
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f'usage: {sys.argv[0]} {"|".join(COMMANDS)} [FOLDER ROWS] [key=value...]')
    describes = sys.argv[1] == 'describe'
    options = parse_options(sys.argv[2 if describes else 4:])
    folder, rows = (None, None) if describes else (sys.argv[2], Rows(sys.argv[3]))
    COMMANDS[sys.argv[1]](peer_class(folder, rows, options))


def folder_size(folder, is_data):
    """Bytes of the files that `is_data` says are data, and of all others."""
    data = other = 0
    for top, _, names in os.walk(folder):
        for name in names:
            size = os.path.getsize(os.path.join(top, name))
            if is_data(name):
                data += size
            else:
                other += size
    return data, other


def synced(path):
    """Make a file that was written whole durable, with its name."""
    for name in (path, os.path.dirname(path)):
        fd = os.open(name, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
