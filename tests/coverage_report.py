"""coverage_report.py COVERAGE.JSON [FILE...]: what gcovr counted, by module; the bars; what is missing.

Counted are all lines and branches of storage/ and index/ that the compiler emits without
optimisation, those of allocations that fail among them. There are no marks in the sources that leave
code out, and finding one is an error. One thing is not counted: the branches of assertions. The one
that fails must never be taken (it ends the process), so an assertion has no branch that a test could
add; its line counts like any other.

With FILE... prints the lines and branches of those files that were not reached.
"""

import json
import os
import re
import sys

BRANCHES_OF_CORE = 90.0  # percent; the core is storage/ and index/ together
# Every line of what decides which bytes are believed after a crash.
COMPLETE = {
    'WAL reader': ['storage/wal/wal_reader.c', 'storage/wal/wal_scan.c', 'storage/wal/wal_verdict.c',
                   'storage/wal/wal_format.c', 'storage/wal/page_format.c'],
    'manifest reader': ['storage/manifest/manifest.c', 'storage/manifest/manifest_format.c',
                        'storage/manifest/version.c', 'storage/manifest/file_name.c'],
    'recovery': ['storage/wal/wal_recovery.c', 'storage/engine/recover.c',
                 'storage/engine/log_replay.c', 'storage/engine/stray.c', 'storage/engine/judge.c',
                 'storage/engine/log_point.c'],
}
MARK = re.compile(r'(GCOVR?|LCOV)_EXCL')


def assertions(text):
    """Numbers of the lines that belong to an assertion, from assert( to its closing bracket."""
    lines = set()
    for match in re.finditer(r'\bassert\s*\(', text):
        depth, at = 1, match.end()
        while depth > 0:
            depth += {'(': 1, ')': -1}.get(text[at], 0)
            at += 1
        first = text.count('\n', 0, match.start()) + 1
        lines.update(range(first, first + text.count('\n', match.start(), at) + 1))
    return lines


class Source:
    """One file: numbers of its lines and branches, and of those not reached."""

    def __init__(self, entry):
        self.path = entry['file']
        with open(self.path, encoding='utf-8') as file:
            text = file.read()
        self.marked = MARK.search(text) is not None
        asserted = assertions(text)
        code = [line for line in entry['lines'] if not line.get('gcovr/noncode')]
        self.lines = {line['line_number'] for line in code}
        self.lines_missing = {line['line_number'] for line in code if line['count'] == 0}
        self.branches, self.branches_missing = 0, {}
        for line in code:
            number = line['line_number']
            if number in asserted:
                continue
            missing = sum(branch['count'] == 0 for branch in line['branches'])
            self.branches += len(line['branches'])
            if missing:
                self.branches_missing[number] = missing

    def module(self):
        folder = os.path.dirname(self.path)
        return folder if folder.startswith('storage/') else folder.split('/')[0]


def percent(total, missing):
    return 100.0 if total == 0 else 100.0 * (total - missing) / total


def totals(sources):
    lines = sum(len(s.lines) for s in sources)
    lines_missing = sum(len(s.lines_missing) for s in sources)
    branches = sum(s.branches for s in sources)
    branches_missing = sum(sum(s.branches_missing.values()) for s in sources)
    return lines, lines_missing, branches, branches_missing


def show(title, sources):
    lines, lines_missing, branches, branches_missing = totals(sources)
    print(f'{title:<26} lines {percent(lines, lines_missing):5.1f} % of {lines:5}   '
          f'branches {percent(branches, branches_missing):5.1f} % of {branches:5}')


def show_file(source):
    with open(source.path, encoding='utf-8') as file:
        text = file.read().split('\n')
    for number in sorted(source.lines_missing | set(source.branches_missing)):
        what = ('line' if number in source.lines_missing
                else f'{source.branches_missing[number]} br')
        print(f'{source.path}:{number}: {what:5} {text[number - 1].strip()}')


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        sources = {entry['file']: Source(entry) for entry in json.load(file)['files']}
    if len(sys.argv) > 2:
        for path in sys.argv[2:]:
            show_file(sources[path])
        return 0
    problems = [f'{path} leaves code out with a mark' for path in sources if sources[path].marked]
    for module in sorted({s.module() for s in sources.values()}):
        show(module, [s for s in sources.values() if s.module() == module])
    show('core', sources.values())
    _, _, branches, missing = totals(sources.values())
    if percent(branches, missing) < BRANCHES_OF_CORE:
        problems.append(f'branches of the core: below {BRANCHES_OF_CORE} %')
    for title, paths in COMPLETE.items():
        absent = [path for path in paths if path not in sources]
        problems += [f'{path} was not compiled, or is not there' for path in absent]
        group = [sources[path] for path in paths if path in sources]
        show(title, group)
        for source in group:
            problems += [f'{source.path}:{line} is never reached' for line in
                         sorted(source.lines_missing)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
