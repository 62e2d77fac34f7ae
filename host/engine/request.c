/* The commands of `millrace ctl`: from words to calls of the engine, and what came of it as JSON.
 */
#include "engine/json.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

#define MAX_TABLES (128u << 20) /* of text: an answer is held in memory, some times */

/* ---- results ---- */

static void put_programs(struct mr_engine *engine, yajl_gen g)
{
    mr_json_string(g, "programs");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < engine->plan->n_programs; i++) {
        const struct mr_plan_program *program = &engine->plan->programs[i];
        yajl_gen_map_open(g);
        mr_json_text(g, "name", program->name);
        mr_json_text(g, "file", program->path);
        mr_json_int(g, "rules", program->n_rules);
        mr_json_int(g, "components", program->n_components);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

static void put_functions(struct mr_engine *engine, yajl_gen g)
{
    const struct mr_plan *plan = engine->plan;

    mr_json_string(g, "functions");
    yajl_gen_array_open(g);
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = &plan->stages[s].rules[r].ops[o];
                if (op->kind != MR_OP_CALL || !op->function->counters)
                    continue;
                yajl_gen_map_open(g);
                mr_json_text(g, "function", op->function->name);
                mr_json_text(g, "component", plan->stages[s].name);
                for (uint32_t i = 0; op->function->counters[i]; i++)
                    mr_json_int(g, op->function->counters[i],
                                mr_runtime_function_counter(engine->runtime, op->binding, i));
                yajl_gen_map_close(g);
            }
    yajl_gen_array_close(g);
}

static void put_unloaded(const struct mr_engine *engine, yajl_gen g)
{
    mr_json_string(g, "functions_unloaded");
    yajl_gen_array_open(g);
    for (const struct mr_unloaded *u = mr_unloaded_first(engine); u; u = u->next) {
        if (mr_unloaded_is_zero(u))
            continue;
        yajl_gen_map_open(g);
        mr_json_text(g, "function", u->function->name);
        mr_json_text(g, "component", u->component);
        for (uint32_t i = 0; u->function->counters[i]; i++)
            mr_json_int(g, u->function->counters[i], u->counters[i]);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

/* Sums of this moment, while the workers go on. */
static void put_stats(struct mr_engine *engine, yajl_gen g)
{
    struct mr_metrics sum = {0};
    struct mr_runtime_usage usage;

    mr_runtime_metrics(engine->runtime, &sum);
    if (engine->live)
        mr_live_metrics(engine->live, &sum);
    mr_sites_metrics(engine, &sum);
    mr_alarms_count(engine->alarms, &sum);
    mr_metrics_add(&sum, MR_COUNT_EVENTS_UNWRITTEN,
                   atomic_load_explicit(&engine->unwritten, memory_order_relaxed));
    mr_runtime_usage(engine->runtime, &usage);
    mr_json_int(g, "workers", usage.workers);
    mr_json_int(g, "bursts_in_flight", usage.tokens_in_flight);
    mr_json_int(g, "program_changes", usage.swaps);
    mr_json_int(g, "last_pause_microseconds", usage.last_pause_ns / 1000);
    mr_json_int(g, "longest_pause_microseconds", usage.max_pause_ns / 1000);
    mr_json_string(g, "counters");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_N_COUNTERS; i++)
        mr_json_counter(g, mr_counter_name((enum mr_counter)i),
                        atomic_load_explicit(&sum.counters[i], memory_order_relaxed));
    yajl_gen_map_close(g);
    mr_json_string(g, "drops");
    yajl_gen_map_open(g);
    for (int i = 1; i < MR_N_DROPS; i++)
        mr_json_counter(g, mr_drop_name((enum mr_drop)i),
                        atomic_load_explicit(&sum.drops[i], memory_order_relaxed));
    yajl_gen_map_close(g);
    if (engine->live)
        mr_live_put_accounts(engine->live, g);
    put_programs(engine, g);
    put_functions(engine, g);
    put_unloaded(engine, g);
    mr_sites_put(engine, g);
}

static bool known_program(const struct mr_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_programs; i++)
        if (!strcmp(plan->programs[i].name, name))
            return true;
    return false;
}

/* The rows of one program's tables, or (NULL) of all, as --dump-tables writes them. */
static enum mr_status put_tables(struct mr_engine *engine, const char *program, yajl_gen g,
                                 struct mr_error *error)
{
    char *text = NULL;
    size_t len;

    if (program && !known_program(engine->plan, program))
        return mr_fail(error, MR_ERR_USAGE, "no program is called %.64s", program);
    FILE *to = open_memstream(&text, &len);
    enum mr_status status = to ? mr_tables_dump(engine, program, MAX_TABLES, to) : MR_ERR_MEMORY;
    if (to)
        fclose(to);
    mr_json_string(g, "rows");
    yajl_gen_array_open(g);
    for (const char *at = text, *end; !status && at && (end = strchr(at, '\n')); at = end + 1)
        yajl_gen_number(g, at, (size_t)(end - at));
    yajl_gen_array_close(g);
    free(text);
    if (status == MR_ERR_LIMIT)
        return mr_fail(error, status,
                       "the tables have more than %u MiB of text: ask for those of one program, or "
                       "have them written at the end (run --dump-tables FILE)",
                       MAX_TABLES >> 20);
    return status ? mr_fail(error, status, "the tables cannot be shown: %s", mr_status_text(status))
                  : MR_OK;
}

/* ---- commands ---- */

struct command {
    const char *name;
    uint32_t least, most; /* arguments */
    const char *usage;
};

static const struct command commands[] = {
    {"load", 1, 1, "load [NAME=]FILE"},
    {"replace", 2, 2, "replace NAME FILE"},
    {"unload", 1, 1, "unload NAME"},
    {"reload", 0, 0, "reload"},
    {"list", 0, 0, "list"},
    {"stats", 0, 0, "stats"},
    {"tables", 0, 1, "tables [PROGRAM]"},
    {"reopen", 0, 0, "reopen"},
    {"stop", 0, 0, "stop"},
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static enum mr_status check(const char *const *words, uint32_t n, struct mr_error *error)
{
    const struct command *command = n ? find(words[0]) : NULL;

    if (!command)
        return mr_fail(error, MR_ERR_USAGE,
                       "there is no command '%.64s'; use load, replace, unload, reload, list, "
                       "stats, tables, reopen or stop",
                       n ? words[0] : "");
    if (n - 1 < command->least || n - 1 > command->most)
        return mr_fail(error, MR_ERR_USAGE, "write %s", command->usage);
    return MR_OK;
}

static enum mr_status execute(struct mr_engine *engine, const char *const *words, uint32_t n,
                              FILE *diagnostics, yajl_gen result, struct mr_error *error)
{
    enum mr_status status = check(words, n, error);

    if (status)
        return status;
    assert(words[0]);
    if (!strcmp(words[0], "load"))
        return mr_engine_load(engine, words[1], diagnostics, error);
    if (!strcmp(words[0], "replace"))
        return mr_engine_replace(engine, words[1], words[2], diagnostics, error);
    if (!strcmp(words[0], "unload"))
        return mr_engine_unload(engine, words[1], diagnostics, error);
    if (!strcmp(words[0], "reload"))
        return mr_engine_reload(engine, diagnostics, error);
    if (!strcmp(words[0], "stop")) {
        mr_engine_stop(engine);
        return MR_OK;
    }
    if (!strcmp(words[0], "reopen")) {
        mr_engine_reopen(engine);
        return MR_OK;
    }
    pthread_mutex_lock(&engine->change_lock);
    if (!strcmp(words[0], "list"))
        put_programs(engine, result);
    else if (!strcmp(words[0], "stats"))
        put_stats(engine, result);
    else
        status = put_tables(engine, n > 1 ? words[1] : NULL, result, error);
    pthread_mutex_unlock(&engine->change_lock);
    return status;
}

static char *answer(enum mr_status status, const struct mr_error *error, const char *diagnostics,
                    yajl_gen result)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;
    char *line = NULL;

    if (!g)
        return NULL;
    yajl_gen_config(g, yajl_gen_validate_utf8, 1);
    yajl_gen_map_open(g);
    mr_json_string(g, "ok");
    yajl_gen_bool(g, !status);
    mr_json_string(g, "status");
    yajl_gen_integer(g, status);
    if (status)
        mr_json_text(g, "error", error->text[0] ? error->text : mr_status_text(status));
    if (diagnostics && diagnostics[0])
        mr_json_text(g, "diagnostics", diagnostics);
    if (result && !status) {
        mr_json_string(g, "result");
        yajl_gen_get_buf(result, &text, &len);
        yajl_gen_number(g, (const char *)text, len); /* it is JSON already */
    }
    yajl_gen_map_close(g);
    yajl_gen_get_buf(g, &text, &len);
    if (asprintf(&line, "%.*s\n", (int)len, (const char *)text) < 0)
        line = NULL;
    yajl_gen_free(g);
    return line;
}

char *mr_command_run(struct mr_engine *engine, const char *const *words, uint32_t n_words,
                     enum mr_status *status)
{
    struct mr_error error = {0};
    char *text = NULL, *line = NULL;
    size_t len;
    FILE *diagnostics = open_memstream(&text, &len);
    yajl_gen result = yajl_gen_alloc(NULL);

    *status = MR_ERR_MEMORY;
    if (diagnostics && result) {
        yajl_gen_config(result, yajl_gen_validate_utf8, 1);
        yajl_gen_map_open(result);
        *status = execute(engine, words, n_words, diagnostics, result, &error);
        yajl_gen_map_close(result);
    }
    if (diagnostics)
        fclose(diagnostics);
    line = answer(*status, &error, text, result);
    if (result)
        yajl_gen_free(result);
    free(text);
    return line;
}

bool mr_command_takes_time(const char *line, size_t len, bool *progress)
{
    static const char *const long_ones[] = {"load", "replace", "unload", "reload"};
    const char *path[] = {"command", NULL}, *wanted[] = {"progress", NULL};
    char *copy = strndup(line, len);
    yajl_val tree = copy ? yajl_tree_parse(copy, NULL, 0) : NULL;
    yajl_val list = tree ? yajl_tree_get(tree, path, yajl_t_array) : NULL;
    const char *word =
        YAJL_IS_ARRAY(list) && list->u.array.len ? YAJL_GET_STRING(list->u.array.values[0]) : NULL;
    bool is_long = false;

    for (size_t i = 0; word && i < sizeof long_ones / sizeof *long_ones; i++)
        is_long = is_long || !strcmp(word, long_ones[i]);
    *progress = tree && YAJL_IS_TRUE(yajl_tree_get(tree, wanted, yajl_t_any));
    yajl_tree_free(tree);
    free(copy);
    return is_long;
}

char *mr_command_request(struct mr_engine *engine, const char *line, size_t len)
{
    const char *path[] = {"command", NULL};
    struct mr_error error = {0};
    const char *words[MR_MAX_WORDS] = {0};
    char *copy = strndup(line, len), *out = NULL;
    yajl_val tree = copy ? yajl_tree_parse(copy, NULL, 0) : NULL;
    yajl_val list = tree ? yajl_tree_get(tree, path, yajl_t_array) : NULL;
    size_t n = YAJL_IS_ARRAY(list) ? list->u.array.len : 0;
    enum mr_status status = MR_OK;

    if (!n || n > MR_MAX_WORDS)
        status = mr_fail(&error, MR_ERR_USAGE, "a request is one line: {\"command\": [\"list\"]}");
    for (size_t i = 0; !status && i < n; i++) {
        words[i] = YAJL_GET_STRING(YAJL_GET_ARRAY(list)->values[i]);
        if (!words[i])
            status = mr_fail(&error, MR_ERR_USAGE, "the words of a command are strings");
    }
    out = status ? answer(status, &error, NULL, NULL)
                 : mr_command_run(engine, words, (uint32_t)n, &status);
    yajl_tree_free(tree);
    free(copy);
    return out;
}
