"""The machine: facts that a reader of figures needs, its page cache, and who else uses it."""

import json
import math
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf('SC_CLK_TCK')
SYNCS = 200
FACTOR = (1 << 60_000) // 3  # a millisecond multiplies two of them
PRODUCTS = 15
LOOK_SECONDS, PAUSE_SECONDS = 30, 0.1
# That a fixed piece of work may take longer than typically; on a virtual machine that did nothing else
# nine tenths of all looks took up to 11 % longer, beside a busy neighbour it was 90 %.
MOST_SLOW = 0.2
RUN_PATIENCE_SECONDS, UNIT_PATIENCE_SECONDS = 10, 60
MOUNT_OPTIONS = ('noatime', 'relatime', 'discard', 'nobarrier', 'barrier', 'data', 'commit', 'compress',
                 'sync', 'dax')  # that change what a write costs; others may name folders or hosts


def _read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def _field(text, label, separator):
    for line in text.splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == label:
            return value.strip().strip('"')
    return 'unknown'


def _file_system(folder):
    try:
        output = subprocess.run(['findmnt', '-n', '-o', 'FSTYPE,OPTIONS', '-T', folder], check=True,
                                capture_output=True, text=True).stdout
        kind, options = output.split()
    except (OSError, ValueError, subprocess.CalledProcessError):
        return 'unknown'
    told = [word for word in options.split(',') if word.partition('=')[0] in MOUNT_OPTIONS]
    return ', '.join([kind, *told])


def _sync_seconds(folder):
    """What one small durable write costs here, again and again at a file's end."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.write(file.fileno(), b'x' * 4096)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return sorted(times)


def facts(folder):
    """Name and value; nothing that tells one machine of a kind from another."""
    memory = int(_field(_read('/proc/meminfo'), 'MemTotal', ':').split()[0]) / (1 << 20)
    syncs = _sync_seconds(folder)
    return {
        'processor': _field(_read('/proc/cpuinfo'), 'model name', ':'),
        'cores': len(os.sched_getaffinity(0)),
        'memory': f'{memory:.0f} GiB',
        'kernel': platform.release(),
        'system': _field(_read('/etc/os-release'), 'PRETTY_NAME', '='),
        'file system': _file_system(folder),
        'free disk': f'{shutil.disk_usage(folder).free / (1 << 30):.0f} GiB',
        'append and sync of 4 KiB': f'{1e6 * statistics.median(syncs):.0f} us (p99 '
                                    f'{1e6 * syncs[int(0.99 * SYNCS)]:.0f} us)',
        'python': platform.python_version(),
    }


def _version_of(compiler):
    """What a compiler, the command line of one, calls itself."""
    try:
        return subprocess.run([*compiler, '--version'], check=True, capture_output=True,
                              text=True).stdout.splitlines()[0]
    except (OSError, IndexError, subprocess.CalledProcessError):
        return 'unknown'


def build_facts(build):
    """How the embedded peers in C and varve itself were compiled."""
    def load(name):
        text = _read(os.path.join(build, 'meson-info', name))
        return json.loads(text) if text else []

    options = {option['name']: option['value'] for option in load('intro-buildoptions.json')}
    compiler = next((source['compiler'] for target in load('intro-targets.json')
                     for source in target['target_sources'] if source.get('language') == 'c'), [])
    return (f"{_version_of(compiler)}, buildtype {options.get('buildtype', 'unknown')}, sanitizers "
            f"{options.get('b_sanitize', 'unknown')}, flags {' '.join(options.get('c_args', [])) or 'none'}")


def evict(folder):
    """Ask the kernel to forget the cached pages of every file below `folder`."""
    os.sync()
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                fd = os.open(os.path.join(top, name), os.O_RDONLY)
            except OSError:
                continue  # a socket, or gone since it was listed
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


# ----------------------------------------------------------------------- How fast it is just now

def _product_seconds():
    """The median, so that only what lasts for longer than a moment shows."""
    times = []
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        _ = FACTOR * FACTOR
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def pace():
    """Seconds that a fixed piece of work takes on the slowest of the cores that this program may use.
    Multiplying feels it when somebody else computes on the other half of a core, which a virtual
    machine is not told; hashing and copying hardly do."""
    cores = os.sched_getaffinity(0)
    try:
        times = []
        for core in cores:
            os.sched_setaffinity(0, {core})
            times.append(_product_seconds())
        return max(times)
    finally:
        os.sched_setaffinity(0, cores)


class Pace:
    """How fast the machine is beside what is typical of it. Of every engine alike a run begins when it is
    about as fast, as long as there is patience left, of which each unit has its own. Typical is the
    median, since a virtual machine that does nothing else changes several times a second, and is
    seldom at its best."""

    def __init__(self, patient):
        self.patient = patient
        self.looks, self.patience, self.waited, self.seen = [], 0.0, 0.0, []
        self.before = math.inf

    def look(self, before):
        """For half a minute; the median. `before` are what earlier sittings found: the best of them is
        typical on a day on which the machine is slow."""
        until = time.monotonic() + (LOOK_SECONDS if self.patient else 0)
        self.looks = [pace()]
        while time.monotonic() < until:
            time.sleep(PAUSE_SECONDS)
            self.looks.append(pace())
        found = statistics.median(self.looks)
        self.before = min([found, *before])
        return found

    def typical(self):
        """What the sitting began with, or less, if that was a slow moment."""
        return min(self.before, statistics.median(self.looks))

    def spread(self):
        """What a tenth of the looks were below, and a tenth above."""
        ordered = sorted(self.looks)
        beyond = len(ordered) // 10
        return ordered[beyond], ordered[-1 - beyond]

    def begin(self, timed):
        """A unit, whose times count or do not."""
        self.patience = UNIT_PATIENCE_SECONDS if self.patient and timed else 0.0
        self.waited, self.seen = 0.0, []
        self.settle()

    def settle(self):
        """Wait; a run begins."""
        started, limit = time.monotonic(), min(RUN_PATIENCE_SECONDS, self.patience - self.waited)
        now = pace()
        self.looks.append(now)  # and none of those while it waits, which would make slow typical
        while now > (1 + MOST_SLOW) * self.typical() and time.monotonic() - started < limit:
            time.sleep(PAUSE_SECONDS)
            now = pace()
        self.waited += time.monotonic() - started
        self.seen.append(now)

    def slowness(self):
        """Of half of the unit's runs when they began, and of now; 0 is typical."""
        return statistics.median([*self.seen, pace()]) / self.typical() - 1


# -------------------------------------------------------------------------- Who else uses it

def _machine_seconds():
    """Processor seconds of everything on this machine, and seconds that its host took away.
    Interrupts are left out: they belong to the disk."""
    user, nice, system, _, _, _, _, steal = (int(n) for n in _read('/proc/stat').split()[1:9])
    return (user + nice + system) / TICKS, steal / TICKS


def _kernel_seconds():
    """Processor seconds of the kernel's own threads, which write what the peers have written."""
    ticks = 0
    for name in os.listdir('/proc'):
        if name.isdigit():
            fields = _read(f'/proc/{name}/stat').rpartition(')')[2].split()
            if len(fields) > 12 and fields[1] == '2':
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def _own_seconds():
    """Processor seconds of this program and of all that it started and that have ended."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


class Watch:
    """How much of the machine others used since it was made; the program's children must have
    ended when it is asked."""

    def __init__(self):
        self.started = time.monotonic()
        self.before = (*_machine_seconds(), _kernel_seconds(), _own_seconds())

    def shares(self):
        """Parts of all that the machine's cores could have done."""
        now = (*_machine_seconds(), _kernel_seconds(), _own_seconds())
        machine, steal, kernel, own = (a - b for a, b in zip(now, self.before))
        could = (time.monotonic() - self.started) * (os.cpu_count() or 1)
        foreign = max(machine - max(kernel, 0) - own, 0)
        return {'foreign': foreign / could, 'steal': steal / could, 'foreign_seconds': foreign}
