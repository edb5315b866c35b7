"""exports.py ROOT LIBVARVE.SO LIBVARVE.A: the shared library exports everything that the public headers
declare VARVE_API and nothing else; no object of the library has writable data.
"""

import re
import subprocess
import sys

import sources


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared():
    names = set()
    for path in sources.files('.h'):
        if path.startswith('include/varve/'):
            code = re.sub(r'^[ \t]*#(?:.*\\\n)*.*$', '', sources.code(path), flags=re.MULTILINE)
            for statement in re.findall(r'\bVARVE_API\b([^;{]*)', code):
                match = re.search(r'(\w+)\s*\(', statement)
                if match:
                    names.add(match.group(1))
    return names


def exported(library):
    names = set()
    for line in run('nm', '-D', '--defined-only', '--format=posix', library).splitlines():
        names.add(line.split()[0].split('@')[0])
    return names


def writable(archive):
    """Objects in .data or .bss; .data.rel.ro is read-only once the loader has relocated it."""
    problems, member = [], ''
    for line in run('objdump', '-t', archive).splitlines():
        match = re.match(r'(\S+):\s+file format', line)
        if match:
            member = match.group(1)
            continue
        match = re.match(r'[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+)\s+(.*)', line)
        if match is None or int(match.group(2), 16) == 0:
            continue
        section = match.group(1)
        if section.startswith(('.data.rel.ro', '.rodata')):
            continue
        if section == '*COM*' or section.startswith(('.data', '.bss', '.tdata', '.tbss')):
            problems.append(f'{member}: {match.group(3)} is writable data ({section})')
    return problems


def main():
    shared, archive = sys.argv[2], sys.argv[3]
    promised, defined = declared(), exported(shared)
    problems = [f'{name} is exported but not declared VARVE_API'
                for name in sorted(defined - promised)]
    problems += [f'{name} is declared VARVE_API but the library does not define it'
                 for name in sorted(promised - defined)]
    sources.finish(problems + writable(archive))


main()
