"""What the tests of the program share: a scratch folder for each test, and running `varve` in it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ['VARVE_PROGRAM']
INGEST = os.environ['VARVE_INGEST']
NEWER = os.environ['VARVE_NEWER'] # makes a file look as a newer version would have written it
ROOT = os.environ['VARVE_ROOT']

OK, NOTHING, USAGE, FAILED, CORRUPT = range(5)

READINGS = ("CREATE TABLE readings (sensor text, ts timestamp, value double, price decimal(9,2), "
            "note text, PRIMARY KEY ((sensor), ts))")


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout.decode('utf-8', 'surrogateescape')
        self.err = process.stderr.decode('utf-8', 'surrogateescape')


class CliCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='varve-cli-')
        self.addCleanup(shutil.rmtree, self.folder, True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        data = content if isinstance(content, bytes) else content.encode()
        with open(self.path(name), 'wb') as out:
            out.write(data)
        return name

    def run_varve(self, *arguments, stdin=b'', code=OK, disk_fails=None):
        """Run in the scratch folder; `code` None: whatever it is, but never a signal. `disk_fails`:
        what disk_fails.c is to do."""
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        env = dict(os.environ)
        if disk_fails is not None: # a sanitizer wants to be loaded first, but need not be
            env.update(disk_fails, LD_PRELOAD=os.environ['VARVE_DISK_FAILS'],
                       ASAN_OPTIONS=env.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0')
        result = Result(subprocess.run([PROGRAM, *arguments], input=data, cwd=self.folder,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       timeout=120, check=False, env=env))
        self.assertGreaterEqual(result.code, 0, f'{arguments}: signal\n{result.err}')
        if code is not None:
            self.assertEqual(result.code, code, f'{arguments}\n{result.out[:400]}\n{result.err}')
        if arguments: # without any, all of the help is the answer
            for line in result.err.splitlines():
                self.assertTrue(line.startswith('varve: '), line)
        return result

    def flush(self, store):
        return self.run_varve('flush', store)

    def make_readings(self):
        self.run_varve('create', 's', READINGS)
        rows = ('sensor,ts,value,price,note\n'
                'a,2024-01-01T00:00:00Z,1.5,10.25,first\n'
                'a,2024-01-01T00:30:00Z,2.5,,\n'
                'a,2024-01-01T01:00:00Z,,20.00,""\n'
                'b,2024-01-01T00:10:00Z,-0.0,0.01,"two, with ""quotes"""\n')
        self.run_varve('import', 's', 'readings', '-', stdin=rows)


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules['__main__'])
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
