"""The example service: durable lines survive kill -9, the same input again changes nothing, and
readers see a consistent state while it writes."""

import os
import random
import signal
import subprocess
import time

import cli_case
from cli_case import CliCase, FAILED, INGEST


def lines(n):
    """Line i (from 1): its value is i, so that sums tell which lines are there."""
    return [f'user{i % 7},{1700000000000 + i},{i}\n' for i in range(1, n + 1)]


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
        code, _, err = self.ingest('a,1700000000000,1\nnonsense\na,x,1\na,1700000000001,2')
        self.assertEqual(code, FAILED)
        self.assertIn('line 2:', err)
        self.assertIn('line 3:', err)
        self.assertIn('4 lines, 2 refused', err)
        self.assertEqual(self.totals(), (2, 3.0))

    def test_the_same_input_again_changes_nothing(self):
        text = ''.join(lines(3000))
        self.ingest(text)
        written = self.run_varve('scan', 's', 'readings').out
        code, out, _ = self.ingest(text)
        self.assertEqual(code, 0)
        self.assertEqual(out.splitlines()[-1], 'durable 3000')
        self.assertEqual(self.run_varve('scan', 's', 'readings').out, written)

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
