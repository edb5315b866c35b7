"""Facts about the machine that a reader of figures needs, and its page cache."""

import os
import platform
import shutil
import subprocess


def _read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def _field(text, label, separator):
    for line in text.splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == label:
            return value.strip().strip('"')
    return 'unknown'


def _file_system(folder):
    try:
        output = subprocess.run(['findmnt', '-n', '-o', 'FSTYPE,OPTIONS', '-T', folder], check=True,
                                capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return ' '.join(output.split())


def facts(folder):
    """Name and value; nothing that tells one machine of a kind from another."""
    memory = int(_field(_read('/proc/meminfo'), 'MemTotal', ':').split()[0]) / (1 << 20)
    return {
        'processor': _field(_read('/proc/cpuinfo'), 'model name', ':'),
        'cores': len(os.sched_getaffinity(0)),
        'memory': f'{memory:.0f} GiB',
        'kernel': platform.release(),
        'system': _field(_read('/etc/os-release'), 'PRETTY_NAME', '='),
        'file system': _file_system(folder),
        'free disk': f'{shutil.disk_usage(folder).free / (1 << 30):.0f} GiB',
        'load before': _read('/proc/loadavg').split()[0],
    }


def evict(folder):
    """Ask the kernel to forget the cached pages of every file below `folder`."""
    os.sync()
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                fd = os.open(os.path.join(top, name), os.O_RDONLY)
            except OSError:
                continue  # a socket, or gone since it was listed
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
