/* Executing tasks of a lane: contexts for the rows, timers, shutdown, and the end of contexts. */
#include "runtime/exec.h"

#include <assert.h>
#include <string.h>

/* ---- the row that stands for a context when a timer rings ---- */

#define SAVED_STRING_BYTES 64 /* longer strings become empty */

/* Copies a row into the context. */
static void save_row(struct mr_exec *exec, struct mr_context *c, const struct mr_tuples *from,
                     uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[from->predicate];
    uint8_t *memory = c->row_memory;
    struct mr_tuples *t = (struct mr_tuples *)(void *)memory;

    memory += (sizeof *t + 15) / 16 * 16;
    *t = (struct mr_tuples){.predicate = from->predicate, .n = 1};
    t->columns = (union mr_value **)(void *)memory;
    memory += (p->arity * sizeof *t->columns + 15) / 16 * 16;
    t->origins = (struct mr_packet **)(void *)memory;
    t->flows = (struct mr_flow **)(void *)(memory + 8);
    t->contexts = (uint8_t **)(void *)(memory + 16);
    memory += 32;
    for (uint32_t i = 0; i < p->arity; i++) {
        t->columns[i] = NULL;
        if (!p->attributes[i].live)
            continue;
        union mr_value *cell = (union mr_value *)(void *)memory;
        memory += 16;
        t->columns[i] = cell;
        *cell = from->columns[i][row];
        switch (p->attributes[i].type) {
        case MR_TYPE_ADDRESS:
            memcpy(memory, cell->b.ptr, sizeof(struct mr_endpoint));
            cell->b.ptr = memory;
            memory += 32;
            break;
        case MR_TYPE_FLOW:
            memcpy(memory, cell->b.ptr, sizeof(struct mr_flow_key));
            cell->b.ptr = memory;
            memory += (sizeof(struct mr_flow_key) + 15) / 16 * 16;
            break;
        case MR_TYPE_STRING:
            if (cell->b.len > SAVED_STRING_BYTES) {
                *cell = mr_value_bytes("", 0);
            } else if (cell->b.len) {
                memcpy(memory, cell->b.ptr, cell->b.len);
                cell->b.ptr = memory;
                memory += SAVED_STRING_BYTES;
            }
            break;
        default: /* packets become the tick itself, streams an empty chunk: see borrow_row() */
            break;
        }
    }
    c->row = t;
}

static_assert(sizeof(struct mr_flow_key) <= SAVED_STRING_BYTES, "the room for any attribute");

/* The same attributes in memory of the token: what is derived from the row may outlive the
 * context. False: no memory. */
static bool borrow_row(struct mr_exec *exec, struct mr_tuples *t, struct mr_packet *origin)
{
    static const struct mr_chunk no_chunk = {.kind = MR_CHUNK_GAP, .data = (const uint8_t *)""};
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];

    for (uint32_t i = 0; i < p->arity; i++) {
        union mr_value *cell = t->columns[i];
        size_t bytes = 0;
        if (!cell)
            continue;
        switch (p->attributes[i].type) {
        case MR_TYPE_PACKET:
            *cell = mr_value_bytes(origin, sizeof *origin);
            break;
        case MR_TYPE_STREAM:
            *cell = mr_value_bytes(&no_chunk, sizeof no_chunk);
            break;
        case MR_TYPE_STRING:
            bytes = cell->b.len;
            break;
        case MR_TYPE_ADDRESS:
            bytes = sizeof(struct mr_endpoint);
            break;
        case MR_TYPE_FLOW:
            bytes = sizeof(struct mr_flow_key);
            break;
        default:
            break;
        }
        if (!bytes)
            continue;
        void *copy = mr_exec_alloc(exec, bytes);
        if (!copy)
            return false;
        memcpy(copy, cell->b.ptr, bytes);
        cell->b.ptr = copy;
    }
    return true;
}

uint32_t mr_exec_row_bytes(const struct mr_plan *plan)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->n_predicates; i++) {
        uint32_t arity = plan->predicates[i].arity;
        uint32_t bytes = (uint32_t)sizeof(struct mr_tuples) + 16 + arity * 8 + 16 + 32 +
                         arity * (16 + SAVED_STRING_BYTES);
        most = bytes > most ? bytes : most;
    }
    return (most + 15) / 16 * 16;
}

/* ---- the end of contexts ---- */

static void close_slots(struct mr_exec *exec, struct mr_context *c)
{
    const struct mr_plan_group *g = &exec->plan->groups[exec->group];
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        const struct mr_plan_stage *stage = &exec->plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++)
            for (uint32_t o = 0; o < stage->rules[r].n_ops; o++) {
                const struct mr_op *op = &stage->rules[r].ops[o];
                if (op->kind == MR_OP_CALL && op->function->context_close)
                    op->function->context_close(c->slots + op->context_offset, exec);
            }
    }
}

static void close_ended(struct mr_exec *exec)
{
    while (exec->ended) {
        struct mr_context *c = exec->ended;
        exec->ended = c->next_ended;
        mr_contexts_unlink(exec->contexts, c);
        close_slots(exec, c);
        if (c->owns_flow && exec->hooks->flow_closed) {
            mr_metrics_add(exec->metrics, MR_COUNT_FLOWS, 1);
            exec->hooks->flow_closed(exec->hooks->user, exec, c->end_origin, c->end_ordinal,
                                     &c->flow, c->left);
        }
        mr_contexts_release(exec->contexts, c);
    }
    exec->last_ended = NULL;
}

void mr_exec_end_context(struct mr_exec *exec, struct mr_context *c, struct mr_packet *origin,
                         uint32_t ordinal)
{
    if (c->ended)
        return;
    c->ended = true;
    c->end_origin = origin;
    c->end_ordinal = ordinal;
    c->next_ended = NULL;
    if (exec->last_ended)
        exec->last_ended->next_ended = c;
    else
        exec->ended = c;
    exec->last_ended = c;
}

/* ---- running ---- */

/* A copy of a context's flow for what leaves the lane: the living one belongs to the lane. */
static struct mr_flow *copy_flow(struct mr_exec *exec, const struct mr_context *c)
{
    struct {
        struct mr_flow flow;
        struct mr_flow_key key;
    } *both = mr_exec_alloc(exec, sizeof *both);

    if (!both)
        return NULL;
    both->flow = c->flow;
    both->key = c->key;
    both->flow.key = &both->key;
    return &both->flow;
}

/* Chunks name their flow as well. */
static void detach_chunks(struct mr_exec *exec, struct mr_tuples *t)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];

    for (uint32_t c = 0; c < p->arity; c++)
        for (uint32_t row = 0;
             p->attributes[c].type == MR_TYPE_STREAM && t->columns[c] && row < t->n; row++) {
            struct mr_chunk *copy = mr_exec_alloc(exec, sizeof *copy);
            if (!copy) {
                t->n = row;
                return;
            }
            *copy = *(const struct mr_chunk *)t->columns[c][row].b.ptr;
            copy->flow = t->flows[row];
            t->columns[c][row].b.ptr = copy;
        }
}

static void detach(struct mr_exec *exec, struct mr_tuples *from)
{
    for (struct mr_tuples *t = from; t; t = t->next) {
        const struct mr_context *last = NULL;
        struct mr_flow *copy = NULL;
        if (t->synthetic)
            t->n = 0; /* nobody has said anything about the context: the row was only a question */
        for (uint32_t row = 0; t->contexts && row < t->n; row++) {
            struct mr_context *c = t->contexts[row] ? mr_context_of_slots(t->contexts[row]) : NULL;
            if (!c || !c->owns_flow)
                continue;
            c->left = true;
            if (last != c)
                copy = copy_flow(exec, c);
            last = c;
            t->flows[row] = copy;
        }
        detach_chunks(exec, t);
        t->contexts = NULL;
    }
}

static void run(struct mr_exec *exec, struct mr_tuples *in)
{
    struct mr_tuples *before = exec->last_output;
    mr_exec_group(exec, exec->group, in);
    detach(exec, before ? before->next : exec->outputs);
}

/* A tick or the like as the origin of rows. */
static struct mr_packet *tick_origin(struct mr_exec *exec, uint64_t number, uint64_t sub)
{
    struct mr_tick_origin *origin = mr_exec_alloc(exec, sizeof *origin);
    if (!origin)
        return NULL;
    *origin = (struct mr_tick_origin){
        .packet = {.data = (const uint8_t *)"",
                   .time_ns = exec->now_ns,
                   .number = number,
                   .flags = MR_PACKET_TICK},
        .sub = sub,
    };
    return &origin->packet;
}

/* Hands a context to its functions for a reason other than a tuple; closes it unless a function
 * set a later deadline. */
static void run_row(struct mr_exec *exec, struct mr_context *c, enum mr_cause cause,
                    uint64_t number)
{
    struct mr_packet *origin = tick_origin(exec, number, c->sub);
    struct mr_tuples *t = c->row;
    uint64_t deadline_ns = c->deadline_ns;

    if (!origin) { /* no memory: the context goes without a word, counted by the allocation */
        mr_contexts_unlink(exec->contexts, c);
        close_slots(exec, c);
        mr_contexts_release(exec->contexts, c);
        return;
    }
    struct mr_tuples *row = t ? mr_tuples_new(exec, t->predicate, 1, MR_WITH_CONTEXTS) : NULL;
    if (row) {
        t->origins[0] = origin;
        t->contexts[0] = c->slots;
        t->flows[0] = c->owns_flow ? &c->flow : NULL;
        mr_tuples_append(exec->plan, row, t, 0);
        row->synthetic = true;
        if (borrow_row(exec, row, origin)) {
            exec->cause = cause;
            run(exec, row);
            exec->cause = MR_CAUSE_DATA;
        }
    }
    if (cause == MR_CAUSE_EXPIRE && c->deadline_ns > deadline_ns && !c->ended) {
        mr_contexts_deadline(exec->contexts, c, c->deadline_ns);
        return;
    }
    if (c->owns_flow && c->flow.end == MR_FLOW_OPEN)
        c->flow.end = cause == MR_CAUSE_EXPIRE  ? MR_FLOW_END_TIMEOUT
                      : cause == MR_CAUSE_EVICT ? MR_FLOW_END_FORCED
                                                : MR_FLOW_END_SHUTDOWN;
    mr_exec_end_context(exec, c, origin, 0);
}

/* ---- contexts for rows ---- */

/* The key of a type that is no flow, as the bytes under which its context stands. */
static const void *key_bytes(struct mr_exec *exec, enum mr_type type, const union mr_value *value,
                             uint8_t scratch[MR_CONTEXT_KEY_BYTES], uint32_t *len)
{
    switch (type) {
    case MR_TYPE_STRING:
        *len = value->b.len;
        if (*len <= MR_CONTEXT_KEY_BYTES)
            return value->b.len ? value->b.ptr : "";
        memcpy(scratch, value->b.ptr, MR_CONTEXT_KEY_BYTES - 16);
        mr_hash128_bytes(exec->secret, value->b.ptr, value->b.len,
                         scratch + MR_CONTEXT_KEY_BYTES - 16);
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

/* Contexts that ring at the same tick stand in an order that is the same in every run: by group, by
 * age, and those of one age by key. */
static uint64_t place_of(const struct mr_exec *exec, const struct mr_context *c)
{
    uint64_t key = c->is_flow ? mr_hash_public(&c->key, offsetof(struct mr_flow_key, hash))
                              : mr_hash_public(c->key_bytes, c->key_len);
    return (uint64_t)exec->group << 56 | (c->first_packet & 0xffffffff) << 24 | (key & 0xffffff);
}

static void begin(struct mr_exec *exec, struct mr_context *c, const struct mr_tuples *in,
                  uint32_t row)
{
    const struct mr_packet *origin = in->origins[row];
    c->first_packet = origin->number;
    c->sub = place_of(exec, c);
    c->flow.first_ns = c->flow.last_ns = origin->time_ns;
    c->flow.first_packet = origin->number;
    c->flow.client = origin->src;
    c->flow.server = origin->dst;
    /* where the rows bring their flow along it is assembled further up */
    c->owns_flow = c->is_flow && !in->flows[row];
    save_row(exec, c, in, row);
}

/* The context of one row; makes room by evicting when the table is full. NULL: refused. */
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
        hash = mr_hash_bytes(exec->secret, bytes, len);
        c = mr_contexts_find(exec->contexts, hash, bytes, len);
    }
    if (!c) {
        struct mr_context *oldest = exec->contexts->oldest;
        if (mr_contexts_full(exec->contexts) && oldest && oldest->batch != exec->batch) {
            mr_metrics_add(exec->metrics, MR_COUNT_FLOWS_EVICTED, 1);
            run_row(exec, oldest, MR_CAUSE_EVICT, in->origins[row]->number);
            close_ended(exec);
        }
        c = make(exec, type, key, hash, bytes, len);
        if (!c)
            return NULL;
        begin(exec, c, in, row);
    }
    c->batch = exec->batch;
    mr_contexts_touch(exec->contexts, c);
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
                     : mr_contexts_add(exec->contexts, old->hash, old->key_bytes, old->key_len);
    if (!c) {
        mr_metrics_add(exec->metrics, MR_COUNT_CONTEXTS_REFUSED, 1);
        return old;
    }
    if (old->row) {
        old->row->origins[0] = origin;
        old->row->flows[0] = old->owns_flow ? NULL : &old->flow;
        begin(exec, c, old->row, 0);
    }
    c->batch = exec->batch;
    old->successor = c;
    return c;
}

/* Takes rows without a context out of a batch. */
static void refuse(struct mr_exec *exec, struct mr_tuples *t, uint32_t first_row)
{
    uint32_t arity = exec->plan->predicates[t->predicate].arity, n = first_row;
    for (uint32_t row = first_row; row < t->n; row++) {
        if (!t->contexts[row])
            continue;
        for (uint32_t c = 0; c < arity; c++)
            if (t->columns[c])
                t->columns[c][n] = t->columns[c][row];
        t->origins[n] = t->origins[row];
        t->flows[n] = t->flows[row];
        t->contexts[n] = t->contexts[row];
        if (t->ordinals)
            t->ordinals[n] = t->ordinals[row];
        n++;
    }
    mr_metrics_add(exec->metrics, MR_COUNT_CONTEXTS_REFUSED, t->n - n);
    t->n = n;
}

/* A serial group has one context for everything. */
static void attach_single(struct mr_exec *exec, struct mr_tuples *t)
{
    const union mr_value key = mr_value_int(0);
    struct mr_context *c = t->n ? context_for(exec, MR_TYPE_INT, &key, t, 0) : NULL;

    for (uint32_t row = 0; row < t->n; row++)
        t->contexts[row] = c ? c->slots : NULL;
    if (t->n && !c)
        refuse(exec, t, 0);
}

/* Gives every row of a batch its context. Rows of a predicate without key pass through. */
static void attach(struct mr_exec *exec, struct mr_tuples *t)
{
    const struct mr_plan_group *g = &exec->plan->groups[exec->group];
    uint32_t column = MR_NO_REGISTER, refused = UINT32_MAX;

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
    struct mr_context *c = NULL;
    for (uint32_t row = 0; row < t->n; row++) {
        const void *key = t->columns[column][row].b.ptr;
        if (!c || g->key_type != MR_TYPE_FLOW || !c->in_table ||
            memcmp(&c->key, key, 2 * sizeof(struct mr_endpoint)))
            c = context_for(exec, g->key_type, &t->columns[column][row], t, row);
        t->contexts[row] = c ? c->slots : NULL;
        if (!c && refused == UINT32_MAX)
            refused = row;
        if (c && c->owns_flow)
            t->flows[row] = &c->flow;
    }
    if (refused != UINT32_MAX)
        refuse(exec, t, refused);
}

void mr_exec_lane(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                  struct mr_tuples *in)
{
    exec->group = group;
    exec->contexts = contexts;
    exec->cause = MR_CAUSE_DATA;
    exec->batch++;
    for (struct mr_tuples *t = in; t; t = t->next)
        if (t->contexts)
            attach(exec, t);
    run(exec, in);
    close_ended(exec);
    exec->contexts = NULL;
}

void mr_exec_lane_tick(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                       uint64_t now_ns, uint64_t number)
{
    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    exec->batch++;
    uint32_t n = mr_contexts_expire(contexts, now_ns, &exec->expired, &exec->expired_capacity);
    for (uint32_t i = 0; i < n; i++) {
        run_row(exec, exec->expired[i], MR_CAUSE_EXPIRE, number);
        close_ended(exec);
    }
    exec->contexts = NULL;
}

void mr_exec_lane_shutdown(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                           uint64_t now_ns, uint64_t number)
{
    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    exec->batch++;
    uint32_t n = mr_contexts_all(contexts, &exec->expired, &exec->expired_capacity);
    for (uint32_t i = 0; i < n; i++) {
        run_row(exec, exec->expired[i], MR_CAUSE_SHUTDOWN, number);
        close_ended(exec);
    }
    exec->contexts = NULL;
}
