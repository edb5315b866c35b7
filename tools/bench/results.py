"""results.jsonl: what was measured, in one sitting or in several.

Every line is an object. A *sitting* is one run of the program; a *unit* is what is measured at one
go: one part of one configuration on one set of rows. Lines of a unit carry its id; the line that ends
it has its key and its fingerprint (program, machine, settings), by which a later sitting knows that
there is nothing to do. A unit without that line was interrupted, and does not count.
"""

import contextlib
import datetime
import hashlib
import json
import os
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LIBRARY = ('include', 'storage', 'index', 'compaction')
DRIVERS = ('peer_main.c', 'peer_rows.c', 'peer_rows.h', 'peer.h', 'peer_protocol.py', 'row_writer.c')
SAME_MACHINE = ('processor', 'cores', 'memory', 'kernel', 'system', 'file system')


def read(path):
    """The lines; one that was cut off in the middle ends them."""
    lines = []
    with open(path, encoding='utf-8') as file:
        for text in file:
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


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


def program_of(facts):
    """What makes a peer's figures those of another program: its version, the sources of what drives
    it, and of varve itself."""
    peers = os.path.join(HERE, 'peers')
    mine = [os.path.join(peers, name) for name in os.listdir(peers)
            if name in DRIVERS or name.lower().startswith(facts['peer'])
            and name.endswith(('.c', '.py', '.java'))]
    paths = [path for folder in LIBRARY for path in _below(folder)] if facts['peer'] == 'varve' else []
    return f"{facts['version']} {_digest(mine + paths)}"


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


class Results:
    """Written line by line, so that a run that is cut short keeps what it has."""

    def __init__(self, path, resume):
        self.lines = read(path) if resume and os.path.exists(path) else []
        self.file = open(path, 'w', encoding='utf-8')
        for line in self.lines:  # without one that was cut off
            self.file.write(json.dumps(line) + '\n')
        self.file.flush()
        self.sitting = 1 + sum(line['measure'] == 'sitting' for line in self.lines)
        self.units, self.context = 0, {}
        self.machine = self.commit = None

    def begin(self, machine_facts, words):
        self.machine, self.commit = machine_of(machine_facts), commit()
        self.add(measure='sitting', sitting=self.sitting, at=now(), commit=self.commit,
                 words=words, machine=machine_facts)

    def add(self, **line):
        line = {**self.context, **line}
        self.lines.append(line)
        self.file.write(json.dumps(line) + '\n')
        self.file.flush()

    def fingerprint(self, facts, settings):
        return {'program': program_of(facts), 'machine': self.machine,
                'peer_settings': facts['settings'], **settings}

    def past(self, key, fingerprint=None):
        """The line that ended a unit, in the last sitting that had it."""
        found = [line for line in self.lines if line['measure'] == 'unit'
                 and line['key'] == list(key) and fingerprint in (None, line['fingerprint'])]
        return found[-1] if found else None

    @contextlib.contextmanager
    def unit(self, key, fingerprint):
        """Lines that are added inside belong to the unit, which counts if it comes to its end."""
        self.units += 1
        number = f'{self.sitting}.{self.units}'
        started = time.monotonic()
        self.context = {'unit': number}
        try:
            yield
            self.add(measure='unit', key=list(key), fingerprint=fingerprint, at=now(),
                     commit=self.commit, seconds=time.monotonic() - started)
        finally:
            self.context = {}


def selected(lines):
    """What a report is made of: of each unit the last that was completed on the machine of the last
    sitting, and of each configuration the last word about whether it is there."""
    sittings = [line for line in lines if line['measure'] == 'sitting']
    machine = machine_of(sittings[-1]['machine']) if sittings else None
    last, there = {}, {}
    for line in lines:
        if line['measure'] == 'unit' and line['fingerprint']['machine'] == machine:
            last[tuple(line['key'])] = line['unit']
        elif line['measure'] in ('peer', 'not_run'):
            there[line['configuration']] = line
    chosen = set(last.values())
    measured = {key[0] for key in last}
    return [line for line in lines if line.get('unit') in chosen or line['measure'] == 'sitting'
            or line is there.get(line.get('configuration'))
            and (line['measure'] == 'peer' or line['configuration'] not in measured)]
