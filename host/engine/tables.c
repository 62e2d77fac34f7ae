/* What tables hold, as JSON lines: one record for each row. At the end of a run nothing of it is
 * copied: where there are many rows they are gone through several times, for the first ones, for
 * those behind them, and so on. */
#include "engine/internal.h"

#include "base/open.h"
#include "base/plain.h"
#include "runtime/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE (1u << 16)

struct line {
    struct mr_order_key order;
    char *text;
    size_t len;
};

/* While the engine runs rows are written down while their lane waits, and put into their order
 * behind that. */
struct dump {
    const struct mr_plan *plan;
    const struct mr_plan_table *table;
    struct mr_eve *eve;
    struct line *lines;
    size_t n, capacity;
    uint64_t room; /* bytes that may still come */
    bool no_memory, too_much;
};

static bool grow(struct dump *dump)
{
    size_t capacity = dump->capacity ? 2 * dump->capacity : 256;
    struct line *lines = realloc(dump->lines, capacity * sizeof *lines);

    if (!lines)
        return false;
    dump->lines = lines;
    dump->capacity = capacity;
    return true;
}

/* A record, as text of the builder: until it makes the next one. */
static const char *render(const struct dump *dump, struct mr_eve *eve, const union mr_value *values,
                          uint64_t time_ns, size_t *len)
{
    const struct mr_plan_predicate *p = &dump->plan->predicates[dump->table->predicate];
    const char *program = dump->plan->programs[dump->table->program].name;

    mr_eve_begin(eve, &(struct mr_eve_header){.type = "table", .time_ns = time_ns});
    mr_eve_object(eve, "table");
    mr_eve_string(eve, "program", program, strlen(program));
    mr_eve_string(eve, "name", dump->table->name, strlen(dump->table->name));
    mr_eve_object(eve, "row");
    for (uint32_t c = 0; c < p->arity; c++)
        mr_eve_attribute(eve, &p->attributes[c], values[c]);
    mr_eve_end(eve);
    mr_eve_end(eve);
    return mr_eve_finish(eve, len);
}

static bool is_asked_for(const struct mr_plan *plan, uint32_t table, const char *program)
{
    const struct mr_plan_table *t = &plan->tables[table];

    return t->predicate != MR_NO_PREDICATE &&
           !(program && strcmp(plan->programs[t->program].name, program));
}

/* ---- while the engine runs ---- */

static void add_row(void *user, const union mr_value *values, uint64_t time_ns,
                    struct mr_order_key order)
{
    struct dump *dump = user;
    size_t len;

    if (dump->too_much) /* the lane waits */
        return;
    const char *text = render(dump, dump->eve, values, time_ns, &len);
    dump->too_much = len > dump->room;
    if (dump->too_much)
        return;
    dump->room -= len;
    char *copy = text && (dump->n < dump->capacity || grow(dump)) ? malloc(len + 1) : NULL;
    if (!copy) {
        dump->no_memory = true;
        return;
    }
    memcpy(copy, text, len + 1);
    dump->lines[dump->n++] = (struct line){order, copy, len};
}

static int compare(const void *x, const void *y)
{
    const struct line *a = x, *b = y;
    int order = mr_order_compare(a->order, b->order);
    return order ? order : strcmp(a->text, b->text);
}

enum mr_status mr_tables_dump(struct mr_engine *engine, const char *program, uint64_t most_bytes,
                              FILE *to)
{
    const struct mr_plan *plan = engine->plan;
    struct dump dump = {.plan = plan, .room = most_bytes};
    struct mr_eve_config config = {0};
    enum mr_status status = mr_eve_new(&dump.eve, &config);

    for (uint32_t t = 0; !status && !dump.too_much && t < plan->n_tables; t++) {
        if (!is_asked_for(plan, t, program))
            continue;
        dump.table = &plan->tables[t];
        dump.n = 0;
        mr_runtime_table_rows(engine->runtime, t, add_row, &dump);
        if (dump.n)
            qsort(dump.lines, dump.n, sizeof *dump.lines, compare);
        for (size_t i = 0; i < dump.n; i++) {
            if (!mr_print_json(to, dump.lines[i].text, dump.lines[i].len))
                status = MR_ERR_OUTPUT;
            free(dump.lines[i].text);
        }
    }
    if (!status && (dump.no_memory || dump.too_much))
        status = dump.no_memory ? MR_ERR_MEMORY : MR_ERR_LIMIT;
    free(dump.lines);
    if (dump.eve)
        mr_eve_free(dump.eve);
    return status;
}

/* ---- at the end ---- */

/* Where it lies: nobody changes it any more. */
struct row {
    struct mr_order_key order;
    uint64_t time_ns;
    const union mr_value *values;
};

/* The first rows behind `last`, in order: as many as are sorted at a time. */
struct stretch {
    struct dump dump;
    struct mr_eve *eve; /* of the second of two */
    struct row *rows;   /* [2 * ROWS_AT_ONCE] */
    size_t n;
    struct row last; /* that was written */
    bool goes_on, cut;
};

/* With what follows it in the record, as far as that decides between two. */
static const char *column_text(const struct dump *dump, struct mr_eve *eve, uint32_t column,
                               union mr_value value)
{
    const struct mr_plan_predicate *p = &dump->plan->predicates[dump->table->predicate];
    size_t len;

    mr_eve_begin(eve, &(struct mr_eve_header){.type = "table"});
    mr_eve_attribute(eve, &p->attributes[column], value);
    if (column + 1 < p->arity)
        mr_eve_string(eve, "next", "", 0);
    return mr_eve_finish(eve, &len);
}

/* As their texts compare. */
static int compare_rows(const void *x, const void *y, void *user)
{
    const struct stretch *s = user;
    const struct row *a = x, *b = y;
    const struct mr_plan_predicate *p = &s->dump.plan->predicates[s->dump.table->predicate];
    int order = mr_order_compare(a->order, b->order);

    if (order || a->values == b->values)
        return order;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    for (uint32_t c = 0; !order && c < p->arity; c++) {
        if (!mr_value_order(p->attributes[c].type, a->values[c], b->values[c]))
            continue;
        const char *one = column_text(&s->dump, s->dump.eve, c, a->values[c]);
        const char *other = column_text(&s->dump, s->eve, c, b->values[c]);
        order = one && other ? strcmp(one, other) : 0;
    }
    return order ? order : a->values < b->values ? -1 : 1;
}

/* In order, and the first ones only. */
static void settle(struct stretch *s)
{
    if (s->n)
        qsort_r(s->rows, s->n, sizeof *s->rows, compare_rows, s);
    s->cut |= s->n > ROWS_AT_ONCE;
    s->n = s->n < ROWS_AT_ONCE ? s->n : ROWS_AT_ONCE;
}

static void note_row(void *user, const union mr_value *values, uint64_t time_ns,
                     struct mr_order_key order)
{
    struct stretch *s = user;
    const struct row row = {order, time_ns, values};

    if (s->goes_on && compare_rows(&row, &s->last, s) <= 0)
        return;
    if (s->cut && compare_rows(&row, &s->rows[ROWS_AT_ONCE - 1], s) > 0)
        return;
    s->rows[s->n++] = row;
    if (s->n == 2 * (size_t)ROWS_AT_ONCE)
        settle(s);
}

static enum mr_status write_table(struct stretch *s, struct mr_runtime *runtime, uint32_t table,
                                  FILE *to)
{
    enum mr_status status = MR_OK;

    s->goes_on = false;
    do {
        s->n = 0;
        s->cut = false;
        mr_runtime_table_rows(runtime, table, note_row, s);
        settle(s);
        for (size_t i = 0; i < s->n; i++) {
            const struct row *row = &s->rows[i];
            size_t len;
            const char *text = render(&s->dump, s->dump.eve, row->values, row->time_ns, &len);
            if (!text)
                status = MR_ERR_MEMORY;
            else if (!mr_print_json(to, text, len))
                status = MR_ERR_OUTPUT;
        }
        if (s->n)
            s->last = s->rows[s->n - 1];
        s->goes_on = true;
    } while (s->cut && !status);
    return status;
}

static enum mr_status write_all(struct mr_engine *engine, FILE *to)
{
    const struct mr_plan *plan = engine->plan;
    struct stretch s = {.dump.plan = plan};
    struct mr_eve_config config = {0};
    enum mr_status status = mr_eve_new(&s.dump.eve, &config);

    if (!status)
        status = mr_eve_new(&s.eve, &config);
    s.rows = status ? NULL : malloc(2 * (size_t)ROWS_AT_ONCE * sizeof *s.rows);
    if (!status && !s.rows)
        status = MR_ERR_MEMORY;
    for (uint32_t t = 0; !status && t < plan->n_tables; t++) {
        s.dump.table = &plan->tables[t];
        if (is_asked_for(plan, t, NULL))
            status = write_table(&s, engine->runtime, t, to);
    }
    free(s.rows);
    if (s.eve)
        mr_eve_free(s.eve);
    if (s.dump.eve)
        mr_eve_free(s.dump.eve);
    return status;
}

enum mr_status mr_engine_dump_tables(struct mr_engine *engine, const char *path,
                                     struct mr_error *error)
{
    FILE *to = strcmp(path, "-") ? mr_open_report(path) : stdout;

    if (!to)
        return mr_fail(error, MR_ERR_OUTPUT, "--dump-tables: cannot write %s: %s", path,
                       mr_open_text(errno));
    enum mr_status status = write_all(engine, to);
    if (to == stdout ? fflush(to) : fclose(to))
        status = MR_ERR_OUTPUT;
    return status ? mr_fail(error, status, "--dump-tables: cannot write all of %s: %s", path,
                            mr_status_text(status))
                  : MR_OK;
}
