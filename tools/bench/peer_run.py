"""Runs one command of a peer in a process of its own, within a time limit; and a peer's server."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time

SAMPLE_SECONDS = 0.004
SERVER_START_SECONDS, SERVER_STOP_SECONDS = 180, 90
# A command must not run on beside the next sitting when this program is killed. A server is not started
# like this: it has to end its own children first, and does when its input ends.
ENDS_WITH_US = ('setpriv', '--pdeathsig', 'KILL') if shutil.which('setpriv') else ()


class PeerFailure(Exception):
    """A command failed, or did not end in time."""


class MemorySampler:
    """The most anonymous memory that a process had; its mapped input does not count."""

    def __init__(self, pid):
        self.peak, self.ended = 0, threading.Event()
        try:
            self.file = os.open(f'/proc/{pid}/statm', os.O_RDONLY)
        except OSError:  # it has ended
            self.file = None
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self):
        page = os.sysconf('SC_PAGESIZE')
        while self.file is not None and not self.ended.wait(SAMPLE_SECONDS):
            try:
                _, resident, shared = os.pread(self.file, 64, 0).split()[:3]
            except (OSError, ValueError):
                return
            self.peak = max(self.peak, page * (int(resident) - int(shared)))

    def stop(self):
        self.ended.set()
        self.thread.join()
        if self.file is not None:
            os.close(self.file)
        return self.peak


class Process:
    """A peer's process and the lines that it prints. It never outlives `with`."""

    def __init__(self, words, log):
        self.log = log
        self.words = [str(word) for word in words]
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=log,
                                        start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def next_line(self, deadline):
        """A line as an object, or None at the end."""
        try:
            line = self.lines.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            raise PeerFailure('did not finish within its time limit') from None
        if line is None:
            return None
        try:
            return json.loads(line)
        except ValueError:
            raise PeerFailure(f'printed {line.strip()!r}') from None

    def tell(self, text):
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.poll() is None:
            # Its own children too: the session is its own.
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(words, log, limit):
    """Run a command to its end; returns its lines and what it used of anonymous memory."""
    deadline = time.monotonic() + limit
    with Process([*ENDS_WITH_US, *words], log) as process:
        sampler = MemorySampler(process.process.pid)
        lines = []
        try:
            while (line := process.next_line(deadline)) is not None:
                lines.append(line)
            code = process.process.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise PeerFailure('did not end within its time limit') from None
        finally:
            peak = sampler.stop()
    if code != 0:
        raise PeerFailure(f'ended with exit code {code}')
    return lines, peak


def run_until_held(words, log, limit):
    """Run a load that waits when it is done, then end it as kill -9 does; returns its lines."""
    deadline = time.monotonic() + limit
    with Process([*ENDS_WITH_US, *words], log) as process:
        lines = []
        while (line := process.next_line(deadline)) is not None:
            if line.get('event') == 'holding':
                process.kill()
                return lines
            lines.append(line)
    raise PeerFailure('ended before it held its rows')


class Server:
    """A peer's server, which ends when its standard input does: also when this program dies."""

    def __init__(self, words, log):
        self.process = Process(words, log)
        try:
            ready = self.process.next_line(time.monotonic() + SERVER_START_SECONDS)
            if ready is None:
                raise PeerFailure('its server did not start')
        except BaseException:  # also when this program is told to end
            self.stop()
            raise
        self.seconds = ready['seconds']

    def kill(self):
        """As kill -9 does."""
        self.process.tell('kill\n')
        self.stop()

    def stop(self):
        self.process.process.stdin.close()
        try:
            self.process.process.wait(SERVER_STOP_SECONDS)  # it ends its server, if need be with kill
        except subprocess.TimeoutExpired:
            os.killpg(self.process.process.pid, signal.SIGKILL)
            self.process.process.wait()
