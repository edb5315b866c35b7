/*
 * scan_request.c - see scan_request.h.
 */
#include "tools/varve/scan_request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/varve/command.h"
#include "tools/varve/csv_reader.h"

static int no_memory(void)
{
    tool_say("out of memory");
    return TOOL_FAILED;
}

/* A copy that lives as long as the request. NULL: no memory. */
static char *keep_text(struct scan_request *request, const char *text, size_t size)
{
    if (request->n_owned == request->owned_capacity) {
        const uint32_t capacity = request->owned_capacity * 2 + 16;
        char **owned = realloc(request->owned, capacity * sizeof *owned);
        if (owned == NULL)
            return NULL;
        request->owned = owned;
        request->owned_capacity = capacity;
    }
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    request->owned[request->n_owned++] = copy;
    return copy;
}

void scan_request_free(struct scan_request *request)
{
    for (uint32_t i = 0; i < request->n_owned; i++)
        free(request->owned[i]);
    free(request->owned);
    free(request->names);
    free(request->columns);
    free(request->partitions);
    free(request->predicates);
    free(request->aggregate_list);
    *request = (struct scan_request){.n_names = 0};
}

static const varve_column_info *time_column(const varve_schema *schema)
{
    uint32_t i = 0;

    while (varve_schema_column(schema, i)->kind != VARVE_TIME_COLUMN)
        i++;
    return varve_schema_column(schema, i);
}

static uint32_t partition_columns(const varve_schema *schema)
{
    uint32_t n = 0;

    while (varve_schema_column(schema, n)->kind == VARVE_PARTITION_KEY)
        n++;
    return n;
}

/* The next item of a list: *ret_item up to a comma outside of quotes and parentheses, trimmed.
 * Returns what follows, or NULL at the end. */
static const char *next_item(const char *list, const char **ret_item, size_t *ret_size)
{
    const char *end = list;
    int depth = 0;

    for (bool quoted = false; *end != '\0' && (quoted || depth > 0 || *end != ','); end++) {
        quoted ^= *end == '"';
        depth += !quoted && *end == '(';
        depth -= !quoted && *end == ')' && depth > 0;
    }
    const char *from = list, *to = end;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *ret_item = from;
    *ret_size = (size_t)(to - from);
    return *end == '\0' ? NULL : end + 1;
}

static uint32_t count_items(const char *list)
{
    uint32_t n = 0;
    const char *item;
    size_t size;

    for (const char *at = list; at != NULL; n++)
        at = next_item(at, &item, &size);
    return n;
}

static int find_column(struct scan_request *request, const varve_schema *schema, const char *name,
                       size_t size, const char *option, uint32_t *ret_column)
{
    varve_error err = {.status = VARVE_OK};
    char *copy = keep_text(request, name, size);

    if (copy == NULL)
        return no_memory();
    if (varve_schema_find(schema, copy, ret_column, &err) < 0)
        return tool_column_failure(&err, schema, option);
    return TOOL_OK;
}

/* -------------------------------------------------------------------------------------- Columns */

static int take_columns(struct scan_request *request, const varve_schema *schema, const char *list)
{
    const uint32_t all = varve_schema_columns(schema);
    const uint32_t n = list == NULL ? all : count_items(list);

    request->names = calloc(n, sizeof *request->names);
    request->columns = calloc(n, sizeof *request->columns);
    if (request->names == NULL || request->columns == NULL)
        return no_memory();
    for (uint32_t i = 0; i < n; i++) {
        request->columns[i] = i;
        if (list != NULL) {
            const char *item;
            size_t size;
            list = next_item(list, &item, &size);
            const int code =
                find_column(request, schema, item, size, "--columns", &request->columns[i]);
            if (code != TOOL_OK)
                return code;
        }
        request->names[i] = varve_schema_column(schema, request->columns[i])->name;
    }
    request->n_names = n;
    request->scan.columns = request->columns;
    request->scan.n_columns = n;
    return TOOL_OK;
}

/* ----------------------------------------------------------------------------------- Partitions */

static int take_partition(struct scan_request *request, const varve_schema *schema,
                          const struct csv_record *record, const char *text, varve_value *values)
{
    const uint32_t n = partition_columns(schema);
    varve_error err = {.status = VARVE_OK};

    if (record->fault != NULL)
        return tool_usage_error("--partition '%s': %s", text, record->fault);
    if (record->n_fields != n)
        return tool_usage_error("--partition '%s': %" PRIu32 " values, but the partition key has "
                                "%" PRIu32 " (a value with a comma stands in double quotes)",
                                text, record->n_fields, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct csv_field *field = &record->fields[i];
        char *copy = keep_text(request, field->text, field->size);
        char *scratch = keep_text(request, field->text, field->size);
        if (copy == NULL || scratch == NULL)
            return no_memory();
        if (varve_value_parse(varve_schema_column(schema, i), copy, field->size, scratch,
                              &values[i], &err) < 0)
            return tool_request_failure(&err, "--partition");
    }
    return TOOL_OK;
}

/* The text of one --partition: a record, and no other behind it. */
static int take_partition_text(struct scan_request *request, const varve_schema *schema,
                               const char *text, varve_value *values)
{
    static const struct csv_field nothing = {.text = ""};
    struct csv_record record = {.fields = &nothing, .n_fields = 1};
    struct csv_reader *reader = csv_reader_of_text(text, strlen(text), ',');

    if (reader == NULL)
        return no_memory();
    enum csv_result result = csv_reader_next(reader, &record);
    int code =
        result == CSV_FAILED ? no_memory() : take_partition(request, schema, &record, text, values);
    if (code == TOOL_OK && result == CSV_RECORD) {
        result = csv_reader_next(reader, &record);
        if (result == CSV_FAILED)
            code = no_memory();
        else if (result == CSV_RECORD)
            code =
                tool_usage_error("--partition '%s': there is a second record behind a line break "
                                 "(a value with a line break stands in double quotes)",
                                 text);
    }
    csv_reader_free(reader);
    return code;
}

static int take_partitions(struct scan_request *request, const varve_schema *schema,
                           const struct scan_options *options)
{
    const uint32_t n = partition_columns(schema);
    int code = TOOL_OK;

    if (options->n_partitions == 0)
        return TOOL_OK;
    request->partitions = calloc((size_t)options->n_partitions * n, sizeof *request->partitions);
    if (request->partitions == NULL)
        return no_memory();
    for (uint32_t i = 0; code == TOOL_OK && i < options->n_partitions; i++)
        code = take_partition_text(request, schema, options->partitions[i],
                                   &request->partitions[(size_t)i * n]);
    request->scan.partitions = request->partitions;
    request->scan.n_partitions = options->n_partitions;
    return code;
}

/* ---------------------------------------------------------------------------------------- Times */

static int take_time(const varve_column_info *time, const char *option, const char *text,
                     int64_t *ret_time)
{
    varve_error err = {.status = VARVE_OK};
    varve_value value;

    if (varve_value_parse(time, text, strlen(text), NULL, &value, &err) < 0) {
        char doing[120];
        (void)snprintf(doing, sizeof doing, "%s '%.80s'", option, text);
        return tool_request_failure(&err, doing);
    }
    *ret_time = value.as.i64;
    return TOOL_OK;
}

/* Units of the time column in a second; 0: it has none. */
static int64_t units_per_second(const varve_column_info *time)
{
    static const int64_t per_second[] = {0, 1, 1000, 1000000, 1000000000};

    if (time->type == VARVE_TIMESTAMP)
        return per_second[time->unit];
    return time->type == VARVE_TIME ? 1000000000 : 0;
}

int scan_interval_parse(const char *text, const varve_column_info *time, int64_t *ret_interval)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},
                 {"us", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", INT64_C(60000000000)},
                 {"h", INT64_C(3600000000000)},
                 {"d", INT64_C(86400000000000)},
                 {"w", INT64_C(604800000000000)}};
    const size_t digits = strspn(text, "0123456789");
    char number_text[24];
    uint64_t number;

    (void)snprintf(number_text, sizeof number_text, "%.*s", (int)(digits < 20 ? digits : 20), text);
    if (!tool_number_parse(number_text, INT64_MAX, &number) || number == 0)
        return tool_usage_error("--every '%s': a number and a unit expected, as in 1h", text);
    const int64_t count = (int64_t)number;
    const int64_t unit_per_second = units_per_second(time);
    if (text[digits] == '\0') {
        *ret_interval = count; /* in the column's own unit */
        return TOOL_OK;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].name, text + digits) != 0)
            continue;
        const int64_t ns_a_unit = time->type == VARVE_DATE ? INT64_C(86400000000000)
                                  : unit_per_second == 0   ? 0
                                                           : 1000000000 / unit_per_second;
        if (ns_a_unit == 0)
            return tool_usage_error("--every '%s': column %s is a plain number and has no unit",
                                    text, time->name);
        if (count > INT64_MAX / units[i].ns)
            return tool_usage_error("--every '%s' is too long", text);
        if (count * units[i].ns % ns_a_unit != 0)
            return tool_usage_error("--every '%s' is finer than column %s", text, time->name);
        *ret_interval = count * units[i].ns / ns_a_unit;
        return TOOL_OK;
    }
    return tool_usage_error("--every '%s': the units are ns, us, ms, s, m, h, d and w", text);
}

static int take_times(struct scan_request *request, const varve_schema *schema,
                      const struct scan_options *options)
{
    const varve_column_info *time = time_column(schema);
    int code = TOOL_OK;

    if (options->from != NULL) {
        code = take_time(time, "--from", options->from, &request->scan.from);
        request->scan.flags |= VARVE_SCAN_FROM;
    }
    if (code == TOOL_OK && options->to != NULL) {
        code = take_time(time, "--to", options->to, &request->scan.to);
        request->scan.flags |= VARVE_SCAN_TO;
    }
    if (code == TOOL_OK && options->origin != NULL)
        code = take_time(time, "--origin", options->origin, &request->scan.origin);
    if (code == TOOL_OK && options->every != NULL)
        code = scan_interval_parse(options->every, time, &request->scan.every);
    return code;
}

/* ----------------------------------------------------------------------------------- Conditions */

/* Each --where after the others: all conditions must hold. */
static int take_wheres(struct scan_request *request, const varve_schema *schema,
                       const struct scan_options *options)
{
    size_t size = 0;
    int code = TOOL_OK;

    /* A condition has at least three characters: a column, an operator, a value. */
    for (uint32_t i = 0; i < options->n_wheres; i++)
        size += strlen(options->wheres[i]) / 3 + 1;
    request->predicates = calloc(size + 1, sizeof *request->predicates);
    if (request->predicates == NULL)
        return no_memory();
    request->scan.predicates = request->predicates;
    for (uint32_t i = 0; code == TOOL_OK && i < options->n_wheres; i++) {
        const char *where = options->wheres[i];
        char *copy = keep_text(request, where, strlen(where));
        uint32_t n = 0;
        if (copy == NULL)
            return no_memory();
        code = scan_where_parse(where, schema, request->predicates + request->scan.n_predicates, &n,
                                copy);
        request->scan.n_predicates += n;
    }
    return code;
}

/* ----------------------------------------------------------------------------------- Aggregates */

static const struct {
    const char *name;
    varve_function function;
} functions[] = {{"count", VARVE_COUNT}, {"sum", VARVE_SUM}, {"min", VARVE_MIN},
                 {"max", VARVE_MAX},     {"avg", VARVE_AVG}, {"first", VARVE_FIRST},
                 {"last", VARVE_LAST}};

static int take_aggregate(struct scan_request *request, const varve_schema *schema,
                          const char *item, size_t size, varve_aggregate *ret)
{
    const char *open = memchr(item, '(', size);
    size_t name_size = open == NULL ? size : (size_t)(open - item);
    uint32_t function = 0;

    while (name_size > 0 && item[name_size - 1] == ' ')
        name_size--;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strlen(functions[i].name) == name_size &&
            strncasecmp(functions[i].name, item, name_size) == 0)
            function = functions[i].function;
    if (function == 0)
        return tool_usage_error(
            "--agg: there is no function '%.*s' (count, count(column), and with "
            "a column sum, min, max, avg, first, last)",
            (int)name_size, item);
    if (open == NULL && function != VARVE_COUNT)
        return tool_usage_error("--agg: %.*s wants a column in parentheses", (int)size, item);
    if (open != NULL && item[size - 1] != ')')
        return tool_usage_error("--agg: '%.*s' wants a closing parenthesis", (int)size, item);
    *ret = (varve_aggregate){.function = VARVE_COUNT_ROWS};
    if (open == NULL)
        return TOOL_OK;
    const char *column;
    size_t column_size;
    char *inside = keep_text(request, open + 1, (size_t)(item + size - 1 - (open + 1)));
    if (inside == NULL)
        return no_memory();
    if (next_item(inside, &column, &column_size) != NULL)
        return tool_usage_error("--agg: '%.*s' wants one column", (int)size, item);
    if (function == VARVE_COUNT && column_size == 1 && *column == '*')
        return TOOL_OK;
    ret->function = function;
    return find_column(request, schema, column, column_size, "--agg", &ret->column);
}

/* What one --agg lists, behind the others. */
static int take_aggregate_list(struct scan_request *request, const varve_schema *schema,
                               const char *list)
{
    int code = TOOL_OK;

    while (code == TOOL_OK && list != NULL) {
        const char *item;
        size_t size;
        list = next_item(list, &item, &size);
        code = take_aggregate(request, schema, item, size,
                              &request->aggregate_list[request->scan.n_aggregates++]);
        request->names[request->n_names++] = keep_text(request, item, size);
        if (code == TOOL_OK && request->names[request->n_names - 1] == NULL)
            code = no_memory();
    }
    return code;
}

/* Partition columns if by partition, then `bucket`, then the aggregates as they are written. */
static int take_aggregates(struct scan_request *request, const varve_schema *schema,
                           const struct scan_options *options)
{
    const uint32_t keys = options->by_partition ? partition_columns(schema) : 0;
    size_t n = 0;
    int code = TOOL_OK;

    for (uint32_t i = 0; i < options->n_aggs; i++)
        n += count_items(options->aggs[i]);
    if (n > REQUEST_AGGREGATES_MAX)
        return tool_usage_error("--agg: at most %u aggregates may be given, not %zu",
                                REQUEST_AGGREGATES_MAX, n);
    request->names = calloc(keys + n + 1, sizeof *request->names);
    request->aggregate_list = calloc(n + 1, sizeof *request->aggregate_list);
    if (request->names == NULL || request->aggregate_list == NULL)
        return no_memory();
    for (uint32_t i = 0; i < keys; i++)
        request->names[request->n_names++] = varve_schema_column(schema, i)->name;
    if (request->scan.every > 0)
        request->names[request->n_names++] = "bucket";
    for (uint32_t i = 0; code == TOOL_OK && i < options->n_aggs; i++)
        code = take_aggregate_list(request, schema, options->aggs[i]);
    /* One more that is not shown: whether there was any row at all. */
    request->aggregate_list[n] = (varve_aggregate){.function = VARVE_COUNT_ROWS};
    request->aggregates = true;
    request->scan.aggregates = request->aggregate_list;
    request->scan.n_aggregates = (uint32_t)n + 1;
    if (options->by_partition)
        request->scan.flags |= VARVE_SCAN_BY_PARTITION;
    return code;
}

static int check_together(const struct scan_options *options)
{
    if (options->n_aggs == 0 && options->every != NULL)
        return tool_usage_error("--every wants --agg, as in --agg count");
    if (options->n_aggs == 0 && options->by_partition)
        return tool_usage_error("--by partition wants --agg, as in --agg count");
    if (options->every == NULL && options->origin != NULL)
        return tool_usage_error("--origin wants --every");
    if (options->n_aggs > 0 && options->columns != NULL)
        return tool_usage_error("--columns and --agg exclude each other");
    if (options->n_aggs > 0 && options->limit_per_partition > 0 && !options->by_partition)
        return tool_usage_error("--limit-per-partition with --agg wants --by partition");
    return TOOL_OK;
}

int scan_request_make(struct scan_request *request, const varve_schema *schema,
                      const struct scan_options *options)
{
    int code = check_together(options);

    *request = (struct scan_request){.n_names = 0};
    varve_scan_init(&request->scan, sizeof request->scan);
    request->scan.flags = VARVE_SCAN_DECLARED_ORDER;
    if (options->reverse)
        request->scan.flags |= VARVE_SCAN_REVERSE;
    request->scan.limit = options->limit;
    request->scan.limit_per_partition = options->limit_per_partition;
    if (code == TOOL_OK)
        code = take_times(request, schema, options);
    if (code == TOOL_OK)
        code = take_partitions(request, schema, options);
    if (code == TOOL_OK && options->n_wheres > 0)
        code = take_wheres(request, schema, options);
    if (code == TOOL_OK && options->n_aggs > 0)
        code = take_aggregates(request, schema, options);
    else if (code == TOOL_OK)
        code = take_columns(request, schema, options->columns);
    return code;
}
