/*
 * text_input.h - bytes of a text file, whatever it is compressed with: gzip and zstd are told by
 * their first bytes, never by the name. `-` is stdin.
 *
 * Threads. None.
 */
#ifndef VARVE_TOOL_TEXT_INPUT_H
#define VARVE_TOOL_TEXT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_input;

/* NULL: it cannot be opened; errno says why. */
struct text_input *text_input_open(const char *path);
/* Whether it can be opened again and has the same bytes then, which a pipe has not. */
bool text_input_repeats(const char *path);
void text_input_close(struct text_input *input); /* NULL is a no-op */

/*
 * Up to `size` bytes (at least 1) into `out`: how many, 0 at the end, -1 on failure. A file that ends in the middle of
 * compressed data is a failure. text_input_fault() says what went wrong.
 */
int64_t text_input_read(struct text_input *input, uint8_t *out, size_t size);
const char *text_input_fault(const struct text_input *input);

/* Bytes of the file itself read so far, and its size (0: not known, as of a pipe). */
uint64_t text_input_position(const struct text_input *input);
uint64_t text_input_size(const struct text_input *input);

#endif
