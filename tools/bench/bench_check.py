"""bench_check.py VARVE OPTION...: run `varve bench --quick`; every figure must be there.

Figures of parts of varve have no counterpart in SQLite; of all others both have one.
"""

import json
import os
import subprocess
import sys

OF_VARVE = {'write amplification: log', 'write amplification: pre-zeroing',
            'write amplification: flush', 'write amplification: manifest', 'raw bytes given',
            'worst stall for memory'}
ALL = 'write amplification: all'  # null where the system does not count


def main():
    program, *options = sys.argv[1:]
    out = subprocess.run([program, 'bench', '--quick', '--json', *options], check=True,
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
    figures = {figure['name']: figure for figure in json.loads(out)}
    stores = ['varve'] if '--no-sqlite' in options else ['varve', 'sqlite']
    missing = [(name, store) for name, figure in figures.items() for store in stores
               if figure[store] is None and not (store == 'sqlite' and name in OF_VARVE)
               and not (name == ALL and not os.access('/proc/self/io', os.R_OK))]
    unknown = (OF_VARVE | {ALL}) - set(figures)
    if missing or unknown:
        sys.exit(f'figures that are not there: {missing} {unknown}')
    written = [figures[ALL][store] or 0 for store in stores]
    # Each row goes to a log and to a file. A disk in memory counts nothing, of either.
    if any(written) and not all(0.5 < value < 1000 for value in written):
        sys.exit(f'{ALL}: {written}')


main()
