"""tools/quickstart.sh: on the build under test, with every package there and nothing to build."""

import os
import re
import shutil
import subprocess

import cli_case
from cli_case import CliCase, OK, PROGRAM, ROOT

BUILD = os.environ['VARVE_BUILD']


class Quickstart(CliCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path('bin'))
        os.mkdir(self.path('tmp'))
        os.symlink(PROGRAM, self.path('bin/varve'))
        self.stand_in('dpkg-query', 'echo install ok installed')

    def stand_in(self, name, script):
        """For a program of the system."""
        self.write(f'bin/{name}', f'#!/bin/sh\n{script}\n')
        os.chmod(self.path(f'bin/{name}'), 0o755)

    def run_script(self, script, build=BUILD, code=OK):
        env = dict(os.environ, VARVE_BUILD=build, TMPDIR=self.path('tmp'), LC_ALL='C.UTF-8',
                   PATH=self.path('bin') + os.pathsep + os.environ['PATH'])
        process = subprocess.run(script, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                                 check=False, encoding='utf-8')
        self.assertEqual(process.returncode, code, process.stdout + process.stderr)
        self.assertEqual(os.listdir(self.path('tmp')), [])
        return process.stdout, process.stderr

    def quickstart(self, **more):
        return self.run_script(['sh', os.path.join(ROOT, 'tools', 'quickstart.sh')], **more)

    def test_it_shows_hourly_aggregates_of_sample_rows_every_time(self):
        first = None
        for _ in range(2):
            out, err = self.quickstart()
            store = re.search(r'^The store is in (\S+)\. Try:$', out, re.M).group(1)
            self.addCleanup(shutil.rmtree, store, True)
            self.assertRegex(err, r'^varve: 32960 rows in [\d.]+ s, durable in batches of 1000\n$')
            self.assertEqual(out[:out.index('Average')],
                             'quickstart: building (a minute or two the first time)\n'
                             f'quickstart: {BUILD}/tools/varve demo\n')
            groups = re.findall(r'^  ([\w-]+) +2024-01-0\dT(\d\d):00:00\.000Z +(\d+) +[\d.]+  (\S*)$',
                                out, re.M)
            for symbol in ('BTCUSDT', 'ETHUSDT', 'SOLUSDT'):
                self.assertEqual([(hour, rows) for key, hour, rows, _ in groups if key == symbol],
                                 [(str(hour), '60') for hour in range(16, 24)])
            self.assertEqual([hour for key, hour, *_ in groups if key == 'user-000000'],
                             [f'0{hour}' for hour in range(8)])
            self.assertTrue(all(re.fullmatch('\u2588*[\u2588-\u258f]', bar) for *_, bar in groups))
            tried, err = self.run_script(['sh', '-euc', out[out.index('Try:\n') + 5:]])
            self.assertIn('bars', tried)
            self.assertEqual(err, '')
            first = first or out.replace(store, '')
            self.assertEqual(out.replace(store, ''), first)

    def test_a_step_that_fails_ends_it_and_is_told(self):
        self.stand_in('meson', 'echo no compiler; exit 1')
        self.assertEqual(self.quickstart(build=self.path('none'), code=1),
                         (f'quickstart: configuring {self.path("none")}\n',
                          'no compiler\nquickstart: meson setup failed\n'))
        self.stand_in('ninja', 'echo no room; exit 1')
        self.assertEqual(self.quickstart(code=1)[1], 'no room\nquickstart: the build failed\n')


if __name__ == '__main__':
    cli_case.main()
