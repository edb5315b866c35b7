/*
 * kernel_script.h - the system calls of storage/vfs as a test wants them answered. The linker puts
 * these in the place of the C library's (--wrap), so the process under test is this one, and what a
 * kernel does once in a year can be asked for: interruptions, short transfers, refusals.
 *
 * Threads. One at a time: the script is the process's.
 */
#ifndef TESTS_KERNEL_SCRIPT_H
#define TESTS_KERNEL_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

enum kernel_call {
    KERNEL_NONE,
    KERNEL_PREAD,
    KERNEL_PWRITE,
    KERNEL_PWRITEV2,
    KERNEL_READ,
    KERNEL_WRITE,
    KERNEL_FDATASYNC,
    KERNEL_FSYNC,
    KERNEL_FTRUNCATE,
    KERNEL_FALLOCATE,
    KERNEL_FSTAT,
    KERNEL_FCNTL,
    KERNEL_FCHMOD,
    KERNEL_OPENAT,
    KERNEL_OPEN,
    KERNEL_GETDENTS,
    KERNEL_GETRANDOM,
    KERNEL_GETPID,
    KERNEL_STATX,
    KERNEL_EVENTFD,
    KERNEL_RING_INIT,
    KERNEL_RING_SUBMIT,
    KERNEL_RING_WAIT
};

#define KERNEL_ALWAYS 1000000000u

/*
 * From now on the calls of one kind are answered by the script, after `skip` that pass: `times` of
 * them fail with errno `error`; or, with `error` 0, move at most `at_most` bytes (getpid: give another
 * number; statx: see below; rings: come without features, take nothing). Later ones pass.
 */
struct kernel_script {
    enum kernel_call call;
    uint32_t skip;
    uint32_t times;
    int error;
    size_t at_most;
    const char *text; /* what read() finds, if not NULL */
    uint32_t align;   /* what statx() states, of the offset */
    uint32_t mask;    /* and whether it states it: STATX_DIOALIGN or 0 */
    uint32_t hits;    /* calls answered by the script */
};

void kernel_script_set(const struct kernel_script *script);
/* End of the script. Returns its hits. */
uint32_t kernel_script_end(void);

#endif
