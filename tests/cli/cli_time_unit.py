"""varve import --time-unit: which unit integers are taken in, and which are refused."""

import csv
import os
import shutil

import cli_case
from cli_case import CliCase, FAILED, USAGE


class TimeUnit(CliCase):
    """--time-unit auto: one unit for all integers of a column, or none."""

    UNITS = ('s', 'ms', 'us', 'ns')
    NOW = 1704067200

    def setUp(self):
        super().setUp()
        for unit in self.UNITS:
            self.run_varve('create', 's', f'CREATE TABLE {unit} (k text, ts timestamp, more '
                           "timestamp, PRIMARY KEY ((k), ts)) WITH clustering_unit = "
                           f"'{unit}'")

    def load(self, unit, *times, code=cli_case.OK, arguments=()):
        """What was rejected (line, reason), and the times that the table has then, raw."""
        fill = 'x' * (60 if len(times) > 10000 else 0) # so that a sample holds the first of many
        text = 'k,ts\n' + ''.join(f'{i:06}{fill},{t}\n' for i, t in enumerate(times))
        self.err = self.run_varve('import', 's', unit, '-', '--rejects', 'bad.csv', *arguments,
                                  stdin=text, code=code).err
        rejects = []
        if os.path.exists(self.path('bad.csv')):
            with open(self.path('bad.csv'), newline='', encoding='utf-8') as bad:
                rejects = [(int(r[1]), r[2]) for r in list(csv.reader(bad))[1:]]
            os.remove(self.path('bad.csv'))
        out = self.run_varve('scan', 's', unit, '--time', 'raw', '--columns', 'ts', code=None).out
        return rejects, [int(line) for line in out.split()[1:]]

    def test_what_looks_like_the_tables_unit_is_in_it(self):
        for i, unit in enumerate(self.UNITS):
            times = [self.NOW * 1000**i, 0, -5, 99999999, -self.NOW * 1000**i, 10**8 * 1000**i,
                     min(10**11 * 1000**i, 2**63) - 1]
            self.assertEqual(self.load(unit, *times), ([], times))
            self.assertIn("the table's unit", self.err)

    def test_what_all_looks_like_another_unit_is_in_that(self):
        for unit, factor in (('ms', 1000), ('us', 10**6), ('ns', 10**9)):
            self.assertEqual(self.load(unit, self.NOW, self.NOW + 1),
                             ([], [self.NOW * factor, (self.NOW + 1) * factor]))
            self.assertIn('taken as seconds since 1970, by their size', self.err)
        self.assertEqual(self.load('s', self.NOW * 1000), ([], [self.NOW]))

    def test_small_integers_are_in_the_tables_unit(self):
        for unit in self.UNITS:
            self.assertEqual(self.load(unit, 0, 5, -7, 99999999), ([], [0, 5, -7, 99999999]))
            self.assertIn('too small to tell', self.err)

    def test_integers_of_which_two_cannot_be_right_are_refused(self):
        for unit, times in (('ms', [self.NOW] * 3 + [self.NOW * 10**6]),
                            ('s', [self.NOW * 1000, self.NOW * 10**9]),
                            ('ms', [0, self.NOW]), ('ns', [1, self.NOW * 1000]),
                            ('us', [-self.NOW, self.NOW * 1000])):
            rejects, rows = self.load(unit, *times, code=USAGE)
            self.assertEqual((rejects, rows), ([], []))
            self.assertEqual(len(self.err.splitlines()), 1)
            self.assertIn('column ts: ', self.err)
            self.assertIn('--time-unit', self.err)
        # The unit that is given is taken for all of them.
        self.assertEqual(self.load('ms', 0, self.NOW, arguments=('--time-unit', 's')),
                         ([], [0, self.NOW * 1000]))

    def test_a_row_unlike_the_tables_unit_is_rejected(self):
        rejects, rows = self.load('ms', self.NOW * 1000, self.NOW, self.NOW * 10**6, 7, code=FAILED)
        self.assertEqual(rows, [self.NOW * 1000, 7])
        self.assertEqual([line for line, _ in rejects], [3, 4])
        self.assertIn('looks like seconds where milliseconds are expected (--time-unit)',
                      rejects[0][1])
        self.assertIn('looks like microseconds', rejects[1][1])

    def test_behind_the_sample_the_rule_is_the_same(self):
        many = [self.NOW + i for i in range(120000)]
        rejects, rows = self.load('ms', *many, self.NOW * 1000, 5, self.NOW + 200000, code=FAILED)
        self.assertEqual(rows, [t * 1000 for t in many + [self.NOW + 200000]])
        self.assertEqual([line for line, _ in rejects], [120002, 120003])
        self.assertIn('looks like milliseconds where seconds are expected', rejects[0][1])
        self.assertIn('too small', rejects[1][1])
        rejects, rows = self.load('s', *range(150000), self.NOW, self.NOW * 1000, code=FAILED)
        self.assertEqual(rows, [*range(150000), self.NOW])
        self.assertEqual([line for line, _ in rejects], [150003])

    def test_an_integer_among_dates(self):
        """There scan writes integers for what no date can say; anything else is a mistake."""
        dates = ['2024-01-01', '2024-01-01T00:00:01Z']
        far = 10**15
        rejects, rows = self.load('s', *dates, far, self.NOW, -far, 0, code=FAILED)
        self.assertEqual(rows, [self.NOW, self.NOW + 1, far, -far])
        self.assertEqual([line for line, _ in rejects], [5, 7])
        self.assertIn('where dates are expected (--time-unit)', rejects[0][1])
        many = dates * 60000
        rejects, rows = self.load('ns', *many, f'+{self.NOW}', -2**63, code=FAILED)
        self.assertEqual((len(rows), [line for line, _ in rejects]), (120000, [120002, 120003]))
        _, rows = self.load('ms', *dates, self.NOW, arguments=('--time-unit', 's'))
        self.assertEqual(rows[2], self.NOW * 1000)

    def test_dates_without_separators_are_not_taken_for_numbers(self):
        for unit, times in (('ms', (20240102, 20231231)), ('s', (20240102,)),
                            ('ms', (20240102093000, 20991231235959)), ('us', (202401020930,))):
            self.assertEqual(self.load(unit, *times, code=USAGE), ([], []))
            self.assertIn(f'{times[0]} looks like a date without separators', self.err)
        for times in ((20240102, 20241302), (20240100,), (20240132,), (18991231,), (21000101,)):
            self.load('ms', *times) # numbers
        self.run_varve('drop', 's', 'ns')
        self.assertEqual(self.load('s', 20240102, arguments=('--time-unit', 's')), ([], [20240102]))
        self.run_varve('create', 's', 'CREATE TABLE days (k text, ts date, PRIMARY KEY ((k), ts))')
        self.assertEqual(self.load('days', 20240102, code=USAGE), ([], []))
        self.assertIn('that it counts days', self.err)
        self.assertEqual(self.load('days', '2024-01-02', 19725), ([], [19724, 19725]))

    def test_a_fraction_is_no_integer(self):
        rejects, _ = self.load('ms', f'{self.NOW}.5', self.NOW * 1000, '-1.0', code=FAILED)
        self.assertEqual([line for line, _ in rejects], [2, 4])
        self.assertIn('a time since 1970 is a whole number of its unit', rejects[0][1])

    def test_each_column_for_itself(self):
        text = f'k,ts,more\na,{self.NOW * 1000},{self.NOW}\nb,{self.NOW * 1000},"{self.NOW} "\n'
        self.run_varve('import', 's', 'us', '-', stdin=text)
        out = self.run_varve('scan', 's', 'us', '--time', 'raw').out
        micro = self.NOW * 10**6
        self.assertEqual(out, f'k,ts,more\na,{micro},{micro}\nb,{micro},{micro}\n')

    def test_what_scan_prints_is_read_back_or_refused(self):
        """Never to another table, with dates and raw; with the table's unit always."""
        for unit, times in (('s', [5, self.NOW, 10**15, -10**12]), ('ms', [-1, 0, 10**16]),
                            ('us', [self.NOW * 10**6, -2**63, 2**63 - 1]),
                            ('ns', [0, 10**9, 2 * 10**9]), ('ns', [-2**63, 2**63 - 1])):
            self.load(unit, *times, arguments=('--time-unit', unit))
            for how in ('iso', 'raw'):
                written = self.run_varve('scan', 's', unit, '--time', how).out
                for arguments in ([], ['--time-unit', unit]):
                    shutil.rmtree(self.path('again'), True)
                    if os.path.exists(self.path('bad.csv')):
                        os.remove(self.path('bad.csv'))
                    self.run_varve('create', 'again', f'CREATE TABLE {unit} (k text, ts timestamp, '
                                   'more timestamp, PRIMARY KEY ((k), ts)) WITH clustering_unit = '
                                   f"'{unit}'")
                    result = self.run_varve('import', 'again', unit, '-', *arguments, '--rejects',
                                            'bad.csv', stdin=written, code=None)
                    again = self.run_varve('scan', 'again', unit, '--time', how, code=None).out
                    if result.code == cli_case.OK:
                        self.assertEqual(again, written, (unit, times, how, arguments))
                    else: # what is there is right
                        self.assertEqual(arguments, [])
                        self.assertIn('--time-unit', result.err)
                        self.assertLessEqual(set(again.splitlines()), set(written.splitlines()))
            self.run_varve('drop', 's', unit)
            self.run_varve('create', 's', f'CREATE TABLE {unit} (k text, ts timestamp, more '
                           "timestamp, PRIMARY KEY ((k), ts)) WITH clustering_unit = "
                           f"'{unit}'")


if __name__ == '__main__':
    cli_case.main()
