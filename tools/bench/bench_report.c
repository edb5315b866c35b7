/*
 * bench_report.c - figures, as a table for people or as JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/store_bench.h"

struct bench_figure *bench_report_add(struct bench_report *report, const char *name,
                                      const char *unit, bool less_is_better)
{
    if (report->n == report->capacity) {
        report->capacity = report->capacity == 0 ? 64 : report->capacity * 2;
        report->items = realloc(report->items, report->capacity * sizeof *report->items);
        if (report->items == NULL) {
            (void)fputs("varve: no memory for the report\n", stderr);
            abort();
        }
    }
    struct bench_figure *figure = &report->items[report->n++];
    *figure = (struct bench_figure){.unit = unit,
                                    .less_is_better = less_is_better,
                                    .varve = NAN,
                                    .sqlite = NAN,
                                    .varve_cpu_s = NAN,
                                    .sqlite_cpu_s = NAN};
    (void)snprintf(figure->name, sizeof figure->name, "%s", name);
    return figure;
}

void bench_report_free(struct bench_report *report)
{
    free(report->items);
    *report = (struct bench_report){0};
}

/* How many times better varve is. */
static double ratio(const struct bench_figure *figure)
{
    return figure->less_is_better ? figure->sqlite / figure->varve : figure->varve / figure->sqlite;
}

static void print_number(double value, int width)
{
    if (isnan(value))
        (void)printf(" %*s", width, "-");
    else if (fabs(value) >= 1000)
        (void)printf(" %*.0f", width, value);
    else
        (void)printf(" %*.*f", width, fabs(value) >= 10 ? 1 : 3, value);
}

static void print_json_number(const char *name, double value)
{
    if (isfinite(value))
        (void)printf(", \"%s\": %.9g", name, value);
    else
        (void)printf(", \"%s\": null", name);
}

static void print_json(const struct bench_report *report)
{
    (void)printf("[");
    for (size_t i = 0; i < report->n; i++) {
        const struct bench_figure *figure = &report->items[i];
        (void)printf("%s\n  {\"name\": \"%s\", \"unit\": \"%s\"", i > 0 ? "," : "", figure->name,
                     figure->unit);
        print_json_number("varve", figure->varve);
        print_json_number("sqlite", figure->sqlite);
        print_json_number("ratio", ratio(figure));
        print_json_number("varve_cpu_seconds", figure->varve_cpu_s);
        print_json_number("sqlite_cpu_seconds", figure->sqlite_cpu_s);
        (void)printf("}");
    }
    (void)printf("\n]\n");
}

void bench_report_print(const struct bench_report *report, bool json)
{
    if (json) {
        print_json(report);
        return;
    }
    (void)printf("%-44s %-8s %12s %12s %8s %9s %9s\n", "figure", "unit", "varve", "sqlite", "ratio",
                 "cpu s", "cpu s");
    for (size_t i = 0; i < report->n; i++) {
        const struct bench_figure *figure = &report->items[i];
        (void)printf("%-44s %-8s", figure->name, figure->unit);
        print_number(figure->varve, 12);
        print_number(figure->sqlite, 12);
        print_number(ratio(figure), 8);
        print_number(figure->varve_cpu_s, 9);
        print_number(figure->sqlite_cpu_s, 9);
        (void)printf("\n");
    }
}
