"""results.jsonl: what was measured, in one sitting or in several.

Every line is an object. A *sitting* is one run of the program; a *unit* (plan.py) is what is measured
at one go. Lines of a unit carry its id; the line that ends it has its key, its fingerprint (program,
machine, settings), by which a later sitting knows that there is nothing to do, how much of the machine
others used meanwhile, and why it failed if it did. A unit without that line was interrupted, and does
not count.
"""

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import subprocess
import time

import machine
import plan

METHOD = 6  # of measuring: figures of another one are measured again
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBRARY = ('include', 'storage', 'index', 'compaction')
DRIVERS = ('peer_main.c', 'peer_rows.c', 'peer_rows.h', 'peer.h', 'peer_protocol.py', 'row_writer.c',
           'meson.build')
SAME_MACHINE = ('processor', 'cores', 'memory', 'kernel', 'system', 'file system')
# Of all the machine's cores could do. A unit beyond it is marked, and measured again. The ticks in
# which the kernel counts are too coarse to say so of a unit that takes no more than moments.
MOST_FOREIGN, LEAST_FOREIGN_SECONDS = 0.03, 0.3


class Unusable(Exception):
    """Results that cannot be gone on with."""


def read(path):
    """The lines, without a last one that was cut off in the middle. Raises Unusable."""
    with open(path, encoding='utf-8') as file:
        texts = file.readlines()
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            lines.append(json.loads(text))
        except ValueError:
            if number < len(texts):
                raise Unusable(f'{path}, line {number}: not a line of results; nothing was changed: '
                               'remove that line, or name another --out') from None
    return lines


def _lock(file, path):
    """Two sittings that write the same results would spoil them. Raises Unusable."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unusable(f'{path}: another comparison is writing it') from None


def _digest(paths):
    sums = hashlib.sha256()
    for path in sorted(paths):
        sums.update(os.path.relpath(path, ROOT).encode() + b'\0')
        with open(path, 'rb') as file:
            sums.update(file.read())
    return sums.hexdigest()[:12]


def _below(folder):
    for top, _, names in os.walk(os.path.join(ROOT, folder)):
        yield from (os.path.join(top, name) for name in names if name.endswith(('.c', '.h')))


def program_of(facts, build):
    """What makes a peer's figures those of another program: what it says of itself, the sources of
    what drives it and of the rows, and of varve itself; how that was compiled."""
    peers = os.path.join(HERE, 'peers')
    paths = [os.path.join(peers, name) for name in os.listdir(peers)
             if name in DRIVERS or name.lower().startswith(facts['peer'])
             and name.endswith(('.c', '.py', '.java'))]
    paths += [*_below('tools/generate'), os.path.join(HERE, 'real_rows.py')]
    if facts['peer'] == 'varve':
        paths += [path for folder in LIBRARY for path in _below(folder)]
    compiled = f', {build}' if facts['peer'] in plan.NATIVE else ''
    said = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return f"{facts['version']} {said} {_digest(paths)}{compiled}"


def commit():
    """Which commit of varve this is, as far as git knows."""
    try:
        return subprocess.run(['git', '-C', ROOT, 'describe', '--always', '--dirty'], check=True,
                              capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')


def machine_of(facts):
    return ', '.join(str(facts.get(name)) for name in SAME_MACHINE)


def disturbed(unit):
    """Whether others used so much of the machine, or the machine itself was so slow when half of the runs
    began and the last one ended, that the unit's figures may be too bad. Answers are right or wrong
    either way."""
    return unit['key'][3] != 'agreement' and (
        unit['foreign'] > MOST_FOREIGN and unit['foreign_seconds'] > LEAST_FOREIGN_SECONDS
        or unit['steal'] > MOST_FOREIGN or unit['slow'] > machine.MOST_SLOW)


class Results:
    """Written line by line, so that a run that is cut short keeps what it has."""

    def __init__(self, path, resume, target, patient=True):
        """A run waits for a machine that is slow only if `patient`."""
        self.lines = read(path) if resume and os.path.exists(path) else []
        self.file = self._rewrite(target) if target == path else open(target, 'w', encoding='utf-8')
        self.sitting = 1 + max((line['sitting'] for line in of_measure(self.lines, 'sitting')),
                               default=0)
        self.units, self.context = 0, {}
        self.machine = self.commit = None
        self.pace = machine.Pace(patient)

    def _rewrite(self, path):
        """The lines without one that was cut off, in a new file that takes the place of the old
        one: whatever happens meanwhile, one of the two is there, whole."""
        with open(path, 'a', encoding='utf-8') as old:
            _lock(old, path)
            file = open(path + '.new', 'w', encoding='utf-8')
            _lock(file, path)
            for line in self.lines:
                file.write(json.dumps(line) + '\n')
            file.flush()
            os.fsync(file.fileno())
            os.replace(path + '.new', path)
        return file

    def begin(self, machine_facts, words):
        self.machine, self.commit = machine_of(machine_facts), commit()
        pace = self.pace.look([line['pace'] for line in of_measure(self.lines, 'sitting')
                               if machine_of(line['machine']) == self.machine])
        self.add(measure='sitting', sitting=self.sitting, at=now(), commit=self.commit,
                 words=words, machine=machine_facts, pace=pace)

    def close(self):
        self.file.close()

    def add(self, **line):
        line = {**self.context, **line}
        self.lines.append(line)
        self.file.write(json.dumps(line) + '\n')
        self.file.flush()

    def fingerprint(self, facts, build, settings):
        return {'method': METHOD, 'program': program_of(facts, build), 'machine': self.machine,
                **settings}

    def past(self, key, fingerprint=None):
        """The line that ended a unit without failure, the last one or the last undisturbed one."""
        found = [line for line in of_measure(self.lines, 'unit')
                 if line['key'] == list(key) and 'failed' not in line
                 and fingerprint in (None, line['fingerprint'])]
        return next((line for line in reversed(found) if not disturbed(line)),
                    found[-1] if found else None)

    @contextlib.contextmanager
    def unit(self, key, fingerprint):
        """Lines that are added inside belong to the unit, which counts if it comes to its end.
        The caller may put why it failed into what it is given."""
        self.units += 1
        number = f'{self.sitting}.{self.units}'
        self.pace.begin(timed=key[3] != 'agreement')
        started, watch, outcome = time.monotonic(), machine.Watch(), {}
        self.context = {'unit': number}
        try:
            yield outcome
            seconds, shares = time.monotonic() - started, watch.shares()
            self.add(measure='unit', key=list(key), fingerprint=fingerprint, at=now(),
                     commit=self.commit, sitting=self.sitting, seconds=seconds,
                     slow=self.pace.slowness(), waited=self.pace.waited, **shares, **outcome)
        finally:
            self.context = {}


def of_measure(lines, measure):
    return [line for line in lines if line['measure'] == measure]


class Selection:
    """What a report is made of: of each unit the last that was completed, undisturbed if there is one,
    by the program, with the settings and on the machine of the last sitting that had its
    configuration; and what became of all the others that were planned."""

    def __init__(self, lines):
        self.sittings = of_measure(lines, 'sitting')
        self.peers, self.absent, self.no_sets, planned = {}, {}, {}, {}
        for line in lines:
            if line['measure'] == 'peer':
                self.peers[line['configuration']] = line
                self.absent.pop(line['configuration'], None)
            elif line['measure'] == 'not_run':
                self.absent[line['configuration']] = line['reason']
            elif line['measure'] == 'plan':
                planned.update((tuple(key), None) for key in line['keys'])
                for key in line['keys']:
                    self.no_sets.pop(key[1], None)
            elif line['measure'] == 'no_set':
                self.no_sets[line['set']] = line['reason']
        self.units, self.failed, self.stale = {}, {}, set()
        self._choose(of_measure(lines, 'unit'))
        self.wrong = set()  # sets and configurations whose answers to a small set were wrong
        numbers = {line['unit'] for line in self.units.values()}
        self.disturbed = {line['unit'] for line in self.units.values() if disturbed(line)}
        self.lines = [line for line in lines if line.get('unit') in numbers]
        self.planned = list(planned)
        self.missing = [key for key in planned if key not in self.units]

    def _choose(self, units):
        for line in units:
            key = tuple(line['key'])
            peer = self.peers.get(key[0])
            if peer is None or line['fingerprint'] != peer['fingerprint']:
                self.stale.add(key)
            elif 'failed' in line:
                self.failed[key] = line['failed']
            elif key not in self.units or not disturbed(line) or disturbed(self.units[key]):
                self.units[key] = line

    def reason(self, key):
        """Why a planned unit has no figures."""
        if key in self.failed:
            return self.failed[key]
        agreement = (*key[:2], plan.AGREEMENT_ROWS, 'agreement')
        if agreement in self.failed:
            return f'its answers could not be compared: {self.failed[agreement]}'
        if key[:2] in self.wrong:
            return 'its answers to a small set were wrong'
        if key[3] in plan.STORED and any(other[:3] == key[:3] and other[3].startswith('load')
                                         for other in self.failed):
            return 'its load failed'
        if key[0] in self.absent and key[0] not in self.peers:
            return self.absent[key[0]]
        if key in self.stale:
            return 'measured with an older program or other settings only'
        return 'not measured yet'
