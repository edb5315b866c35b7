"""varve scan: formats byte for byte, ranges, conditions, aggregates, exit codes."""

import json
import sqlite3

import cli_case
from cli_case import CliCase, NOTHING, USAGE, FAILED


class Formats(CliCase):
    def setUp(self):
        super().setUp()
        self.make_readings()

    def scan(self, *arguments, code=cli_case.OK):
        return self.run_varve('scan', 's', 'readings', *arguments, code=code).out

    def test_csv_is_the_default_in_a_pipe(self):
        self.assertEqual(self.scan(),
                         'sensor,ts,value,price,note\n'
                         'a,2024-01-01T00:00:00.000Z,1.5,10.25,first\n'
                         'a,2024-01-01T00:30:00.000Z,2.5,,\n'
                         'a,2024-01-01T01:00:00.000Z,,20.00,""\n'
                         'b,2024-01-01T00:10:00.000Z,-0,0.01,"two, with ""quotes"""\n')

    def test_tsv(self):
        self.assertEqual(self.scan('--format', 'tsv', '--columns', 'sensor,price', '--limit', '2'),
                         'sensor\tprice\na\t10.25\na\t\n')

    def test_json_is_one_array(self):
        rows = json.loads(self.scan('--format', 'json'))
        self.assertEqual(len(rows), 4)
        self.assertEqual(rows[0], {'sensor': 'a', 'ts': '2024-01-01T00:00:00.000Z', 'value': 1.5,
                                   'price': 10.25, 'note': 'first'})
        self.assertIsNone(rows[1]['note'])
        self.assertEqual(rows[2]['note'], '')

    def test_jsonl_is_an_object_a_line(self):
        lines = self.scan('--format', 'jsonl').splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(json.loads(lines[3])['note'], 'two, with "quotes"')

    def test_line(self):
        self.assertEqual(self.scan('--format', 'line', '--columns', 'sensor,price', '--limit', '2'),
                         'sensor = a\n price = 10.25\n\nsensor = a\n price = \n')

    def test_markdown(self):
        self.assertEqual(
            self.scan('--format', 'markdown', '--columns', 'sensor,price', '--limit', '1'),
            '| sensor | price |\n| --- | ---: |\n| a | 10.25 |\n')

    def test_table_aligns_numbers_right(self):
        self.assertEqual(
            self.scan('--format', 'table', '--columns', 'sensor,price', '--partition', 'a'),
            'sensor  price\n──────  ─────\na       10.25\na            \na       20.00\n')

    def test_none_prints_nothing(self):
        self.assertEqual(self.scan('--format', 'none'), '')

    def test_formats_of_nothing(self):
        empty = ('--partition', 'nobody')
        self.assertEqual(self.scan(*empty, code=NOTHING), 'sensor,ts,value,price,note\n')
        self.assertEqual(json.loads(self.scan(*empty, '--format', 'json', code=NOTHING)), [])
        self.assertEqual(self.scan(*empty, '--format', 'jsonl', code=NOTHING), '')
        self.assertEqual(self.scan(*empty, '--format', 'line', code=NOTHING), '')

    def test_raw_times(self):
        self.assertEqual(self.scan('--time', 'raw', '--columns', 'ts', '--limit', '1'),
                         'ts\n1704067200000\n')

    def test_wide_and_hostile_text_in_a_table(self):
        self.run_varve('import', 's', 'readings', '-', stdin=(
            'sensor,ts,note\n測,2024-01-02,"漢字"\n測,2024-01-03,"\x1b[31mred\nline"\n'
            '測,2024-01-04,e\u0301 \U0001f600\n'))
        lines = self.scan('--format', 'table', '--columns', 'sensor,note', '--partition',
                          '測').splitlines()
        self.assertEqual(lines[2], '測      漢字')
        self.assertEqual(lines[3], '測      \\x1b[31mred\\nline')
        self.assertEqual(lines[4], '測      e\u0301 \U0001f600')
        self.assertEqual(lines[1], '──────  ' + '─' * 17)


class Questions(CliCase):
    def setUp(self):
        super().setUp()
        self.make_readings()

    def scan(self, *arguments, code=cli_case.OK):
        out = self.run_varve('scan', 's', 'readings', *arguments, code=code).out
        return out.splitlines()[1:]

    def times(self, *arguments, code=cli_case.OK):
        return [line[11:16] for line in self.scan('--columns', 'ts', *arguments, code=code)]

    def test_from_is_inclusive_and_to_exclusive(self):
        self.assertEqual(self.times('--partition', 'a', '--from', '2024-01-01T00:30:00Z', '--to',
                                    '2024-01-01T01:00:00Z'), ['00:30'])
        self.assertEqual(self.times('--from', '1704069000000', '--to', '1704069000001'), ['00:30'])

    def test_reverse_and_limits(self):
        self.assertEqual(self.times('--reverse'), ['00:10', '01:00', '00:30', '00:00'])
        self.assertEqual(self.times('--limit', '2'), ['00:00', '00:30'])
        self.assertEqual(self.times('--limit-per-partition', '1'), ['00:00', '00:10'])

    def test_several_partitions(self):
        self.assertEqual(len(self.times('--partition', 'a', '--partition', 'b')), 4)
        self.assertEqual(len(self.times('--partition', '"a"')), 3)

    def test_a_partition_is_one_record(self):
        """What stands behind a line break is not ignored."""
        for text in ('a\nb', 'a\r\nb\n', '\na\nb', 'a\n"b'):
            err = self.run_varve('scan', 's', 'readings', '--partition', text, code=USAGE).err
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn('a second record behind a line break', err)
        self.assertEqual(len(self.times('--partition', 'a\n')), 3)
        self.run_varve('import', 's', 'readings', '-',
                       stdin='sensor,ts\n"a\nb",2024-01-01T02:00:00Z\n')
        self.assertEqual(self.times('--partition', '"a\nb"'), ['02:00'])

    def test_conditions(self):
        self.assertEqual(self.times('--where', 'value > 1 and price >= 10.25'), ['00:00'])
        self.assertEqual(self.times('--where', "note = 'two, with \"quotes\"'"), ['00:10'])
        self.assertEqual(self.times('--where', "note = ''"), ['01:00'])
        self.assertEqual(self.times('--where', 'value=0.0'), ['00:10'])
        self.assertEqual(self.times('--where', "note != 'first'"), ['01:00', '00:10'])
        self.assertEqual(self.times('--where', 'value < -1', code=NOTHING), [])

    def test_conditions_of_several_options_must_all_hold(self):
        self.assertEqual(self.times('--where', 'value > 1', '--where', "sensor = 'a' and value<2"),
                         ['00:00'])
        self.assertEqual(self.times('--where', 'value <> 1.5', '--where', 'value<>-0.0'), ['00:30'])
        result = self.run_varve('scan', 's', 'readings', '--where', 'value > 1', '--where', 'price',
                                code=USAGE)
        self.assertIn('character 6', result.err)

    def test_aggregates_of_several_options_are_one_list(self):
        self.assertEqual(self.run_varve('scan', 's', 'readings', '--agg', 'count', '--agg',
                                        'sum(price),count(value)').out,
                         'count,sum(price),count(value)\n4,30.26,3\n')

    def test_how_many_aggregates_there_may_be(self):
        most = ','.join(['count', 'sum(value)', 'max(note)'] * 341)
        line = self.scan('--partition', 'a', '--every', '1d', '--by', 'partition', '--agg', most)[0]
        self.assertEqual(line, 'a,2024-01-01T00:00:00.000Z' + ',3,4,first' * 341)
        for n, arguments in ((1024, ['--agg', most + ',count']),
                             (1025, ['--agg', most, '--agg', 'count,count'])):
            err = self.run_varve('scan', 's', 'readings', *arguments, code=USAGE).err
            self.assertIn(f'--agg: at most 1023 aggregates may be given, not {n}', err)

    def test_a_condition_says_what_is_wrong_with_it(self):
        for text, wanted in (('value == 3', "'=' (a single one) expected at '== 3'"),
                             ('value = 3 and', "another condition behind 'and' expected, but it ends"),
                             ('value = 3 and  ', "another condition behind 'and' expected"),
                             ('value = 3 or price = 1', "'and' expected at 'or"),
                             ('value = 3 andy', "'and' expected at 'andy'"),
                             ('value', 'one of = != <> < <= > >= expected')):
            result = self.run_varve('scan', 's', 'readings', '--where', text, code=USAGE)
            self.assertIn(wanted, result.err)
            self.assertEqual(len(result.err.splitlines()), 1)

    def test_an_interval_without_a_unit_is_in_that_of_the_column(self):
        self.run_varve('create', 's', 'CREATE TABLE i (k text, n bigint, PRIMARY KEY ((k), n))')
        self.run_varve('import', 's', 'i', '-', stdin='k,n\na,1\na,2\na,3\n')
        self.assertEqual(self.run_varve('scan', 's', 'i', '--every', '2', '--agg', 'count').out,
                         'bucket,count\n0,1\n2,2\n')
        self.run_varve('scan', 's', 'i', '--every', '2s', '--agg', 'count', code=USAGE)

    def test_aggregates_are_named_as_written(self):
        out = self.run_varve('scan', 's', 'readings', '--every', '1h', '--by', 'partition', '--agg',
                             'count, AVG(value),sum( price ),first(note)').out
        self.assertEqual(out, 'sensor,bucket,count,AVG(value),sum( price ),first(note)\n'
                         'a,2024-01-01T00:00:00.000Z,2,2,10.25,first\n'
                         'a,2024-01-01T01:00:00.000Z,1,,20.00,""\n'
                         'b,2024-01-01T00:00:00.000Z,1,-0,0.01,"two, with ""quotes"""\n')

    def test_an_interval_with_an_origin(self):
        self.assertEqual(self.scan('--every', '1h', '--origin', '2024-01-01T00:30:00Z', '--agg',
                                   'count'),
                         ['2023-12-31T23:30:00.000Z,2', '2024-01-01T00:30:00.000Z,2'])

    def test_of_nothing(self):
        self.assertEqual(self.scan('--partition', 'nobody', '--agg', 'count,sum(value),min(ts)',
                                   code=NOTHING), ['0,,'])
        self.assertEqual(self.scan('--partition', 'nobody', '--agg', 'count', '--by', 'partition',
                                   code=NOTHING), [])

    def test_mistakes_are_one_line_and_exit_code_2(self):
        for arguments in (['--columns', 'nothing'], ['--where', 'value'], ['--where', 'value ~ 1'],
                          ['--where', 'value > x'], ['--where', "note = 'x"],
                          ['--where', 'note = x'], ['--where', 'value > 1 or value < 1'],
                          ['--where', ''], ['--where', 'value > 1 and'],
                          ['--agg', 'median(value)'], ['--agg', 'sum'], ['--agg', 'sum(value'],
                          ['--agg', 'sum(nothing)'], ['--agg', ''],
                          ['--agg', 'count', '--every', '1y'], ['--agg', 'count', '--every', 'h'],
                          ['--agg', 'count', '--every', '0h'], ['--agg', 'count', '--every', '1us'],
                          ['--every', '1h'], ['--by', 'sensor'], ['--by', 'partition'],
                          ['--from', 'yesterday'], ['--to', '2024-13-01'], ['--limit', '-1'],
                          ['--limit', '0'], ['--format', 'xml'], ['--time', 'local'],
                          ['--partition', 'a,b'], ['--partition', '"a'], ['--unknown'],
                          ['--agg', 'count', '--columns', 'ts'],
                          ['--agg', 'sum(note)']):
            result = self.run_varve('scan', 's', 'readings', *arguments, code=USAGE)
            self.assertEqual(len(result.err.splitlines()), 1, arguments)
            self.assertEqual(result.out, '', arguments)

    def test_an_unknown_column_is_answered_with_those_there_are(self):
        for arguments in (['--columns', 'ts,pirce'], ['--where', 'pirce > 1'],
                          ['--agg', 'sum(pirce)']):
            err = self.run_varve('scan', 's', 'readings', *arguments, code=USAGE).err
            self.assertIn('table readings has no column pirce; its columns are sensor, ts, value, '
                          'price, note', err)

    def test_what_is_not_there(self):
        result = self.run_varve('scan', 's', 'reading', code=USAGE)
        self.assertIn('readings', result.err)
        self.run_varve('scan', 'nowhere', 'readings', code=FAILED)
        self.write('file', 'no store')
        self.run_varve('scan', 'file', 'readings', code=FAILED)


class Intervals(CliCase):
    """--every: each of its units in a column of each, and the length there, worked out by hand."""

    LENGTHS = {
        'ns': {'2ns': 2, '3us': 3000, '5ms': 5000000, '7s': 7000000000, '1m': 60000000000,
               '1h': 3600000000000, '1d': 86400000000000, '1w': 604800000000000},
        'us': {'2000ns': 2, '3us': 3, '5ms': 5000, '7s': 7000000, '1m': 60000000,
               '1h': 3600000000, '1d': 86400000000, '1w': 604800000000},
        'ms': {'2000000ns': 2, '3000us': 3, '5ms': 5, '7s': 7000, '1m': 60000, '1h': 3600000,
               '1d': 86400000, '1w': 604800000},
        's': {'2000000000ns': 2, '3000000us': 3, '5000ms': 5, '7s': 7, '1m': 60, '1h': 3600,
              '1d': 86400, '1w': 604800},
        'date': {'172800s': 2, '4320m': 3, '120h': 5, '7d': 7, '2w': 14},
    }
    FINER = {'us': ('1ns', '1500ns'), 'ms': ('1us', '1500us'), 's': ('1ms', '1500ms'),
             'date': ('1h', '36h')}

    def setUp(self):
        super().setUp()
        for name, lengths in self.LENGTHS.items():
            kind, unit = (name, '') if name == 'date' else (
                'timestamp', f" WITH clustering_unit = '{name}'")
            self.run_varve('create', 's',
                           f'CREATE TABLE {name} (k text, t {kind}, PRIMARY KEY ((k), t)){unit}')
            self.run_varve('import', 's', name, '-', *['--time-unit', name] * bool(unit),
                           stdin='k,t\n' + ''.join(f'{every},{t}\n' for every, n in lengths.items()
                                                   for t in (-n - 1, -n, -1, 0, n - 1, n)))

    def test_every_unit_is_as_long_as_it_is(self):
        for name, lengths in self.LENGTHS.items():
            for every, n in lengths.items():
                out = self.run_varve('scan', 's', name, '--time', 'raw', '--partition', every,
                                     '--every', every, '--agg', 'count').out
                self.assertEqual(out, f'bucket,count\n{-2 * n},1\n{-n},2\n0,2\n{n},1\n',
                                 (name, every))

    def test_none_is_finer_than_the_column_or_too_long(self):
        for name, intervals in self.FINER.items():
            for every in intervals:
                self.assertIn(f"'{every}' is finer than column t", self.run_varve(
                    'scan', 's', name, '--every', every, '--agg', 'count', code=USAGE).err)
        self.assertIn("'15251w' is too long", self.run_varve(
            'scan', 's', 'ns', '--every', '15251w', '--agg', 'count', code=USAGE).err)


class Orders(CliCase):
    """What comes first: against SQLite on the same rows, from memory and from files."""

    KEY = {'ASC': 'ts, seq DESC', 'DESC': 'ts DESC, seq'}

    def setUp(self):
        super().setUp()
        self.rows = [(k, ts, seq, ts * 10 + seq) for k in ('b', 'a', 'aa', 'c', '')[:4]
                     for ts in range(-30, 4000, 37 + ord(k[0]) % 5) for seq in (1, 2)]
        self.database = sqlite3.connect(':memory:')
        self.database.execute('create table t (k, ts, seq, v)')
        self.database.executemany('insert into t values (?, ?, ?, ?)', self.rows)
        text = 'k,ts,seq,v\n' + ''.join('%s,%d,%d,%d\n' % row for row in self.rows)
        for order, other in (('ASC', 'DESC'), ('DESC', 'ASC')):
            self.run_varve('create', order, 'CREATE TABLE t (k text, ts timestamp, seq int, v int, '
                           f'PRIMARY KEY ((k), ts, seq)) WITH CLUSTERING ORDER BY (ts {order}, '
                           f'seq {other})')
            self.run_varve('import', order, 't', '-', '--time-unit', 'ms', stdin=text)

    def tearDown(self):
        self.database.close()

    def wanted(self, order, reverse, keys=None, limit=-1, each=10**9, conditions='1'):
        """The declared order within partitions, these ascending; reverse turns all of it."""
        turned = {'ts': reverse != (order == 'DESC'), 'seq': reverse != (order == 'ASC')}
        inside = ', '.join(c + (' DESC' if t else '') for c, t in turned.items())
        if keys:
            conditions += " and k in ('" + "', '".join(keys) + "')"
        return ['%s,%d,%d,%d' % row for row in self.database.execute(
            f'select k, ts, seq, v from (select *, row_number() over (partition by k order by '
            f'{inside}) as n from t where {conditions}) where n <= {each} '
            f'order by k {"DESC" if reverse else ""}, {inside} limit {limit}')]

    def check(self, order):
        for reverse in (False, True):
            for keys in (None, ['aa'], ['c', 'a', 'b']):
                for limit, each in ((-1, 10**9), (3, 10**9), (-1, 1), (-1, 7), (150, 60)):
                    arguments = ['--reverse'] * reverse
                    arguments += ['--partition=' + k for k in keys or []]
                    arguments += ['--limit', str(limit)] if limit > 0 else []
                    arguments += ['--limit-per-partition', str(each)] if each < 10**9 else []
                    out = self.run_varve('scan', order, 't', '--time', 'raw', *arguments).out
                    self.assertEqual(out.splitlines()[1:],
                                     self.wanted(order, reverse, keys, limit, each),
                                     (order, arguments))
            out = self.run_varve('scan', order, 't', '--time', 'raw', '--from', '100', '--to', '900',
                                 '--where', 'v > 2000', '--limit-per-partition', '5',
                                 *['--reverse'] * reverse).out
            self.assertEqual(out.splitlines()[1:], self.wanted(
                order, reverse, each=5, conditions='ts >= 100 and ts < 900 and v > 2000'))

    def test_rows(self):
        for order in ('ASC', 'DESC'):
            self.check(order)
            self.flush(order)
            self.check(order)

    def test_groups_come_by_partition_and_time_in_every_table(self):
        wanted = ['%s,%d,%d' % row for row in self.database.execute(
            'select k, (ts + 1000) / 1000 * 1000 - 1000 as b, count(*) from t group by k, b '
            'order by k, b')]
        for order in ('ASC', 'DESC'):
            def groups(*arguments):
                return self.run_varve('scan', order, 't', '--time', 'raw', '--every', '1s', '--agg',
                                      'count', *arguments).out.splitlines()[1:]
            self.assertEqual(groups('--by', 'partition'), wanted)
            self.assertEqual(groups('--by', 'partition', '--reverse'), wanted[::-1])
            self.assertEqual(groups('--by', 'partition', '--limit', '2'), wanted[:2])
            buckets = groups()
            self.assertEqual([b.split(',')[0] for b in buckets],
                             ['-1000', '0', '1000', '2000', '3000'])
            self.assertEqual(groups('--reverse'), buckets[::-1])
            out = self.run_varve('scan', order, 't', '--partition', 'a', '--agg',
                                 'first(v),last(v)').out
            first, last = out.splitlines()[1].split(',')
            self.assertLess(int(first), int(last))


class Types(CliCase):
    TABLE = ('CREATE TABLE t (k1 int, k2 text, d date, b boolean, ti tinyint, si smallint, i int, '
             'bi bigint, f float, db double, dc decimal(18,4), bare decimal, tx text, bl blob, '
             'ts timestamp, tm time, u uuid, PRIMARY KEY ((k1, k2), d, u))')
    ROWS = ('k1,k2,d,u,b,ti,si,i,bi,f,db,dc,bare,tx,bl,ts,tm\n'
            '-5,"a,b",2024-02-29,00112233-4455-6677-8899-aabbccddeeff,true,-128,32767,-2147483648,'
            '9223372036854775807,0.1,1.7976931348623157E308,-12345678901234.5678,1.500,NA,0x00ff,'
            '1969-12-31T23:59:59.999Z,23:59:59.999999999\n'
            '7,x,1969-12-31,00000000-0000-0000-0000-000000000000,false,127,-32768,2147483647,'
            '-9223372036854775808,NaN,-Infinity,0.0001,-1E+3,"NA",0x,,\n'
            '7,x,1970-01-01,00000000-0000-0000-0000-000000000000,,,,,,,5E-324,,,"",,,\n')

    def test_what_is_printed_is_read_back_to_the_same_table(self):
        for store in ('one', 'two'):
            self.run_varve('create', store, self.TABLE)
        self.run_varve('import', 'one', 't', '-', '--null', '', stdin=self.ROWS)
        first = self.run_varve('scan', 'one', 't').out
        self.assertEqual(len(first.splitlines()), 4)
        self.write('out.csv', first)
        self.run_varve('import', 'two', 't', 'out.csv')
        self.assertEqual(self.run_varve('scan', 'two', 't').out, first)
        raw = self.run_varve('scan', 'one', 't', '--time', 'raw').out
        self.write('raw.csv', raw)
        self.run_varve('create', 'three', self.TABLE)
        self.run_varve('import', 'three', 't', 'raw.csv')
        self.assertEqual(self.run_varve('scan', 'three', 't').out, first)
        tsv = self.run_varve('scan', 'one', 't', '--format', 'tsv').out
        self.write('out.tsv', tsv)
        self.run_varve('create', 'four', self.TABLE)
        self.run_varve('import', 'four', 't', 'out.tsv')
        self.assertEqual(self.run_varve('scan', 'four', 't').out, first)

    def test_names_of_columns_do_not_look_like_delimiters(self):
        table = ('CREATE TABLE t (k text, ts timestamp, "a;b;c;d;e" int, "f|g|h|i|j" int, '
                 'PRIMARY KEY ((k), ts))')
        rows = 'k,ts,"a;b;c;d;e","f|g|h|i|j"\nx,1970-01-01T00:00:00.000Z,1,2\n'
        for store in ('one', 'two'):
            self.run_varve('create', store, table)
        self.run_varve('import', 'one', 't', '-', stdin=rows)
        self.assertEqual(self.run_varve('scan', 'one', 't').out, rows)
        self.run_varve('import', 'two', 't', '-', stdin=rows)
        self.assertEqual(self.run_varve('scan', 'two', 't').out, rows)

    def test_json_of_values_that_json_has_not(self):
        self.run_varve('create', 'one', self.TABLE)
        self.run_varve('import', 'one', 't', '-', '--null', '', stdin=self.ROWS)
        rows = json.loads(self.run_varve('scan', 'one', 't', '--format', 'json').out)
        self.assertEqual(rows[1]['f'], 'NaN')
        self.assertEqual(rows[1]['db'], '-Infinity')
        self.assertIs(rows[0]['b'], True)
        self.assertEqual(rows[0]['bl'], '0x00ff')

    def test_a_partition_of_two_columns(self):
        self.run_varve('create', 'one', self.TABLE)
        self.run_varve('import', 'one', 't', '-', stdin=self.ROWS)
        out = self.run_varve('scan', 'one', 't', '--partition=-5,"a,b"', '--columns', 'k1,k2').out
        self.assertEqual(out, 'k1,k2\n-5,"a,b"\n')
        out = self.run_varve('scan', 'one', 't', '--partition', '7,x', '--agg', 'count', '--every',
                             '1w').out
        self.assertEqual(out, 'bucket,count\n1969-12-25,1\n1970-01-01,1\n')


if __name__ == '__main__':
    cli_case.main()
