"""varve import of what is broken or slow: records without end, line ends of old, damaged archives, a
pipe that pauses."""

import gzip
import os
import re
import shutil
import subprocess
import time
import zlib

import cli_case
from cli_case import CliCase, FAILED, OK, READINGS, USAGE

MIB = 1 << 20
HEAD = b'sensor,ts,value\n'
FIRST, LAST = b'first,2024-01-01,1\n', b'last,2024-01-02,2\n'
INNER = b'invented,2024-01-03,3\n'


class Broken(CliCase):
    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', READINGS)

    def load(self, data, *arguments, code=FAILED):
        for name in os.listdir(self.folder):
            if name.startswith('readings.rejects'):
                os.remove(self.path(name))
        return self.run_varve('import', 's', 'readings', *arguments, stdin=data, code=code).err

    def sensors(self):
        return self.run_varve('scan', 's', 'readings', '--columns', 'sensor',
                              code=None).out.split()[1:]

    def count(self):
        return int(self.run_varve('scan', 's', 'readings', '--agg', 'count', code=None).out.split()[1])


class LongRecords(Broken):
    """Nothing inside a record of more than 16 MiB is taken for records of its own."""

    INSIDE = INNER * (17 * MIB // len(INNER))

    def test_the_record_is_skipped_to_its_end(self):
        lines = self.INSIDE.count(b'\n')
        for record, end in ((b'x' * 17 * MIB, 3),                                    # no quote
                            (b'x,' * (9 * MIB) + b'x', 3),                           # many fields
                            (b'x"\r' + self.INSIDE.replace(b'\n', b'\r'), 3),         # no quoted field
                            (b'"' + self.INSIDE + b'"', 3 + lines),
                            (b'a,"' + self.INSIDE + b'""",,"\n"', 4 + lines),
                            (b'"' + self.INSIDE + b'" text behind it,"', 3 + lines),
                            (b'"' + self.INSIDE.replace(b'\n', b'""\n') + b'",\r', 3 + lines),
                            (b'"' + self.INSIDE * 3 + b'"', 3 + 3 * lines)):
            for last in (b'\n' + LAST, b'') if record[:1] == b'x' else (b'\n' + LAST,):
                err = self.load(HEAD + FIRST + record + last, '-')
                self.assertIn(f'line 3: rejected: the record is longer than 16 MiB: it ends in line '
                              f'{end}; its first 64 KiB are kept', err)
                self.assertIn(f'{2 if last else 1} rows loaded, 1 rejected', err)
                self.assertEqual(self.sensors()[:1], ['first'])
                self.assertNotIn('invented', self.sensors())
                self.assertLess(os.path.getsize(self.path('readings.rejects.csv')), 256 << 10)

    def test_lines_behind_it_keep_their_numbers(self):
        err = self.load(HEAD + b'"' + self.INSIDE + b'"\n' + LAST + b'bad\n', '-')
        self.assertIn(f'line {4 + self.INSIDE.count(10)}: rejected: too few fields', err)

    def test_a_quote_that_is_never_closed(self):
        err = self.load(HEAD + FIRST + b'"open' + self.INSIDE, '-')
        self.assertIn('line 3: rejected: the record is longer than 16 MiB: a quote is not closed up '
                      'to the end of the file, line', err)
        self.assertEqual(self.sensors(), ['first'])

    def test_the_limit_is_the_same_wherever_the_record_stands(self):
        for before in (0, 3 * MIB, 9 * MIB):
            for size, good in ((16 * MIB, True), (16 * MIB + 1, False)):
                record = b'note,2024-01-04,1,'
                record += b'x' * (size - len(record))
                rows = INNER.replace(b'\n', b',\n') * (before // len(INNER))
                err = self.load(b'sensor,ts,value,note\n' + rows + record + b'\n', '-')
                # Too long for a text of the store, but not for a record.
                self.assertIn('1 rejected', err)
                self.assertEqual('the record is longer than 16 MiB' in err, not good, (before, size))

    def test_memory_is_bounded(self):
        """The same peak for a record of 64 MiB and one of 256."""
        def peak(size):
            feed = (f'import sys; out = sys.stdout.buffer; out.write({HEAD!r} + b"\\""); '
                    f'[out.write({INNER!r} * 50000) for _ in range({size * MIB} // 1100000)]; '
                    f'out.write(b"\\"\\n" + {LAST!r})')
            code = (f'import resource, subprocess, sys; '
                    f'feed = subprocess.Popen([sys.executable, "-c", {feed!r}], '
                    f'stdout=subprocess.PIPE); '
                    f'p = subprocess.Popen([{cli_case.PROGRAM!r}, "import", "s", "readings", "-", '
                    f'"--rejects", "/dev/null"], stdin=feed.stdout, stderr=subprocess.DEVNULL); '
                    f'usage = __import__("os").wait4(p.pid, 0)[2]; print(usage.ru_maxrss)')
            out = subprocess.run(['python3', '-c', code], cwd=self.folder, stdout=subprocess.PIPE,
                                 check=True).stdout
            return int(out) << 10
        small, large = peak(64), peak(256)
        self.assertLess(large - small, 32 * MIB)
        self.assertEqual(self.sensors(), ['last'])

    def test_a_first_line_that_is_too_long(self):
        err = self.load(b'x' * 17 * MIB + b'\n' + LAST, '-', code=USAGE)
        self.assertIn('the header line cannot be read: it is longer than any may be (16 MiB)', err)
        err = self.load(b'x' * 17 * MIB + b'\n' + LAST, '-', '--columns', 'sensor,ts,value')
        self.assertIn('line 1: rejected: the record is longer than 16 MiB', err)
        self.assertEqual(self.sensors(), ['last'])

    def test_many_blank_lines_before_the_header(self):
        err = self.load(b'\n' * (9 * MIB) + HEAD + FIRST + b'bad\n', '-')
        self.assertIn(f'line {9 * MIB + 3}: rejected: too few fields', err)
        self.assertEqual(self.sensors(), ['first'])


class LineEnds(Broken):
    def test_a_carriage_return_alone(self):
        text = (HEAD + FIRST + LAST + b'"a\nb",x,1\n').replace(b'\n', b'\r')
        err = self.load(text, '-')
        self.assertIn('its lines end with a carriage return alone', err)
        self.assertIn('stdin, line 4: rejected', err)
        self.assertEqual(self.sensors(), ['first', 'last'])

    def test_line_ends_that_are_mixed(self):
        err = self.load((HEAD + FIRST).replace(b'\n', b'\r') + LAST, '-', code=USAGE)
        self.assertIn('a carriage return stands inside the header line', err)
        self.assertEqual(self.sensors(), [])

    def test_a_carriage_return_in_a_partition(self):
        self.load(b'sensor,ts\n"a\rb",2024-01-01\n', '-', code=OK)
        self.run_varve('scan', 's', 'readings', '--partition', 'a\rb')

    def test_a_file_without_a_row_is_said_to_be_one(self):
        self.assertIn('stdin: there is no row in it behind the header line',
                      self.load(HEAD, '-', code=OK))
        self.assertIn('stdin: there is no row in it\n', self.load(b'\n\r\n', '-', code=OK))
        self.assertNotIn('no row', self.load(b'', '-', code=OK))
        self.assertNotIn('no row', self.load(HEAD + FIRST, '-', code=OK))

    def test_stdin_has_one_name(self):
        err = self.load(HEAD + FIRST + b'bad\n', '-')
        self.assertIn('stdin, line 3', err)
        self.assertIn('stdin: 1 rows loaded', err)
        self.assertNotIn('-:', err)


class Keys(Broken):
    def test_a_key_that_stands_for_nothing_says_why(self):
        err = self.load(HEAD + b'NA,2024-01-01,1\n' + b',2024-01-01,1\n' + b'"NA",2024-01-01,1\n', '-')
        self.assertIn('line 2: rejected: column sensor: a key column has no value (--null says what '
                      'stands for none)', err)
        self.assertIn('line 3: rejected: column sensor: a key column has no value\n', err)
        self.load(HEAD + b'NA,2024-01-01,1\n', '-', '--null', '-', code=OK)
        self.assertEqual(self.sensors(), ['"NA"'])


class DamagedArchives(Broken):
    """What was loaded before the damage was noticed is told; what was not is not loaded."""

    ROWS = 300000

    def setUp(self):
        super().setUp()
        self.text = HEAD + b''.join(b'a%d,%d,%d\n' % (i % 5, 1700000000000 + i, i * 7919 % 100003)
                                    for i in range(self.ROWS))

    def fails(self, data):
        """The suspect line, and how many rows of it were loaded; every other row is right."""
        self.write('data', data)
        shutil.rmtree(self.path('s'))
        self.run_varve('create', 's', READINGS)
        err = self.load(b'', 'data')
        loaded = int(re.search(r'data: (\d+) rows loaded', err).group(1))
        self.assertGreaterEqual(loaded, self.count())
        found = re.search(r'read from about line (\d+) on is not verified.*: (\d+) rows of it were '
                          r'loaded and may be wrong; no others', err)
        if found is None:
            return err, None, loaded
        line, doubtful = int(found.group(1)), int(found.group(2))
        self.assertEqual(line - 2, loaded - doubtful)
        return err, line, loaded

    @staticmethod
    def flip(data, at):
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]

    def test_gzip(self):
        packed = gzip.compress(self.text, 1)
        for damaged in (self.flip(packed, len(packed) - 8), packed[:len(packed) * 9 // 10]):
            err, line, loaded = self.fails(damaged)
            self.assertEqual(line, 2)
            self.assertGreater(loaded, 0)
            self.assertLess(loaded, self.ROWS)
            self.assertIn('too early' if damaged == packed[:len(damaged)] else 'damaged', err)

    def test_gzip_members_that_are_whole_are_loaded(self):
        for share in (0.1, 0.99):
            at = self.text.index(b'\n', int(len(self.text) * share)) + 10
            first = self.text[:at].count(b'\n') + 1 # the line in which the second member begins
            one, two = gzip.compress(self.text[:at], 1), gzip.compress(self.text[at:], 1)
            err, line, loaded = self.fails(one + self.flip(two, len(two) - 8))
            if share < 0.5:
                self.assertEqual(line, first)
                self.assertGreater(loaded, first - 2)
                self.assertLess(loaded, self.ROWS)
            else: # noticed before anything of it was loaded
                self.assertEqual((line, loaded), (None, first - 2))
                self.assertIn(f'nothing behind line {first - 1} was read', err)
        _, line, loaded = self.fails(one + two + b'junk')
        self.assertEqual((line, loaded), (None, self.ROWS))

    def test_zstd(self):
        if shutil.which('zstd') is None:
            self.skipTest('no zstd program')
        packed = subprocess.run(['zstd', '-c', '-1'], input=self.text, stdout=subprocess.PIPE,
                                check=True).stdout
        for damaged in (self.flip(packed, len(packed) - 2), packed[:len(packed) * 9 // 10]):
            _, line, loaded = self.fails(damaged)
            self.assertEqual(line, 2)
            self.assertLess(loaded, self.ROWS)

    def test_a_small_archive_loads_nothing(self):
        for damaged in (self.flip(gzip.compress(HEAD + FIRST), -8), gzip.compress(HEAD + FIRST)[:-9]):
            self.write('data', damaged)
            self.load(b'', 'data')
            self.assertEqual(self.sensors(), [])


class SlowPipe(Broken):
    """Rows are to be seen soon, though the pipe stays open; and nothing is taken for a row that is
    not whole yet."""

    def wait_for(self, rows, seconds=20):
        end = time.monotonic() + seconds
        while self.count() != rows:
            self.assertLess(time.monotonic(), end, self.count())
            time.sleep(0.1)

    def feed(self, pack):
        process = subprocess.Popen([cli_case.PROGRAM, 'import', 's', 'readings', '-'],
                                   cwd=self.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        def send(text):
            process.stdin.write(pack(text))
            process.stdin.flush()
        send(b'sensor,')
        time.sleep(1.2) # not even a header
        send(b'ts,value\n')
        time.sleep(1.2)
        for i in range(10):
            send(b'a,%d,1\n' % (1700000000000 + i))
        self.wait_for(10)
        send(b'b,2024-01-01,1\n"c')
        self.wait_for(11)
        send(b'",2024-01-0')
        time.sleep(2.2)
        self.assertEqual(self.count(), 11)
        send(b'1,1\nd,bad,1\n')
        self.wait_for(12)
        with open(self.path('readings.rejects.csv'), encoding='utf-8') as rejects:
            self.assertIn('bad', rejects.read())
        return process

    def test_plain(self):
        _, err = self.feed(lambda text: text).communicate()
        self.assertIn(b'12 rows loaded, 1 rejected', err)

    def test_gzip(self):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        process = self.feed(lambda text: packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
        _, err = process.communicate(packer.flush())
        self.assertIn(b'12 rows loaded, 1 rejected', err)


if __name__ == '__main__':
    cli_case.main()
