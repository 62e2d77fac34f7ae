/* What tables hold, as JSON lines: one record for each row. */
#include "engine/internal.h"

#include "base/open.h"
#include "base/plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct line {
    struct mr_order_key order;
    char *text;
    size_t len;
};

/* Rows are written down while their lane waits, and put into their order behind that. */
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

static void add_row(void *user, const union mr_value *values, uint64_t time_ns,
                    struct mr_order_key order)
{
    struct dump *dump = user;
    const struct mr_plan_predicate *p = &dump->plan->predicates[dump->table->predicate];
    const char *program = dump->plan->programs[dump->table->program].name;
    size_t len;

    if (dump->too_much) /* the lane waits */
        return;
    mr_eve_begin(dump->eve, &(struct mr_eve_header){.type = "table", .time_ns = time_ns});
    mr_eve_object(dump->eve, "table");
    mr_eve_string(dump->eve, "program", program, strlen(program));
    mr_eve_string(dump->eve, "name", dump->table->name, strlen(dump->table->name));
    mr_eve_object(dump->eve, "row");
    for (uint32_t c = 0; c < p->arity; c++)
        mr_eve_attribute(dump->eve, &p->attributes[c], values[c]);
    mr_eve_end(dump->eve);
    mr_eve_end(dump->eve);
    const char *text = mr_eve_finish(dump->eve, &len);
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
        const char *owner = plan->programs[plan->tables[t].program].name;
        if (plan->tables[t].predicate == MR_NO_PREDICATE || (program && strcmp(owner, program)))
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

enum mr_status mr_engine_dump_tables(struct mr_engine *engine, const char *path,
                                     struct mr_error *error)
{
    FILE *to = strcmp(path, "-") ? mr_open_report(path) : stdout;

    if (!to)
        return mr_fail(error, MR_ERR_OUTPUT, "--dump-tables: cannot write %s: %s", path,
                       mr_open_text(errno));
    enum mr_status status = mr_tables_dump(engine, NULL, UINT64_MAX, to);
    if (to == stdout ? fflush(to) : fclose(to))
        status = MR_ERR_OUTPUT;
    return status ? mr_fail(error, status, "--dump-tables: cannot write all of %s: %s", path,
                            mr_status_text(status))
                  : MR_OK;
}
