/* Executing a group of stages over a batch: fixpoint, pass-through, several predicates. */
#include "runtime/exec.h"

#include "runtime/by_row.h"
#include "runtime/dedup.h"

#include <stdlib.h>
#include <string.h>

/* Who is to be called for each context that ends. */
static enum mr_status find_closers(struct mr_exec *exec)
{
    uint32_t n_groups = exec->plan->n_groups;

    exec->closers = calloc(n_groups + 1, sizeof *exec->closers);
    for (uint32_t g = 0; exec->closers && g < n_groups; g++) {
        struct mr_group_calls at = {0};
        const struct mr_op *op;
        uint32_t n = 0;
        while ((op = mr_group_next_call(exec->plan, g, &at)))
            n += op->function->context_close != NULL;
        exec->closers[g] = calloc(n + 1, sizeof **exec->closers);
        if (!exec->closers[g])
            return MR_ERR_MEMORY;
        n = 0;
        at = (struct mr_group_calls){0};
        while ((op = mr_group_next_call(exec->plan, g, &at)))
            if (op->function->context_close)
                exec->closers[g][n++] =
                    (struct mr_closer){op->function->context_close, op->context_offset};
    }
    return exec->closers ? MR_OK : MR_ERR_MEMORY;
}

static void prepare_call(struct mr_exec *exec, const struct mr_op *op)
{
    struct mr_exec_call *c = &exec->calls[op->binding];

    c->call = (struct mr_call){
        .function = op->function,
        .args = c->columns,
        .types = c->types,
        .n_args = op->n_args,
        .context_offset = op->context_offset,
        .runtime = exec,
    };
    for (uint32_t a = 0; a < op->n_args; a++) {
        c->types[a] = op->args[a].type;
        c->bound[a] = op->args[a].reg == MR_NO_REGISTER && op->function->n_constant &&
                      a + op->function->n_constant >= op->function->n_args;
    }
}

static enum mr_status prepare_calls(struct mr_exec *exec)
{
    const struct mr_plan *plan = exec->plan;

    exec->calls = calloc(plan->n_bindings + 1, sizeof *exec->calls);
    if (!exec->calls)
        return MR_ERR_MEMORY;
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            for (uint32_t o = 0; o < rule->n_ops; o++)
                if (rule->ops[o].kind == MR_OP_CALL)
                    prepare_call(exec, &rule->ops[o]);
        }
    return MR_OK;
}

enum mr_status mr_exec_open(struct mr_exec *exec)
{
    exec->stage_lists = calloc(exec->plan->n_predicates + 1, sizeof *exec->stage_lists);
    if (!exec->stage_lists)
        return MR_ERR_MEMORY;
    exec->every = calloc(MR_EVERY, sizeof *exec->every);
    if (!exec->every)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < MR_EVERY; i++)
        exec->every[i] = i;
    exec->sharers = mr_plan_sharers(exec->plan);
    for (uint32_t s = 0; s < exec->plan->n_stages && !exec->dedup; s++)
        if (exec->plan->stages[s].recursive && !(exec->dedup = mr_dedup_new()))
            return MR_ERR_MEMORY;
    enum mr_status status = prepare_calls(exec);
    return status ? status : find_closers(exec);
}

void mr_exec_close(struct mr_exec *exec)
{
    for (uint32_t g = 0; exec->closers && g < exec->plan->n_groups; g++)
        free(exec->closers[g]);
    free(exec->closers);
    exec->closers = NULL;
    mr_dedup_free(exec->dedup);
    exec->dedup = NULL;
    free(exec->calls);
    exec->calls = NULL;
    free(exec->every);
    exec->every = NULL;
    free(exec->stage_lists);
    free(exec->yields.values);
    free(exec->yields.rows);
    free(exec->yields.contexts);
    free(exec->yields.of);
    exec->stage_lists = NULL;
    exec->yields = (struct mr_yields){0};
}

void mr_exec_enter(struct mr_exec *exec, struct mr_token *token)
{
    exec->token = token;
    exec->chunk = atomic_exchange_explicit(&token->open_chunk, NULL, memory_order_acquire);
}

void mr_exec_leave(struct mr_exec *exec)
{
    struct mr_buffer *none = NULL;
    if (exec->chunk) /* where another worker was faster, what is left of this one is given up */
        atomic_compare_exchange_strong_explicit(&exec->token->open_chunk, &none, exec->chunk,
                                                memory_order_release, memory_order_relaxed);
    exec->chunk = NULL;
    exec->token = NULL;
}

void *mr_exec_alloc_chunk(struct mr_exec *exec, size_t bytes)
{
    struct mr_buffer *chunk = exec->chunk;

    if (bytes > UINT32_MAX / 2)
        bytes = UINT32_MAX / 2; /* more than any buffer has: refused below */
    bytes = (bytes + 15) & ~(size_t)15;
    if (!chunk || chunk->capacity - chunk->len < bytes) {
        size_t wanted = bytes > MR_CHUNK_BYTES ? bytes : MR_CHUNK_BYTES;
        struct mr_buffer *fresh = exec->spare;
        if (fresh && wanted == MR_CHUNK_BYTES) {
            fresh->len = 0;
            exec->spare = NULL;
        } else {
            fresh = mr_buffers_get_for_token(exec->buffers, wanted);
        }
        if (!fresh) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
            return NULL;
        }
        mr_token_keep(exec->token, fresh);
        if (chunk && bytes > MR_CHUNK_BYTES / 4) { /* large ones stand alone */
            fresh->len = (uint32_t)bytes;
            return fresh->data;
        }
        exec->chunk = chunk = fresh;
    }
    void *memory = chunk->data + chunk->len;
    chunk->len += (uint32_t)bytes;
    return memory;
}

static bool triggers(const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (stage->rules[r].trigger == predicate)
            return true;
    return false;
}

/* Tuples that trigger rules here go on as well. */
static bool passes(const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t i = 0; i < stage->n_passes; i++)
        if (stage->passes[i] == predicate)
            return true;
    return false;
}

static void append(struct mr_tuples **list, struct mr_tuples *batch)
{
    if (!batch)
        return;
    while (*list)
        list = &(*list)->next;
    batch->next = NULL;
    *list = batch;
}

/* One rule, and one batch of what triggers it: nothing to sort by predicate. */
static bool is_simple(const struct mr_plan_stage *stage, const struct mr_tuples *in)
{
    const struct mr_plan_rule *rule = stage->rules;
    return stage->n_rules == 1 && in && !in->next && in->predicate == rule->trigger &&
           rule->head != rule->trigger && !passes(stage, rule->trigger);
}

static void watch(struct mr_exec *exec, struct mr_tuples *derived)
{
    if (!exec->plan->predicates[derived->predicate].watched)
        return;
    derived->next = NULL;
    mr_tuples_fetch_all(exec, derived);
    mr_exec_watch(exec, derived, MR_WATCH_ADD, "event");
}

static struct mr_tuples *run_simple(struct mr_exec *exec, const struct mr_plan_rule *rule,
                                    struct mr_tuples *in)
{
    struct mr_tuples *result = mr_exec_rule(exec, rule, in, true);

    if (!result)
        return NULL;
    result->next = NULL;
    watch(exec, result);
    return result;
}

/* One pass over the rules, who derives before who is triggered. Consumes `in`. */
static struct mr_tuples *run_rules(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                   struct mr_tuples *in)
{
    struct mr_tuples **lists = exec->stage_lists;
    struct mr_tuples *result = NULL;

    if (is_simple(stage, in))
        return run_simple(exec, stage->rules, in);
    in = mr_tuples_merge(exec, in); /* one batch for each predicate from here on */
    while (in) {
        struct mr_tuples *next = in->next;
        append(&lists[in->predicate], in);
        in = next;
    }
    for (uint32_t r = 0; r < stage->n_rules; r++) {
        const struct mr_plan_rule *rule = &stage->rules[r];
        if (!lists[rule->trigger])
            continue;
        lists[rule->trigger] = mr_tuples_merge(exec, lists[rule->trigger]);
        if (!lists[rule->trigger])
            continue;
        struct mr_tuples *derived = mr_exec_rule(exec, rule, lists[rule->trigger], false);
        if (derived) {
            watch(exec, derived);
            append(&lists[rule->head], derived);
        }
    }
    for (uint32_t p = 0; p < exec->plan->n_predicates; p++) {
        if (!lists[p])
            continue;
        if (!triggers(stage, p) || passes(stage, p))
            append(&result, mr_tuples_merge(exec, lists[p]));
        lists[p] = NULL;
    }
    return result;
}

/* To the fixpoint, tuple by tuple, with set semantics: what was derived before from the same tuple
 * is not derived again. */
static struct mr_tuples *run_fixpoint(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                      struct mr_tuples *in)
{
    struct mr_tuples *result = NULL, *todo = in;
    uint32_t derivations = 0;

    mr_dedup_clear(exec->dedup);
    while (todo) {
        struct mr_tuples *batch = todo;
        todo = batch->next;
        if (!triggers(stage, batch->predicate)) {
            append(&result, batch);
            continue;
        }
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            const struct mr_plan_rule *rule = &stage->rules[r];
            if (rule->trigger != batch->predicate)
                continue;
            struct mr_tuples *derived = mr_exec_rule(exec, rule, batch, false);
            if (derived)
                derived = mr_dedup_fresh(exec, exec->dedup, derived);
            if (!derived)
                continue;
            mr_exec_watch(exec, derived, MR_WATCH_ADD, "event");
            derivations += derived->n;
            if (derivations > MR_MAX_DERIVATIONS) {
                mr_metrics_add(exec->metrics, MR_COUNT_DERIVATIONS_CUT, derived->n);
                continue;
            }
            append(&todo, derived);
        }
        if (passes(stage, batch->predicate))
            append(&result, batch);
    }
    return result;
}

/* The rows of the earliest origin in a list of merged batches (or only the first of them), cut off
 * as batches of their own. */
static struct mr_tuples *cut_earliest(struct mr_exec *exec, struct mr_tuples *list, bool one_row)
{
    struct mr_order_key best = MR_ORDER_END;
    struct mr_tuples *result = NULL;

    for (struct mr_tuples *t = list; t; t = t->next) {
        if (!t->n)
            continue;
        struct mr_order_key key = mr_order_of(t->origins[0]);
        if (mr_order_compare(key, best) < 0)
            best = key;
    }
    for (struct mr_tuples *t = list; t && !(one_row && result); t = t->next) {
        uint32_t n = 0;
        while (n < t->n && !mr_order_compare(mr_order_of(t->origins[n]), best))
            n++;
        if (!n)
            continue;
        n = one_row ? 1 : n;
        struct mr_tuples *part = mr_tuples_new(exec, t->predicate, n, mr_tuples_with(t));
        for (uint32_t row = 0; part && row < n; row++)
            mr_tuples_append(exec->plan, part, t, row);
        mr_tuples_drop(exec->plan, t, n);
        if (part) {
            part->synthetic = t->synthetic;
            part->gone = t->gone;
        }
        append(&result, part);
    }
    return result;
}

static bool any_rows(const struct mr_tuples *list)
{
    for (; list; list = list->next)
        if (list->n)
            return true;
    return false;
}

/* Where the order of tuples of different predicates could show, the batch is taken apart: all rows
 * of one origin at a time; for recursion, which has its set and its limit for each tuple, row by
 * row. */
static struct mr_tuples *run_by_origin(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                       struct mr_tuples *in)
{
    struct mr_tuples *result = NULL, **tail = &result;

    in = mr_tuples_merge(exec, in);
    while (any_rows(in)) {
        struct mr_tuples *part = cut_earliest(exec, in, stage->recursive);
        if (!part)
            continue; /* those rows are lost, and were counted */
        struct mr_tuples *out =
            stage->recursive ? run_fixpoint(exec, stage, part) : run_rules(exec, stage, part);
        *tail = out;
        while (*tail)
            tail = &(*tail)->next;
    }
    /* which predicate came first depends on where the batch begins */
    return mr_tuples_by_predicate(mr_tuples_merge(exec, result));
}

static bool stands_before(const struct mr_tuples *x, const struct mr_tuples *y)
{
    int order = mr_order_compare(mr_order_of(x->origins[0]), mr_order_of(y->origins[0]));
    uint32_t of_x = x->ordinals ? x->ordinals[0] : 0, of_y = y->ordinals ? y->ordinals[0] : 0;

    if (order)
        return order < 0;
    return of_x != of_y ? of_x < of_y : x->predicate < y->predicate;
}

static uint32_t n_triggering(const struct mr_plan_stage *stage, const struct mr_tuples *in)
{
    uint32_t n = 0, first = MR_NO_PREDICATE;
    for (; in; in = in->next)
        if (in->predicate != first && triggers(stage, in->predicate)) {
            first = in->predicate;
            n++;
        }
    return n;
}

struct mr_tuples *mr_exec_take_row(struct mr_exec *exec, struct mr_tuples *in)
{
    struct mr_tuples *row = NULL;

    while (!row) {
        struct mr_tuples *first = NULL;
        for (struct mr_tuples *t = in; t; t = t->next)
            if (t->n && (!first || stands_before(t, first)))
                first = t;
        if (!first)
            return NULL;
        row = mr_tuples_new(exec, first->predicate, 1, mr_tuples_with(first));
        if (row) { /* else it is lost, and was counted */
            mr_tuples_append(exec->plan, row, first, 0);
            row->synthetic = first->synthetic;
            row->gone = first->gone;
        }
        mr_tuples_drop(exec->plan, first, 1);
    }
    return row;
}

/* The rows of a list of merged batches one after the other: by origin, ordinal, predicate. */
static struct mr_tuples *run_one_by_one(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                        struct mr_tuples *in)
{
    struct mr_tuples *result = NULL, **tail = &result, *row;

    in = mr_tuples_merge(exec, in);
    while ((row = mr_exec_take_row(exec, in))) {
        *tail = mr_exec_by_row(exec, stage, row);
        while (*tail)
            tail = &(*tail)->next;
    }
    return mr_tuples_by_predicate(mr_tuples_merge(exec, result)); /* as above */
}

void mr_exec_group(struct mr_exec *exec, uint32_t group, struct mr_tuples *in)
{
    const struct mr_plan_group *g = &exec->plan->groups[group];
    mr_exec_stages(exec, g->first_stage, g->first_stage + g->n_stages, in);
}

bool mr_exec_stage_waits(const struct mr_plan_stage *stage, const struct mr_tuples *in)
{
    return n_triggering(stage, in) != 0;
}

struct mr_tuples *mr_exec_stage(struct mr_exec *exec, uint32_t s, struct mr_tuples *in)
{
    const struct mr_plan_stage *stage = &exec->plan->stages[s];

    if (is_simple(stage, in) && !stage->by_row && !stage->recursive) {
        exec->stage = s;
        return run_simple(exec, stage->rules, in);
    }
    uint32_t n = n_triggering(stage, in);
    if (!n)
        return in; /* all tuples pass through */
    exec->stage = s;
    if (stage->by_row)
        return run_one_by_one(exec, stage, in);
    if (stage->recursive || (stage->kind != MR_STAGE_PARALLEL && n > 1))
        return run_by_origin(exec, stage, in);
    return run_rules(exec, stage, in);
}

static struct mr_tuples *run_stages(struct mr_exec *exec, uint32_t first, uint32_t end,
                                    struct mr_tuples *in)
{
    for (uint32_t s = first; in && s < end; s++)
        in = mr_exec_stage(exec, s, in);
    return in;
}

/* A stage that asks a table which one before it changes sees what came of earlier origins, and of
 * no later ones, however many there are in the batch: each goes through all stages by itself. */
static struct mr_tuples *run_sharing(struct mr_exec *exec, uint32_t first, uint32_t end,
                                     struct mr_tuples *in)
{
    struct mr_tuples *result = NULL, **tail = &result;

    in = mr_tuples_merge(exec, in);
    while (any_rows(in)) {
        *tail = run_stages(exec, first, end, cut_earliest(exec, in, false));
        while (*tail)
            tail = &(*tail)->next;
    }
    return mr_tuples_by_predicate(mr_tuples_merge(exec, result));
}

void mr_exec_stages(struct mr_exec *exec, uint32_t first, uint32_t end, struct mr_tuples *in)
{
    uint32_t shared = first;

    while (shared < end && !exec->plan->stages[shared].shares_table)
        shared++;
    in = run_stages(exec, first, shared, in);
    mr_tuples_fetch_all(exec, in);
    if (in && shared < end)
        in = run_sharing(exec, shared, end, in);
    while (in) {
        struct mr_tuples *next = in->next;
        in->next = NULL;
        if (exec->last_output)
            exec->last_output->next = in;
        else
            exec->outputs = in;
        exec->last_output = in;
        in = next;
    }
}
