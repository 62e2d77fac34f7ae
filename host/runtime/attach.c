/* Contexts for rows: finding and making them by their keys. */
#include "metrics/top.h"
#include "runtime/exec.h"

#include <string.h>

#define KEYED_BYTES 16u /* of a hash that nobody can aim at */

/* The key of a type that is no flow, as the bytes under which its context stands. A long one has
 * two hashes: one to be told apart by, and behind it one that is the same in every run, for its
 * place among others (context_closing.c). */
static const void *key_bytes(struct mr_exec *exec, enum mr_type type, const union mr_value *value,
                             uint8_t scratch[MR_CONTEXT_KEY_BYTES], uint32_t *len)
{
    uint64_t hash;
    size_t kept;

    switch (type) {
    case MR_TYPE_STRING:
        *len = value->b.len;
        if (*len < MR_CONTEXT_KEY_BYTES)
            return value->b.len ? value->b.ptr : "";
        hash = mr_hash_public(value->b.ptr, value->b.len);
        kept = MR_CONTEXT_KEY_BYTES - KEYED_BYTES - sizeof hash;
        memcpy(scratch, value->b.ptr, kept);
        mr_hash128_bytes(exec->secret, value->b.ptr, value->b.len, scratch + kept);
        memcpy(scratch + kept + KEYED_BYTES, &hash, sizeof hash);
        *len = MR_CONTEXT_KEY_BYTES;
        return scratch;
    case MR_TYPE_ADDRESS:
        *len = sizeof(struct mr_endpoint);
        return value->b.ptr;
    case MR_TYPE_FLOW:
        *len = 2 * sizeof(struct mr_endpoint);
        return value->b.ptr;
    default:
        *len = sizeof value->i;
        return &value->i;
    }
}

static struct mr_context *make(struct mr_exec *exec, enum mr_type type, const union mr_value *key,
                               uint64_t hash, const void *bytes, uint32_t len)
{
    return type == MR_TYPE_FLOW ? mr_contexts_add_flow(exec->contexts, key->b.ptr)
                                : mr_contexts_add(exec->contexts, hash, bytes, len);
}

static void begin_flow(struct mr_context *c, const struct mr_packet *origin, bool owns_flow)
{
    c->flow.first_ns = c->flow.last_ns = origin->time_ns;
    c->flow.first_packet = origin->number;
    c->flow.interface = (uint8_t)origin->interface;
    c->flow.client = origin->src;
    c->flow.server = origin->dst;
    c->owns_flow = c->is_flow && owns_flow;
}

static void begin(struct mr_exec *exec, struct mr_context *c, const struct mr_tuples *in,
                  uint32_t row)
{
    /* where the rows bring their flow along it is assembled further up */
    begin_flow(c, in->origins[row], !in->flows[row]);
    if (exec->contexts->row_bytes && exec->plan->groups[exec->group].kind != MR_STAGE_SERIAL)
        mr_saved_row_make(exec, c, in, row); /* there meet() does */
}

/* The successor of a context begins with `origin`, and takes its row over. */
static void begin_again(struct mr_exec *exec, struct mr_context *c, struct mr_context *old,
                        struct mr_packet *origin)
{
    begin_flow(c, origin, old->owns_flow);
    if (old->row)
        mr_saved_row_copy(exec, c, old);
}

static void tell_growth(struct mr_exec *exec, struct mr_context *c)
{
    uint16_t steps = (uint16_t)((c->flow.bytes[0] + c->flow.bytes[1]) / MR_TOP_STEP_BYTES);
    if (steps != c->told && exec->hooks->flow_grown) {
        c->told = steps;
        exec->hooks->flow_grown(exec->hooks->user, exec, &c->flow);
    }
}

/* A row of the batch has this context. */
static inline void use(struct mr_exec *exec, struct mr_context *c)
{
    if (c->is_flow)
        tell_growth(exec, c);
    if (exec->contexts->epoch != c->epoch && mr_contexts_prefetch_rest(exec->contexts, c) &&
        exec->n_cold < MR_COLD_CONTEXTS)
        exec->cold[exec->n_cold++] = c; /* it is hardly in the cache */
    mr_contexts_touch(exec->contexts, c);
}

/* The context of one row. NULL: refused. */
static struct mr_context *context_for(struct mr_exec *exec, enum mr_type type,
                                      const union mr_value *key, const struct mr_tuples *in,
                                      uint32_t row)
{
    uint8_t scratch[MR_CONTEXT_KEY_BYTES];
    uint32_t len = 0;
    uint64_t hash = 0;
    const void *bytes = NULL;
    struct mr_context *c;

    if (type == MR_TYPE_FLOW) {
        c = mr_contexts_find_flow(exec->contexts, key->b.ptr);
    } else {
        bytes = key_bytes(exec, type, key, scratch, &len);
        hash = mr_exec_key_hash(exec, type, *key);
        c = mr_contexts_find(exec->contexts, hash, bytes, len);
    }
    if (!c) {
        c = make(exec, type, key, hash, bytes, len);
        if (!c)
            return NULL;
        begin(exec, c, in, row);
    }
    use(exec, c);
    return c;
}

/* The same where it is there already: the commonest, in a few instructions. */
static inline struct mr_context *known_number(struct mr_exec *exec, union mr_value number)
{
    struct mr_context_table *table = exec->contexts;
    uint64_t key = (uint64_t)number.i, hash = mr_hash_number(exec->secret, key); /* split.c's */
    struct mr_context *c = mr_contexts_find_number(table, hash, key);

    if (!c)
        return NULL;
    if (table->epoch != c->epoch)
        mr_contexts_prefetch_rest(table, c);
    mr_contexts_touch(table, c);
    return c;
}

struct mr_context *mr_exec_renew_context(struct mr_exec *exec, struct mr_context *old,
                                         struct mr_packet *origin, uint32_t ordinal)
{
    if (old->successor)
        return old->successor;
    if (!old->in_table)
        return old;
    mr_contexts_unlink(exec->contexts, old);
    mr_exec_end_context(exec, old, origin, ordinal);
    struct mr_context *c =
        old->is_flow ? mr_contexts_add_flow(exec->contexts, &old->key)
                     : mr_contexts_add(exec->contexts, old->key.hash, &old->key, old->key_len);
    if (!c) {
        mr_metrics_add(exec->metrics, MR_COUNT_CONTEXTS_REFUSED, 1);
        return old;
    }
    begin_again(exec, c, old, origin);
    mr_contexts_touch(exec->contexts, c);
    old->successor = c;
    return c;
}

/* Takes rows without a context out of a batch, whose columns others may read as well. */
static void refuse(struct mr_exec *exec, struct mr_tuples *t)
{
    uint32_t n = 0, all = t->n;
    for (uint32_t row = 0; row < t->n; row++)
        n += t->contexts[row] != NULL;
    struct mr_tuples *kept = n ? mr_tuples_new(exec, t->predicate, n, mr_tuples_with(t)) : NULL;
    for (uint32_t row = 0; kept && row < t->n; row++)
        if (t->contexts[row])
            mr_tuples_append(exec->plan, kept, t, row);
    if (kept) {
        kept->next = t->next;
        *t = *kept;
    } else {
        t->n = 0;
    }
    mr_metrics_add(exec->metrics, MR_COUNT_CONTEXTS_REFUSED, all - t->n);
}

/* What was found when the row was looked ahead for, if it is still there: the commonest where there
 * are many flows. */
static inline struct mr_context *found_flow(struct mr_exec *exec, const struct mr_flow_key *key,
                                            uint8_t *slots)
{
    struct mr_context *c = slots ? mr_context_of_slots(slots) : NULL;

    if (!c || !mr_contexts_is_flow(c, key))
        return NULL;
    use(exec, c);
    return c;
}

/* True: a row was refused one. */
static bool attach_flows(struct mr_exec *exec, struct mr_tuples *t, const union mr_value *keys)
{
    struct mr_context *known[MR_LOOK_BACK] = {NULL}; /* of the rows before */
    struct mr_contexts_asked asked = {0};
    bool ahead = t->n > 1, refused = false, alone = exec->plan->groups[exec->group].n_keys == 1;

    for (uint32_t row = 0 - MR_LOOK_AHEAD; ahead && row; row += MR_LOOK_STEP)
        mr_contexts_look_ahead(exec->contexts, &asked, keys, t->n, row, t->contexts);
    for (uint32_t row = 0; row < t->n; row++) {
        const struct mr_flow_key *key = keys[row].b.ptr;
        struct mr_context **last = &known[key->hash % MR_LOOK_BACK], *c;
        if (ahead && row % MR_LOOK_STEP == 0)
            mr_contexts_look_ahead(exec->contexts, &asked, keys, t->n, row, t->contexts);
        c = ahead ? found_flow(exec, key, t->contexts[row]) : NULL;
        if (c)
            *last = c;
        else if (!(c = *last) || !mr_contexts_is_flow(c, key))
            *last = c = context_for(exec, MR_TYPE_FLOW, &keys[row], t, row);
        t->contexts[row] = c ? c->slots : NULL;
        refused = refused || !c;
        if (alone && c && c->owns_flow)
            t->flows[row] = &c->flow;
    }
    return refused;
}

/* The rows of flows that their contexts keep, where tuples of several predicates share contexts:
 * when all have met it is known whose flows these are. */
static void keep_flows(struct mr_tuples *t)
{
    for (uint32_t row = 0; row < t->n; row++) {
        struct mr_context *c = t->contexts[row] ? mr_context_of_slots(t->contexts[row]) : NULL;
        if (c && c->owns_flow)
            t->flows[row] = &c->flow;
    }
}

/* Two values are the same at a glance; what this says no to may still be equal. */
static bool same_key(enum mr_type type, const union mr_value *x, const union mr_value *y)
{
    bool number = type != MR_TYPE_STRING && type != MR_TYPE_ADDRESS;
    return number ? x->i == y->i
                  : x->b.ptr == y->b.ptr && (type == MR_TYPE_ADDRESS || x->b.len == y->b.len);
}

/* The same where the key is of another type. */
static bool attach_keys(struct mr_exec *exec, struct mr_tuples *t, const union mr_value *keys,
                        enum mr_type type)
{
    struct mr_context *c = NULL;
    bool refused = false, number = type == MR_TYPE_INT;

    for (uint32_t row = 0; row < t->n; row++) {
        if (!c || !c->in_table || !same_key(type, &keys[row], &keys[row - 1]))
            c = number ? known_number(exec, keys[row]) : NULL;
        if (!c)
            c = context_for(exec, type, &keys[row], t, row);
        t->contexts[row] = c ? c->slots : NULL;
        refused = refused || !c;
    }
    return refused;
}

/* Tuples of several predicates share contexts: each predicate has its row there, and a batch of one
 * may hold earlier packets than that of another which came to the lane first. */
static void meet(struct mr_exec *exec, const struct mr_tuples *t)
{
    bool kept = exec->contexts->row_bytes && mr_group_waits(exec->plan, exec->group, t->predicate);

    for (uint32_t row = 0; row < t->n; row++) {
        if (!t->contexts[row] || (row && t->contexts[row] == t->contexts[row - 1]))
            continue;
        struct mr_context *c = mr_context_of_slots(t->contexts[row]);
        if (t->origins[row]->number < c->flow.first_packet) /* made just now, and not run yet */
            begin_flow(c, t->origins[row], !t->flows[row]);
        if (kept)
            mr_saved_row_make(exec, c, t, row);
    }
}

/* A serial group has one context for everything. */
static void attach_single(struct mr_exec *exec, struct mr_tuples *t)
{
    const union mr_value key = mr_value_int(0);
    struct mr_context *c = t->n ? context_for(exec, MR_TYPE_INT, &key, t, 0) : NULL;

    for (uint32_t row = 0; row < t->n; row++)
        t->contexts[row] = c ? c->slots : NULL;
    if (c)
        meet(exec, t);
    else if (t->n)
        refuse(exec, t);
}

static void attach(struct mr_exec *exec, struct mr_tuples *t)
{
    const struct mr_plan_group *g = &exec->plan->groups[exec->group];
    uint32_t column = MR_NO_REGISTER;

    for (uint32_t k = 0; k < g->n_keys; k++)
        if (g->keys[k].predicate == t->predicate)
            column = g->keys[k].column;
    if (g->kind == MR_STAGE_SERIAL && g->context_bytes) {
        attach_single(exec, t);
        return;
    }
    if (g->kind == MR_STAGE_SERIAL || column == MR_NO_REGISTER || mr_group_has_several_keys(g)) {
        t->contexts = NULL; /* no state, or (no key) passing through */
        return;
    }
    exec->n_cold = 0;
    bool refused = g->key_type == MR_TYPE_FLOW
                       ? attach_flows(exec, t, t->columns[column])
                       : attach_keys(exec, t, t->columns[column], g->key_type);
    if (g->n_keys > 1)
        meet(exec, t);
    for (uint32_t i = 0; i < exec->n_cold; i++)
        mr_contexts_prefetch_timers(exec->contexts, exec->cold[i]);
    if (refused)
        refuse(exec, t);
}

void mr_exec_attach(struct mr_exec *exec, struct mr_tuples *list)
{
    const struct mr_plan_group *g = &exec->plan->groups[exec->group];

    for (struct mr_tuples *t = list; t; t = t->next)
        if (t->contexts)
            attach(exec, t);
    for (struct mr_tuples *t = list; t && g->n_keys > 1; t = t->next)
        if (t->contexts && g->key_type == MR_TYPE_FLOW)
            keep_flows(t);
}
