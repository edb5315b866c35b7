"""The example service: durable lines survive kill -9, what is sent again changes nothing, what is new
after a restart is stored, and readers see a consistent state while it writes."""

import os
import random
import signal
import subprocess
import time

import cli_case
from cli_case import CliCase, FAILED, INGEST


def lines(last, first=1):
    """Line i (from 1): its value is i, so that sums tell which lines are there."""
    return [f'{i},user{i % 7},{1700000000000 + i},{i}\n' for i in range(first, last + 1)]


class Ingest(CliCase):
    def start(self):
        return subprocess.Popen([INGEST, 's'], cwd=self.folder, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ingest(self, text):
        process = self.start()
        out, err = process.communicate(text.encode())
        return process.returncode, out.decode(), err.decode()

    def totals(self):
        result = self.run_varve('scan', 's', 'readings', '--agg', 'count,sum(value)', code=None)
        self.assertIn(result.code, (cli_case.OK, cli_case.NOTHING), result.err)
        count, total = result.out.splitlines()[1].split(',')
        return int(count), float(total or 0)

    def test_what_it_says_is_durable(self):
        code, out, _ = self.ingest(''.join(lines(2500)))
        self.assertEqual(code, 0)
        self.assertEqual(out.splitlines()[-1], 'durable 2500')
        self.assertEqual(self.totals(), (2500, sum(range(2501))))

    def test_bad_lines_are_named_and_the_rest_is_kept(self):
        code, out, err = self.ingest('1,a,1700000000000,1\n2,nonsense\n3,a,x,1\n'
                                     '4,a,1700000000001,2\n5,a,1700000000002,y\n')
        self.assertEqual(code, FAILED)
        self.assertIn('line 2: four fields are wanted', err)
        self.assertIn('line 3:', err)
        self.assertIn('5 lines: 2 stored, 0 known already, 3 refused', err)
        self.assertEqual(self.totals(), (2, 3.0))
        self.assertEqual(out, 'durable 0\ndurable 5\n')
        # The store remembers numbers with a row only, so nothing else is said to be durable.
        code, out, err = self.ingest('6,a,1700000000002,y\n7,a,z,1\n')
        self.assertEqual((code, out), (FAILED, 'durable 5\n'))
        code, out, err = self.ingest('6,a,1700000000002,y\n7,a,1700000000003,4\n')
        self.assertEqual(out, 'durable 5\ndurable 7\n')
        self.assertEqual(self.totals(), (3, 7.0))

    def starving(self, how, text):
        env = dict(os.environ, STORE_STARVES=how)
        process = subprocess.run([os.environ['VARVE_INGEST_STARVES'], 's'], cwd=self.folder,
                                 input=text.encode(), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=env, check=False)
        return process.returncode, process.stdout.decode(), process.stderr.decode()

    def test_a_good_line_waits_for_memory(self):
        code, out, err = self.starving('6:1:memory_limit of 8 KiB reached', ''.join(lines(20)))
        self.assertEqual((code, out), (0, 'durable 0\ndurable 5\ndurable 20\n'), err)
        self.assertIn('20 stored, 0 known already, 0 refused', err)
        self.assertEqual(self.totals(), (20, sum(range(21))))

    def test_a_good_line_without_memory_ends_it_and_is_not_acknowledged(self):
        code, out, err = self.starving('6:2:memory_limit of 8 KiB reached', ''.join(lines(20)))
        self.assertEqual((code, out), (FAILED, 'durable 0\ndurable 5\n'), err)
        self.assertIn('ingest: memory_limit of 8 KiB reached', err)
        self.assertIn('5 stored, 0 known already, 0 refused', err)
        code, out, err = self.ingest(''.join(lines(20, 6))) # it was not lost
        self.assertEqual((code, out), (0, 'durable 5\ndurable 20\n'), err)
        self.assertEqual(self.totals(), (20, sum(range(21))))

    def test_a_row_that_is_too_large_is_refused(self):
        code, out, err = self.starving('6:2:a row is limited to 9 bytes', ''.join(lines(20)))
        self.assertEqual((code, out), (FAILED, 'durable 0\ndurable 5\ndurable 20\n'), err)
        self.assertIn('line 6: a row is limited to 9 bytes', err)
        self.assertIn('19 stored, 0 known already, 1 refused', err)

    def test_the_same_input_again_changes_nothing(self):
        text = ''.join(lines(3000))
        self.ingest(text)
        written = self.run_varve('scan', 's', 'readings').out
        code, out, err = self.ingest(text)
        self.assertEqual(code, 0)
        self.assertEqual(out, 'durable 3000\n')
        self.assertIn('3000 lines: 0 stored, 3000 known already, 0 refused', err)
        self.assertEqual(self.run_varve('scan', 's', 'readings').out, written)

    def test_new_input_after_a_restart_is_stored(self):
        self.assertEqual(self.ingest('1,a,1000,1\n2,a,2000,2\n')[1], 'durable 0\ndurable 2\n')
        code, out, _ = self.ingest('3,b,1000,4\n4,a,2000,8\n')
        self.assertEqual((code, out), (0, 'durable 2\ndurable 4\n'))
        out = self.run_varve('scan', 's', 'readings', '--time', 'raw').out
        self.assertEqual(out, 'user,ts,value\na,1000,1\na,2000,8\nb,1000,4\n')

    def test_lines_sent_again_before_new_ones(self):
        self.ingest(''.join(lines(2500)))
        code, out, err = self.ingest(''.join(lines(4200, 1700)))
        self.assertEqual(code, 0, err)
        self.assertEqual(out.splitlines()[-1], 'durable 4200')
        self.assertIn('1700 stored, 801 known already', err)
        self.assertEqual(self.totals(), (4200, 4200 * 4201 / 2))
        # An old value that comes late does not hide a newer one of the same key.
        self.ingest('4201,user1,5,1\n4202,user1,5,2\n')
        self.ingest('4201,user1,5,1\n')
        out = self.run_varve('scan', 's', 'readings', '--where', 'ts = 5', '--columns', 'value').out
        self.assertEqual(out, 'value\n2\n')

    def test_sent_again_without_a_restart(self):
        code, out, err = self.ingest('1,a,1,1\n2,a,2,2\n1,a,1,1\n2,a,2,2\n3,a,3,4\n')
        self.assertEqual((code, out.splitlines()[-1]), (0, 'durable 3'), err)
        self.assertEqual(self.totals(), (3, 7.0))

    def test_numbers_that_leave_lines_out_end_it(self):
        self.ingest('1,a,1,1\n')
        for text, line in (('2,a,2,2\n4,a,4,4\n5,a,5,5\n', 2), ('9,a,9,9\n', 1), ('x,a,9,9\n', 1),
                           (',a,9,9\n', 1), ('0,a,9,9\n', 1), ('-1,a,9,9\n', 1), ('7\n', 1),
                           ('99999999999999999999999999,a,9,9\n', 1)):
            code, out, err = self.ingest(text)
            self.assertEqual(code, FAILED)
            self.assertIn(f'line {line} does not begin with the number ', err)
            self.assertEqual(out.splitlines()[-1], 'durable 2') # what came before is kept
            if line == 2:
                self.assertIn('the number 3,', err)
        self.assertEqual(self.totals(), (2, 3.0))

    def test_half_a_line_is_not_taken(self):
        """Its sender was killed in the middle of a value."""
        code, out, err = self.ingest('1,a,1,1\n2,a,2,12')
        self.assertEqual((code, out), (FAILED, 'durable 0\ndurable 1\n'))
        self.assertIn('the last line has no end', err)
        code, out, _ = self.ingest('2,a,2,1234\n')
        self.assertEqual((code, out), (0, 'durable 1\ndurable 2\n'))
        self.assertEqual(self.totals(), (2, 1235.0))

    def test_a_line_without_end(self):
        code, _, err = self.ingest('1,a,1,1\n' + '2' * 100000)
        self.assertEqual(code, FAILED)
        self.assertIn('a line is too long', err)
        self.assertEqual(self.totals(), (1, 1.0))

    def test_kill_9_and_again(self):
        everything = lines(60000)
        seed = int(os.environ.get('VARVE_SEED', '1'))
        rng = random.Random(seed)
        durable_before = 0
        for _ in range(6):
            process = self.start()
            os.set_blocking(process.stdout.fileno(), False)
            sent = 0
            until = time.monotonic() + rng.uniform(0.01, 0.25)
            seen = b''
            while time.monotonic() < until and sent < len(everything):
                process.stdin.write(''.join(everything[sent:sent + 500]).encode())
                process.stdin.flush()
                sent += 500
                seen += process.stdout.read() or b''
            process.send_signal(signal.SIGKILL)
            process.wait()
            os.set_blocking(process.stdout.fileno(), True)
            seen += process.stdout.read()
            for pipe in (process.stdin, process.stdout, process.stderr):
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
            whole = seen[:seen.rfind(b'\n') + 1].decode().split()
            durable = max(int(whole[-1]) if whole else 0, durable_before)
            durable_before = durable
            if not os.path.exists(self.path('s')) or durable == 0:
                continue
            # Every line that was said to be durable is there, and what is there has no hole.
            count, total = self.totals()
            self.assertGreaterEqual(count, durable, f'seed {seed}')
            self.assertEqual(total, count * (count + 1) / 2, f'seed {seed}')
        code, out, err = self.ingest(''.join(everything))
        self.assertEqual(code, 0, err)
        self.assertEqual(out.splitlines()[-1], 'durable 60000')
        # It knows what it had, to the line.
        first = int(out.split()[1])
        self.assertGreaterEqual(first, durable_before)
        self.assertIn(f'{60000 - first} stored, {first} known already', err)
        self.assertEqual(self.totals(), (60000, 60000 * 60001 / 2))
        self.run_varve('verify', 's')

    def test_readers_beside_the_writer(self):
        process = self.start()
        everything = lines(20000)
        last = 0
        for at in range(0, len(everything), 1000):
            process.stdin.write(''.join(everything[at:at + 1000]).encode())
            process.stdin.flush()
            while True:
                if int(process.stdout.readline().split()[1]) >= at + 1000:
                    break
            if at % 4000 == 0:
                count, total = self.totals()
                self.assertGreaterEqual(count, last)
                self.assertLessEqual(count, at + 1000)
                self.assertEqual(total, count * (count + 1) / 2)
                last = count
                self.run_varve('stats', 's')
        # A second writer is refused while the first one lives.
        result = self.run_varve('import', 's', 'readings', '-', stdin='user,ts\n', code=FAILED)
        self.assertEqual(len(result.err.splitlines()), 1)
        self.run_varve('verify', 's')
        process.stdin.close()
        self.assertEqual(process.wait(), 0)
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(self.totals()[0], 20000)


if __name__ == '__main__':
    cli_case.main()
