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
 * Up to `size` bytes (at least 1) into `out`: how many, 0 at the end, -1 on failure,
 * TEXT_INPUT_QUIET if nothing came as long as text_input_set_patience() said. A file that ends in the
 * middle of compressed data is a failure. text_input_fault() says what went wrong.
 */
#define TEXT_INPUT_QUIET (-2)
int64_t text_input_read(struct text_input *input, uint8_t *out, size_t size);
const char *text_input_fault(const struct text_input *input);

/* How long a read may wait for bytes that nobody has sent yet; < 0 (the default): for ever. */
void text_input_set_patience(struct text_input *input, int milliseconds);

/* How many of the bytes given are known to be right: of compressed data those up to the end of the last
 * gzip member or zstd frame, where its checksum stands; of others all. */
uint64_t text_input_verified(const struct text_input *input);

/* Bytes of the file itself read so far, and its size (0: not known, as of a pipe). */
uint64_t text_input_position(const struct text_input *input);
uint64_t text_input_size(const struct text_input *input);

#endif
