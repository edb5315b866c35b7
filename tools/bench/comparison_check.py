"""Whether the comparison judges rightly: which answers count, which measurements a report is made of,
what becomes of them, and what is planned. Measures nothing."""

import array
import dataclasses
import os
import tempfile
import types
import unittest
from unittest import mock

import answers
import comparison
import figures
import machine
import measurement
import peer_run
import plan
import real_rows
import report
import results

FACTS = {
    'varve': {'merges': False, 'many_writers': True, 'columns': True, 'zone_maps': True,
              'bulk_commit': 10000, 'bulk_writers': 8},
    'rocksdb': {'merges': True, 'many_writers': True, 'bulk_commit': 10000, 'load_threads': [1, 2]},
    'sqlite': {'merges': True, 'many_writers': False, 'bulk_commit': 10000},
    'duckdb': {'merges': True, 'many_writers': False, 'bulk_commit': 1000000, 'load_threads': [1, 2]},
    'chdb': {'merges': True, 'many_writers': False, 'load_threads': [1, 2]},
    'parquet': {'merges': False, 'many_writers': False, 'commits': False},
    'polars': {'merges': False, 'many_writers': False, 'commits': False, 'in_memory': True},
    'cassandra': {'merges': True, 'many_writers': True, 'server': True, 'commit_sizes': [1, 100]},
}
CALM, BUSY, SLOW = ({'foreign': share, 'foreign_seconds': 100 * share, 'steal': 0.0, 'slow': slow}
                    for share, slow in ((0.001, 0.02), (0.2, 0.02), (0.001, 0.3)))


def answer(label, values, measure='total', **more):
    return {'configuration': label, 'set': 'bars', 'rows_total': 10, 'measure': measure,
            'answer': values, 'phase': 'questions', 'unit': '1.1', **more}


def unit(number, part='load', use=CALM, fingerprint=1, **more):
    return {'measure': 'unit', 'unit': number, 'key': ['varve', 'bars', 10, part],
            'fingerprint': fingerprint, **use, **more}


PEER = {'measure': 'peer', 'configuration': 'varve', 'fingerprint': 1}


class Answers(unittest.TestCase):
    def wrong(self, *lines):
        return [line['configuration'] for line in answers.separate(list(lines))[1]]

    def test_most_engines_are_right(self):
        self.assertEqual(self.wrong(answer('varve', [2.0]), answer('sqlite', [1.0]),
                                    answer('duckdb', [1.0 + 1e-12])), ['varve'])

    def test_configurations_of_one_engine_are_one_voice(self):
        self.assertEqual(self.wrong(answer('cassandra a', [2.0]), answer('cassandra b', [2.0]),
                                    answer('cassandra c', [2.0]), answer('sqlite', [1.0]),
                                    answer('varve', [1.0])),
                         ['cassandra a', 'cassandra b', 'cassandra c'])

    def test_of_two_sqlite_is_right(self):
        self.assertEqual(self.wrong(answer('varve', [2.0]), answer('sqlite', [1.0])), ['varve'])

    def test_an_answer_that_lacks_a_number_is_wrong(self):
        self.assertEqual(self.wrong(answer('varve', [1.0]), answer('sqlite', [1.0, 2.0])), ['varve'])

    def test_times_of_wrong_answers_do_not_count(self):
        crowd = {'configuration': 'varve', 'set': 'bars', 'rows_total': 10, 'measure': 'slice_crowd'}
        kept, _ = answers.separate([answer('varve', [2.0], 'slice'), crowd,
                                    answer('sqlite', [1.0], 'slice')])
        self.assertEqual([line['configuration'] for line in kept], ['sqlite'])

    def test_loads_and_size_of_a_store_with_other_rows_do_not_count(self):
        of_store = [{'configuration': label, 'set': 'bars', 'rows_total': 10, 'measure': measure}
                    for label in ('varve', 'sqlite') for measure in answers.OF_A_STORE]
        for question, left in (('scan', 4), ('total', 8)):
            kept, _ = answers.separate([*of_store, answer('varve', [2.0], question),
                                        answer('sqlite', [1.0], question)])
            self.assertEqual(len([line for line in kept if 'answer' not in line]), left)

    def test_a_store_that_lost_rows_may_answer_otherwise(self):
        def reopened(label, values, rows):
            return answer(label, values, 'reopen', rows=rows, acknowledged=10, phase='kill')

        lines = [reopened('cassandra latest, periodic', [2.0], 9), reopened('varve', [1.0], 10),
                 reopened('sqlite', [1.0], 10)]
        kept, wrong = answers.separate(lines)
        self.assertEqual((len(kept), wrong), (3, []))
        self.assertEqual([(line['configuration'], line['promised'])
                          for line in answers.lost_rows(kept)],
                         [('cassandra latest, periodic', False)])
        self.assertEqual(self.wrong(reopened('varve', [2.0], 10), *lines[2:]), ['varve'])
        kept, _ = answers.separate([reopened('varve', [2.0], 9), *lines])
        self.assertEqual(len(kept), 3)  # no time of an engine that lost what it had promised


class Stored(unittest.TestCase):
    """results.jsonl from one sitting to the next."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'results.jsonl')

    def write(self, text):
        with open(self.path, 'w', encoding='utf-8') as file:
            file.write(text)

    def lines(self):
        return [line['n'] for line in results.read(self.path)]

    def test_a_last_line_that_was_cut_off_is_left_out(self):
        self.write('{"measure": "a", "n": 1}\n{"measure": "a", "n')
        found = results.Results(self.path, True, self.path)
        found.add(measure='a', n=2)
        found.close()
        self.assertEqual(self.lines(), [1, 2])

    def test_a_line_in_the_middle_that_is_none_is_refused_and_nothing_is_lost(self):
        text = '{"measure": "a", "n": 1}\nbroken\n{"measure": "a", "n": 3}\n'
        self.write(text)
        with self.assertRaisesRegex(results.Unusable, 'line 2'):
            results.Results(self.path, True, self.path)
        with open(self.path, encoding='utf-8') as file:
            self.assertEqual(file.read(), text)

    def test_two_at_once_are_refused(self):
        first = results.Results(self.path, False, self.path)
        first.add(measure='a', n=1)
        for resume in (False, True):
            with self.assertRaisesRegex(results.Unusable, 'another'):
                results.Results(self.path, resume, self.path)
        first.close()
        self.assertEqual(self.lines(), [1])


class Pace(unittest.TestCase):
    """A run begins when the machine is as fast as it typically is."""

    def setUp(self):
        self.now = 0.0
        self.slow_until = 0.0
        fake_time = types.SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep)
        for name, value in (('time', fake_time), ('pace', self.measure)):
            patch = mock.patch.object(machine, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def sleep(self, seconds):
        self.now += seconds

    def measure(self):
        return 1.9 if self.now < self.slow_until else 1.05

    def pace(self, patient=True):
        found = machine.Pace(patient)
        found.looks, found.before = [1.0], 1.0
        return found

    def test_a_run_waits_for_a_machine_that_is_slow(self):
        pace, self.slow_until = self.pace(), 4
        pace.begin(timed=True)
        self.assertAlmostEqual(self.now, 4, delta=0.2)
        self.assertAlmostEqual(pace.slowness(), 0.05)
        self.assertAlmostEqual(pace.waited, self.now)

    def test_patience_ends_of_a_run_and_of_a_unit(self):
        pace, self.slow_until = self.pace(), 1e6
        pace.begin(timed=True)
        self.assertAlmostEqual(self.now, machine.RUN_PATIENCE_SECONDS, delta=0.2)
        for _ in range(100):
            pace.settle()
        self.assertAlmostEqual(self.now, machine.UNIT_PATIENCE_SECONDS, delta=0.2)
        self.assertGreater(pace.slowness(), machine.MOST_SLOW)

    def test_a_slow_run_among_fast_ones_is_no_disturbance(self):
        pace, self.slow_until = self.pace(), machine.RUN_PATIENCE_SECONDS + 1
        pace.begin(timed=True)
        for _ in range(3):
            pace.settle()
        self.assertEqual([round(seen, 2) for seen in pace.seen], [1.9, 1.05, 1.05, 1.05])
        self.assertLess(pace.slowness(), machine.MOST_SLOW)

    def test_answers_and_smoke_tests_do_not_wait(self):
        self.slow_until = 1e6
        self.pace().begin(timed=False)
        self.pace(patient=False).begin(timed=True)
        self.assertEqual(self.now, 0)

    def test_typical_is_what_half_of_the_looks_found(self):
        pace, self.slow_until = machine.Pace(True), machine.LOOK_SECONDS / 3
        self.assertEqual((pace.look([]), pace.typical()), (1.05, 1.05))
        pace, self.slow_until = machine.Pace(True), self.now + machine.LOOK_SECONDS * 2 / 3
        self.assertEqual((pace.look([]), pace.typical()), (1.9, 1.9))

    def test_what_was_typical_earlier_is_not_forgotten_on_a_slow_machine(self):
        pace, self.slow_until = machine.Pace(True), 1e6
        self.assertEqual((pace.look([1.1, 1.0]), pace.typical()), (1.9, 1.0))
        pace.begin(timed=True)
        self.assertAlmostEqual(pace.slowness(), 0.9)

    def test_a_sitting_that_began_on_a_slow_machine_learns_what_is_typical(self):
        pace, self.slow_until = machine.Pace(True), machine.LOOK_SECONDS + 1
        pace.look([])
        self.now = self.slow_until
        for _ in range(2 * len(pace.looks)):
            pace.begin(timed=True)
        self.assertEqual(pace.typical(), 1.05)

    def test_a_slow_phase_does_not_become_typical_however_long(self):
        pace, self.slow_until = self.pace(), 1e6
        for _ in range(100):
            pace.begin(timed=True)
        self.assertEqual(pace.typical(), 1.0)

    def test_what_is_typical_is_told_with_its_spread(self):
        pace = self.pace()
        pace.looks = [n / 1000 for n in range(1, 102)]
        self.assertEqual(pace.spread(), (0.011, 0.091))
        self.assertEqual(comparison.pace_text(pace),
                         'a fixed piece of work takes 51.00 ms (four of five times 11.00 to 91.00 ms)')


class RealPace(unittest.TestCase):
    def test_it_leaves_the_program_its_cores(self):
        cores = os.sched_getaffinity(0)
        self.assertGreater(machine.pace(), 0)
        self.assertEqual(os.sched_getaffinity(0), cores)


class Selection(unittest.TestCase):
    def chosen(self, *units):
        return results.Selection([{'measure': 'sitting', 'sitting': 1}, PEER, *units])

    def test_the_last_of_a_unit_counts(self):
        self.assertEqual(self.chosen(unit('1.1'), unit('2.1')).units[
            'varve', 'bars', 10, 'load']['unit'], '2.1')

    def test_an_undisturbed_one_counts_before_a_disturbed_one(self):
        chosen = self.chosen(unit('1.1'), unit('2.1', use=BUSY))
        self.assertEqual((len(chosen.units), chosen.disturbed), (1, set()))
        for use in (BUSY, SLOW):
            self.assertEqual(self.chosen(unit('1.1', use=use)).disturbed, {'1.1'})

    def test_other_programs_and_failures_do_not_count(self):
        chosen = self.chosen(unit('1.1', fingerprint=0), unit('1.2', 'crowd', failed='no'),
                             {'measure': 'plan', 'keys': [['varve', 'bars', 10, part] for part in
                                                          ('load', 'crowd', 'cold')]})
        self.assertEqual(chosen.units, {})
        self.assertEqual([chosen.reason(key) for key in chosen.missing],
                         ['measured with an older program or other settings only', 'no',
                          'not measured yet'])

    def test_a_set_that_is_not_there_is_named(self):
        gone = {'measure': 'no_set', 'set': 'real_bars', 'reason': 'no folder'}
        chosen = self.chosen(gone)
        chosen.peers = {label: {'merges': True, 'many_writers': True} for label in
                        ('chdb zstd', 'cassandra default, batch')}
        text = '\n'.join(report.missing_lines(chosen))
        self.assertIn('| all | real_bars | everything | no folder |', text)
        planned = [['chdb zstd', *stored, 'load'] for stored in
                   (('bars', 10**6), ('real_readings', 0), ('bars', 10**7))]
        chosen.planned = [tuple(key) for key in planned]
        text = '\n'.join(report.missing_lines(chosen))
        for line in ('chdb zstd | bars, 1,000,000 rows | cold, ingest, kill, late',
                     'chdb zstd | real_readings | slices, crowd, questions, scan, cold, ingest, kill, late',
                     'cassandra default, batch | bars, 1,000,000 rows | cold, late',
                     'cassandra default, batch | real_readings | ' + ', '.join(plan.PARTS)):
            self.assertIn(f'| {line} | {report.NARROW} |', text)
        self.assertIn('real_bars: no folder', list(report.missing_measures(chosen, [])))
        later = {'measure': 'plan', 'keys': [['varve', 'real_bars', 0, 'load']]}
        self.assertEqual(self.chosen(gone, later).no_sets, {})


class Figures(unittest.TestCase):
    def table(self, *lines):
        peers = {'varve': FACTS['varve'], 'rocksdb lz4': FACTS['rocksdb']}
        return figures.tables(list(lines), peers, {'busy'})[0]

    def test_a_percentile_needs_its_samples(self):
        line = answer('varve', [1], 'slice', phase='slices', p50=1, p99=2, p999=3, n=2999, cpu=1)
        raw = self.table(line).raw[figures.Row('varve')]
        self.assertIn('slice_p99', raw)
        self.assertNotIn('slice_p999', raw)

    def test_all_rows_are_no_part_of_what_questions_need(self):
        self.assertNotIn('scan', figures.required('questions', FACTS['varve']))
        self.assertEqual(figures.required('scan', FACTS['varve']), {'scan', 'cpu_scan'})
        line = {'configuration': 'varve', 'set': 'bars', 'rows_total': 10, 'unit': '1.1',
                'measure': 'anonymous_memory', 'command': 'ask', 'peak_bytes': 9, 'phase': 'scan'}
        raw = self.table(line, answer('varve', [1], 'scan', phase='scan', seconds=1.0, cpu=1)).raw
        self.assertEqual(set(raw[figures.Row('varve')]), {'scan', 'cpu_scan'})

    def test_slices_with_all_cores_are_in_the_only_row_of_their_engine(self):
        lines = [answer('varve', [1], 'slice', phase='slices', p50=1, n=1, cpu=1, threads=2),
                 answer('varve', [1], 'slice_crowd', phase='crowd', seconds=1, n=1, cpu=1, threads=2)]
        self.assertEqual(set(self.table(*lines).raw), {figures.Row('varve')})

    def test_a_load_has_its_ratio_beside_the_sooner_way(self):
        def load(label, threads, seconds):
            return {'configuration': label, 'set': 'bars', 'rows_total': 10, 'given': 100, 'run': 0,
                    'phase': 'load', 'unit': '1.1', 'measure': 'ingest', 'rows': 10, 'commit': 10000,
                    'writers': 1, 'seconds': seconds, 'cpu': 1, 'written': 300, 'threads': threads}
        for seconds, expected in ((2, [None, 2]), (8, [4, None])):
            table = self.table(load('varve', 1, 1), load('rocksdb lz4', 1, 4),
                               load('rocksdb lz4', 2, seconds))
            self.assertEqual([table.ratio(figures.Row('rocksdb lz4', threads), 'ingest_whole')
                              for threads in (1, 2)], expected)
        alone = self.table(load('varve', 1, 1), load('rocksdb lz4', 1, 4))
        self.assertEqual(alone.ratio(figures.Row('rocksdb lz4'), 'ingest_whole'), 4)

    def test_varves_figure_is_named_by_the_row_it_stands_in(self):
        table = self.table(answer('varve', [1], seconds=4.0, cpu=1),
                           answer('rocksdb lz4', [1], seconds=1.0, cpu=1, threads=2))
        row = figures.Row('rocksdb lz4', 2)
        self.assertEqual(table.row_beside(row, 'total'), figures.Row('varve'))
        self.assertIn('| varve | 4,000 | rocksdb lz4, 2 threads 1,000 (4.00x) |',
                      '\n'.join(report.ahead_lines('total', [(0.25, table, row, False)])))

    def test_ratios_say_how_many_times_better_varve_is(self):
        table = self.table(answer('varve', [1], seconds=1.0, cpu=1),
                           answer('rocksdb lz4', [1], seconds=4.0, cpu=1))
        self.assertEqual(table.ratio(figures.Row('rocksdb lz4'), 'total'), 4)
        self.assertIsNone(table.ratio(figures.Row('varve'), 'total'))

    def test_answers_without_block_statistics_are_another_row(self):
        table = self.table(answer('varve', [1], seconds=1.0, cpu=1, zone_maps=0))
        self.assertEqual([str(row) for row in table.raw], ['varve, every value read'])

    def test_a_load_gives_the_figure_of_its_commits(self):
        load = {'configuration': 'rocksdb lz4', 'set': 'bars', 'rows_total': 10, 'given': 100, 'run': 0,
                'phase': 'load', 'unit': 'busy', 'measure': 'ingest', 'rows': 10, 'commit': 10000,
                'writers': 1, 'seconds': 2, 'cpu': 1, 'written': 300}
        table, row = self.table(load, {**load, 'measure': 'flush', 'written': 100}), \
            figures.Row('rocksdb lz4')
        self.assertEqual([table.figure(row, key).median for key in
                          ('ingest_10000', 'ingest_whole', 'ingest_flushed', 'amplification')],
                         [5, 5, 2.5, 4])
        self.assertTrue(table.figure(row, 'ingest_whole').disturbed)

    def test_memory_is_the_most_of_all_runs(self):
        line = {'configuration': 'varve', 'set': 'bars', 'rows_total': 10, 'phase': 'slices',
                'unit': '1.1', 'measure': 'anonymous_memory', 'command': 'ask'}
        table = self.table({**line, 'peak_bytes': 9}, {**line, 'peak_bytes': 5})
        self.assertEqual(table.figure(figures.Row('varve'), 'memory_slices').values, (9,))

    def test_goals_are_about_their_configurations(self):
        about = {goal.text: [c.label for c in plan.CONFIGURATIONS if goal.is_about(c.label)]
                 for goal in figures.GOALS}
        self.assertTrue(all(about.values()), about)
        durable, zstd = list(about.values())[0], next(labels for text, labels in about.items()
                                                      if 'zstd' in text)
        self.assertEqual([label for label in durable if 'periodic' in label], [])
        self.assertIn('cassandra latest, batch, zstd', durable)
        self.assertEqual(zstd, ['cassandra latest, batch, zstd'])

    def test_behind_without_statistics_is_behind(self):
        table = self.table(answer('varve', [1], seconds=1.0, cpu=1),
                           answer('varve', [1], seconds=9.0, cpu=1, zone_maps=0),
                           answer('rocksdb lz4', [1], seconds=4.0, cpu=1))
        self.assertEqual([(row.label, every_value) for ratio, _, row, every_value in
                          report.behind_rows([table])['total']], [('rocksdb lz4', True)])

    def test_cpu_of_both_sides_of_a_network_is_told(self):
        whole = answer('cassandra latest, group', [1], 'latest', seconds=1.0, cpu=2.0, client_cpu=3.0)
        crowd = answer('cassandra latest, group', [1], 'slice_crowd', phase='crowd', seconds=1, n=4,
                       cpu=2.0)
        table = figures.tables([whole, crowd], {whole['configuration']: FACTS['cassandra']}, ())[0]
        self.assertEqual([table.figure(figures.Row(whole['configuration']), key).median for key in
                          ('cpu_latest', 'client_cpu_latest', 'cpu_slice_crowd')], [2, 3, 0.5])

    def test_resident_memory_stands_beside_anonymous(self):
        line = {'configuration': 'varve', 'set': 'bars', 'rows_total': 10, 'phase': 'load', 'unit': '1.1'}
        table = self.table({**line, 'measure': 'anonymous_memory', 'command': 'load', 'peak_bytes': 5},
                           {**line, 'measure': 'anonymous_memory', 'command': 'size', 'peak_bytes': 7},
                           {**line, 'measure': 'memory', 'peak_bytes': 9})
        self.assertEqual([table.figure(figures.Row('varve'), f'{kind}_load').values
                          for kind in ('memory', 'resident')], [(5,), (9,)])

    def test_memory_of_a_server_is_its_own_after_a_load_too(self):
        line = {'configuration': 'cassandra latest, group', 'set': 'bars', 'rows_total': 10, 'unit': '1.1',
                'phase': 'load', 'measure': 'memory', 'of': 'server', 'peak_bytes': 9}
        raw = figures.tables([line], {line['configuration']: FACTS['cassandra']}, ())[0].raw
        self.assertEqual(set(raw[figures.Row(line['configuration'])]), {'memory_load'})
        self.assertIn('memory_load', figures.required('load', FACTS['cassandra']))

    def test_nothing_is_claimed_of_answers_that_were_not_compared(self):
        self.assertIn('nothing to compare', '\n'.join(report.answer_lines([], [], {'varve'})))
        self.assertIn('the same answers', '\n'.join(report.answer_lines([], [], {'varve', 'sqlite'})))

    def test_every_goal_has_a_line(self):
        self.assertEqual(sum('not measured' in line for line in report.goal_lines([])),
                         len(figures.GOALS))


class Measuring(unittest.TestCase):
    """What is asked of a peer, and in which order."""

    def setUp(self):
        self.calls = []
        patch = mock.patch.object(measurement, 'read_once', self.calls.append)
        patch.start()
        self.addCleanup(patch.stop)

    def measuring(self, label, facts):
        configuration = next(c for c in plan.CONFIGURATIONS if c.label == label)
        arguments = types.SimpleNamespace(seconds=1, load_seconds=1, limit=160, warm_seconds=None)
        with mock.patch.object(measurement.Measurement, '_describe', lambda _: facts):
            found = measurement.Measurement(arguments, None, configuration, None, mock.Mock(), None, None)
        found.context = {'rows_total': 10}
        found._command = lambda command, rows, context, **options: self.calls.append(
            (command, context['phase'], options.get('questions'), options.get('threads'))) or []
        return found

    def test_loads_that_are_not_timed_do_not_warm(self):
        found = self.measuring('cassandra latest, group', FACTS['cassandra'])
        found._open, found._merge, found.store.holds = mock.Mock(), mock.Mock(), None
        found._command = lambda command, rows, context, **options: self.calls.append(
            (command, context['phase'], options.get('warm_seconds'))) or []
        found._agreement('rows')
        found._stored(plan.Unit('cassandra latest, group', 'bars', 10, 'cold'), 'rows')
        loads = [call for call in self.calls if call[0] == 'load']
        self.assertEqual(loads, [('load', 'agreement', 0), ('load', 'prepare', 0)])

    def test_a_limit_grows_with_the_rows_up_to_an_hour(self):
        found = self.measuring('varve', FACTS['varve'])
        found._command = lambda command, rows, context, limit, **options: self.calls.append(limit)
        for rows in (10, 10**7, 10**9):
            found.context = {'rows_total': rows}
            found._ask('rows', {'phase': 'scan'}, ['scan'], 1)
        self.assertEqual(self.calls, [160, 1600, 3600])

    def test_nothing_begins_without_room(self):
        found = self.measuring('varve', FACTS['varve'])
        found.arguments.work = '/'
        with self.assertRaisesRegex(peer_run.PeerFailure, 'are free'):
            found.measure(plan.Unit('varve', 'bars', 10**15, 'load'))

    def test_rows_are_read_before_a_load(self):
        self.measuring('varve', FACTS['varve'])._load_whole('rows', {'phase': 'load'})
        self.assertEqual(self.calls, ['rows', ('load', 'load', None, None)])

    def test_slices_have_the_threads_that_suit_and_all_rows_are_asked_alone(self):
        for label, facts, threads in (('polars', {'slice_threads': 2}, 2), ('sqlite', {}, None)):
            self.calls.clear()
            self.measuring(label, facts)._slices('rows', 'crowd', ['slice_crowd'])
            self.assertEqual(self.calls, [('ask', 'crowd', 'slice_crowd', threads)])
        self.calls.clear()
        varve = self.measuring('varve', FACTS['varve'])
        varve._questions('rows', 'scan', ['scan'])
        self.assertEqual(self.calls, [('ask', 'scan', 'scan', n) for n in (1, 2)])
        self.assertNotIn('scan', measurement.WHOLE)


class Sitting(unittest.TestCase):
    """What the program does around what it measures."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name in ('say', 'status'):
            patch = mock.patch.object(comparison, name, lambda text: None)
            patch.start()
            self.addCleanup(patch.stop)

    def arguments(self, *words):
        with mock.patch('sys.argv', ['run.sh', '--build', self.folder, '--out', self.folder, *words]):
            return comparison.parse_arguments()

    def parts_run(self, unfit=(), fails=(), parts=('agreement', 'load')):
        """What ran of `parts` of varve; the first run of each of `fails` does."""
        ran = []
        todo = [(plan.Unit('varve', 'bars', 10, part), 1) for part in parts]
        sitting = comparison.Comparison.__new__(comparison.Comparison)
        sitting.arguments = types.SimpleNamespace(minutes=0, rows=[10])
        sitting.measurements, sitting.results = {'varve': None}, types.SimpleNamespace(sitting=1)
        sitting._unfit = lambda: iter(unfit)
        sitting._run_unit = lambda unit: (ran.append(unit.part) or unit.part not in fails
                                          or ran.count(unit.part) > 1)
        sitting._run_all(todo)
        return ran

    def drifts(self, unfit):
        return 'drift 1' in self.parts_run(unfit)

    def test_what_fails_is_tried_once_more(self):
        self.assertEqual(self.parts_run(fails=('agreement',)), ['agreement'] * 2 + ['load', 'drift 1'])
        self.assertEqual(self.parts_run(fails=('load',), parts=('load', 'slices', 'kill')),
                         ['load', 'kill', 'load', 'slices', 'drift 1'])
        self.assertEqual(self.parts_run(fails=('kill',), parts=('load', 'kill')),
                         ['load', 'kill', 'kill', 'drift 1'])

    def test_a_program_that_changes_meanwhile_ends_the_sitting(self):
        program = comparison.Comparison(self.arguments())
        self.addCleanup(program.results.close)
        unit = plan.Unit('varve', 'bars', 10, 'load')
        program.measurements['varve'] = types.SimpleNamespace(measure=lambda _: None, facts={})
        program.fingerprints['varve'] = 'before'
        for now, raises in (('before', self.subTest()), ('after', self.assertRaises(comparison.Changed))):
            with mock.patch.object(program, '_fingerprint', lambda _, now=now: now), \
                    mock.patch.object(results, 'disturbed', lambda _: False), raises:
                program._run_unit(unit)
        failed = [line.get('failed') for line in program.results.lines]
        self.assertEqual(failed, [None, 'its program was changed while it was measured'])

    def test_drift_is_measured_unless_varve_itself_is_unfit(self):
        self.assertTrue(self.drifts([]))
        self.assertTrue(self.drifts([('chdb lz4', 'bars'), ('varve', 'listens')]))
        self.assertFalse(self.drifts([('varve', 'bars')]))

    def test_a_set_without_its_folder_is_a_result(self):
        gone = self.arguments('--real', os.path.join(self.folder, 'gone'))
        self.assertEqual((gone.sets, set(gone.no_sets)), (['bars', 'listens'], set(plan.REAL_SETS)))
        for name in ('X-1m-2023.csv.zst', 'nab-real.csv'):
            with open(os.path.join(self.folder, name), 'w', encoding='ascii'):
                pass
        there = self.arguments('--real', self.folder)
        self.assertEqual((there.sets, set(there.no_sets)),
                         (['bars', 'listens', 'real_bars', 'real_readings'], {'real_purchases'}))
        self.assertEqual(self.arguments('--sets', 'bars', '--real', 'gone').no_sets, {})

    def test_folders_are_no_part_of_what_is_told_of_a_sitting(self):
        words = ['--out', '/a', '--work=/b', '--runs', '3', '--real', '/c', '--quick']
        self.assertEqual(comparison.repeatable(words), ['--runs', '3', '--quick'])
        with self.assertRaises(SystemExit), mock.patch('sys.stderr'):
            self.arguments('--rea', '/c')  # would not be known for a folder

    def test_rows_that_a_killed_run_left_are_not_used(self):
        arguments = self.arguments()
        left = os.path.join(arguments.work, 'rows', 'bars-10-0')
        os.makedirs(left)
        seen = []
        program = comparison.Comparison(arguments)
        program.results.pace.looks = [1.0]
        with mock.patch.object(program.results, 'begin'), \
                mock.patch.object(program, '_open_all', lambda log: seen.append(os.path.exists(left))), \
                mock.patch.object(program, '_make_plan', lambda: []), \
                mock.patch.object(machine, 'facts', lambda folder: {}):
            program.run()
        self.assertEqual(seen, [False])


class RealRows(unittest.TestCase):
    """Sets made of real rows; these here are made up."""

    FILES = {
        'b/B-1m-2023.csv': '60000,1,3,1,2,9.5,119999,19,4,0,0,0\n120000,2,4,2,3,1,179999,3,5,0,0,0\n',
        'A-1m-2023.csv': 'open_time,open,high,low,close,volume,x,y,n\n60000,5,5,5,5,1,0,5,1\n',
        'nab-real.csv': 'series,timestamp,value\nb,1970-01-01 00:01:00,1.5\n'
                        'a,1970-01-01 00:00:30,2\nb,1970-01-01 00:01:00,-1\n',
        'online-retail.csv': 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,'
                             'Country\n1,X,"caf\u00e9, big",2,1970-01-01 00:01:00,2.5,7.0,UK\n'
                             '1,Y,,1,1970-01-01 00:01:00,1,7.0,UK\n2,Z,z,-1,1970-01-01 00:01:00,0,,UK\n'}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for path, text in self.FILES.items():
            path = os.path.join(self.folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)

    def written(self, name, most=0):
        """The rows as a peer reads them, and how many slices."""
        out = os.path.join(self.folder, 'out', name)
        os.makedirs(out, exist_ok=True)
        real_rows.write(name, self.folder, out, 5, most)

        def lines(column):
            with open(os.path.join(out, f'{column}.txt'), encoding='ascii') as file:
                return file.read().splitlines()

        def values(column, kind):
            found = array.array(real_rows.CODES.get(kind, 'q'))
            with open(os.path.join(out, f"{column}.{'u32' if kind == 'text' else kind}"), 'rb') as file:
                found.frombytes(file.read())
            return [lines(column)[code] for code in found] if kind == 'text' else list(found)

        layout = real_rows.SETS[name]
        columns = [('name', 'text'), ('ts', 'i64'), *(column[:2] for column in layout.columns)]
        return list(zip(*(values(*column) for column in columns))), len(lines('slices'))

    def test_bars_of_all_files_are_merged_by_time(self):
        first = [('A', 60000, 5, 5, 5, 5, 1, 5, 1), ('B', 60000, 1, 3, 1, 2, 9.5, 19, 4)]
        rows, slices = self.written('real_bars')
        self.assertEqual((rows, slices), ([*first, ('B', 120000, 2, 4, 2, 3, 1, 3, 5)], 5))
        self.assertEqual(self.written('real_bars', 2)[0], first)

    def test_the_last_reading_of_a_time_stays(self):
        self.assertEqual(self.written('real_readings')[0], [('a', 30000, 2), ('b', 60000, -1)])

    def test_lines_of_a_customer_and_minute_are_numbered(self):
        self.assertEqual(self.written('real_purchases')[0],
                         [('7.0', 60000, 0, 'X caf?, big', 2.5, 2), ('7.0', 60000, 1, 'Y', 1, 1),
                          ('none', 60000, 0, 'Z z', 0, -1)])

    def test_no_files_of_a_set_are_none(self):
        self.assertEqual(real_rows.find('real_bars', os.path.join(self.folder, 'gone')), [])


class Plan(unittest.TestCase):
    def setUp(self):
        self.arguments = types.SimpleNamespace(
            rows=[10**6, 10**7, 10**8], sets=list(plan.SETS), parts=list(plan.PARTS), runs=5,
            seconds=10, load_seconds=600, slices=20000, late=plan.LATE_PERCENT, real='x', quick=False)
        self.known = {c.label: (c, FACTS[c.peer]) for c in plan.CONFIGURATIONS}
        self.units = plan.units(list(self.known.values()), self.arguments)

    def test_units_are_unique_and_agreement_comes_first(self):
        self.assertEqual(len(self.units), len(set(self.units)))
        agreement = [unit.part == 'agreement' for unit in self.units]
        self.assertEqual(agreement, sorted(agreement, reverse=True))

    def test_an_interrupted_sitting_loses_little(self):
        for unit in self.units:
            if unit.rows <= 10**7:
                self.assertLessEqual(plan.estimate(unit, *self.known[unit.label], self.arguments), 600,
                                     str(unit))

    def test_a_server_warms_each_way_of_asking(self):
        label = 'cassandra latest, group'
        for part, ways in (('questions', 9), ('scan', 2)):
            seconds = plan.estimate(plan.Unit(label, 'bars', 10**6, part), *self.known[label],
                                    self.arguments)
            self.assertGreater(seconds, ways * plan.SERVER_WARM_SECONDS)

    def test_what_follows_a_load_asks_the_same_store(self):
        for before, unit in zip(self.units, self.units[1:]):
            if unit.part in plan.STORED and unit.part != 'cold':
                self.assertEqual((before.label, before.set, before.rows),
                                 (unit.label, unit.set, unit.rows))

    def test_nothing_impossible_is_planned(self):
        planned = {(unit.label, unit.part) for unit in self.units}
        self.assertFalse(planned & {('polars', 'cold'), ('parquet', 'kill')})

    def test_every_engine_has_a_crowd(self):
        peers = {self.known[unit.label][0].peer for unit in self.units if unit.part == 'crowd'}
        self.assertEqual(peers, set(FACTS))
        self.assertNotIn('crowd', [fact for fact, *_ in plan.IMPOSSIBLE])

    def test_a_configuration_for_its_size_is_read_and_not_loaded_by_commits(self):
        for label in ('chdb zstd', 'rocksdb zstd'):
            parts = {unit.part for unit in self.units
                     if (unit.label, unit.set, unit.rows) == (label, 'bars', 10**6)}
            self.assertEqual(parts, {'load', 'slices', 'crowd', 'questions', 'scan'})

    def test_all_rows_are_a_unit_after_the_other_questions(self):
        for at, unit in enumerate(self.units):
            if unit.part == 'questions':
                self.assertEqual(self.units[at + 1], dataclasses.replace(unit, part='scan'))
        self.assertIn('scan', plan.STORED)

    def test_runs_by_size(self):
        def runs(peer, rows, most=5):
            return plan.runs_of(FACTS[peer], rows, most)

        self.assertEqual([runs('varve', rows) for rows in (10**6, 3 * 10**7, 10**8)], [5, 5, 3])
        self.assertEqual([runs('cassandra', rows) for rows in (10**6, 10**7)], [3, 3])
        self.assertEqual(runs('varve', 10**8, most=1), 1)
        loads = [sum(unit.label == 'varve' and unit.set == 'bars' and unit.rows == rows
                     and unit.part.startswith('load') for unit in self.units)
                 for rows in (10**6, 10**7, 10**8)]
        self.assertEqual(loads, [1, 5, 1])  # the first has its runs in one unit


unittest.main()
