"""What the lint scripts share: where the sources are, and C text without comments and strings."""

import os
import re
import sys

SKIPPED = ('.git', '.cache', '.ci')


def root():
    return sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), '..', '..')


def is_build_folder(path):
    """By its name, or because meson has made it."""
    return os.path.basename(path).startswith('build') or os.path.isdir(os.path.join(path, 'meson-private'))


def files(*endings):
    """Paths relative to the root, with '/', sorted; build folders and dot folders are left out."""
    found = []
    top = root()
    for folder, folders, names in os.walk(top):
        at_top = os.path.abspath(folder) == os.path.abspath(top)
        folders[:] = sorted(d for d in folders if d not in SKIPPED and d != '__pycache__'
                            and not (at_top and is_build_folder(os.path.join(folder, d))))
        for name in names:
            if not endings or name.endswith(endings):
                found.append(os.path.relpath(os.path.join(folder, name), top).replace(os.sep, '/'))
    return sorted(found)


def text(path):
    with open(os.path.join(root(), path), encoding='utf-8') as file:
        return file.read()


def code(path):
    """The file with comments and literals blanked; line numbers stay."""
    def blank(match):
        return re.sub(r'[^\n]', ' ', match.group(0))
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text(path), flags=re.S)


def modules():
    """The library's folders, lowest layer first, as meson.build lists them."""
    match = re.search(r"foreach module : \[(.*?)\]", text('meson.build'), flags=re.S)
    return re.findall(r"'([^']+)'", match.group(1))


def module_of(path):
    return next((m for m in modules() if path.startswith(m + '/')), None)


def finish(problems):
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
