"""lint_check.py COMPILER...: each lint rule finds the one offence planted for it, and a clean tree passes.

Makes small trees in a temporary folder and runs the scripts of this folder on them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CLEAN = {
    'meson.build': "foreach module : ['low', 'high']\n",
    'include/varve/varve.h': '#define VARVE_API \\\n    __attribute__((visibility("default")))\n'
                             'VARVE_API int varve_one(void);\n',
    'low/low.h': 'int varve_low(void);\n',
    'low/low_int.h': '#include "low/low.h"\n',
    'low/lake.c': '#include <varve/varve.h>\n#include "low/low_int.h"\n',
    'high/high.c': '#include "low/low.h"\n/* strcpy(a, b) in words only */\n',
    'high/x_format.h': '', 'high/x_format.c': '',
    'tests/golden/x/v1/file': '', 'fuzz/fuzz_x.c': '', 'fuzz/meson.build': "fuzz_targets = ['x']\n",
    'tools/inspect/look.c': '#include "high/x_format.h"\n',
    'tools/main.c': '#include <varve/varve.h>\n',
}
ONE = 'int varve_one(void);\nint varve_one(void) { return 1; }\n' # all that CLEAN's header promises
LONG = '{\n' + '    ;\n' * 99 + '}\n'

# script, a file that replaces or joins the clean tree, what must be said
PLANTED = [
    ('layers', 'low/bad.c', '#include "high/x_format.h"\n', 'a layer above'),
    ('layers', 'high/bad.c', '#include "low/low_int.h"\n', 'private'),
    ('layers', 'low/bad.c', '#include "low.h"\n', 'no path from the root'),
    ('layers', 'low/bad.c', '#include "../low/low.h"\n', ''),
    ('layers', 'high/bad.c', '#include <low/low.h>\n', 'quotes'),
    ('layers', 'tools/bad.c', '#include "low/low.h"\n', 'internal'),
    ('layers', 'tools/inspect/bad.c', '#include "low/low.h"\n', 'internal'),
    ('layers', 'examples/bad.c', '#include "high/x_format.h"\n', 'internal'),
    ('sizes', 'low/bad.c', 'int f(void)\n' + LONG, 'a function of 101 lines'),
    ('sizes', 'low/bad.h', '\n' * 1201, '1201 lines'),
    ('banned', 'low/bad.c', 'void f(void)\n{\n    strcpy(a, b);\n}\n', ':3: strcpy'),
    ('banned', 'low/bad.c', 'int n = atoi (s);\n', 'atoi'),
    ('banned', 'low/bad.c', 'static _Thread_local int n;\n', 'thread-local'),
    ('banned', 'low/bad.h', '\n#define TRY(x) \\\n    if (x)  \\\n    return x\n', ':2: macro TRY'),
    ('banned', 'low/bad.h', '#define OUT goto out\n', 'macro OUT'),
    ('banned', 'high/lake.c', '', 'same name'),
    ('banned', 'high/y_format.c', '', 'tests/golden/y is missing'),
    ('banned', 'fuzz/fuzz_y.c', '', 'not named'),
]
OBJECTS = [
    ('syscalls', 'low_a', '#include <unistd.h>\nint f(void) { return (int)getpid(); }\n', 'getpid'),
    ('syscalls', 'low_a', '#include <stdlib.h>\nvoid *f(void) { return malloc(9); }\n', 'malloc'),
    ('syscalls', 'storage_scan_a', '#include <pthread.h>\nvoid f(pthread_t t) '
     '{ (void)pthread_join(t, 0); }\n', 'pthread_join'),
    ('syscalls', 'storage_base_alloc', '#include <stdlib.h>\nvoid *f(void) { return malloc(9); }\n',
     None),
    ('exports', 'low_a', ONE, None),
    ('exports', 'low_a', ONE + 'const int table[2] = {1, 2};\n', 'table is exported'),
    ('exports', 'low_a', 'int varve_two(void);\n', 'varve_one is declared VARVE_API but'),
    ('exports', 'low_a', '__attribute__((visibility("hidden"))) ' + ONE,
     'varve_one is declared VARVE_API but'),
    ('exports', 'low_a', ONE + '__attribute__((visibility("hidden"))) int counter = 1;\n',
     'writable'),
    ('exports', 'low_a', ONE + 'int *f(void);\n__attribute__((visibility("hidden"))) int *f(void)\n'
     '{ static int n; return &n; }\n', 'writable'),
    ('exports', 'low_a', ONE + '__attribute__((visibility("hidden"))) '
     'extern const char *const names[];\nconst char *const names[] = {"a"};\n', None),
]


def plant(folder, files):
    for path, text in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            file.write(text)


def run(script, *arguments):
    done = subprocess.run([sys.executable, os.path.join(HERE, script + '.py'), *arguments],
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def compiled(folder, name, text):
    source = os.path.join(folder, name + '.c')
    with open(source, 'w', encoding='utf-8') as file:
        file.write(text)
    member, archive, shared = (os.path.join(folder, f) for f in (name + '.c.o', 'l.a', 'l.so'))
    subprocess.run([*sys.argv[1:], '-fPIC', '-O1', '-c', source, '-o', member], check=True)
    subprocess.run(['ar', 'rcs', archive, member], check=True)
    subprocess.run([*sys.argv[1:], '-shared', member, '-o', shared], check=True)
    return shared, archive


def clang_says(clang, text):
    """Of a file that gcc has nothing to say about."""
    with tempfile.TemporaryDirectory() as folder:
        command = 'ccache gcc -Wall -Werror -O2 -MD -MF a.d -o a.o -c a.c'
        database = [{'directory': folder, 'file': 'a.c', 'command': command}]
        plant(folder, {'a.c': text, 'compile_commands.json': json.dumps(database)})
        return run('clang_clean', folder, clang)


def clang_mistakes():
    clang = shutil.which('clang-14')
    if clang is None:
        return []
    results = [clang_says(clang, text)
               for text in ('int a(void) { return 1; }\n', 'static inline int a(void);\n')]
    fine = results[0] == (0, '') and results[1][0] == 1 and 'unused function' in results[1][1]
    return [] if fine else [f'clang_clean misjudges: {results}']


def main():
    wrong = clang_mistakes()
    for script in ('layers', 'sizes', 'banned'):
        with tempfile.TemporaryDirectory() as folder:
            plant(folder, CLEAN)
            code, said = run(script, folder)
            if code != 0:
                wrong.append(f'{script} refuses a clean tree: {said}')
    for script, path, text, expected in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            plant(folder, {**CLEAN, path: text})
            code, said = run(script, folder)
            if code != 1 or expected not in said or os.path.basename(path) not in said:
                wrong.append(f'{script} misses {text[:60]!r} in {path}: {said}')
    for script, name, text, expected in OBJECTS:
        with tempfile.TemporaryDirectory() as folder:
            plant(folder, CLEAN)
            shared, archive = compiled(folder, name, text)
            libraries = [shared, archive] if script == 'exports' else [archive]
            code, said = run(script, folder, *libraries)
            if (code, expected in said if expected else True) != (1 if expected else 0, True):
                wrong.append(f'{script} misjudges {text!r}: {said}')
    print('\n'.join(wrong))
    sys.exit(1 if wrong else 0)


main()
