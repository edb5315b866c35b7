/*
 * progress_line.h - one line on a terminal's stderr that is written over: share, rows, rows/s, ETA.
 * Nothing at all when stderr is no terminal.
 */
#ifndef VARVE_TOOL_PROGRESS_LINE_H
#define VARVE_TOOL_PROGRESS_LINE_H

#include <stdbool.h>
#include <stdint.h>

struct progress_line {
    bool wanted;
    bool shown;
    uint64_t size; /* 0: not known */
    double started_s;
    double last_s;
};

/* Seconds of a clock that only goes forward. */
double progress_now_s(void);

void progress_line_start(struct progress_line *line, uint64_t size);
void progress_line_show(struct progress_line *line, uint64_t rows, uint64_t position);
/* Wipe it. */
void progress_line_end(struct progress_line *line);

#endif
