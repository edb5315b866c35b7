"""Calls that are not used anywhere, macros that hide control flow, file names that are not unique,
formats without golden files or a fuzz target, and fuzz targets that are not built.
"""

import os
import re

import sources

CALLS = {
    'strcpy': 'memcpy with a known size', 'stpcpy': 'memcpy with a known size',
    'sprintf': 'snprintf', 'vsprintf': 'vsnprintf', 'gets': 'fgets',
    'atoi': 'strtol', 'atol': 'strtol', 'atoll': 'strtoll', 'atof': 'strtod',
    'alloca': 'the heap', 'strtok': 'a span', 'localtime': 'localtime_r',
    'gmtime': 'gmtime_r', 'asctime': 'strftime', 'ctime': 'strftime', 'rand': 'storage/base/rng.h',
    'srand': 'storage/base/rng.h', 'random': 'storage/base/rng.h', 'drand48': 'storage/base/rng.h',
    'tmpnam': 'mkstemp', 'mktemp': 'mkstemp', 'system': 'posix_spawn', 'setjmp': 'an error return',
    'longjmp': 'an error return', 'signal': 'sigaction', 'vfork': 'posix_spawn',
}
# Tests may take these: what goes in is their own, and sanitizers watch the buffers.
CALLS_PRODUCT = {'strcat': 'memcpy with a known size', 'strncpy': 'memcpy with a known size',
                 'strncat': 'memcpy with a known size', 'scanf': 'a parser', 'sscanf': 'a parser', 'fscanf': 'a parser',
                 'strerror': 'strerror_r'}
# A member of that name (`ops->random(...)`) is somebody else's function.
CALL = re.compile(r'(?<![\w.>])(' + '|'.join([*CALLS, *CALLS_PRODUCT]) + r')\s*\(')
GLOBALS = re.compile(r'\b(_Thread_local|__thread)\b')
SAME_NAME_ALLOWED = ('meson.build', 'README.md', 'run.sh')


def calls(path):
    problems = []
    code = sources.code(path)
    for number, line in enumerate(code.split('\n'), 1):
        for match in CALL.finditer(line):
            # A declaration of a member, `int (*random)(...)`, does not match: its name stands in ().
            name = match.group(1)
            if name in CALLS:
                problems.append(f'{path}:{number}: {name}(): use {CALLS[name]}')
            elif not path.startswith(('tests/', 'fuzz/')):
                problems.append(f'{path}:{number}: {name}(): use {CALLS_PRODUCT[name]}')
        if GLOBALS.search(line):
            problems.append(f'{path}:{number}: thread-local data')
    joined = re.sub(r'\\\n', ' \x00', code) # one line a macro, each \x00 a line of the file
    number = 1
    for line in joined.split('\n'):
        match = re.match(r'\s*#\s*define\s+(\w+)(.*)', line, flags=re.S)
        if match and re.search(r'\b(return|goto)\b', match.group(2)):
            problems.append(f'{path}:{number}: macro {match.group(1)} hides a return or goto')
        number += 1 + line.count('\x00')
    return problems


def names():
    problems, seen = [], {}
    for path in sources.files():
        if path.startswith(('tests/golden/', 'fuzz/corpus/')):
            continue
        name = os.path.basename(path)
        if name in SAME_NAME_ALLOWED or name.startswith('.'):
            continue
        if path.startswith('include/varve/'):
            continue # a public header may have the name of the module header that completes it
        if name in seen:
            problems.append(f'{path}: {seen[name]} has the same name')
        seen[name] = path
    return problems


def formats():
    """A format is there once its .c file is: from then on its bytes must stay readable."""
    problems = []
    for path in sources.files('_format.c'):
        if sources.module_of(path) is None:
            continue
        name = os.path.basename(path)[:-len('_format.c')]
        wanted = [f'tests/golden/{name}', f'fuzz/fuzz_{name}.c', path[:-1] + 'h']
        problems += [f'{path}: {want} is missing' for want in wanted
                     if not os.path.exists(os.path.join(sources.root(), want))]
    return problems


def fuzzers():
    """A target that the build does not name is never run."""
    folder = os.path.join(sources.root(), 'fuzz')
    listed = sources.text('fuzz/meson.build') if os.path.exists(folder + '/meson.build') else ''
    return [f'fuzz/{name}: not named in fuzz/meson.build'
            for name in sorted(os.listdir(folder)) if re.fullmatch(r'fuzz_\w+\.c', name)
            and f"'{name[len('fuzz_'):-2]}'" not in listed]


def main():
    problems = names() + formats() + fuzzers()
    for path in sources.files('.c', '.h'):
        problems += calls(path)
    sources.finish(problems)


main()
