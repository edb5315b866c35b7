/*
 * sst_verify.c - every byte of a file, and everything that one part of it says of another
 * (varve_sst_verify, varve_sst_walk in sst_reader.h).
 *
 * Three passes: all blocks by their references, both copies, with what they cover; then all rows,
 * vector by vector, beside the partition directory; then the sums. A problem is reported and the
 * pass goes on where it can.
 */
#include <assert.h>
#include <string.h>

#include "index/key_filter.h"
#include "storage/base/vec.h"
#include "storage/sst/group_encoder.h"
#include "storage/sst/sst_int.h"

/* ------------------------------------------------------------------------------------- Walking */

/* Called for each block; `mirror` is 0 for what stands once. */
typedef varve_status (*block_fn)(void *ctx, uint32_t kind, const struct varve_page_ref *ref,
                                 uint64_t mirror, const struct varve_sst_block_info *info,
                                 varve_error *err);

struct walk {
    struct varve_sst *sst;
    block_fn fn;
    void *ctx;
    struct varve_page_ref *pages; /* of the directory still to visit */
    size_t n_pages;
    size_t next_page;
    size_t pages_capacity;
};

static varve_status walk_block(struct walk *w, uint32_t kind, const struct varve_page_ref *ref,
                               const char *what, uint64_t group, varve_error *err)
{
    const struct varve_sst_block_info info = {
        .offset = ref->offset, .size = ref->size, .what = what, .group = group};

    return w->fn(w->ctx, kind, ref, varve_sst_mirror_of(&w->sst->sections, ref->offset, ref->size),
                 &info, err);
}

static varve_status walk_group(struct walk *w, uint32_t number, varve_error *err)
{
    const struct varve_sst_group *group = &w->sst->groups[number];
    const struct varve_page_ref ref = {group->index_offset, group->index_size,
                                       group->index_checksum};
    struct varve_cache_entry *entry = NULL;
    const struct varve_group_index *index;
    varve_status rc = walk_block(w, VARVE_SST_INDEX, &ref, "group index", number, err);

    if (rc != VARVE_OK)
        return rc;
    rc = varve_sst_fetch_group(w->sst, number, &entry, &index, err);
    if (rc < 0)
        return rc;
    for (uint32_t row = 0; row < index->n_streams && rc == VARVE_OK; row++) {
        for (uint32_t v = 0; v < index->n_vectors && rc == VARVE_OK; v++) {
            const struct varve_group_block *b = varve_group_block_at(index, row, v);
            const struct varve_page_ref block = {b->offset, b->size, b->checksum};
            const struct varve_sst_block_info info = {.offset = b->offset,
                                                      .size = b->size,
                                                      .what = "vector",
                                                      .group = number,
                                                      .vector = v,
                                                      .stream = index->streams[row],
                                                      .rows = index->vectors[v].rows,
                                                      .codec = b->codec};
            if (b->size != 0)
                rc = w->fn(w->ctx, VARVE_SST_VECTOR, &block, 0, &info, err);
        }
    }
    for (uint32_t i = 0; i < index->n_dictionaries && rc == VARVE_OK; i++)
        rc = walk_block(w, VARVE_SST_DICTIONARY, &index->dictionaries[i].ref, "dictionary", number,
                        err);
    if (rc == VARVE_OK && index->zones.size != 0)
        rc = walk_block(w, VARVE_SST_ZONES, &index->zones, "zone map", number, err);
    varve_cache_release(w->sst->cache, entry);
    return rc;
}

static varve_status add_page(void *ctx, struct varve_span separator, uint64_t first_ordinal,
                             const struct varve_page_ref *ref, varve_error *err)
{
    struct walk *w = ctx;

    (void)separator;
    (void)first_ordinal;
    if (w->n_pages > w->sst->footer.file_size / 32)
        return varve_error_set(err, VARVE_ECORRUPT, w->sst->name, ref->offset,
                               "the partition directory has more pages than the file has room for");
    if (!varve_vec_grow(w->sst->heap, (void **)&w->pages, sizeof *w->pages, w->n_pages + 1,
                        &w->pages_capacity))
        return varve_error_nomem(err, "walking through a file");
    w->pages[w->n_pages++] = *ref;
    return VARVE_OK;
}

static varve_status walk_directory(struct walk *w, varve_error *err)
{
    const struct varve_span none = {NULL, 0};
    varve_status rc = add_page(w, none, 0, &w->sst->directory.root, err);

    while (rc == VARVE_OK && w->next_page < w->n_pages) {
        const struct varve_page_ref ref = w->pages[w->next_page++];
        struct varve_cache_entry *entry = NULL;
        bool is_leaf;

        rc = walk_block(w, VARVE_SST_DIRECTORY, &ref, "directory page", 0, err);
        if (rc == VARVE_OK)
            rc = varve_sst_fetch(w->sst, VARVE_SST_DIRECTORY, &ref, &entry, err);
        if (rc != VARVE_OK)
            break;
        rc = varve_directory_children(varve_span_of(entry->data, entry->size), &is_leaf, add_page,
                                      w, err);
        varve_cache_release(w->sst->cache, entry);
        rc = varve_sst_blame(w->sst, ref.offset, rc, err);
    }
    return rc;
}

static varve_status walk_filter(struct walk *w, varve_error *err)
{
    const struct varve_sst_section_ref *s = &w->sst->sections.at[VARVE_SECTION_FILTER];
    const struct varve_page_ref ref = {s->offset, s->size, s->checksum};
    struct varve_cache_entry *entry = NULL;
    uint32_t shards = 0;

    if (s->offset == 0)
        return VARVE_OK;
    varve_status rc = walk_block(w, VARVE_SST_FILTER, &ref, "key filter", 0, err);
    if (rc == VARVE_OK)
        rc = varve_sst_fetch(w->sst, VARVE_SST_FILTER, &ref, &entry, err);
    if (rc != VARVE_OK)
        return rc;
    const struct varve_span table = {entry->data, entry->size};
    rc = varve_filter_check(table, &shards, err);
    for (uint32_t i = 0; i < shards && rc == VARVE_OK; i++) {
        struct varve_filter_shard shard;

        varve_filter_shard_at(table, i, &shard);
        if (shard.ref.size != 0)
            rc = walk_block(w, VARVE_SST_FILTER, &shard.ref, "key filter shard", 0, err);
    }
    varve_cache_release(w->sst->cache, entry);
    return varve_sst_blame(w->sst, ref.offset, rc, err);
}

static varve_status walk_section(struct walk *w, uint32_t id, uint32_t kind, const char *what,
                                 varve_error *err)
{
    const struct varve_sst_section_ref *s = &w->sst->sections.at[id];
    const struct varve_page_ref ref = {s->offset, s->size, s->checksum};

    return walk_block(w, kind, &ref, what, 0, err);
}

/* Every block but header, section blocks and footers. `fn` returning other than OK ends it. */
static varve_status walk_all(struct varve_sst *sst, block_fn fn, void *ctx, varve_error *err)
{
    struct walk w = {.sst = sst, .fn = fn, .ctx = ctx};
    varve_status rc = VARVE_OK;

    for (uint32_t g = 0; g < sst->n_groups && rc == VARVE_OK; g++)
        rc = walk_group(&w, g, err);
    if (rc == VARVE_OK)
        rc = walk_directory(&w, err);
    if (rc == VARVE_OK)
        rc = walk_section(&w, VARVE_SECTION_SCHEMA, VARVE_SST_SCHEMA, "schema", err);
    if (rc == VARVE_OK)
        rc = walk_section(&w, VARVE_SECTION_PROPERTIES, VARVE_SST_PROPERTIES, "properties", err);
    if (rc == VARVE_OK)
        rc = walk_section(&w, VARVE_SECTION_GROUPS, VARVE_SST_GROUPS, "group directory", err);
    if (rc == VARVE_OK)
        rc = walk_filter(&w, err);
    varve_free(sst->heap, w.pages, w.pages_capacity * sizeof *w.pages);
    return rc;
}

struct shown {
    varve_sst_walk_fn fn;
    void *ctx;
};

static varve_status show_block(void *ctx, uint32_t kind, const struct varve_page_ref *ref,
                               uint64_t mirror, const struct varve_sst_block_info *info,
                               varve_error *err)
{
    const struct shown *shown = ctx;

    (void)kind;
    (void)ref;
    (void)mirror;
    (void)err;
    return shown->fn(shown->ctx, info) == 0 ? VARVE_OK : VARVE_END;
}

varve_status varve_sst_walk(struct varve_sst *sst, varve_sst_walk_fn fn, void *ctx,
                            varve_error *err)
{
    struct shown shown = {fn, ctx};
    const varve_status rc = walk_all(sst, show_block, &shown, err);

    return rc == VARVE_END ? VARVE_OK : rc;
}

/* -------------------------------------------------------------------------------------- Blocks */

struct extent {
    uint64_t offset;
    uint64_t size;
};

struct verify {
    struct varve_sst *sst;
    struct varve_heap *heap;
    varve_verify_report report;
    void *ctx;
    uint64_t problems;
    struct extent *extents; /* what has been seen of the file */
    size_t n_extents;
    size_t extents_capacity;
    struct varve_buffer bytes;
    /* Rows. */
    struct varve_cells *cells;
    struct varve_rows_builder last; /* the last row of the vector before */
    struct varve_directory_cursor cursor;
    struct varve_directory_cursor seeker;
    struct varve_directory_entry entry; /* of the partition in work */
    uint64_t key_hash;
    uint64_t next_ordinal;
    uint64_t row; /* of the file */
    struct varve_buffer key;
    struct varve_sst_properties sum;
};

static void problem(struct verify *v, const varve_error *err)
{
    v->problems++;
    if (v->report != NULL)
        v->report(v->ctx, err);
}

static void complain(struct verify *v, uint64_t offset, const char *what)
{
    varve_error err;

    (void)varve_error_set(&err, VARVE_ECORRUPT, v->sst->name, offset, "%s", what);
    problem(v, &err);
}

/* A failure that may be a problem of the file (reported, OK) or of the machine (returned). */
static varve_status judge(struct verify *v, varve_status rc, const varve_error *problem_err,
                          varve_error *err)
{
    if (rc >= 0)
        return VARVE_OK;
    if (rc == VARVE_ECORRUPT || rc == VARVE_EVERSION || varve_error_is_unreadable(problem_err)) {
        problem(v, problem_err);
        return VARVE_OK;
    }
    return varve_error_copy(err, problem_err, rc);
}

static varve_status cover(struct verify *v, uint64_t offset, uint64_t size, varve_error *err)
{
    if (!varve_vec_grow(v->heap, (void **)&v->extents, sizeof *v->extents, v->n_extents + 1,
                        &v->extents_capacity))
        return varve_error_nomem(err, "verifying a file");
    v->extents[v->n_extents++] = (struct extent){offset, size};
    return VARVE_OK;
}

/* One copy of a block: its bytes are as its holder says. */
static varve_status check_copy(struct verify *v, uint32_t kind, const struct varve_page_ref *ref,
                               uint64_t at, varve_error *err)
{
    varve_error found;
    varve_status rc = cover(v, at, ref->size, err);

    if (rc < 0)
        return rc;
    varve_buffer_clear(&v->bytes);
    uint8_t *to = varve_buffer_reserve(&v->bytes, (size_t)ref->size + 1);
    if (to == NULL)
        return varve_error_nomem(err, "verifying a file");
    rc = varve_sst_read(v->sst, to, (size_t)ref->size, at, &found);
    if (rc == VARVE_OK && !varve_sst_is_sound(v->sst, kind, ref, to))
        rc = varve_error_set(&found, VARVE_ECORRUPT, v->sst->name, at,
                             "the checksum of a block of %llu bytes is wrong",
                             (unsigned long long)ref->size);
    return judge(v, rc, &found, err);
}

static varve_status check_block(void *ctx, uint32_t kind, const struct varve_page_ref *ref,
                                uint64_t mirror, const struct varve_sst_block_info *info,
                                varve_error *err)
{
    struct verify *v = ctx;
    varve_status rc = check_copy(v, kind, ref, ref->offset, err);
    const bool once = kind == VARVE_SST_VECTOR || kind == VARVE_SST_DICTIONARY ||
                      kind == VARVE_SST_ZONES || kind == VARVE_SST_FILTER;

    (void)info;
    if (rc == VARVE_OK && mirror != 0)
        rc = check_copy(v, kind, ref, mirror, err);
    if (rc == VARVE_OK && (mirror == 0) != once)
        complain(v, ref->offset, "a block does not stand as often as it should");
    return rc;
}

/* Sort by offset: a heap, in place. */
static void sort_extents(struct extent *x, size_t n)
{
    for (size_t end = n, start = n / 2; end > 1;) {
        struct extent moved;

        if (start > 0) {
            moved = x[--start];
        } else {
            moved = x[--end];
            x[end] = x[0];
        }
        size_t hole = start;
        for (size_t child = 2 * hole + 1; child < end; child = 2 * hole + 1) {
            if (child + 1 < end && x[child + 1].offset > x[child].offset)
                child++;
            if (x[child].offset <= moved.offset)
                break;
            x[hole] = x[child];
            hole = child;
        }
        x[hole] = moved;
    }
}

/* The bytes [at, end) belong to no block: they may only be zeros before the footers. */
static varve_status check_padding(struct verify *v, uint64_t at, uint64_t end, varve_error *err)
{
    uint8_t zeros[VARVE_SST_PAGE];
    varve_error found;

    if (end - at >= VARVE_SST_PAGE || end != v->sst->footer.file_size - 2 * VARVE_SST_PAGE) {
        complain(v, at, "bytes belong to no block");
        return VARVE_OK;
    }
    const varve_status rc = varve_sst_read(v->sst, zeros, (size_t)(end - at), at, &found);
    for (size_t i = 0; rc == VARVE_OK && i < end - at; i++) {
        if (zeros[i] != 0) {
            complain(v, at + i, "padding is not zero");
            break;
        }
    }
    return judge(v, rc, &found, err);
}

static varve_status check_coverage(struct verify *v, varve_error *err)
{
    uint64_t at = 0;
    varve_status rc = VARVE_OK;

    sort_extents(v->extents, v->n_extents);
    for (size_t i = 0; i < v->n_extents && rc == VARVE_OK; i++) {
        const struct extent *x = &v->extents[i];

        if (x->offset < at)
            complain(v, x->offset, "two blocks overlap");
        else if (x->offset > at)
            rc = check_padding(v, at, x->offset, err);
        if (x->offset + x->size > at)
            at = x->offset + x->size;
    }
    if (rc == VARVE_OK && at != v->sst->footer.file_size)
        complain(v, at, "bytes belong to no block");
    return rc;
}

/* Header, section blocks, footers. */
static varve_status check_frame(struct verify *v, varve_error *err)
{
    struct varve_sst *sst = v->sst;
    const uint64_t end = sst->footer.file_size;
    const struct varve_page_ref sections = {sst->footer.section_a, sst->footer.section_size,
                                            sst->footer.section_checksum};
    struct varve_sst_footer head;
    uint64_t checksum;
    uint8_t page[VARVE_SST_PAGE];
    varve_error found;

    for (uint64_t at = end - 2 * VARVE_SST_PAGE; at < end; at += VARVE_SST_PAGE) {
        varve_status rc = varve_sst_read(sst, page, sizeof page, at, &found);

        if (rc == VARVE_OK)
            rc = varve_sst_footer_decode(page, end, &head, &checksum, &found);
        if (rc == VARVE_OK && checksum != sst->footer_checksum)
            rc = varve_error_set(&found, VARVE_ECORRUPT, sst->name, at, "the footers differ");
        rc = judge(v, varve_sst_blame(sst, at, rc, &found), &found, err);
        if (rc == VARVE_OK)
            rc = cover(v, at, VARVE_SST_PAGE, err);
        if (rc < 0)
            return rc;
    }
    varve_status rc = varve_sst_read(sst, page, sizeof page, 0, &found);
    if (rc == VARVE_OK)
        rc = varve_sst_header_decode(page, &head, &found);
    if (rc == VARVE_OK && (memcmp(head.uuid, sst->footer.uuid, 16) != 0 ||
                           head.read_compatible != sst->footer.read_compatible ||
                           head.compatible != sst->footer.compatible))
        rc = varve_error_set(&found, VARVE_ECORRUPT, sst->name, 0, "header and footer differ");
    rc = judge(v, varve_sst_blame(sst, 0, rc, &found), &found, err);
    if (rc == VARVE_OK)
        rc = cover(v, 0, VARVE_SST_PAGE, err);
    if (rc == VARVE_OK)
        rc = check_copy(v, VARVE_SST_SECTIONS, &sections, sections.offset, err);
    if (rc == VARVE_OK)
        rc = check_copy(v, VARVE_SST_SECTIONS, &sections, sst->footer.section_b, err);
    return rc;
}

/* ---------------------------------------------------------------------------------------- Rows */

/* The next partition of the directory begins with row v->row. */
static varve_status next_partition(struct verify *v, varve_error *err)
{
    struct varve_directory_entry again;
    varve_status rc = varve_directory_at(&v->cursor, v->next_ordinal, &v->entry, err);

    if (rc == VARVE_END)
        rc = varve_error_set(err, VARVE_ECORRUPT, v->sst->name, v->sst->directory.root.offset,
                             "the directory has too few partitions");
    if (rc < 0)
        return rc;
    if (v->entry.first_row != v->row)
        complain(v, v->sst->directory.root.offset, "the directory points to the wrong row");
    if (v->next_ordinal > 0 && varve_span_compare(varve_buffer_span(&v->key), v->entry.key) >= 0)
        complain(v, v->sst->directory.root.offset, "partition keys do not ascend");
    if (v->cursor.at == v->cursor.n && varve_reader_left(&v->cursor.reader) != 0)
        complain(v, v->sst->directory.root.offset, "a directory page has bytes after its end");
    varve_buffer_clear(&v->key);
    varve_write_bytes(&v->key, v->entry.key.data, v->entry.key.size);
    if (v->key.failed)
        return varve_error_nomem(err, "verifying a file");
    v->entry.key = varve_buffer_span(&v->key);
    v->key_hash = varve_key_hash(v->entry.key);
    rc = varve_directory_seek(&v->seeker, v->entry.key, &again, err);
    if (rc < 0)
        return rc;
    if (rc == VARVE_END || again.ordinal != v->next_ordinal)
        complain(v, v->sst->directory.root.offset,
                 "a partition is not where the directory seeks it");
    const int maybe = varve_sst_may_hold(v->sst, v->entry.key, err);
    if (maybe < 0)
        return maybe;
    if (maybe == 0)
        complain(v, v->sst->directory.root.offset, "the filter denies a partition");
    if (v->next_ordinal == 0)
        v->sum.first_time = INT64_MAX;
    if (v->next_ordinal == 0)
        v->sum.last_time = INT64_MIN;
    if (v->entry.first_time < v->sum.first_time)
        v->sum.first_time = v->entry.first_time;
    if (v->entry.last_time > v->sum.last_time)
        v->sum.last_time = v->entry.last_time;
    v->next_ordinal++;
    return VARVE_OK;
}

static bool same_scalar(union varve_scalar a, union varve_scalar b)
{
    return a.i64 == b.i64;
}

static bool same_zone(const struct varve_zone *a, const struct varve_zone *b, bool floating)
{
    if (a->live != b->live || a->nan != b->nan || a->has_range != b->has_range ||
        a->has_sum != b->has_sum || a->has_ends != b->has_ends)
        return false;
    if (a->has_range && (!same_scalar(a->min, b->min) || !same_scalar(a->max, b->max)))
        return false;
    if (a->has_ends && (!same_scalar(a->first, b->first) || !same_scalar(a->last, b->last) ||
                        a->first_row != b->first_row || a->last_row != b->last_row))
        return false;
    if (!a->has_sum)
        return true;
    return floating ? a->partial.mantissa == b->partial.mantissa &&
                          a->partial.exponent == b->partial.exponent
                    : a->sum == b->sum;
}

/* Zone maps against the rows of a whole vector. */
static varve_status check_zones(struct verify *v, struct varve_source *source,
                                const struct varve_rows *rows, uint64_t at, varve_error *err)
{
    const struct varve_schema *schema = rows->schema;

    for (uint32_t c = schema->time_column + 1; c < schema->n_columns; c++) {
        const struct varve_lanes lanes = varve_rows_lanes(rows, c);
        const struct varve_zone *zone;
        struct varve_zone own;
        const varve_status rc = varve_sst_source_zone(source, c, &zone, err);

        if (rc < 0)
            return rc;
        if (zone == NULL)
            continue;
        varve_zone_of(&lanes, &own);
        if (!same_zone(zone, &own, lanes.lane == VARVE_LANE_F32 || lanes.lane == VARVE_LANE_F64))
            complain(v, at, "a zone map contradicts the rows");
    }
    return VARVE_OK;
}

/* The runs of a vector against rows and directory; their content hash. */
static varve_status check_runs(struct verify *v, const struct varve_group_index *index,
                               const struct varve_sst_group *group, uint32_t number,
                               const struct varve_rows *rows, uint64_t *ret_hash, varve_error *err)
{
    const struct varve_group_vector *vector = &index->vectors[number];
    uint64_t hash = 0;

    for (uint32_t i = vector->first_run; i < vector->first_run + vector->runs; i++) {
        const struct varve_group_run *run = &index->runs[i];
        const uint32_t first = run->first_row - vector->first_row;
        bool ascends = true;

        if (v->next_ordinal == 0 || v->row == v->entry.first_row + v->entry.rows) {
            const varve_status rc = next_partition(v, err);

            if (rc < 0)
                return rc;
        } else if (first > 0) {
            complain(v, group->index_offset, "a partition is cut within a vector");
        } else if (v->last.rows.n == 1) {
            ascends = varve_rows_compare(&v->last.rows, 0, rows, 0) < 0;
        }
        for (uint32_t r = first + 1; r < first + run->rows; r++)
            ascends = ascends && varve_rows_compare(rows, r - 1, rows, r) < 0;
        if (!ascends)
            complain(v, group->data_offset, "rows do not ascend");
        if (run->partition + group->first_partition + 1 != v->next_ordinal ||
            v->row + run->rows > v->entry.first_row + v->entry.rows)
            complain(v, group->index_offset, "a run contradicts the partition directory");
        if (run->first_time != rows->time[first] ||
            run->last_time != rows->time[first + run->rows - 1] ||
            (v->row == v->entry.first_row && run->first_time != v->entry.first_time) ||
            (v->row + run->rows == v->entry.first_row + v->entry.rows &&
             run->last_time != v->entry.last_time))
            complain(v, group->index_offset, "the times of a run contradict its rows");
        hash += varve_rows_content_hash(rows, first, run->rows, v->key_hash);
        v->row += run->rows;
    }
    *ret_hash = hash;
    return VARVE_OK;
}

static void sum_facts(struct varve_sst_properties *sum, const struct varve_vector_facts *f)
{
    sum->markers += f->markers;
    sum->deleted_markers += f->deleted_markers;
    sum->deleted_cells += f->deleted_cells;
    if (sum->rows == 0 || f->min_wt < sum->min_wt)
        sum->min_wt = f->min_wt;
    if (sum->rows == 0 || f->max_wt > sum->max_wt)
        sum->max_wt = f->max_wt;
    if (f->min_expiry != 0 && (sum->min_expiry == 0 || f->min_expiry < sum->min_expiry))
        sum->min_expiry = f->min_expiry;
    if (f->max_expiry > sum->max_expiry)
        sum->max_expiry = f->max_expiry;
}

static varve_status check_vector(struct verify *v, struct varve_source *source, uint32_t g,
                                 uint32_t number, varve_error *err)
{
    const struct varve_sst_group *group = &v->sst->groups[g];
    const struct varve_group_index *index;
    struct varve_rows rows = {.columns = v->cells};
    struct varve_vector_facts facts;
    uint64_t hash;
    varve_status rc = varve_sst_source_vector(source, g, number, &rows, &index, err);

    if (rc < 0)
        return rc;
    const struct varve_group_vector *vector = &index->vectors[number];
    varve_vector_facts_of(&rows, 0, rows.n, 0, rows.n_exceptions, &facts);
    if (facts.flags != vector->flags || facts.min_wt != vector->min_wt ||
        facts.max_wt != vector->max_wt || facts.min_expiry != vector->min_expiry)
        complain(v, group->index_offset, "the statistics of a vector contradict its rows");
    rc = check_runs(v, index, group, number, &rows, &hash, err);
    if (rc < 0)
        return rc;
    if (hash != vector->content_hash)
        complain(v, group->index_offset, "the content hash of a vector contradicts its rows");
    rc = check_zones(v, source, &rows, group->index_offset, err);
    if (rc < 0)
        return rc;
    sum_facts(&v->sum, &facts);
    v->sum.rows += rows.n;
    v->sum.vectors++;
    v->sum.content_hash += hash;
    v->sum.raw_bytes += varve_rows_raw_bytes(&rows, 0, rows.n);
    varve_rows_builder_clear(&v->last);
    return varve_rows_append(&v->last, &rows, rows.n - 1, 1, err);
}

/* False in *ret_whole: rows were not read, so that sums mean nothing. */
static varve_status check_rows(struct verify *v, struct varve_source *source, bool *ret_whole,
                               varve_error *err)
{
    varve_error found;

    *ret_whole = true;
    for (uint32_t g = 0; g < v->sst->n_groups; g++) {
        for (uint32_t i = 0; i < v->sst->groups[g].vectors; i++) {
            varve_status rc = check_vector(v, source, g, i, &found);

            if (rc == VARVE_OK)
                continue;
            (void)varve_sst_blame(v->sst, v->sst->groups[g].data_offset, rc, &found);
            rc = judge(v, rc, &found, err);
            if (rc < 0)
                return rc;
            *ret_whole = false; /* where the next vector's rows are is not known any more */
            return VARVE_OK;
        }
    }
    return VARVE_OK;
}

static void check_sums(struct verify *v)
{
    const struct varve_sst_properties *p = &v->sst->properties;
    const struct varve_sst_properties *s = &v->sum;
    const uint64_t at = v->sst->sections.at[VARVE_SECTION_PROPERTIES].offset;

    if (p->rows != s->rows || p->partitions != v->next_ordinal || p->vectors != s->vectors ||
        p->markers != s->markers || p->deleted_markers != s->deleted_markers ||
        p->deleted_cells != s->deleted_cells || p->raw_bytes != s->raw_bytes)
        complain(v, at, "the counts in the properties are wrong");
    if (p->content_hash != s->content_hash)
        complain(v, at, "the content hash in the properties is wrong");
    if (s->rows > 0 && (p->first_time != s->first_time || p->last_time != s->last_time ||
                        p->min_wt != s->min_wt || p->max_wt != s->max_wt ||
                        p->min_expiry != s->min_expiry || p->max_expiry != s->max_expiry))
        complain(v, at, "the bounds in the properties are wrong");
    if (v->next_ordinal > 0 && varve_span_compare(p->last_key, varve_buffer_span(&v->key)) != 0)
        complain(v, at, "the last key in the properties is wrong");
    /* Of every other partition its successor says so. */
    if (v->next_ordinal > 0 && v->row != v->entry.first_row + v->entry.rows)
        complain(v, v->sst->directory.root.offset, "the last partition has rows beyond the file");
}

static varve_status verify_all(struct verify *v, varve_error *err)
{
    struct varve_source *source = NULL;
    const uint64_t repairs = varve_sst_repairs(v->sst);
    bool whole = false;
    varve_error found;
    varve_status rc = check_frame(v, err);

    if (rc == VARVE_OK) {
        rc = walk_all(v->sst, check_block, v, &found);
        rc = judge(v, rc, &found, err);
    }
    if (rc == VARVE_OK && v->problems == 0)
        rc = check_coverage(v, err);
    if (rc == VARVE_OK)
        rc = varve_sst_source_open(v->sst, v->heap, &source, err);
    if (rc == VARVE_OK)
        rc = check_rows(v, source, &whole, err);
    if (rc == VARVE_OK && whole)
        check_sums(v);
    if (rc == VARVE_OK && v->problems == 0 && varve_sst_repairs(v->sst) != repairs)
        complain(v, VARVE_NO_OFFSET, "a block was read from its second copy");
    if (source != NULL)
        source->ops->close(source);
    return rc;
}

varve_status varve_sst_verify(struct varve_sst *sst, struct varve_heap *heap,
                              varve_verify_report report, void *ctx, varve_error *err)
{
    struct verify v = {.sst = sst, .heap = heap, .report = report, .ctx = ctx};
    const size_t cells_size = sst->schema->n_columns * sizeof(struct varve_cells);

    varve_buffer_init(&v.bytes, heap);
    varve_buffer_init(&v.key, heap);
    varve_directory_cursor_init(&v.cursor, &sst->directory);
    varve_directory_cursor_init(&v.seeker, &sst->directory);
    v.cells = varve_alloc_zero(heap, 1, cells_size);
    varve_status rc = v.cells == NULL
                          ? varve_error_nomem(err, "verifying a file")
                          : varve_rows_builder_init(&v.last, heap, sst->schema, NULL, err);
    if (rc == VARVE_OK) {
        rc = verify_all(&v, err);
        varve_rows_builder_free(&v.last);
    }
    varve_directory_cursor_close(&v.cursor);
    varve_directory_cursor_close(&v.seeker);
    varve_buffer_free(&v.bytes);
    varve_buffer_free(&v.key);
    varve_free(heap, v.extents, v.extents_capacity * sizeof *v.extents);
    varve_free(heap, v.cells, cells_size);
    if (rc == VARVE_OK && v.problems > 0)
        return varve_error_set(err, VARVE_ECORRUPT, sst->name, VARVE_NO_OFFSET,
                               "%llu problems were found", (unsigned long long)v.problems);
    return rc;
}
