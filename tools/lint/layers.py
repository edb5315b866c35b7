"""Who may include what.

A module (a folder in meson.build's list) includes its own headers, those of modules before it, and
the public headers; never another module's *_int.h. Includes name the path from the root; a test may
name a fixture in its own folder alone.
Programs: tools/ and examples/ see <varve/...> and headers of their own only; tools/inspect/ also
formats, readers, the base module and storage/vfs/vfs.h; tools/bench/ measures parts, so it sees internals.
"""

import os
import re

import sources


def refused(path, target, order):
    """Why `path` may not include "target", or None."""
    mine, theirs = sources.module_of(path), sources.module_of(target)
    if theirs is None:
        top = path.split('/')[0]
        return None if target.split('/')[0] == top or top in ('tests', 'fuzz') or (
            top in ('tests', 'tools', 'examples') and target.startswith('tools/')
        ) else 'is no part of the library'
    if mine is not None:
        if order.index(theirs) > order.index(mine):
            return f'lies in {theirs}, a layer above {mine}'
        if target.endswith('_int.h') and theirs != mine:
            return f'is private to {theirs}'
        return None
    if path.startswith(('tests/', 'fuzz/', 'tools/bench/')):
        return None
    if path.startswith('tools/inspect/') and (
            target.endswith(('_format.h', '_reader.h')) or theirs == 'storage/base' or
            target == 'storage/vfs/vfs.h'):
        return None
    return 'is internal; programs include <varve/...> only'


def check(path, order):
    problems = []
    for number, line in enumerate(sources.text(path).split('\n'), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match is None:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        why = None
        beside = os.path.join(os.path.dirname(path), target)
        if quoted and path.startswith(('tests/', 'fuzz/')) and '/' not in target and os.path.isfile(
                os.path.join(sources.root(), beside)):
            continue # a fixture beside its tests
        if quoted and not os.path.isfile(os.path.join(sources.root(), target)):
            why = 'is no path from the root of the tree'
        elif quoted and target.startswith('include/'):
            why = 'is public: write <varve/...>'
        elif quoted:
            why = refused(path, target, order)
        elif not quoted and sources.module_of(target) is not None:
            why = 'is not public: write it in quotes'
        elif path.startswith('include/') and '/' in target and not target.startswith('varve/'):
            why = 'is not for a public header'
        if why is not None:
            problems.append(f'{path}:{number}: {target} {why}')
    return problems


def main():
    order = sources.modules()
    problems = []
    for path in sources.files('.c', '.h'):
        problems += check(path, order)
    sources.finish(problems)


main()
