"""Whether clang has nothing to say about what gcc compiles: every file of a build's compile database, with
its own flags, without making code.

clang_clean.py BUILD CLANG
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

DROPPED = re.compile(r'-(c|M[DMP]?|W(no-)?suggest.*|fdiagnostics-color=.*|W?p?,?-?U?D?_?FORTIFY.*)$')
WITH_VALUE = ('-o', '-MQ', '-MF', '-MT')
ADDED = ['-fsyntax-only', '-Wthread-safety', '-Wno-unknown-warning-option',
         '-Wno-unused-command-line-argument']


def arguments_of(entry, clang):
    """The command with another compiler, and without what concerns its output."""
    words = shlex.split(entry['command'])
    while not words[0].startswith('-'):  # "ccache gcc"
        words.pop(0)
    kept, skip = [], False
    for word in words:
        if skip or word in WITH_VALUE:
            skip = not skip and word in WITH_VALUE
        elif not DROPPED.match(word):
            kept.append(word)
    return [clang, *kept, *ADDED]


def check(entry, clang):
    done = subprocess.run(arguments_of(entry, clang), cwd=entry['directory'], capture_output=True,
                          text=True, check=False)
    return '' if done.returncode == 0 else done.stderr or f"{entry['file']}: {clang} failed\n"


def main(build, clang):
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
        entries = {tuple(arguments_of(entry, clang)): entry for entry in json.load(file)
                   if entry['file'].endswith('.c')}
    if not entries:
        sys.exit('no C file in the compile database')
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(lambda entry: check(entry, clang), entries.values()))
    sys.stderr.write(''.join(said))
    sys.exit(any(said))


if __name__ == '__main__':
    main(*sys.argv[1:])
