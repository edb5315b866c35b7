"""syscalls.py ROOT LIBVARVE.A: only storage/vfs talks to the operating system; memory comes from
storage/base/alloc.c, locks from storage/base/mutex.c, threads from storage/engine.
"""

import re
import subprocess
import sys

import sources

FILES = '''open openat creat close read pread readv preadv write pwrite writev pwritev lseek fsync
fdatasync sync syncfs sync_file_range truncate ftruncate fallocate posix_fallocate posix_fadvise stat
fstat lstat fstatat statx statvfs fstatvfs rename renameat unlink unlinkat link linkat symlink mkdir
mkdirat rmdir opendir fdopendir readdir closedir scandir fcntl flock lockf ioctl dup dup2 pipe poll
select epoll_wait epoll_ctl epoll_create1 eventfd mmap munmap mprotect msync madvise mlock syscall
fopen fdopen fclose fread fwrite fputs fputc puts putchar printf fprintf vfprintf perror getenv
secure_getenv setenv socket connect accept send recv'''.split()
CLOCKS = '''time gettimeofday clock_gettime clock clock_getres nanosleep clock_nanosleep usleep sleep
localtime_r mktime'''.split()
RANDOM = 'getrandom getentropy rand random drand48 arc4random'.split()
PROCESS = '''fork vfork execve posix_spawn kill raise exit _exit _Exit signal sigaction getpid gettid
atexit sched_yield sched_getcpu sysconf prctl setlocale'''.split()
MEMORY = '''malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign strdup
strndup asprintf vasprintf getline'''.split()
LOCKS = '''pthread_mutex_init pthread_mutex_lock pthread_mutex_trylock pthread_mutex_unlock
pthread_cond_wait pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast pthread_rwlock_init
pthread_spin_lock sem_wait sem_post'''.split()
THREADS = '''pthread_create pthread_join pthread_detach pthread_key_create pthread_setspecific
pthread_once thrd_create call_once'''.split()

# Who may do what: prefixes of object names, which are paths with '_' for '/'.
ALLOWED = [
    (FILES + PROCESS + RANDOM, ['storage_vfs_']),
    (CLOCKS, ['storage_vfs_', 'storage_base_mutex.']),
    (MEMORY, ['storage_vfs_', 'storage_base_alloc.']),
    (LOCKS, ['storage_vfs_', 'storage_base_mutex.']),
    (THREADS, ['storage_engine_']),
]


def plain(symbol):
    """`__read_chk`, `open64` and `__open64_2` are read and open."""
    symbol = symbol.split('@')[0]
    match = re.fullmatch(r'__(?:isoc99_)?(\w+?)(?:64)?(?:_chk|_2)', symbol)
    if match:
        return match.group(1)
    return symbol[:-2] if symbol.endswith('64') else symbol


def main():
    lines = subprocess.run(['nm', '-A', '-u', sys.argv[2]], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    problems = set()
    for line in lines:
        match = re.match(r'.*?:([^:]+\.o):\s+[Uw]\s+(\S+)', line)
        if match is None:
            continue
        member, symbol = match.group(1), plain(match.group(2))
        for names, prefixes in ALLOWED:
            if symbol in names and not member.startswith(tuple(prefixes)):
                problems.add(f'{member} refers to {symbol}(), which only '
                             f'{" and ".join(prefixes)} may')
    sources.finish(sorted(problems))


main()
