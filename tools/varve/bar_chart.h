/*
 * bar_chart.h - a number as a bar of eighths of a character, or of '#'.
 */
#ifndef VARVE_TOOL_BAR_CHART_H
#define VARVE_TOOL_BAR_CHART_H

#include <stdbool.h>
#include <stdio.h>

/* `share` 0 .. 1 of `width` characters. */
void bar_chart_put(FILE *out, double share, int width, bool ascii);

#endif
