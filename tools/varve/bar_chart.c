/*
 * bar_chart.c - see bar_chart.h.
 */
#include "tools/varve/bar_chart.h"

void bar_chart_put(FILE *out, double share, int width, bool ascii)
{
    static const char *const eighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    const double held = share < 0 ? 0 : share > 1 ? 1 : share;
    const int parts = (int)(held * width * 8 + 0.5);

    for (int i = 0; i < parts / 8; i++)
        (void)fputs(ascii ? "#" : "\u2588", out);
    if (!ascii)
        (void)fputs(eighths[parts % 8], out);
    else if (parts % 8 >= 4)
        (void)fputc('#', out);
}
