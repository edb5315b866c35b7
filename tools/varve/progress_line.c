/*
 * progress_line.c - see progress_line.h.
 */
#include "tools/varve/progress_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_S 0.2
#define BAR_CELLS 24

double progress_now_s(void)
{
    struct timespec now = {.tv_sec = 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_line_start(struct progress_line *line, uint64_t size)
{
    const double now = progress_now_s();

    *line = (struct progress_line){
        .wanted = isatty(STDERR_FILENO) == 1, .size = size, .started_s = now, .last_s = now};
}

void progress_line_show(struct progress_line *line, uint64_t rows, uint64_t position)
{
    if (!line->wanted)
        return;
    const double now = progress_now_s();
    if (now - line->last_s < INTERVAL_S)
        return;
    line->last_s = now;
    line->shown = true;
    const double rate = (double)rows / (now - line->started_s);
    (void)fprintf(stderr, "\r\033[K");
    if (line->size > 0 && position > 0) {
        const double share = position >= line->size ? 1 : (double)position / (double)line->size;
        const int full = (int)(share * BAR_CELLS);
        (void)putc('[', stderr);
        for (int i = 0; i < BAR_CELLS; i++)
            (void)putc(i < full ? '#' : '.', stderr);
        (void)fprintf(stderr, "] %3.0f %%  %" PRIu64 " rows  %.0f rows/s  ETA %.0f s", share * 100,
                      rows, rate, (now - line->started_s) * (1 - share) / share);
    } else {
        (void)fprintf(stderr, "%" PRIu64 " rows  %.0f rows/s", rows, rate);
    }
    (void)fflush(stderr);
}

void progress_line_end(struct progress_line *line)
{
    if (line->shown)
        (void)fprintf(stderr, "\r\033[K");
    line->shown = false;
}
