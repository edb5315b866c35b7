/*
 * import_plan.c - see import_plan.h.
 */
#include "tools/varve/import_plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/varve/command.h"

#define NO_COLUMN UINT32_MAX
#define TWO_COLUMNS (UINT32_MAX - 1) /* it could be either */

static const char *const part_names[PLAN_PARTS_MAX] = {"year", "month",  "day",
                                                       "hour", "minute", "second"};

/* What was found out, unless the file is only looked at. */
TOOL_PRINTF(2, 3) static void plan_say(const struct import_plan *plan, const char *format, ...)
{
    char text[600];
    va_list arguments;

    if (plan->quiet)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tool_say("%s", text);
}

static bool is_name(const struct import_plan *plan, uint32_t column, const char *name, size_t size)
{
    return strlen(plan->columns[column].info->name) == size &&
           memcmp(plan->columns[column].info->name, name, size) == 0;
}

/* The column of a name as it stands in a header line: as it is spelled, else in any case. */
static uint32_t find_in_any_case(const struct import_plan *plan, const char *name, size_t size)
{
    uint32_t found = NO_COLUMN;

    for (uint32_t i = 0; i < plan->n_columns; i++)
        if (is_name(plan, i, name, size))
            return i;
    for (uint32_t i = 0; i < plan->n_columns; i++) {
        const char *other = plan->columns[i].info->name;
        if (strlen(other) == size && strncasecmp(other, name, size) == 0)
            found = found == NO_COLUMN ? i : TWO_COLUMNS;
    }
    return found;
}

/* The column of a name in an option: as CREATE TABLE and `scan --columns` understand it, which fold
 * what is not quoted; else in any case. */
static uint32_t find_by_option(const struct import_plan *plan, const char *name, size_t size)
{
    char text[520]; /* a name of 255 bytes with every quote doubled, and two around it */
    uint32_t found;

    if (size < sizeof text) {
        memcpy(text, name, size);
        text[size] = '\0';
        if (varve_schema_find(plan->schema, text, &found, NULL) == VARVE_OK)
            return found;
    }
    return size > 0 && *name == '"' ? NO_COLUMN : find_in_any_case(plan, name, size);
}

void import_trim(const char **text, size_t *size)
{
    while (*size > 0 && (**text == ' ' || **text == '\t')) {
        ++*text;
        --*size;
    }
    while (*size > 0 && ((*text)[*size - 1] == ' ' || (*text)[*size - 1] == '\t'))
        --*size;
}

/* Usage: an option or a header line names a column that is none. */
static int no_such_column(const struct import_plan *plan, uint32_t found, const char *name,
                          size_t size, const char *where)
{
    char columns[TOOL_NAMES_MAX];
    const int shown = (int)(size < 60 ? size : 60);

    if (found == TWO_COLUMNS)
        return tool_usage_error("'%.*s' could be two columns of table %s that differ in case only "
                                "(%s): write it as the table does",
                                shown, name, varve_schema_table_name(plan->schema), where);
    tool_column_names(plan->schema, columns);
    return tool_usage_error("table %s has no column '%.*s' (%s); its columns are %s",
                            varve_schema_table_name(plan->schema), shown, name, where, columns);
}

/* Give column `at` its field. */
static int set_field(struct import_plan *plan, uint32_t at, uint32_t field, const char *where)
{
    struct plan_column *column = &plan->columns[at];

    if (column->source != PLAN_ABSENT)
        return tool_usage_error("%s: column %s is given twice", where, column->info->name);
    column->source = PLAN_FIELD;
    column->field = field;
    return TOOL_OK;
}

/* ----------------------------------------------------------------------------------- Constants */

static int take_constant(struct import_plan *plan, const char *set)
{
    const char *equals = strchr(set, '=');
    varve_error err = {.status = VARVE_OK};

    if (equals == NULL)
        return tool_usage_error("--set wants column=value, not '%s'", set);
    const uint32_t at = find_by_option(plan, set, (size_t)(equals - set));
    if (at >= plan->n_columns)
        return no_such_column(plan, at, set, (size_t)(equals - set), "--set");
    struct plan_column *column = &plan->columns[at];
    if (column->source != PLAN_ABSENT)
        return tool_usage_error("--set: column %s is given twice", column->info->name);
    const size_t size = strlen(equals + 1);
    column->scratch = malloc(size + 1);
    if (column->scratch == NULL) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    if (varve_value_parse(column->info, equals + 1, size, column->scratch, &column->constant,
                          &err) < 0)
        return tool_request_failure(&err, "--set");
    column->source = PLAN_CONSTANT;
    return TOOL_OK;
}

/* --------------------------------------------------------------------------------------- Fields */

static int take_column_list(struct import_plan *plan, const char *list)
{
    const char *at = list;

    for (;;) {
        const char *comma = at;
        for (bool quoted = false; *comma != '\0' && (quoted || *comma != ','); comma++)
            quoted ^= *comma == '"';
        const char *name = at;
        size_t size = (size_t)(comma - at);
        import_trim(&name, &size);
        if (size != 1 || *name != '_') {
            const uint32_t column = find_by_option(plan, name, size);
            if (column >= plan->n_columns)
                return no_such_column(plan, column, name, size, "--columns");
            const int code = set_field(plan, column, plan->n_fields, "--columns");
            if (code != TOOL_OK)
                return code;
        }
        plan->n_fields++;
        if (*comma == '\0')
            return TOOL_OK;
        at = comma + 1;
    }
}

/* Blanks around a name mean nothing, unless the column's name has them. */
static uint32_t find_in_header(const struct import_plan *plan, const struct csv_field *field)
{
    const char *name = field->text;
    size_t size = field->size;
    const uint32_t found = find_in_any_case(plan, name, size);

    if (found != NO_COLUMN)
        return found;
    import_trim(&name, &size);
    return find_in_any_case(plan, name, size);
}

/* The field of a part of the time: by the header's name, or by its number from 1. Whether every record
 * has it is another question. */
static bool find_part(const struct csv_record *first, bool has_header, const char *name,
                      size_t size, uint32_t *ret_field)
{
    char text[64];
    uint64_t number;

    for (uint32_t i = 0; has_header && i < first->n_fields; i++) {
        const char *field = first->fields[i].text;
        size_t field_size = first->fields[i].size;
        import_trim(&field, &field_size);
        if (field_size == size && strncasecmp(field, name, size) == 0) {
            *ret_field = i;
            return true;
        }
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)(size < 60 ? size : 60), name);
    if (!tool_number_parse(text, CSV_FIELDS_MAX, &number) || number == 0)
        return false;
    *ret_field = (uint32_t)number - 1;
    return true;
}

static struct plan_column *time_column(struct import_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_columns; i++)
        if (plan->columns[i].info->kind == VARVE_TIME_COLUMN)
            return &plan->columns[i];
    return NULL;
}

/* One part, as --time-parts names it. Every record must have its field, which the first record does not
 * show: with --columns a record has those fields, otherwise those of the header line. */
static int take_time_part(struct import_plan *plan, const struct csv_record *first,
                          const char *name, size_t size)
{
    const bool listed = plan->n_fields > 0;
    const uint32_t n_fields = listed ? plan->n_fields : first->n_fields;
    uint32_t field;

    if (!find_part(first, plan->has_header, name, size, &field) || (!listed && field >= n_fields))
        return tool_usage_error("there is no field '%.*s' (--time-parts)",
                                (int)(size < 60 ? size : 60), name);
    if (field >= n_fields)
        return tool_usage_error("--time-parts: field %" PRIu32 " is not among the %" PRIu32
                                " of --columns; write _ there for each field that is no column",
                                field + 1, n_fields);
    plan->parts[plan->n_parts++] = field;
    return TOOL_OK;
}

/* Behind take_column_list(), if there is a list. */
static int take_time_parts(struct import_plan *plan, const struct csv_record *first,
                           const char *list)
{
    struct plan_column *time = time_column(plan);

    assert(time != NULL);
    if (time->source != PLAN_ABSENT)
        return tool_usage_error("column %s is given twice (--time-parts)", time->info->name);
    for (const char *at = list;; at++) {
        const char *name = at;
        size_t size = strcspn(at, ",");
        at += size;
        import_trim(&name, &size);
        if (plan->n_parts == PLAN_PARTS_MAX)
            return tool_usage_error("--time-parts wants year,month,day[,hour[,minute[,second]]]");
        const int code = take_time_part(plan, first, name, size);
        if (code != TOOL_OK)
            return code;
        if (*at == '\0')
            break;
    }
    if (plan->n_parts < 3)
        return tool_usage_error("--time-parts wants at least year,month,day");
    time->source = PLAN_PARTS;
    return TOOL_OK;
}

/* A header with year, month, day, ... where the time column has no other source. */
static void find_time_parts(struct import_plan *plan, const struct csv_record *first)
{
    struct plan_column *time = time_column(plan);
    uint32_t n = 0;

    assert(time != NULL);
    if (time->source != PLAN_ABSENT ||
        (time->info->type != VARVE_TIMESTAMP && time->info->type != VARVE_DATE))
        return;
    while (n < (time->info->type == VARVE_DATE ? 3 : PLAN_PARTS_MAX) &&
           find_part(first, true, part_names[n], strlen(part_names[n]), &plan->parts[n]))
        n++;
    if (n < 3)
        return;
    plan->n_parts = n;
    time->source = PLAN_PARTS;
}

static bool is_part(const struct import_plan *plan, uint32_t field)
{
    for (uint32_t i = 0; i < plan->n_parts; i++)
        if (plan->parts[i] == field)
            return true;
    return false;
}

static bool is_plain_name(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[size] == '\0' && *name >= 'a' && *name <= 'z';
}

/* The --columns list that takes from a file what its header line does, and skips the rest. */
static void list_fields(const struct import_plan *plan, char list[TOOL_NAMES_MAX])
{
    list[0] = '\0';
    for (uint32_t f = 0; f < plan->n_fields; f++) {
        const char *name = "_";
        for (uint32_t i = 0; i < plan->n_columns; i++)
            if (plan->columns[i].source == PLAN_FIELD && plan->columns[i].field == f)
                name = plan->columns[i].info->name;
        tool_name_append(list, ",", is_plain_name(name) || *name == '_' ? "" : "\"", name,
                         strlen(name));
    }
}

/* A header line with names that are no columns: misspelt, or of fields that are not wanted. Only
 * who gives the command knows which, so nothing is loaded. */
static int refuse_header(const struct import_plan *plan, const char unknown[TOOL_NAMES_MAX],
                         const char *file)
{
    const char *table = varve_schema_table_name(plan->schema);
    char columns[TOOL_NAMES_MAX], fields[TOOL_NAMES_MAX], parts[TOOL_NAMES_MAX] = "";
    bool any = plan->n_parts > 0;

    for (uint32_t i = 0; i < plan->n_columns; i++)
        any |= plan->columns[i].source == PLAN_FIELD;
    tool_column_names(plan->schema, columns);
    if (!any)
        return tool_usage_error("%s: the first line names no column of table %s, whose columns are "
                                "%s; if it is no header, say what the fields are with --columns "
                                "a,b,_,c (_ skips one)",
                                file, table, columns);
    list_fields(plan, fields);
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        char number[12];
        const int size = snprintf(number, sizeof number, "%" PRIu32, plan->parts[i] + 1);
        tool_name_append(parts, ",", "", number, (size_t)size);
    }
    return tool_usage_error("%s: table %s has no column %s, which the header line names; its "
                            "columns are %s; to skip fields: --columns '%s'%s%s",
                            file, table, unknown, columns, fields,
                            plan->n_parts > 0 ? " --time-parts " : "", parts);
}

/* Columns by the names of the header line. */
static int take_header(struct import_plan *plan, const struct csv_record *header, const char *file)
{
    const bool parts_given = plan->n_parts > 0;
    char unknown[TOOL_NAMES_MAX] = "";

    plan->n_fields = header->n_fields;
    for (uint32_t i = 0; i < header->n_fields; i++) {
        const uint32_t at = find_in_header(plan, &header->fields[i]);
        if (at == TWO_COLUMNS)
            return no_such_column(plan, at, header->fields[i].text, header->fields[i].size, file);
        if (at == NO_COLUMN)
            continue;
        if (plan->columns[at].source == PLAN_CONSTANT) {
            plan_say(plan, "%s: column %s: the value of --set is taken, not the file's", file,
                     plan->columns[at].info->name);
            continue;
        }
        const int code = set_field(plan, at, i, file);
        if (code != TOOL_OK)
            return code;
    }
    if (!parts_given)
        find_time_parts(plan, header);
    for (uint32_t i = 0; i < header->n_fields; i++) {
        const char *name = header->fields[i].text;
        size_t size = header->fields[i].size;
        import_trim(&name, &size);
        if (find_in_header(plan, &header->fields[i]) == NO_COLUMN && !is_part(plan, i))
            tool_name_append(unknown, ", ", "'", name, size);
    }
    if (unknown[0] != '\0')
        return refuse_header(plan, unknown, file);
    if (plan->n_parts > 0 && !parts_given)
        plan_say(plan, "%s: column %s is put together from the fields year to %s", file,
                 time_column(plan)->info->name, part_names[plan->n_parts - 1]);
    return TOOL_OK;
}

/* Whether the field could be a value of the column, whatever order its date is in. */
static bool could_be_value(const struct plan_column *column, const struct csv_field *field)
{
    const struct time_shape dmy = {.order = TIME_ORDER_DMY}, mdy = {.order = TIME_ORDER_MDY};
    varve_error err = {.status = VARVE_OK};
    varve_value value;
    int64_t time;

    if (column->info->type == VARVE_TIMESTAMP || column->info->type == VARVE_DATE)
        return time_shape_parse(&dmy, column->info, field->text, field->size, &time, &err) ==
                   NULL ||
               time_shape_parse(&mdy, column->info, field->text, field->size, &time, &err) == NULL;
    return varve_value_parse(column->info, field->text, field->size, NULL, &value, &err) ==
           VARVE_OK;
}

/* With --columns: a first line in which no number or time is one. */
static bool looks_like_header(const struct import_plan *plan, const struct csv_record *first,
                              const struct import_options *options)
{
    bool found = false;

    for (uint32_t i = 0; i < plan->n_columns; i++) {
        const struct plan_column *column = &plan->columns[i];
        const uint8_t type = column->info->type;
        if (column->source != PLAN_FIELD || type == VARVE_TEXT || type == VARVE_BLOB)
            continue;
        if (column->field >= first->n_fields)
            return false;
        const struct csv_field *field = &first->fields[column->field];
        if (import_field_is_null(options, field, type) || could_be_value(column, field))
            return false;
        found = true;
    }
    return found;
}

/* A line end that is none in this file. */
static bool has_stray_return(const struct csv_record *record)
{
    for (uint32_t i = 0; i < record->n_fields; i++)
        if (!record->fields[i].quoted &&
            memchr(record->fields[i].text, '\r', record->fields[i].size) != NULL)
            return true;
    return false;
}

static int map_fields(struct import_plan *plan, const struct import_options *options,
                      const struct csv_record *first, const char *file)
{
    int code = TOOL_OK;

    if (options->columns != NULL)
        code = take_column_list(plan, options->columns);
    if (code != TOOL_OK)
        return code;
    plan->has_header = options->header == PLAN_HEADER_YES ||
                       (options->header == PLAN_HEADER_AUTO &&
                        (options->columns == NULL || looks_like_header(plan, first, options)));
    if (options->columns == NULL && !plan->has_header)
        return tool_usage_error("--header no wants --columns");
    if (first->fault != NULL && plan->has_header)
        return tool_usage_error("%s: the header line cannot be read: %s", file, first->fault);
    if (plan->has_header && has_stray_return(first))
        return tool_usage_error(
            "%s: a carriage return stands inside the header line: some lines of "
            "the file end with it alone, others do not",
            file);
    if (options->time_parts != NULL)
        code = take_time_parts(plan, first, options->time_parts);
    if (code == TOOL_OK && options->columns == NULL)
        code = take_header(plan, first, file);
    return code;
}

/* Every key column needs a source. */
static int check_key(struct import_plan *plan, const char *file)
{
    plan->constant_partition = true;
    for (uint32_t i = 0; i < plan->n_columns; i++) {
        const struct plan_column *column = &plan->columns[i];
        if (column->info->kind == VARVE_VALUE_COLUMN)
            continue;
        if (column->source == PLAN_ABSENT)
            return tool_usage_error("%s: nothing gives the key column %s: name it in --columns or "
                                    "the header line, or use --set %s=...",
                                    file, column->info->name, column->info->name);
        if (column->info->kind == VARVE_PARTITION_KEY)
            plan->constant_partition &= column->source == PLAN_CONSTANT;
    }
    return TOOL_OK;
}

/* --------------------------------------------------------------------------------------- Times */

static int read_failure(const struct csv_reader *reader, const char *file)
{
    const char *fault = csv_reader_fault(reader);

    tool_say("%s: %s", file, fault[0] == '\0' ? "out of memory" : fault);
    return TOOL_FAILED;
}

static bool is_date_column(const struct plan_column *column)
{
    return column->source == PLAN_FIELD &&
           (column->info->type == VARVE_TIMESTAMP || column->info->type == VARVE_DATE);
}

/* Decide over the first records how each column of times is to be read. */
static int sample_times(struct import_plan *plan, const struct import_options *options,
                        struct csv_reader *reader, const char *file)
{
    struct time_sample *samples = calloc(plan->n_columns, sizeof *samples);
    struct csv_record record;
    enum csv_result result;
    bool header = plan->has_header;
    int code = TOOL_OK;

    if (samples == NULL) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    while ((result = csv_reader_next(reader, &record)) == CSV_RECORD) {
        for (uint32_t i = 0; !header && record.n_fields == plan->n_fields && i < plan->n_columns;
             i++) {
            const struct plan_column *column = &plan->columns[i];
            const struct csv_field *field = &record.fields[column->field];
            if (is_date_column(column) &&
                !import_field_is_null(options, field, column->info->type)) {
                const char *text = field->text;
                size_t size = field->size;
                import_trim(&text, &size);
                time_sample_add(&samples[i], text, size);
            }
        }
        header = false;
    }
    if (result == CSV_FAILED)
        code = read_failure(reader, file);
    for (uint32_t i = 0; code == TOOL_OK && i < plan->n_columns; i++) {
        char said[TIME_SAID_MAX];
        if (!is_date_column(&plan->columns[i]))
            continue;
        const bool decided =
            time_shape_decide(&plan->columns[i].shape, &samples[i], plan->columns[i].info,
                              options->time_unit, options->date_order, said, sizeof said);
        if (!decided)
            code = tool_usage_error("%s: column %s: %s", file, plan->columns[i].info->name, said);
        else if (said[0] != '\0')
            plan_say(plan, "%s: column %s: %s", file, plan->columns[i].info->name, said);
    }
    free(samples);
    return code;
}

static bool any_date_column(const struct import_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_columns; i++)
        if (is_date_column(&plan->columns[i]))
            return true;
    return false;
}

/* ---------------------------------------------------------------------------------------- Plan */

static int plan_init(struct import_plan *plan, const varve_schema *schema, bool quiet)
{
    *plan = (struct import_plan){
        .schema = schema, .n_columns = varve_schema_columns(schema), .quiet = quiet};
    plan->columns = calloc(plan->n_columns, sizeof *plan->columns);
    if (plan->columns == NULL) {
        tool_say("out of memory");
        return TOOL_FAILED;
    }
    for (uint32_t i = 0; i < plan->n_columns; i++)
        plan->columns[i].info = varve_schema_column(schema, i);
    return TOOL_OK;
}

static void say_delimiter(const struct import_plan *plan, char delimiter, const char *file)
{
    if (delimiter == '\t')
        plan_say(plan, "%s: the delimiter is a tab", file);
    else
        plan_say(plan, "%s: the delimiter is %c", file, delimiter);
}

int import_plan_make(struct import_plan *plan, const varve_schema *schema,
                     const struct import_options *options, struct csv_reader *reader,
                     const char *file, bool quiet)
{
    struct csv_record first = {.n_fields = 0};
    int code = plan_init(plan, schema, quiet);

    for (uint32_t i = 0; code == TOOL_OK && i < options->n_sets; i++)
        code = take_constant(plan, options->sets[i]);
    if (code != TOOL_OK)
        return code;

    csv_reader_mark(reader);
    enum csv_result result = csv_reader_next(reader, &first);
    if (result == CSV_FAILED)
        return read_failure(reader, file);
    if (result == CSV_END) { /* nothing at all: no header is missed */
        csv_reader_rewind(reader);
        return TOOL_OK;
    }
    if (csv_reader_ends_in_cr(reader))
        plan_say(plan, "%s: its lines end with a carriage return alone", file);
    if (csv_reader_delimiter(reader) != ',' && options->delimiter == '\0')
        say_delimiter(plan, csv_reader_delimiter(reader), file);
    code = map_fields(plan, options, &first, file);
    if (code == TOOL_OK)
        code = check_key(plan, file);
    if (code != TOOL_OK)
        return code;
    if (plan->has_header && options->columns != NULL && options->header == PLAN_HEADER_AUTO)
        plan_say(plan, "%s: the first line is taken as a header: no number or time in it is one",
                 file);

    csv_reader_rewind(reader);
    if (any_date_column(plan)) {
        csv_reader_mark(reader);
        code = sample_times(plan, options, reader, file);
        csv_reader_rewind(reader);
        if (code != TOOL_OK)
            return code;
    }
    if (plan->has_header && csv_reader_next(reader, &first) == CSV_FAILED)
        return read_failure(reader, file);
    return TOOL_OK;
}

void import_plan_free(struct import_plan *plan)
{
    for (uint32_t i = 0; plan->columns != NULL && i < plan->n_columns; i++)
        free(plan->columns[i].scratch);
    free(plan->columns);
    *plan = (struct import_plan){.n_columns = 0};
}

bool import_field_is_null(const struct import_options *options, const struct csv_field *field,
                          uint8_t type)
{
    const char *text = field->text;
    size_t size = field->size;

    if (field->quoted && (type == VARVE_TEXT || type == VARVE_BLOB))
        return false; /* quotes say that it is a text */
    if (type != VARVE_TEXT)
        import_trim(&text, &size);
    if (size == 0)
        return true;
    if (!options->nulls_given)
        return size == 2 && memcmp(text, "NA", 2) == 0;
    for (uint32_t i = 0; i < options->n_nulls; i++)
        if (strlen(options->nulls[i]) == size && memcmp(options->nulls[i], text, size) == 0)
            return true;
    return false;
}

static bool all_digits(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

const char *import_time_text(const struct import_plan *plan, const struct csv_record *record,
                             char out[PLAN_TIME_TEXT_MAX], size_t *ret_size)
{
    static const char *const before[PLAN_PARTS_MAX] = {"", "-", "-", "T", ":", ":"};
    size_t size = 0;

    for (uint32_t i = 0; i < plan->n_parts; i++) {
        assert(plan->parts[i] < record->n_fields);
        const struct csv_field *field = &record->fields[plan->parts[i]];
        const char *text = field->text;
        size_t n = field->size;
        import_trim(&text, &n);
        if (n == 0 || n > 20 || (i != 5 && (n > 4 || !all_digits(text, n))))
            return "a part of the time is no number";
        const int written = snprintf(out + size, PLAN_TIME_TEXT_MAX - size, "%s%s%.*s", before[i],
                                     i > 0 && (n == 1 || text[1] == '.') ? "0" : "", (int)n, text);
        if (written < 0 || size + (size_t)written >= PLAN_TIME_TEXT_MAX)
            return "a part of the time is no number";
        size += (size_t)written;
    }
    if (plan->n_parts == 4) { /* hours alone are no time of day in ISO 8601 */
        memcpy(out + size, ":00", 3);
        size += 3;
    }
    *ret_size = size;
    return NULL;
}
