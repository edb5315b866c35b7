"""varve import: the rejects file overwrites nothing and stops nobody."""

import csv
import os
import subprocess

import cli_case
from cli_case import CliCase, FAILED, OK, READINGS, USAGE

GOOD = 'a,2024-01-01,1\n'
TEXT = 'sensor,ts,value\n' + GOOD + 'a,2024-01-02,bad\n' + 'b,2024-01-03,3\n'


class Rejects(CliCase):
    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', READINGS)
        self.write('in.csv', TEXT)

    def content(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read().decode()

    def load(self, *arguments, code=FAILED, **options):
        return self.run_varve('import', 's', 'readings', *arguments, code=code, **options)

    def count(self):
        out = self.run_varve('scan', 's', 'readings', '--agg', 'count', code=None).out
        return int(out.split()[1])


class NothingIsOverwritten(Rejects):
    def test_an_input_is_not_the_rejects_file(self):
        """By whatever name: a link of either kind, and stdin."""
        os.symlink('in.csv', self.path('soft'))
        os.link(self.path('in.csv'), self.path('hard'))
        self.write('more.csv', TEXT)
        for inputs, name in ((['in.csv'], 'in.csv'), (['in.csv'], './in.csv'), (['in.csv'], 'soft'),
                             (['in.csv'], 'hard'), (['soft'], 'hard'),
                             (['more.csv', 'in.csv'], 'hard')):
            result = self.load(*inputs, '--rejects', name, code=USAGE)
            self.assertIn(f'--rejects {name}: this is the file {inputs[-1]} that is to be imported',
                          result.err)
            self.assertEqual(len(result.err.splitlines()), 1)
        with open(self.path('in.csv'), 'rb') as text:
            process = subprocess.run(
                [cli_case.PROGRAM, 'import', 's', 'readings', '-', '--rejects', 'hard'], stdin=text,
                cwd=self.folder, stderr=subprocess.PIPE, check=False)
        self.assertEqual(process.returncode, USAGE)
        self.assertIn(b'this is the file stdin', process.stderr)
        self.assertEqual(self.content('in.csv'), TEXT)
        self.assertEqual(self.count(), 0)

    def test_an_existing_file_is_left_alone_and_nothing_is_loaded(self):
        self.write('notes', 'precious')
        os.symlink('nowhere', self.path('dangling'))
        os.mkdir(self.path('folder'))
        for name in ('notes', 'dangling', 'folder'):
            result = self.load('in.csv', '--rejects', name, code=USAGE)
            self.assertIn(f'--rejects {name}: this', result.err)
            self.assertEqual(len(result.err.splitlines()), 1)
        self.assertEqual(self.content('notes'), 'precious')
        self.assertFalse(os.path.lexists(self.path('nowhere')))
        self.assertEqual(self.count(), 0)

    def test_the_default_name_gives_way(self):
        self.write('readings.rejects.csv', 'precious')
        self.assertIn('1 rejected record is in readings.rejects.1.csv', self.load('in.csv').err)
        self.assertEqual(self.content('readings.rejects.csv'), 'precious')

    def test_a_file_is_made_only_when_there_is_something_in_it(self):
        self.write('good.csv', 'sensor,ts\na,2024-01-01\n')
        self.load('good.csv', code=OK)
        self.load('good.csv', '--rejects', 'bad.csv', code=OK)
        self.assertEqual(sorted(os.listdir(self.folder)), ['good.csv', 'in.csv', 's'])
        self.load('in.csv', '--rejects', 'bad.csv')
        self.assertEqual(self.content('bad.csv').splitlines()[1].split(',')[:2],
                         ['"in.csv"', '3'])

    def test_a_device_and_a_pipe_may_be_named(self):
        self.load('in.csv', '--rejects', '/dev/null')
        out = self.load('in.csv', '--rejects', '/dev/stdout').out
        self.assertIn('a,2024-01-02,bad', out)
        self.assertTrue(out.startswith('file,line,reason,record\n'))


class ItStopsNobody(Rejects):
    def test_a_place_where_it_cannot_be_made_is_told_before_anything_is_loaded(self):
        self.write('file', '')
        for name in ('absent/bad.csv', 'file/bad.csv', 'x' * 300):
            result = self.load('in.csv', '--rejects', name)
            self.assertIn(f'the rejects file {name} cannot be made: ', result.err)
            self.assertEqual(len(result.err.splitlines()), 1)
        self.assertEqual(self.count(), 0)

    def test_a_working_directory_in_which_none_can_be_made(self):
        store, text = self.path('s'), self.path('in.csv')
        os.mkdir(self.path('gone'))
        process = subprocess.run(['sh', '-c', 'cd gone && rmdir ../gone && exec "$@"', 'sh',
                                  cli_case.PROGRAM, 'import', store, 'readings', text],
                                 cwd=self.folder, stderr=subprocess.PIPE, check=False)
        self.assertEqual(process.returncode, FAILED)
        self.assertIn(b'readings.rejects.csv cannot be made', process.stderr)
        self.assertIn(b'--rejects', process.stderr)
        self.assertEqual(self.count(), 0)

    def test_a_full_disk_costs_rejects_and_no_rows(self):
        if not os.path.exists('/dev/full'):
            self.skipTest('no /dev/full')
        result = self.load('in.csv', '--rejects', '/dev/full')
        self.assertIn('in.csv: 2 rows loaded, 1 rejected', result.err)
        self.assertIn('0 of 1 rejected records are in /dev/full; the first that is missing is '
                      'in.csv, line 3', result.err)
        self.assertEqual(self.count(), 2)

    def test_what_is_in_it_ends_with_a_whole_record(self):
        """A limit on the size of files stands for a full disk."""
        n = 20000
        text = 'sensor,ts,value\n' + ''.join(
            f'a,{i},{i:01000d}bad\n' if i % 2 else f'a,{i},1\n' for i in range(n))
        self.write('many.csv', text)
        process = subprocess.run(
            ['prlimit', '--fsize=5000000', cli_case.PROGRAM, 'import', 's', 'readings', 'many.csv',
             '--rejects', 'bad.csv', '--flush', 'no', '--time-unit', 'ms'],
            cwd=self.folder, stderr=subprocess.PIPE, check=False)
        err = process.stderr.decode()
        self.assertEqual(process.returncode, FAILED, err)
        with open(self.path('bad.csv'), newline='', encoding='utf-8') as bad:
            rejects = list(csv.reader(bad))[1:]
        self.assertTrue(all(len(r) == 4 for r in rejects))
        self.assertEqual([int(r[1]) for r in rejects], [3 + 2 * i for i in range(len(rejects))])
        self.assertGreater(len(rejects), 100)
        self.assertIn(f'{len(rejects)} of {n // 2} rejected records are in bad.csv; the first '
                      f'that is missing is many.csv, line {3 + 2 * len(rejects)}', err)
        self.assertEqual(self.count(), n // 2)


if __name__ == '__main__':
    cli_case.main()
