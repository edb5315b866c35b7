/*
 * text_input.c - see text_input.h.
 */
#include "tools/varve/text_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tools/varve/command.h"

#define FILE_BYTES ((size_t)1 << 18)
#define MAGIC_BYTES 4

enum packing {
    PLAIN,
    GZIP,
    ZSTD,
};

struct text_input {
    int fd;
    enum packing packing;
    bool file_ended;
    bool member_open; /* compressed data has begun and not ended */
    bool pending;     /* the decompressor may have more without more input */
    int patience_ms;
    uint64_t given, verified; /* bytes */
    bool gzip_ready;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    size_t begin, end; /* what is left of `file` */
    uint64_t position, size;
    char fault[160];
    uint8_t file[FILE_BYTES];
};

static bool fail(struct text_input *input, const char *what)
{
    (void)snprintf(input->fault, sizeof input->fault, "%s", what);
    return false;
}

/* What read() gives, 0 at the end of the file; -1: failure, or TEXT_INPUT_QUIET. */
static int64_t read_file(struct text_input *input, uint8_t *out, size_t size)
{
    struct pollfd event = {.fd = input->fd, .events = POLLIN};
    ssize_t n;

    if (input->patience_ms >= 0) {
        const int ready = poll(&event, 1, input->patience_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            return TEXT_INPUT_QUIET; /* any other failure is read()'s to report */
    }
    do
        n = read(input->fd, out, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        (void)fail(input, tool_os_text(errno));
        return -1;
    }
    input->file_ended = n == 0;
    input->position += (uint64_t)n;
    return n;
}

/* Read more of the file behind what is left, until there are at least `least` bytes or it ends. 0, or
 * what read_file() says of a failure. */
static int64_t fill(struct text_input *input, size_t least)
{
    if (input->begin > 0) {
        memmove(input->file, input->file + input->begin, input->end - input->begin);
        input->end -= input->begin;
        input->begin = 0;
    }
    while (input->end < least && !input->file_ended) {
        const int64_t n = read_file(input, input->file + input->end, FILE_BYTES - input->end);
        if (n < 0)
            return n;
        input->end += (size_t)n;
    }
    return 0;
}

/* Open the decompressor that the first bytes call for. */
static bool recognise(struct text_input *input)
{
    static const uint8_t gzip[2] = {0x1f, 0x8b};
    static const uint8_t zstd[4] = {0x28, 0xb5, 0x2f, 0xfd};

    if (fill(input, MAGIC_BYTES) < 0)
        return false;
    const size_t n = input->end - input->begin;
    if (n >= sizeof zstd && memcmp(input->file, zstd, sizeof zstd) == 0) {
        input->packing = ZSTD;
        input->zstd = ZSTD_createDCtx();
        return input->zstd != NULL || fail(input, "out of memory");
    }
    if (n >= sizeof gzip && memcmp(input->file, gzip, sizeof gzip) == 0) {
        input->packing = GZIP;
        input->gzip_ready = inflateInit2(&input->gzip, 15 + 16) == Z_OK;
        return input->gzip_ready || fail(input, "out of memory");
    }
    return true;
}

struct text_input *text_input_open(const char *path)
{
    struct stat status;
    struct text_input *input = calloc(1, sizeof *input);

    if (input == NULL)
        return NULL;
    input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        const int code = errno;
        free(input);
        errno = code;
        return NULL;
    }
    if (fstat(input->fd, &status) == 0 && S_ISREG(status.st_mode))
        input->size = (uint64_t)status.st_size;
    input->patience_ms = -1;
    (void)recognise(input); /* the first read reports what went wrong */
    return input;
}

bool text_input_repeats(const char *path)
{
    struct stat status;

    if (strcmp(path, "-") == 0)
        return false;
    return stat(path, &status) < 0 || S_ISREG(status.st_mode); /* absent: it is so every time */
}

void text_input_close(struct text_input *input)
{
    if (input == NULL)
        return;
    if (input->gzip_ready)
        (void)inflateEnd(&input->gzip);
    (void)ZSTD_freeDCtx(input->zstd);
    if (input->fd != STDIN_FILENO)
        (void)close(input->fd);
    free(input);
}

static size_t take_plain(struct text_input *input, uint8_t *out, size_t size)
{
    const size_t left = input->end - input->begin;
    const size_t n = left < size ? left : size;

    memcpy(out, input->file + input->begin, n);
    input->begin += n;
    return n;
}

/* False: damaged. *ret_size may be 0 while there is more to come. */
static bool take_gzip(struct text_input *input, uint8_t *out, size_t size, size_t *ret_size)
{
    input->gzip.next_in = input->file + input->begin;
    input->gzip.avail_in = (uInt)(input->end - input->begin);
    input->gzip.next_out = out;
    input->gzip.avail_out = (uInt)(size < FILE_BYTES ? size : FILE_BYTES);
    const uInt room = input->gzip.avail_out;

    input->member_open = true;
    const int rc = inflate(&input->gzip, Z_NO_FLUSH);
    input->begin = input->end - input->gzip.avail_in;
    *ret_size = room - input->gzip.avail_out;
    if (rc == Z_STREAM_END) { /* another member may follow */
        input->member_open = false;
        return inflateReset(&input->gzip) == Z_OK || fail(input, "out of memory");
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR)
        return fail(input, "the gzip data is damaged");
    return true;
}

static bool take_zstd(struct text_input *input, uint8_t *out, size_t size, size_t *ret_size)
{
    ZSTD_inBuffer in = {input->file, input->end, input->begin};
    ZSTD_outBuffer to = {out, size, 0};
    const size_t rc = ZSTD_decompressStream(input->zstd, &to, &in);

    if (ZSTD_isError(rc)) {
        (void)snprintf(input->fault, sizeof input->fault, "the zstd data is damaged: %s",
                       ZSTD_getErrorName(rc));
        return false;
    }
    input->begin = in.pos;
    input->member_open = rc != 0;
    *ret_size = to.pos;
    return true;
}

/* What is compressed, or what is left of the first bytes: 1 with *ret_size bytes, perhaps none yet; 0 at
 * the end; else what read_file() says of a failure. */
static int64_t take(struct text_input *input, uint8_t *out, size_t size, size_t *ret_size)
{
    *ret_size = 0;
    if (input->begin == input->end && !input->pending) {
        const int64_t rc = fill(input, 1);
        if (rc < 0)
            return rc;
    }
    const bool ended = input->begin == input->end && input->file_ended;
    if (ended && !input->member_open)
        return 0;
    if (input->packing == PLAIN) {
        *ret_size = take_plain(input, out, size);
        return 1;
    }
    const bool good = input->packing == GZIP ? take_gzip(input, out, size, ret_size)
                                             : take_zstd(input, out, size, ret_size);
    input->given += *ret_size;
    if (!input->member_open && good)
        input->verified = input->given;
    input->pending = input->member_open && *ret_size > 0;
    if (!good)
        return -1;
    if (ended && *ret_size == 0 && input->member_open) {
        (void)fail(input, "the compressed data ends too early");
        return -1;
    }
    return 1;
}

int64_t text_input_read(struct text_input *input, uint8_t *out, size_t size)
{
    size_t n = 0;

    while (n == 0) {
        if (input->fault[0] != '\0')
            return -1;
        if (input->packing == PLAIN && input->begin == input->end && !input->file_ended)
            return read_file(input, out, size);
        const int64_t rc = take(input, out, size, &n);
        if (rc <= 0)
            return rc;
    }
    return (int64_t)n;
}

void text_input_set_patience(struct text_input *input, int milliseconds)
{
    input->patience_ms = milliseconds;
}

uint64_t text_input_verified(const struct text_input *input)
{
    return input->packing == PLAIN ? UINT64_MAX : input->verified;
}

const char *text_input_fault(const struct text_input *input)
{
    return input->fault;
}

uint64_t text_input_position(const struct text_input *input)
{
    return input->position - (input->end - input->begin);
}

uint64_t text_input_size(const struct text_input *input)
{
    return input->size;
}
