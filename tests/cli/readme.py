"""readme.py README.md VARVE COMPILER INCLUDE LIBRARY...: run what the README shows.

Every block fenced as `sh` runs in one shell, one after the other, in an empty folder, with `varve` in
the path; every block fenced as `c` is a program that must compile without warnings and run there.
Blocks fenced as `console` are for people only.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile


def main():
    readme, tool, compiler, include, *libraries = sys.argv[1:]
    with open(readme, encoding='utf-8') as file:
        blocks = re.findall(r'^```(\w+)\n(.*?)^```', file.read(), flags=re.M | re.S)
    shell = [text for kind, text in blocks if kind == 'sh']
    programs = [text for kind, text in blocks if kind == 'c']
    if not shell or not programs:
        sys.exit('the README shows no commands or no program')
    with tempfile.TemporaryDirectory() as folder:
        tools = os.path.join(folder, 'bin')
        os.mkdir(tools)
        os.symlink(os.path.abspath(tool), os.path.join(tools, 'varve'))
        environment = dict(os.environ, PATH=tools + os.pathsep + os.environ['PATH'], TERM='dumb')
        work = os.path.join(folder, 'work')
        os.mkdir(work)
        script = 'set -eu\n' + '\n'.join(shell)
        subprocess.run(['sh', '-c', script], cwd=work, env=environment, check=True,
                       stdin=subprocess.DEVNULL)
        for number, text in enumerate(programs):
            source = os.path.join(work, f'program{number}.c')
            program = source[:-2]
            with open(source, 'w', encoding='utf-8') as file:
                file.write(text)
            subprocess.run([*shlex.split(compiler), '-std=c17', '-Wall', '-Wextra', '-Werror', '-I',
                            include, source, '-o', program, *libraries], check=True)
            subprocess.run([program], cwd=work, env=environment, check=True,
                           stdin=subprocess.DEVNULL)


main()
