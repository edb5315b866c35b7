"""Functions of at most 100 lines, .c and .h files of at most 1,200. There is no list of exceptions.

Relies on the layout that .clang-format gives: a function's body, and nothing else, starts with a
lone brace in the first column and ends with one.
"""

import sources

FUNCTION_LINES = 100
FILE_LINES = 1200


def main():
    problems = []
    for path in sources.files('.c', '.h'):
        lines = sources.code(path).split('\n')
        if len(lines) - 1 > FILE_LINES:
            problems.append(f'{path}: {len(lines) - 1} lines, more than {FILE_LINES}')
        start = None
        for number, line in enumerate(lines, 1):
            if line.rstrip() == '{':
                start = number
            elif line.startswith('}') and start is not None:
                if number - start + 1 > FUNCTION_LINES:
                    problems.append(f'{path}:{start}: a function of {number - start + 1} lines, '
                                    f'more than {FUNCTION_LINES}')
                start = None
    sources.finish(problems)


main()
