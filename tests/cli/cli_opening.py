"""How commands open stores: --memory, --salvage and --wal-tail, and what is said of a store that a
crash or the disk has harmed."""

import glob
import json
import os
import subprocess

import cli_case
from cli_case import CliCase, CORRUPT, FAILED, OK, USAGE

PAGE = 4096
READING = (['scan', 's', 't', '--agg', 'count'], ['stats', 's'])
WRITING = (['import', 's', 't', '-', '--columns', 'k,ts,v'], ['flush', 's'],
           ['create', 's', 'CREATE TABLE u (k int, ts timestamp, PRIMARY KEY ((k), ts))'],
           ['drop', 's', 't'])


class Opening(CliCase):
    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', "CREATE TABLE t (k int, ts timestamp, v bigint, "
                       "PRIMARY KEY ((k), ts)) WITH duplicates = 'keep'")

    def rows(self, k, n):
        return ''.join(f'{k},{i},{i * 7919 % 1000003}\n' for i in range(n))

    def load(self, k, n, *options):
        self.run_varve('import', 's', 't', '-', '--columns', 'k,ts,v', '--flush', 'no', *options,
                       stdin=self.rows(k, n))

    def count(self, *options, code=OK):
        result = self.run_varve('scan', 's', 't', '--agg', 'count', *options, code=code)
        return int(result.out.split()[1]), result.err

    def load_and_die(self, commits, rows):
        """Commits of the policy os, and no close: nothing proves them durable."""
        subprocess.run([os.environ['VARVE_DIES'], 's', str(commits), str(rows)], cwd=self.folder,
                       check=True)

    def log(self):
        """The segment with most in it, and the number of its last page that is not zero."""
        used = {}
        for name in glob.glob(self.path('s/*.wal')):
            used[name] = len(self.bytes_of(name).rstrip(b'\0'))
        name = max(used, key=used.get)
        return os.path.relpath(name, self.folder), (used[name] - 1) // PAGE

    def bytes_of(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()

    def flip(self, name, offset):
        with open(self.path(name), 'r+b') as f:
            f.seek(offset)
            byte = f.read(1)
            f.seek(offset)
            f.write(bytes([byte[0] ^ 0x10]))

    def zero(self, name, offset, size=512):
        with open(self.path(name), 'r+b') as f:
            f.seek(offset)
            f.write(bytes(size))

    def content(self):
        return {name: self.bytes_of(name) for name in glob.glob(self.path('s/*'))}


class Memory(Opening):
    def test_nonsense_is_refused(self):
        for value in ('', '512', 'GiB', '1.5GiB', '-1GiB', '4MiB', '8191KiB', '1GB', '1 GiB',
                      '99999999999999999999GiB', '9999999999TiB', '1GiBx'):
            for command in READING + WRITING + (['verify', 's'], ['demo', 'd']):
                result = self.run_varve(*command, '--memory', value, code=USAGE)
                self.assertIn('--memory wants a size such as 512MiB or 2GiB', result.err)
        self.run_varve('stats', 's', '--memory=64MiB', '--memory=64MiB', code=USAGE)

    def limit(self, *options):
        return json.loads(self.run_varve('stats', 's', '--json', *options).out)['memory_limit']

    def test_the_limit_of_a_reader_follows_the_machine(self):
        machine = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        self.assertEqual(self.limit(), max(machine // 4, 256 << 20))
        for text, size in (('8MiB', 8 << 20), ('8192kib', 8 << 20), ('2GiB', 2 << 30),
                           ('1TiB', 1 << 40)):
            self.assertEqual(self.limit('--memory', text), size)

    def test_rows_that_do_not_fit_name_the_option(self):
        for k in range(5):
            self.load(k, 100000, '--memory', '512MiB')
        for command in READING + (['verify', 's'],):
            result = self.run_varve(*command, '--memory', '8MiB', code=FAILED)
            self.assertIn('memory_limit of 8192 KiB reached', result.err)
            self.assertIn('--memory SIZE', result.err)
            self.assertNotIn('memtables 0 KiB', result.err)
            self.run_varve(*command)
        # Who writes can always take it, and then readers need little.
        self.run_varve('flush', 's', '--memory', '8MiB')
        self.assertEqual(self.count('--memory', '8MiB')[0], 500000)


class LittleMemory(Opening):
    def test_an_import_rejects_no_row_for_want_of_it(self):
        """What cannot be held at all ends it; whatever fits in twice the least memory is loaded."""
        self.run_varve('create', 's', 'CREATE TABLE u (k int, ts timestamp, n text, '
                       'PRIMARY KEY ((k), ts))')
        for width, rows, memory, code in ((100, 60000, '16MiB', OK), (1500000, 20, '8MiB', FAILED),
                                          (1500000, 20, '64MiB', OK)):
            text = ''.join(f'{i % 7},{i},{str(i) * (width // len(str(i)))}\n' for i in range(rows))
            result = self.run_varve('import', 's', 'u', '-', '--columns', 'k,ts,n', '--memory', memory,
                                    '--flush', 'no', stdin=text, code=code)
            self.assertEqual(glob.glob(self.path('*.rejects*')), [])
            if code == OK:
                self.assertIn(f'{rows} rows loaded, 0 rejected', result.err)
            else:
                self.assertIn('memory_limit', result.err)
                self.assertIn('(--memory SIZE)', result.err)


class Cut(Opening):
    WORDS = ('was not known to be durable; unless the disk lost what it had confirmed, no commit of '
             'durable_each or durable_group is in it, but of interval and os some may be')

    def setUp(self):
        super().setUp()
        self.load(1, 100)
        self.load_and_die(6, 1000)
        self.name, self.last = self.log()
        self.zero(self.name, self.last * PAGE)

    def test_whoever_looks_is_told(self):
        before = self.content()
        for command in READING + (['verify', 's'],):
            result = self.run_varve(*command)
            warnings = [line for line in result.err.splitlines() if 'warning' in line]
            self.assertEqual(len(warnings), 1, result.err)
            self.assertIn(f'would be cut away: it {self.WORDS}', warnings[0])
            self.assertRegex(warnings[0],
                             rf'log range \d+ to \d+, in {os.path.basename(self.name)}$')
        self.assertEqual(self.content(), before)
        text = self.run_varve('stats', 's').out
        self.assertRegex(text, r'to be cut away +log range \d+ to \d+ in \w+\.wal')
        self.assertNotIn('never acknowledged', text)

    def test_whoever_cuts_says_so_and_the_original_stays(self):
        original = self.bytes_of(self.name)
        kept = self.count()[0]
        result = self.run_varve('create', 's', 'CREATE TABLE u (k int, ts timestamp, '
                                'PRIMARY KEY ((k), ts))')
        self.assertIn(f'was cut away: it {self.WORDS}', result.err)
        self.assertRegex(result.err, rf'kept aside in {os.path.basename(self.name)}\n$')
        self.assertEqual(len(result.err.splitlines()), 1)
        count, err = self.count() # it is over, and told by stats alone
        self.assertEqual((count, err), (kept, ''))
        self.assertRegex(self.run_varve('stats', 's').out,
                         r'cut away earlier +log range \d+ to \d+, kept aside in \w+\.wal')
        finding = json.loads(self.run_varve('stats', 's', '--json').out)['findings'][0]
        self.assertEqual((finding['kind'], finding['file']),
                         ('kept', os.path.basename(self.name)))
        manifest = max(glob.glob(self.path('s/MANIFEST-*')))
        self.assertIn(f'kept aside {os.path.basename(self.name)}',
                      self.run_varve('dump', 'manifest', manifest).out)
        self.run_varve('flush', 's')
        self.assertEqual(self.bytes_of(self.name), original)
        self.run_varve('flush', 's') # the log before the cut is in files now
        self.assertFalse(os.path.exists(self.path(self.name)))
        self.assertNotIn('kept aside', self.run_varve('stats', 's').out)
        self.assertEqual(self.count()[0], kept)

    def test_every_command_that_writes_says_so(self):
        before = self.content()
        for command in WRITING:
            for name in glob.glob(self.path('s/*')):
                os.remove(name)
            for name, data in before.items():
                with open(name, 'wb') as f:
                    f.write(data)
            result = self.run_varve(*command, stdin='9,9,9\n')
            self.assertIn('varve: warning: s: the end of the log was cut away', result.err, command)


class Salvage(Opening):
    def setUp(self):
        super().setUp()
        self.load(1, 1000)
        self.flush('s')
        self.load(2, 500)
        for _ in range(8):
            self.load(3, 5000)
        self.name, last = self.log()
        self.assertGreater(last, 4)
        self.page = last // 2
        self.flip(self.name, self.page * PAGE + 99)

    def test_without_it_the_store_is_refused_and_the_way_out_is_named(self):
        before = self.content()
        for command in READING + WRITING:
            result = self.run_varve(*command, code=CORRUPT)
            self.assertIn(f'{os.path.basename(self.name)}, offset {self.page * PAGE}', result.err)
            self.assertIn('scan and stats with --salvage show its table files and its log up to',
                          result.err)
            self.assertNotIn('--wal-tail', result.err) # it would not help
            if command in WRITING:
                self.run_varve(*command, '--wal-tail', 'cut', code=CORRUPT)
                self.run_varve(*command, '--salvage', code=USAGE)
        self.assertEqual(self.content(), before)

    def test_with_it_what_is_whole_is_shown_and_what_is_missing_is_named(self):
        before = self.content()
        rows, err = self.count('--salvage', code=CORRUPT)
        self.assertGreaterEqual(rows, 1500)
        self.assertLess(rows, 41500)
        self.assertRegex(err, rf'warning: s: missing: .*{os.path.basename(self.name)}, offset '
                         rf'{self.page * PAGE}\), log range \d+ to \d+, page {self.page}\n')
        out = self.run_varve('scan', 's', 't', '--partition', '1', '--salvage', '--columns', 'v',
                             '--format', 'csv', code=CORRUPT).out
        self.assertEqual(out.split()[1:],
                         [line.split(',')[2] for line in self.rows(1, 1000).split()])
        result = self.run_varve('stats', 's', '--salvage', code=CORRUPT)
        self.assertIn('warning: s: missing:', result.err)
        self.assertRegex(result.out, r'missing +the log from \d+ on')
        stats = json.loads(self.run_varve('stats', 's', '--salvage', '--json', code=CORRUPT).out)
        self.assertEqual(stats['findings'][0]['kind'], 'missing')
        self.assertEqual(stats['findings'][0]['offset'], self.page * PAGE)
        self.assertEqual(self.content(), before)

    def test_verify_names_all_that_is_wrong(self):
        table = os.path.relpath(glob.glob(self.path('s/*.sst'))[0], self.folder)
        manifest = os.path.relpath(max(glob.glob(self.path('s/MANIFEST-*'))), self.folder)
        self.flip(self.name, (self.page + 1) * PAGE + 99)
        self.flip(table, 700)
        self.flip(manifest, 5000)
        err = self.run_varve('verify', 's', code=CORRUPT).err
        self.assertIn(f'{os.path.basename(self.name)}, offset {self.page * PAGE}', err)
        self.assertIn(f'{os.path.basename(self.name)}, offset {(self.page + 1) * PAGE}', err)
        self.assertIn(os.path.basename(table), err)
        self.assertIn(f'{os.path.basename(manifest)}, offset 4096', err)
        self.assertRegex(err, r'(?m)^varve: \d+ problems found$')

    def test_a_page_that_cannot_be_read_is_one_that_is_missing(self):
        self.flip(self.name, self.page * PAGE + 99) # sound again
        lost = {'DISK_FAILS_READ': f'{os.path.basename(self.name)}:{self.page * PAGE + 700}'}
        place = f'{os.path.basename(self.name)}, offset {self.page * PAGE}'
        before = self.content()
        for command in READING + WRITING:
            result = self.run_varve(*command, code=FAILED, disk_fails=lost)
            self.assertIn(f'cannot read: Input/output error ({place})', result.err)
            self.assertIn('scan and stats with --salvage show its table files and its log up to',
                          result.err)
            self.assertNotIn('--wal-tail', result.err)
        result = self.run_varve('scan', 's', 't', '--agg', 'count', '--salvage', code=CORRUPT,
                                disk_fails=lost)
        self.assertGreaterEqual(int(result.out.split()[1]), 1500)
        self.assertLess(int(result.out.split()[1]), 41500)
        self.assertRegex(result.err, rf'missing: .*cannot be read: Input/output error \({place}\), '
                         rf'log range \d+ to \d+, page {self.page}\n')
        self.run_varve('stats', 's', '--salvage', code=CORRUPT, disk_fails=lost)
        result = self.run_varve('verify', 's', code=CORRUPT, disk_fails=lost)
        self.assertIn(place, result.err)
        self.assertIn('1 problem found', result.err)
        self.assertEqual(self.content(), before)
        self.assertEqual(self.count(), (41500, '')) # and the disk may give it back yet

    def test_on_a_sound_store_it_changes_nothing(self):
        self.flip(self.name, self.page * PAGE + 99)
        self.assertEqual(self.count('--salvage'), (41500, ''))
        self.assertEqual(self.count(), (41500, ''))


class DamagedTable(Opening):
    def test_json_of_a_part_of_the_rows_is_no_document(self):
        self.load(1, 20000)
        self.load(2, 20000)
        self.run_varve('flush', 's')
        table = os.path.relpath(glob.glob(self.path('s/*.sst'))[0], self.folder)
        whole = self.run_varve('scan', 's', 't', '--format', 'json').out
        self.assertEqual(len(json.loads(whole)), 40000)
        cut = 0
        for offset in range(8192, len(self.bytes_of(table)) - 8192, 4096 + 512):
            self.flip(table, offset)
            result = self.run_varve('scan', 's', 't', '--format', 'json', code=None)
            if result.code == CORRUPT:
                with self.assertRaises(ValueError):
                    json.loads(result.out)
                self.assertTrue(whole.startswith(result.out.rstrip('\n')))
                cut += '}' in result.out
                lines = self.run_varve('scan', 's', 't', '--format', 'jsonl', code=CORRUPT).out
                self.assertTrue(all(json.loads(line) for line in lines.splitlines()))
                self.assertEqual(lines[-1:], '\n' if lines else '')
            self.flip(table, offset)
        self.assertGreater(cut, 2)


class LastSync(Opening):
    """What closes the store cannot tell: the command makes sure before."""

    def test_a_failure_is_told(self):
        for policy in ('os', 'interval'):
            for flush in ('no', 'auto', 'yes'):
                self.write('rows', self.rows(1, 1000))
                result = self.run_varve('import', 's', 't', 'rows', '-', '--columns', 'k,ts,v',
                                        '--policy', policy, '--flush', flush, code=FAILED,
                                        disk_fails={'DISK_FAILS_SYNC': '.wal'})
                self.assertIn('1000 rows loaded, 0 rejected', result.err)
                self.assertRegex(result.err, r'(?m)^varve: what was loaded may not all be on the disk: '
                                 r'.*Input/output error')

    def test_without_one_nothing_is_said(self):
        for policy in ('os', 'interval', 'durable_each', 'durable_group'):
            self.load(1, 1000, '--policy', policy)


class Tail(Opening):
    def setUp(self):
        super().setUp()
        self.load(1, 100)
        self.load_and_die(6, 1000)
        self.name, last = self.log()
        self.flip(self.name, last * PAGE + 4040) # in a trailer: no torn write

    def test_strict_refuses_and_names_the_price_of_cut(self):
        for command in READING + WRITING:
            for strict in ([], ['--wal-tail', 'strict']):
                err = self.run_varve(*command, *strict, code=CORRUPT).err
                self.assertRegex(err, r'--wal-tail cut opens it without log range \d+ to \d+, which '
                                 'may have been acknowledged')
        self.assertIn(os.path.basename(self.name), self.run_varve('verify', 's', code=CORRUPT).err)

    def test_cut_opens_to_read_and_to_write(self):
        before = self.content()
        rows, err = self.count('--wal-tail', 'cut')
        self.assertGreaterEqual(rows, 100)
        self.assertIn('would be cut away: it is damaged, and may have been acknowledged', err)
        self.assertEqual(self.content(), before)
        err = self.run_varve('flush', 's', '--wal-tail=cut').err
        self.assertIn('was cut away: it is damaged, and may have been acknowledged', err)
        self.assertEqual(self.count(), (rows, ''))
        self.assertIn('no problem', self.run_varve('verify', 's').err)

    def test_nonsense_is_refused(self):
        for command in READING + WRITING:
            result = self.run_varve(*command, '--wal-tail', 'short', code=USAGE)
            self.assertIn("--wal-tail is strict or cut, not 'short'", result.err)
        self.run_varve('verify', 's', '--wal-tail', 'cut', code=USAGE)


if __name__ == '__main__':
    cli_case.main()
