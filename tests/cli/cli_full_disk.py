"""A store on a disk that is really full: a small tmpfs, where this machine lets us mount one."""

import os
import re
import subprocess

import cli_case
from cli_case import CliCase, FAILED, OK

TABLE = 'CREATE TABLE {} (sensor text, ts timestamp, value double, PRIMARY KEY ((sensor), ts))'
ONE = 'sensor,ts,value\nlast,2024-01-01T00:00:00Z,1\n'


def rows(n):
    """They hardly compress."""
    return 'sensor,ts,value\n' + ''.join(
        f's{i % 7},{1700000000000 + i},{(i * 7919 % 100003) / 7:.12f}\n' for i in range(n))


class FullDisk(CliCase):
    def setUp(self):
        super().setUp()
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'varve', self.folder],
                                 stderr=subprocess.PIPE, check=False)
        if mounted.returncode != 0:
            self.skipTest('a tmpfs cannot be mounted: ' + mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ['umount', self.folder], check=True)
        self.run_varve('create', 's', TABLE.format('kept'))
        self.run_varve('create', 's', TABLE.format('dropped'))
        self.load('kept', rows(20000), '--flush', 'no')
        self.load('dropped', rows(200000), '--flush', 'yes')
        self.load('kept', ONE) # a process that has time to make the reserve again

    def load(self, table, text, *options, code=OK):
        return self.run_varve('import', 's', table, '-', *options, stdin=text, code=code)

    def count(self, table):
        return int(self.run_varve('scan', 's', table, '--agg', 'count').out.split()[1])

    def stats(self, name):
        out = self.run_varve('stats', 's', '--json').out
        return int(re.search(f'"{name}": (\\d+)', out).group(1))

    def fill(self, leave=0):
        """With another file, but for `leave` bytes."""
        with open(self.path('filler'), 'ab', buffering=0) as out:
            try:
                while True:
                    out.write(bytes(65536))
            except OSError:
                pass
            self.assertLess(os.statvfs(self.folder).f_bavail, 16)
            out.truncate(out.tell() - leave)

    def test_opening_flushing_and_dropping_go_on(self):
        self.assertGreater(self.stats('reserve_bytes'), 8 << 20)
        self.fill()
        self.assertEqual(self.count('kept'), 20001)
        self.run_varve('flush', 's')
        self.fill()
        self.run_varve('drop', 's', 'dropped')
        self.assertGreater(os.statvfs(self.folder).f_bavail, 0)
        self.assertEqual(self.count('kept'), 20001)
        self.assertNotIn('dropped', self.run_varve('stats', 's').out)
        self.run_varve('verify', 's')

    def test_rows_are_taken_again_when_there_is_room_for_the_reserve(self):
        os.truncate(self.path('s/RESERVE'), 0) # as a process leaves it that died
        self.fill(leave=4 << 20)
        self.assertEqual(self.stats('reserve_spent'), 1)
        self.assertIn('used', self.run_varve('stats', 's').out)
        refused = self.load('kept', ONE.replace('last', 'more'), code=FAILED).err
        self.assertIn("the store's reserve has been used", refused)
        self.run_varve('create', 's', TABLE.format('other'), code=FAILED)
        self.assertEqual(self.count('kept'), 20001)
        result = None
        for _ in range(4): # as long as it finds something to remove
            os.truncate(self.path('s/RESERVE'), 0)
            self.fill()
            result = self.run_varve('flush', 's', code=None)
            if result.code == FAILED:
                break
        self.assertIn('no room to open the store for writing', result.err)
        self.assertEqual(self.count('kept'), 20001)
        os.remove(self.path('filler'))
        self.load('kept', ONE.replace('last', 'more')) # at once
        self.assertEqual(self.count('kept'), 20002)
        self.assertGreater(self.stats('reserve_bytes'), 8 << 20)
        self.run_varve('verify', 's')

    def test_what_was_said_to_be_loaded_is_there(self):
        self.fill(leave=1 << 20)
        result = self.load('kept', rows(600000).replace('\ns', '\nx'), code=None)
        loaded = re.search(r'(\d+) rows loaded', result.err)
        self.assertGreaterEqual(self.count('kept'), 20001 + int(loaded.group(1) if loaded else 0))
        self.run_varve('drop', 's', 'dropped')
        self.run_varve('verify', 's')


if __name__ == '__main__':
    cli_case.main()
