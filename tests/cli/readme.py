"""readme.py ROOT BUILD COMPILER: run what the README shows, as who has installed varve would.

The build is installed below a folder of its own; all that belongs to it must be there. Every block
fenced as `sh` runs in one shell, one after the other, in an empty folder, with the installed `varve` in
the path; every block fenced as `c` is the example.c of the README's line with pkg-config, by which it
must compile without warnings, and run: with the shared library, and with pkg-config's --static where
there is only the other. Blocks fenced as `console` are for people only.
"""

import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile


def installed(folder, name):
    """The one file of that name; it has bytes."""
    found = glob.glob(os.path.join(folder, '**', name), recursive=True)
    if len(found) != 1 or os.path.getsize(found[0]) == 0:
        sys.exit(f'what is installed holds as {name}: {found}')
    return found[0]


def compiler_script(path, compiler):
    """`cc`, that is the compiler of the build, with the sanitizers that it has."""
    with open(path, 'w', encoding='utf-8') as script:
        script.write(f'#!/bin/sh\nPATH={shlex.quote(os.environ["PATH"])}\n'
                     f'exec {compiler} -std=c17 -Wall -Wextra -Werror "$@"\n')
    os.chmod(path, 0o755)


def run(folder, script, environment):
    subprocess.run(['sh', '-c', 'set -eu\n' + script], cwd=folder, env=environment, check=True,
                   stdin=subprocess.DEVNULL)


def run_programs(folder, programs, line, environment):
    """Each in a folder of its own, compiled by `line`."""
    for number, program in enumerate(programs):
        work = os.path.join(folder, str(number))
        os.makedirs(work)
        with open(os.path.join(work, 'example.c'), 'w', encoding='utf-8') as file:
            file.write(program)
        run(work, line + '\n./a.out', environment)


def main():
    root, build, compiler = sys.argv[1:]
    with open(os.path.join(root, 'README.md'), encoding='utf-8') as file:
        text = file.read()
    blocks = re.findall(r'^```(\w+)\n(.*?)^```', text, flags=re.M | re.S)
    shell = [block for kind, block in blocks if kind == 'sh']
    programs = [block for kind, block in blocks if kind == 'c']
    lines = re.findall(r'`(cc example\.c [^`]*pkg-config[^`]*)`', text)
    if not shell or not programs or len(lines) != 1:
        sys.exit('the README shows no commands, no program or not the one line to compile it')
    with tempfile.TemporaryDirectory() as folder:
        staged, tools, work = (os.path.join(folder, name) for name in ('staged', 'tools', 'work'))
        subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir',
                        staged], check=True)
        for name in os.listdir(os.path.join(root, 'include', 'varve')):
            installed(staged, os.path.join('include', 'varve', name))
        installed(staged, 'man1/varve.1')
        installed(staged, 'libvarve.a')
        library = installed(staged, 'libvarve.so')
        os.mkdir(tools)
        compiler_script(os.path.join(tools, 'cc'), compiler)
        environment = dict(
            os.environ, TERM='dumb', PKG_CONFIG_SYSROOT_DIR=staged,
            PKG_CONFIG_PATH=os.path.dirname(installed(staged, 'varve.pc')),
            LD_LIBRARY_PATH=os.path.dirname(library),
            PATH=os.pathsep.join([tools, os.path.dirname(installed(staged, 'bin/varve')),
                                  os.environ['PATH']]))
        os.mkdir(work)
        run(work, '\n'.join(shell), environment)
        run_programs(os.path.join(folder, 'shared'), programs, lines[0], environment)
        for name in glob.glob(library + '*'):
            os.remove(name)
        run_programs(os.path.join(folder, 'static'), programs,
                     lines[0].replace('pkg-config', 'pkg-config --static'), environment)


main()
