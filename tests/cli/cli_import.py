"""varve create and import: CSV as it is found, bad rows, mistakes."""

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import unittest

import cli_case
from cli_case import CliCase, READINGS, FAILED, USAGE


class Create(CliCase):
    def test_mistakes_say_where_and_make_no_store(self):
        for text in ('', 'CREATE TABLE', 'CREATE TABLE t (a text)', 'DROP TABLE t',
                     'CREATE TABLE t (a text, ts timestamp, PRIMARY KEY ((a), tz))',
                     "CREATE TABLE t (a text, ts timestamp, PRIMARY KEY ((a), ts)) "
                     "WITH clustering_unit = 'weeks'",
                     'CREATE TABLE t (a texty, ts timestamp, PRIMARY KEY ((a), ts))'):
            result = self.run_varve('create', 's', text, code=USAGE)
            self.assertEqual(len(result.err.splitlines()), 1)
            self.assertFalse(os.path.exists(self.path('s')))

    def test_a_table_that_exists(self):
        self.run_varve('create', 's', READINGS)
        self.run_varve('create', 's', READINGS, code=FAILED)

    def test_arguments(self):
        self.run_varve('create', code=USAGE)
        self.run_varve('create', 's', code=USAGE)
        self.run_varve('create', 's', READINGS, 'more', code=USAGE)


class Forms(CliCase):
    """The same four rows in many spellings."""

    def setUp(self):
        super().setUp()
        self.make_readings()
        self.wanted = self.run_varve('scan', 's', 'readings').out
        self.csv = self.wanted

    def same(self, *arguments, stdin=b''):
        shutil.rmtree(self.path('again'), True)
        self.run_varve('create', 'again', READINGS)
        result = self.run_varve('import', 'again', 'readings', *arguments, stdin=stdin)
        self.assertEqual(self.run_varve('scan', 'again', 'readings').out, self.wanted)
        return result

    def test_crlf_bom_no_last_line_feed_and_blank_lines(self):
        text = self.csv.replace('\n', '\r\n')
        self.same('-', stdin=text)
        self.same('-', stdin=b'\xef\xbb\xbf' + text.encode())
        self.same('-', stdin=self.csv.rstrip('\n'))
        result = self.same('-', stdin=self.csv.replace('\nb', '\n\n\nb'))
        self.assertIn('2 blank lines', result.err)

    def test_delimiters_are_detected(self):
        rows = list(csv.reader(self.csv.splitlines()))
        for delimiter in ';\t|':
            text = '\n'.join(delimiter.join(
                '""' if i == 3 and f == 4 else '"' + v.replace('"', '""') + '"' if '"' in v else v
                for f, v in enumerate(row)) for i, row in enumerate(rows))
            result = self.same('-', stdin=text)
            self.assertIn('delimiter is', result.err)
            self.same('-', '--delimiter', '\\t' if delimiter == '\t' else delimiter, stdin=text)

    def test_compressed_by_content(self):
        data = self.csv.encode()
        self.write('a.csv', gzip.compress(data[:40]) + gzip.compress(data[40:]))
        self.same('a.csv')
        self.same('-', stdin=gzip.compress(data))
        if shutil.which('zstd'):
            packed = subprocess.run(['zstd', '-c'], input=data, stdout=subprocess.PIPE,
                                    check=True).stdout
            self.write('b.dat', packed)
            self.same('b.dat')

    def test_names_in_any_case_and_order(self):
        rows = [r[::-1] for r in csv.reader(self.csv.splitlines())]
        rows[0] = [n.upper() for n in rows[0]]
        text = '\n'.join(','.join('""' if (i, f) == (3, 0) else
                                  '"' + v.replace('"', '""') + '"' if ',' in v else v
                                  for f, v in enumerate(row)) for i, row in enumerate(rows))
        self.same('-', stdin=text)

    def test_columns_by_position(self):
        lines = ['x,' + line for line in self.csv.splitlines()[1:]]
        self.same('-', '--columns', '_,sensor,ts,value,price,note', stdin='\n'.join(lines))
        self.same('-', '--columns', '_,sensor,ts,value,price,note',
                  stdin='x,' + self.csv.splitlines()[0] + '\n' + '\n'.join(lines))

    def test_time_units(self):
        for unit, factor in (('s', 1), ('ms', 1000), ('us', 10**6), ('ns', 10**9)):
            text = self.csv
            for iso, seconds in (('2024-01-01T00:00:00.000Z', 1704067200),
                                 ('2024-01-01T00:30:00.000Z', 1704069000),
                                 ('2024-01-01T01:00:00.000Z', 1704070800),
                                 ('2024-01-01T00:10:00.000Z', 1704067800)):
                text = text.replace(iso, str(seconds * factor))
            result = self.same('-', stdin=text)
            self.assertIn('seconds since 1970', result.err)
            self.same('-', '--time-unit', unit, stdin=text)

    def test_dates_in_other_orders(self):
        self.run_varve('create', 'd', READINGS)
        for text, order, wanted in (('13/2/2024 4:05', None, '2024-02-13T04:05'),
                                    ('2/13/2024 4:05:06', None, '2024-02-13T04:05'),
                                    ('01-02-2024 10:00', None, '2024-02-01T10:00'),
                                    ('1/2/2024', None, '2024-01-02T00:00'),
                                    ('1/2/2024', 'dmy', '2024-02-01T00:00'),
                                    ('01.02.2024 10:00', 'mdy', '2024-01-02T10:00')):
            arguments = ['--date-order', order] if order else []
            self.run_varve('import', 'd', 'readings', '-', *arguments,
                           stdin=f'sensor,ts\n"{text} {order}",{text}\n')
            out = self.run_varve('scan', 'd', 'readings', '--partition', f'{text} {order}').out
            self.assertIn(wanted, out)

    def test_a_time_in_several_columns(self):
        self.run_varve('create', 'd', READINGS)
        text = 'sensor,year,month,day,hour,value\na,2024,2,9,7,1\n'
        self.run_varve('import', 'd', 'readings', '-', stdin=text)
        self.assertIn('2024-02-09T07:00:00', self.run_varve('scan', 'd', 'readings').out)
        self.run_varve('import', 'd', 'readings', '-', '--columns', 'sensor,_,_,_,_,value',
                       '--time-parts', '2,3,4,5', '--header', 'no', stdin='b,2024,12,31,23,1\n')
        self.assertIn('2024-12-31T23:00:00', self.run_varve('scan', 'd', 'readings').out)

    def test_a_part_of_the_time_is_a_field_that_every_record_has(self):
        """With --columns those are its fields, whatever the first record or the header has."""
        self.run_varve('create', 'd', READINGS)
        rows = 'a,1.0,2024,1,2\nb,2.0\n'
        for text, arguments in ((rows, ['--header', 'no', '--time-parts', '3,4,5']),
                                ('s,v,year,month,day\n' + rows, ['--header', 'yes', '--time-parts',
                                                                 'year,month,day'])):
            err = self.run_varve('import', 'd', 'readings', '-', '--columns', 'sensor,value',
                                 *arguments, stdin=text, code=USAGE).err
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn('--time-parts: field 3 is not among the 2 of --columns; write _', err)
        err = self.run_varve('import', 'd', 'readings', '-', '--header', 'no', '--columns',
                             'sensor,_,_,value', '--time-parts', '2,3,5', stdin=rows,
                             code=USAGE).err
        self.assertIn('--time-parts: field 5 is not among the 4 of --columns', err)
        err = self.run_varve('import', 'd', 'readings', '-', '--time-parts', '2,3,5',
                             stdin='sensor,y,m,d\n', code=USAGE).err
        self.assertIn("there is no field '5' (--time-parts)", err)
        self.run_varve('scan', 'd', 'readings', code=cli_case.NOTHING)

    def test_a_first_record_that_is_short_does_not_decide_which_fields_there_are(self):
        self.run_varve('create', 'd', READINGS)
        err = self.run_varve('import', 'd', 'readings', '-', '--header', 'no', '--columns',
                             'sensor,_,_,_,value', '--time-parts', '2,3,4', '--rejects', 'bad.csv',
                             stdin='total\n"a"x,2024,1,2,1\nb,2024,12,31,1\n', code=FAILED).err
        self.assertIn('1 rows loaded, 2 rejected', err)
        self.assertIn('b,2024-12-31', self.run_varve('scan', 'd', 'readings').out)

    def test_constants(self):
        self.run_varve('create', 'd', READINGS)
        self.run_varve('import', 'd', 'readings', '-', '--set', 'sensor=x', '--set', 'price=1.5',
                       stdin='ts,value\n2024-01-01,1\n')
        self.assertEqual(self.run_varve('scan', 'd', 'readings').out.splitlines()[1],
                         'x,2024-01-01T00:00:00.000Z,1,1.50,')

    def test_nulls(self):
        self.run_varve('create', 'd', READINGS)
        text = ('sensor,ts,value,note\na,2024-01-01,NA,NA\na,2024-01-02,"NA","NA"\n'
                'a,2024-01-03, ,-\n')
        result = self.run_varve('import', 'd', 'readings', '-', stdin=text)
        self.assertIn('4 fields', result.err)
        self.assertEqual([line.split(',', 2)[2] for line in
                          self.run_varve('scan', 'd', 'readings').out.splitlines()[1:]],
                         [',,', ',,"NA"', ',,-'])
        self.run_varve('import', 'd', 'readings', '-', '--null', '-',
                       stdin='sensor,ts,note\nb,2024-01-01,-\nb,2024-01-02,NA\n')
        out = self.run_varve('scan', 'd', 'readings', '--partition', 'b', '--columns', 'ts,note').out
        self.assertEqual([line[25:] for line in out.splitlines()[1:]], ['', '"NA"'])

    def test_several_files_and_an_empty_one(self):
        lines = self.csv.splitlines(True)
        self.write('one.csv', ''.join(lines[:2]))
        self.write('two.csv', lines[0] + ''.join(lines[2:]))
        self.write('empty.csv', '')
        result = self.same('one.csv', 'empty.csv', 'two.csv')
        self.assertIn('all files: 4 rows loaded', result.err)


class Header(CliCase):
    """The names of the first line are columns, all of them: who misspells one loses nothing."""

    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', READINGS)

    def refused(self, text, *arguments):
        result = self.run_varve('import', 's', 'readings', '-', *arguments, stdin=text, code=USAGE)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.run_varve('scan', 's', 'readings', code=cli_case.NOTHING)
        return result.err

    def test_a_name_that_is_no_column(self):
        err = self.refused('sensor,ts,valeu,price\na,2024-01-01,1,2\n')
        self.assertIn("stdin: table readings has no column 'valeu'", err)
        self.assertIn('its columns are sensor, ts, value, price, note', err)
        self.assertIn("--columns 'sensor,ts,_,price'", err)
        self.refused('sensor,ts,valeu,price\n') # also without a row

    def test_the_way_out_that_it_names(self):
        text = 'id,sensor,year,month,day,hour,value,more\n1,a,2024,2,9,7,1,x\n'
        err = self.refused(text)
        self.assertIn("no column 'id', 'more'", err)
        way = re.search(r"--columns '([^']*)' --time-parts ([0-9,]*)$", err)
        self.run_varve('import', 's', 'readings', '-', '--columns', way.group(1), '--time-parts',
                       way.group(2), stdin=text)
        self.assertEqual(self.run_varve('scan', 's', 'readings').out.splitlines()[1],
                         'a,2024-02-09T07:00:00.000Z,1,,')

    def test_a_field_without_a_name(self):
        err = self.refused(',sensor,ts\n0,a,2024-01-01\n')
        self.assertIn("no column ''", err)
        self.assertIn("--columns '_,sensor,ts'", err)

    def test_a_file_without_a_header(self):
        err = self.refused('a,2024-01-01,1\nb,2024-01-01,2\n')
        self.assertIn('the first line names no column of table readings', err)
        self.assertIn('if it is no header', err)

    def test_set_does_not_hide_a_misspelt_name(self):
        self.refused('sensor,ts,valeu\na,2024-01-01,1\n', '--set', 'price=1')
        result = self.run_varve('import', 's', 'readings', '-', '--set', 'price=1',
                                stdin='sensor,ts,price\na,2024-01-01,7\n')
        self.assertIn('the value of --set is taken', result.err)

    def test_the_last_of_several_files(self):
        self.write('one.csv', 'sensor,ts\na,2024-01-01\n')
        self.write('two.csv', 'sensor,ts,valeu\nb,2024-01-01,1\n')
        result = self.run_varve('import', 's', 'readings', 'one.csv', 'two.csv', code=USAGE)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.run_varve('import', 's', 'readings', 'one.csv', 'absent.csv', code=FAILED)
        self.run_varve('scan', 's', 'readings', code=cli_case.NOTHING)
        result = self.run_varve('import', 's', 'readings', 'one.csv', '-', 'one.csv',
                                stdin='sensor,ts\nc,2024-01-01\n') # stdin is read once
        self.assertIn('all files: 3 rows loaded', result.err)

    def test_long_and_hostile_names(self):
        err = self.refused('sensor,ts,' + 'x' * 5000 + ',\x1b[31m' + ',y' * 500 + '\n')
        self.assertLess(len(err), 2200)
        self.assertNotIn('\x1b', err)

    def test_names_that_differ_in_case_only(self):
        table = ('CREATE TABLE t (k text, ts timestamp, "A" int, a int, "Ab" int, "aB" int, '
                 '" x" int, "q""q" int, PRIMARY KEY ((k), ts))')
        for store in ('one', 'two', 'three'):
            self.run_varve('create', store, table)
        self.run_varve('import', 'one', 't', '-', stdin='k,ts,a,A,aB,Ab, x,"q""q"\n'
                       'k,2024-01-01,1,2,3,4,5,6\n')
        out = self.run_varve('scan', 'one', 't').out
        self.assertEqual(out.splitlines()[1], 'k,2024-01-01T00:00:00.000Z,2,1,4,3,5,6')
        self.run_varve('import', 'two', 't', '-', stdin=out)
        self.assertEqual(self.run_varve('scan', 'two', 't').out, out)
        result = self.run_varve('import', 'three', 't', '-', stdin='k,ts,AB\nk,2024-01-01,1\n',
                                code=USAGE)
        self.assertIn("'AB' could be two columns", result.err)
        # In an option a name is understood as scan's --columns does: folded unless it is quoted.
        self.run_varve('import', 'three', 't', '-', '--columns', 'K,ts,A,"A","q""q"," x","aB"',
                       '--set', '"Ab"=4', stdin='k,2024-01-01,1,2,6,5,3\n')
        self.assertEqual(self.run_varve('scan', 'three', 't').out, out)
        err = self.run_varve('import', 'three', 't', '-', stdin='k,ts,a,a\n', code=USAGE).err
        self.assertIn('column a is given twice', err)


class Flush(CliCase):
    """--flush: rows stay in memory and log, or go to files."""

    def in_files(self, rows, *arguments):
        shutil.rmtree(self.path('s'), True)
        self.run_varve('create', 's', READINGS)
        text = 'sensor,ts\n' + ''.join(f'a,{i}\n' for i in range(rows))
        self.run_varve('import', 's', 'readings', '-', *arguments, stdin=text)
        self.assertEqual(self.run_varve('scan', 's', 'readings', '--agg', 'count').out,
                         f'count\n{rows}\n')
        return json.loads(self.run_varve('stats', 's', '--json').out)['file_rows']

    def test_when(self):
        self.assertEqual(self.in_files(10), 0)
        self.assertEqual(self.in_files(10, '--flush', 'yes'), 10)
        self.assertEqual(self.in_files(100000), 100000)
        self.assertEqual(self.in_files(100000, '--flush', 'no'), 0)

    def test_also_when_rows_were_rejected(self):
        self.run_varve('create', 's', READINGS)
        self.run_varve('import', 's', 'readings', '-', '--flush', 'yes', '--rejects', 'bad.csv',
                       stdin='sensor,ts\na,1\na,x\n', code=FAILED)
        stats = json.loads(self.run_varve('stats', 's', '--json').out)
        self.assertEqual(stats['file_rows'], 1)

    def test_mistakes(self):
        self.run_varve('create', 's', READINGS)
        result = self.run_varve('import', 's', 'readings', '-', '--flush', 'maybe', code=USAGE)
        self.assertIn('--flush is auto, yes or no', result.err)


class InFlight(CliCase):
    """Several commits on their way at once."""

    def test_the_last_row_of_a_key_wins_over_many_commits(self):
        self.run_varve('create', 's', READINGS)
        text = 'sensor,ts,value\n' + ''.join(f'a,{i % 7},{i}\n' for i in range(300000))
        self.run_varve('import', 's', 'readings', '-', stdin=text)
        out = self.run_varve('scan', 's', 'readings', '--columns', 'value').out.split()[1:]
        last = {i % 7: i for i in range(300000)}
        self.assertEqual([float(v) for v in out], [float(last[i]) for i in range(7)])

    def test_a_limit_on_the_file_size_stops_and_counts_what_is_durable(self):
        """The log cannot grow: what was said to be loaded is there."""
        self.run_varve('create', 's', READINGS)
        text = 'sensor,ts,note\n' + ''.join(f'a,{i},{i:0300d}\n' for i in range(150000))
        self.write('data.csv', text)
        process = subprocess.run(
            ['prlimit', '--fsize=10000000', cli_case.PROGRAM, 'import', 's', 'readings',
             'data.csv'], cwd=self.folder, stderr=subprocess.PIPE, check=False)
        err = process.stderr.decode()
        self.assertEqual(process.returncode, FAILED, err)
        found = re.search(r'data.csv: (\d+) rows loaded', err)
        loaded = int(found.group(1)) if found else 0
        out = self.run_varve('scan', 's', 'readings', '--agg', 'count', code=None).out
        self.assertGreaterEqual(int(out.split()[1]) if out else 0, loaded)


class Rejects(CliCase):
    def setUp(self):
        super().setUp()
        self.run_varve('create', 's', READINGS)

    def load(self, data, *arguments, code=FAILED):
        """The rejects as (line, reason) and the rows that were loaded."""
        self.run_varve('import', 's', 'readings', '-', '--rejects', 'bad.csv', *arguments,
                       stdin=data, code=code)
        with open(self.path('bad.csv'), newline='', encoding='utf-8',
                  errors='surrogateescape') as bad:
            rejects = list(csv.reader(bad))[1:]
        self.records = [r[3] for r in rejects]
        out = self.run_varve('scan', 's', 'readings', '--columns', 'sensor', code=None).out
        return [(int(r[1]), r[2]) for r in rejects], out.split()[1:]

    def test_each_kind_of_bad_row(self):
        rejects, rows = self.load(
            b'sensor,ts,value,price,note\n'
            b'a,2024-01-01,1,1,x\n'                            # 2, good
            b'a,2024-01-02,one,1,x\n'                          # 3
            b'a,2024-01-03,1,1.234,x\n'                        # 4
            b'a,2024-01-04,1,1\n'                              # 5
            b'a,2024-01-05,1,1,x,y\n'                          # 6
            b'a,2024-01-06,1,1,\xff\xfe\n'                     # 7
            b'a,2024-02-30,1,1,x\n'                            # 8
            b'a,99999999999999999999,1,1,x\n'                  # 9
            b',2024-01-07,1,1,x\n'                             # 10
            b'a,,1,1,x\n'                                      # 11
            b'a,2024-01-08,1,1,"x"y\n'                         # 12
            b'b,2024-01-09,1,1,"two\nlines"\n'                 # 13 and 14, good
            b'a,2024-01-10,1,1,"never closed\n'                # 15
            b'c,2024-01-11,1,1,x\n')                           # 16, good
        self.assertEqual([line for line, _ in rejects], [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15])
        self.assertEqual(rows, ['a', 'b', 'c'])
        reasons = [reason for _, reason in rejects]
        for reason, word in zip(reasons, ['value', 'price', 'too few fields: 4 instead of 5',
                                          'too many fields: 6', 'note', 'ts', 'ts', 'sensor', 'ts',
                                          'quote', 'quote']):
            self.assertIn(word, reason)
        self.assertTrue(reasons[0].endswith(": 'one'"), reasons[0])
        self.assertEqual(self.records[0], 'a,2024-01-02,one,1,x')

    def test_finer_than_the_table(self):
        rejects, rows = self.load('sensor,ts\na,1704067200000000001\nb,1704067200001000000\n')
        self.assertEqual(rows, ['b'])
        self.assertIn('finer', rejects[0][1])

    def test_duplicates_of_an_error_table(self):
        self.run_varve('create', 's', READINGS.replace('readings', 'once') +
                       " WITH duplicates = 'error'")
        rows = ''.join(f'a,2024-01-01T00:{i % 60:02}:{i // 60 % 60:02}Z,{i}\n'
                       for i in list(range(2000)) + list(range(0, 2000, 3)) + list(range(2000, 2100)))
        result = self.run_varve('import', 's', 'once', '-', stdin='sensor,ts,value\n' + rows,
                                code=FAILED)
        self.assertIn('2100 rows loaded, 667 rejected', result.err)
        with open(self.path('once.rejects.csv'), newline='', encoding='utf-8') as bad:
            lines = [int(r[1]) for r in list(csv.reader(bad))[1:]]
        self.assertEqual(lines, list(range(2002, 2002 + 667)))
        # All of it again: nothing new, every row named, in a file of its own.
        result = self.run_varve('import', 's', 'once', '-', stdin='sensor,ts,value\n' + rows,
                                code=FAILED)
        self.assertIn('0 rows loaded, 2767 rejected', result.err)
        self.assertTrue(os.path.exists(self.path('once.rejects.1.csv')))
        self.assertEqual(self.run_varve('scan', 's', 'once', '--agg', 'count').out, 'count\n2100\n')

    def test_damaged_compressed_files(self):
        data = gzip.compress(('sensor,ts\n' + 'a,2024-01-01\n' * 1000).encode())
        for broken in (data[:-20], data[:60] + b'\x00\x01\x02' + data[63:]):
            self.write('broken.gz', broken)
            result = self.run_varve('import', 's', 'readings', 'broken.gz', code=FAILED)
            self.assertIn('gzip', result.err + 'gzip' * ('too early' in result.err))

    def test_mistakes(self):
        text = 'sensor,ts,value\na,2024-01-01,1\n'
        for arguments in (['--columns', 'sensor,nothing'], ['--columns', 'sensor,sensor,ts'],
                          ['--columns', 'sensor,_,value'], ['--set', 'nothing=1'], ['--set', 'value'],
                          ['--set', 'value=x'], ['--time-unit', 'h'], ['--header', 'no'],
                          ['--header', 'perhaps'], ['--delimiter', ',,'], ['--delimiter', '"'],
                          ['--policy', 'never'], ['--date-order', 'ymd'],
                          ['--time-parts', 'year,month']):
            result = self.run_varve('import', 's', 'readings', '-', *arguments, stdin=text,
                                    code=USAGE)
            self.assertEqual(len(result.err.splitlines()), 1, (arguments, result.err))
        self.run_varve('import', 's', 'nothing', '-', stdin=text, code=USAGE)
        self.run_varve('import', 's', 'readings', '-', stdin='x,y\n1,2\n', code=USAGE)
        self.run_varve('import', 's', 'readings', 'absent.csv', code=FAILED)
        self.run_varve('import', 'absent', 'readings', '-', stdin=text, code=FAILED)
        self.run_varve('scan', 's', 'readings', code=cli_case.NOTHING)

    def test_hostile_files_end_soon(self):
        for data in (b'\x00' * 100000, b'"' * 99999, b'sensor,ts\n' + b'"a\n' * 50000,
                     b'sensor,ts\n' + b',' * 100000, b'\xff' * 5000, b'sensor,ts\n"' + b'x' * 300000,
                     b'sensor,ts\r', b'\x1f\x8b', b'\x28\xb5\x2f\xfd\x00\x00', b'\n' * 1000,
                     b'sensor;ts\n' + b'"";"' * 20000, b'sensor,ts\n' + b'x","\n' * 300000):
            self.run_varve('import', 's', 'readings', '-', '--rejects', '/dev/null', stdin=data,
                           code=None)


class Policies(CliCase):
    def test_each(self):
        self.run_varve('create', 's', READINGS)
        for i, policy in enumerate(('durable_each', 'durable_group', 'interval', 'os')):
            self.run_varve('import', 's', 'readings', '-', '--policy', policy,
                           stdin=f'sensor,ts\n{policy},2024-01-01\n')
            out = self.run_varve('scan', 's', 'readings', '--agg', 'count').out
            self.assertEqual(out, f'count\n{i + 1}\n')


class Numbers(CliCase):
    """Fast parsing gives what the library's parsing gives: --where goes through the latter."""

    TEXTS = ['0', '-0', '1', '-1', '0.1', '-0.5', '.5', '5.', '1e5', '1.5E-3', '123456789012345678',
             '9007199254740993', '0.30000000000000004', '16541.77000000', '1000000.00', '00012.50',
             '4.35', '2.675', '1.005', '179769313486231570000', '-99999.99', '+3.25']

    def test_agree(self):
        self.run_varve('create', 's', 'CREATE TABLE n (k text, ts bigint, d double, f float, '
                       'c decimal(18,8), b decimal, PRIMARY KEY ((k), ts))')
        for column in 'dfcb':
            text = ''.join(f'{column},{i},{value}\n' for i, value in enumerate(self.TEXTS))
            self.run_varve('import', 's', 'n', '-', '--rejects', '/dev/null', '--columns',
                           f'k,ts,{column}', stdin=text, code=None)
            loaded = [int(line) for line in self.run_varve(
                'scan', 's', 'n', '--partition', column, '--columns', 'ts').out.split()[1:]]
            for i, value in enumerate(self.TEXTS):
                result = self.run_varve('scan', 's', 'n', '--partition', column, '--where',
                                        f'{column} = {value}', '--columns', 'ts', code=None)
                if i in loaded:
                    self.assertIn(str(i), result.out.split()[1:], (column, value))
                else:
                    self.assertEqual(result.code, USAGE, (column, value, result.err))


if __name__ == '__main__':
    cli_case.main()
