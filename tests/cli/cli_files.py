"""varve stats, verify, dump, demo; damaged files; reading while another process writes."""

import glob
import json
import os
import re
import shutil
import subprocess

import cli_case
from cli_case import CliCase, CORRUPT, FAILED, OK, READINGS, ROOT, USAGE, PROGRAM


class Whole(CliCase):
    def test_stats(self):
        self.make_readings()
        text = self.run_varve('stats', 's').out
        self.assertIn('Table readings', text)
        self.assertIn('2024-01-01T00:00:00.000Z to 2024-01-01T01:00:00.000Z', text)
        stats = json.loads(self.run_varve('stats', 's', '--json').out)
        self.assertEqual(stats['tables'], 1)
        table = stats['table_list'][0]
        self.assertEqual(table['name'], 'readings')
        self.assertEqual(table['file_rows'] + table['memtable_rows'], 4)
        self.assertIn(stats['io_backend'], ('io_uring', 'posix'))
        self.assertEqual((stats['failed'], stats['flush_status'], stats['flush_failures']),
                         (None, None, 0))
        self.assertRegex(text, rf'(?m)^  I/O +{stats["io_backend"]}$')
        self.run_varve('stats', 'nowhere', code=FAILED)
        self.run_varve('stats', code=USAGE)

    def test_stats_as_json_has_every_counter_of_the_header(self):
        with open(os.path.join(ROOT, 'include', 'varve', 'varve.h'), encoding='utf-8') as header:
            structs = dict(re.findall(r'^typedef struct (\w+) \{\n(.*?)^\}', header.read(),
                                      re.M | re.S))
        self.make_readings()
        stats = json.loads(self.run_varve('stats', 's', '--json').out)
        for struct, got, more in (('varve_stats', stats, {'findings', 'table_list'}),
                                  ('varve_table_stats', stats['table_list'][0], {'name'})):
            members = set(re.findall(r'^    \w+ (\w+);', structs[struct], re.M))
            self.assertIn('file_rows', members)
            self.assertEqual(members - {'struct_size'}, set(got) - more)

    def test_stats_says_that_versions_are_counted(self):
        self.run_varve('create', 's', READINGS)
        for _ in range(2):
            self.run_varve('import', 's', 'readings', '-', '--flush', 'yes',
                           stdin='sensor,ts\na,2024-01-01\n')
        self.assertEqual(self.run_varve('scan', 's', 'readings', '--agg', 'count').out,
                         'count\n1\n')
        self.assertIn('2 in 2 files, 0 in log and memory\n' + 25 * ' ' +
                      '(a row that was written again is counted again)\n',
                      self.run_varve('stats', 's').out)

    def test_a_folder_that_is_no_store_is_left_as_it_is(self):
        self.write('rows.csv', 'sensor,ts\n')
        os.mkdir(self.path('o'))
        os.mkdir(self.path('empty'))
        self.write('o/notes', 'precious')
        for command in (['create', 'o', READINGS], ['import', 'o', 'readings', 'rows.csv'],
                        ['flush', 'o'], ['drop', 'o', 'readings'], ['demo', 'o'],
                        ['scan', 'o', 'readings'], ['stats', 'o'], ['verify', 'o']):
            result = self.run_varve(*command, code=FAILED)
            self.assertIn('store', result.err)
            self.assertEqual(os.listdir(self.path('o')), ['notes'], command)
        for command in (['import', 'empty', 'readings', 'rows.csv'], ['flush', 'empty'],
                        ['stats', 'empty']):
            self.assertIn('holds no store', self.run_varve(*command, code=FAILED).err)
            self.assertEqual(os.listdir(self.path('empty')), [], command)
        self.run_varve('create', 'empty', READINGS)

    def test_bench_removes_only_what_it_made(self):
        os.makedirs(self.path('d/bench-store'))
        self.write('d/bench-store/notes', 'precious')
        self.write('bench.sqlite', 'precious')
        for folder, name in (('d', 'd/bench-store'), ('.', './bench.sqlite')):
            result = self.run_varve('bench', '--quick', '--dir', folder, code=USAGE)
            self.assertIn(f'{name} exists', result.err)
        for name in ('d/bench-store/notes', 'bench.sqlite'):
            with open(self.path(name), encoding='utf-8') as file:
                self.assertEqual(file.read(), 'precious')

    def test_the_reserve_is_as_large_as_the_manual_says(self):
        self.run_varve('create', 's', cli_case.READINGS)
        for _ in range(3): # it is made in the background: the program may end before
            self.run_varve('import', 's', 'readings', '-', stdin='sensor,ts\na,2024-01-01\n')
        size = json.loads(self.run_varve('stats', 's', '--json').out)['reserve_bytes'] / 2**20
        self.assertLess(size, 33)
        with open(os.path.join(cli_case.ROOT, 'docs', 'varve.1'), encoding='utf-8') as page:
            self.assertIn('(some 32 MiB in a small store', page.read())

    def test_flush(self):
        self.make_readings()
        before = self.run_varve('scan', 's', 'readings').out
        self.assertIn('s: 4 rows written to files', self.flush('s').err)
        self.assertIn('s: all rows were in files already', self.flush('s').err)
        stats = json.loads(self.run_varve('stats', 's', '--json').out)
        self.assertEqual((stats['memtable_rows'], stats['file_rows']), (0, 4))
        self.assertEqual(self.run_varve('scan', 's', 'readings').out, before)
        self.run_varve('flush', code=USAGE)
        self.run_varve('flush', 's', 'more', code=USAGE)
        self.run_varve('flush', 'none', code=FAILED)

    def test_verify(self):
        self.make_readings()
        self.assertIn('no problem', self.run_varve('verify', 's').err)

    def test_reading_changes_no_byte(self):
        self.make_readings()
        before = {name: open(self.path('s/' + name), 'rb').read()
                  for name in os.listdir(self.path('s'))}
        for command in (['scan', 's', 'readings'], ['stats', 's'], ['verify', 's']):
            self.run_varve(*command)
        after = {name: open(self.path('s/' + name), 'rb').read()
                 for name in os.listdir(self.path('s'))}
        self.assertEqual(before, after)

    def test_demo(self):
        result = self.run_varve('demo', 'd', '--ascii')
        self.assertTrue(result.out.isascii())
        self.assertIn('BTCUSDT', result.out)
        self.assertIn('varve scan d bars', result.out)
        # The same seed gives the same data.
        self.assertEqual(self.run_varve('demo', 'e', '--ascii').out.replace(' e', ' d'),
                         result.out)
        other = self.run_varve('demo', 'f', '--seed', '2').out
        self.assertNotEqual(other, result.out)
        self.assertIn('\u2588', other)
        out = self.run_varve('scan', 'd', 'bars', '--agg', 'count', '--by', 'partition').out
        self.assertEqual(out, 'symbol,count\nBTCUSDT,4320\nETHUSDT,4320\nSOLUSDT,4320\n')
        self.run_varve('demo', 'd', code=FAILED) # it is no place for a demo any more
        self.run_varve('create', 'mine', READINGS)
        self.assertIn('a store with tables', self.run_varve('demo', 'mine', code=FAILED).err)
        self.assertNotIn('bars', self.run_varve('stats', 'mine').out)
        folder = self.run_varve('demo').out.split('The store is in ')[1].split('.')[0]
        shutil.rmtree(folder)


class Inside(CliCase):
    """A store whose rows are in the log."""

    def setUp(self):
        super().setUp()
        self.run_varve('demo', 's', '--ascii')

    def files(self, pattern):
        return sorted(os.path.relpath(f, self.folder)
                      for f in glob.glob(self.path('s/' + pattern)))

    def test_dump_wal(self):
        text = ''.join(self.run_varve('dump', 'wal', f).out for f in self.files('*.wal'))
        self.assertIn('schema', text)
        self.assertEqual(sum(int(line.split(' records, ')[1].split()[0])
                             for line in text.splitlines() if ' records, ' in line), 32960)

    def test_dump_manifest(self):
        text = self.run_varve('dump', 'manifest', self.files('MANIFEST-*')[-1]).out
        self.assertIn('snapshot, version', text)
        self.assertIn('.wal', text)
        everything = ''.join(self.run_varve('dump', 'manifest', f).out
                             for f in self.files('MANIFEST-*'))
        self.assertIn('CREATE TABLE listens', everything)

    def test_dump_of_what_it_is_not(self):
        self.write('text', 'no such file of ours\n' * 1000)
        self.write('short', b'VARVE')
        self.write('zeros', b'\0' * 65536)
        for kind in ('sst', 'wal', 'manifest'):
            for name in ('text', 'short'):
                result = self.run_varve('dump', kind, name, code=CORRUPT)
                self.assertIn(name, result.err)
            self.run_varve('dump', kind, 'absent', code=FAILED)
            self.run_varve('dump', kind, 'zeros', code=None)
            self.run_varve('dump', kind, 's', code=None)
        self.run_varve('dump', 'file', 'text', code=USAGE)
        self.run_varve('dump', 'wal', 'text', '--rows', code=USAGE)
        self.run_varve('dump', 'wal', code=USAGE)

    def damage(self, name, offset):
        with open(self.path(name), 'r+b') as f:
            f.seek(offset)
            byte = f.read(1)
            f.seek(offset)
            f.write(bytes([byte[0] ^ 0x40]))

    def cut(self, name, size):
        """A copy of that many bytes, under the same name."""
        os.makedirs(self.path('cut'), exist_ok=True)
        with open(self.path(name), 'rb') as whole:
            self.write('cut/' + os.path.basename(name), whole.read(size))
        return 'cut/' + os.path.basename(name)

    def test_dump_says_that_a_log_segment_is_cut_short(self):
        name = max(self.files('*.wal'), key=lambda f: len(self.run_varve('dump', 'wal', f).out))
        size = os.path.getsize(self.path(name))
        for left in (4096, 4096 * 3, 4096 * 3 + 7, 4096 * 200, size - 4096, size - 1):
            result = self.run_varve('dump', 'wal', self.cut(name, left), code=CORRUPT)
            self.assertIn(f'the log segment is cut short: {left} of {size} bytes are there',
                          result.err)
            self.assertIn(f'offset {left}', result.err)
            self.assertIn(' records, ', result.out)
        for left in (1, 4095):
            self.run_varve('dump', 'wal', self.cut(name, left), code=CORRUPT)
        self.assertIn('if the manifest lists it', self.run_varve('dump', 'wal', self.cut(name, 0)).out)

    def test_dump_takes_a_log_segment_that_was_being_made_for_no_damage(self):
        for size in (100, 4096, 4096 * 64 + 100, 1 << 22):
            self.write('00000000000000ff.wal', b'\0' * size)
            self.assertEqual(self.run_varve('dump', 'wal', '00000000000000ff.wal').out,
                             'log segment, made ahead and never used\n')
        self.write('00000000000000ff.wal', b'\0' * 9000 + b'x')
        result = self.run_varve('dump', 'wal', '00000000000000ff.wal', code=CORRUPT)
        self.assertIn('offset 8192', result.err)

    def test_dump_says_that_a_manifest_is_cut_short(self):
        name = self.files('MANIFEST-*')[-1]
        size = os.path.getsize(self.path(name))
        whole = self.run_varve('dump', 'manifest', name).out
        for left in (4096, 4096 * 5, 4096 * 5 + 1, 4096 * 7, size - 4096, size - 1):
            cut = self.cut(name, left)
            result = self.run_varve('dump', 'manifest', cut, code=CORRUPT)
            self.assertIn(f'the manifest is cut short: {left} of {size} bytes are there', result.err)
            # Under a temporary name it is what a crash leaves of one that was being written.
            os.replace(self.path(cut), self.path(cut + '.tmp'))
            self.assertIn('not finished', self.run_varve('dump', 'manifest', cut + '.tmp').out)
        self.assertNotIn('cut short', self.run_varve('dump', 'manifest', name).err)
        with open(self.path(name), 'ab') as file:
            file.write(bytes(4096))
        result = self.run_varve('dump', 'manifest', name, code=CORRUPT)
        self.assertIn(f'the manifest has grown: {size + 4096} instead of {size} bytes', result.err)
        self.assertEqual(result.out, whole)
        self.assertIn('not finished', self.run_varve(
            'dump', 'manifest', self.write('MANIFEST-0000000000000009.tmp', b'')).out)

    def test_dump_says_that_a_table_file_is_cut_short(self):
        self.flush('s')
        name = self.files('*.sst')[0]
        size = os.path.getsize(self.path(name))
        for left in (0, 100, size // 2, size - 4096, size - 1):
            result = self.run_varve('dump', 'sst', self.cut(name, left), code=CORRUPT)
            self.assertIn(os.path.basename(name), result.err)

    def test_a_damaged_log_page_is_named_and_passed(self):
        name = max(self.files('*.wal'), key=lambda f: len(self.run_varve('dump', 'wal', f).out))
        whole = self.run_varve('dump', 'wal', name).out
        self.damage(name, 5 * 4096 + 100)
        result = self.run_varve('dump', 'wal', name, code=CORRUPT)
        self.assertIn('offset 20480', result.err)
        self.assertGreater(len(result.out), len(whole) // 2)
        self.assertLess(len(result.out), len(whole) + 40)

    def test_a_damaged_log_is_exit_code_4(self):
        name = self.files('*.wal')[-1]
        for f in self.files('*.wal'):
            if 'data' in self.run_varve('dump', 'wal', f).out:
                name = f
                break
        self.damage(name, 3 * 4096 + 100)
        for command in (['scan', 's', 'bars'], ['stats', 's'], ['verify', 's']):
            result = self.run_varve(*command, code=CORRUPT)
            self.assertIn('.wal', result.err)

    def test_damage_ends_with_what_to_do(self):
        with open(os.path.join(cli_case.ROOT, 'docs', 'varve.1'), encoding='utf-8') as page:
            self.assertIn('.Sh DAMAGED DATA\n', page.read())
        for f in self.files('*.wal'):
            self.damage(f, 3 * 4096 + 100)
        for command in (['scan', 's', 'bars'], ['verify', 's'], ['dump', 'wal', self.files('*.wal')[0]],
                        ['flush', 's']):
            err = self.run_varve(*command, code=CORRUPT).err
            self.assertIn('DAMAGED DATA', err.splitlines()[-1])
            self.assertEqual(err.count('DAMAGED DATA'), 1)
        self.assertNotIn('DAMAGED DATA', self.run_varve('scan', 'none', 'bars', code=FAILED).err)

    def counter(self, name):
        return json.loads(self.run_varve('stats', 's', '--json').out)[name]

    def test_a_damaged_manifest_copy_is_made_good(self):
        name = self.files('MANIFEST-*')[-1]
        self.assertNotIn('repairs', self.run_varve('stats', 's').out)
        self.assertEqual(self.counter('repairs'), 0)
        self.damage(name, 4096 + 17)
        result = self.run_varve('dump', 'manifest', name, code=CORRUPT)
        self.assertIn('snapshot', result.err)
        self.assertIn('snapshot, version', result.out)
        self.run_varve('scan', 's', 'bars', '--agg', 'count')
        self.assertRegex(self.run_varve('stats', 's').out,
                         '(?m)^  repairs +1, of damage that was made good: see varve verify$')
        self.assertEqual(self.counter('repairs'), 1)
        self.run_varve('verify', 's', code=CORRUPT)

    def test_any_byte_of_any_file_may_be_wrong(self):
        """Nothing crashes or hangs; what is printed with exit code 0 is what was stored."""
        good = self.run_varve('scan', 's', 'bars', '--agg', 'count,sum(volume)').out
        for f in self.files('*.wal') + self.files('MANIFEST-*'):
            data = open(self.path(f), 'rb').read()
            for i in range(6):
                self.damage(f, (i * 7919 * 4099 + 31) % min(len(data), 1 << 19))
                result = self.run_varve('scan', 's', 'bars', '--agg', 'count,sum(volume)',
                                        code=None)
                if result.code == OK:
                    self.assertEqual(result.out, good)
                kind = 'wal' if f.endswith('.wal') else 'manifest'
                self.run_varve('dump', kind, f, code=None)
                with open(self.path(f), 'wb') as out:
                    out.write(data)


class Newer(CliCase):
    """Files that a newer version wrote: said clearly, exit code 3, not taken for damage."""

    COMMANDS = (['scan', 's', 'readings'], ['stats', 's'], ['verify', 's'],
                ['create', 's', 'CREATE TABLE u (k int, ts timestamp, PRIMARY KEY ((k), ts))'])

    def setUp(self):
        super().setUp()
        self.make_readings()

    def make_newer(self, pattern, kind):
        files = glob.glob(self.path('s/' + pattern))
        codes = [subprocess.run([cli_case.NEWER, f, str(kind)], check=False).returncode
                 for f in files]
        self.assertIn(0, codes) # a segment of the log that was made ahead is none yet

    def test_manifest_and_log(self):
        for pattern in ('*.wal', 'MANIFEST-*'):
            with self.subTest(pattern=pattern):
                self.make_newer(pattern, 1)
                for command in self.COMMANDS:
                    result = self.run_varve(*command, code=FAILED)
                    self.assertIn('newer', result.err)
                    self.assertIn(pattern.replace('*', ''), result.err)

    def test_sstable(self):
        self.flush('s')
        self.make_newer('*.sst', 0)
        result = self.run_varve('scan', 's', 'readings', code=FAILED)
        self.assertIn('newer', result.err)
        self.assertIn('.sst', result.err)
        result = self.run_varve('dump', 'sst', glob.glob(self.path('s/*.sst'))[0], code=FAILED)
        self.assertIn('newer', result.err)

    def test_what_only_writers_must_know(self):
        self.make_newer('MANIFEST-*', 2)
        self.run_varve('scan', 's', 'readings')
        result = self.run_varve(*self.COMMANDS[3], code=FAILED)
        self.assertIn('newer', result.err)


class Full(CliCase):
    """A table whose rows are in SSTables."""

    ROWS = 200000

    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', 'CREATE TABLE t (k text, ts timestamp, a bigint, b double, '
                       'c text, PRIMARY KEY ((k), ts))')
        feed = subprocess.Popen([PROGRAM, 'import', 's', 't', '-', '--columns', 'k,ts,a,b,c',
                                 '--policy', 'os'], cwd=self.folder, stdin=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        for base in range(0, self.ROWS, 10000):
            feed.stdin.write(''.join(
                f'k{i % 3},{1700000000000 + i},{i * i},{i / 8},text number {i * 2654435761 % 997} {i}\n'
                for i in range(base, base + 10000)).encode())
        _, err = feed.communicate()
        self.assertEqual(feed.returncode, 0, err)
        self.before = self.run_varve('scan', 's', 't').out
        self.flush('s')

    def test_sst(self):
        files = sorted(glob.glob(self.path('s/*.sst')))
        self.assertTrue(files)
        self.assertEqual(self.run_varve('scan', 's', 't').out, self.before)
        rows = 0
        for f in files:
            text = self.run_varve('dump', 'sst', f).out
            rows += int(text.split('  rows        ')[1].split()[0])
            self.assertIn('column a', text)
        self.assertEqual(rows, self.ROWS)
        name = files[0]
        out = self.run_varve('dump', 'sst', name, '--rows').out
        self.assertIn('k,ts,a,b,c,@wt\n"k0",', out)
        self.assertEqual(self.run_varve('scan', 's', 't', '--agg', 'count,sum(a)').out,
                         f'count,sum(a)\n{self.ROWS},{sum(i * i for i in range(self.ROWS))}\n')
        self.run_varve('verify', 's')
        with open(name, 'r+b') as f:
            f.seek(20000)
            byte = f.read(1)
            f.seek(20000)
            f.write(bytes([byte[0] ^ 1]))
        result = self.run_varve('verify', 's', code=CORRUPT)
        self.assertIn(os.path.basename(name), result.err)
        self.assertIn('offset', result.err)
        result = self.run_varve('dump', 'sst', name, code=CORRUPT)
        self.assertIn('row group', result.out)
        result = self.run_varve('scan', 's', 't', '--format', 'none', code=CORRUPT)
        self.assertIn(os.path.basename(name), result.err)


if __name__ == '__main__':
    cli_case.main()
