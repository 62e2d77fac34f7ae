/* The rows that stand for a context when a timer rings: what is kept of the tuple that opened it,
 * and of the first one of each other predicate. */
#include "runtime/exec.h"

#include <string.h>

#define SAVED_STRING_BYTES 64 /* longer strings and lists become empty */

/* What one attribute takes: packets become the tick itself, streams an empty chunk. */
static uint32_t cell_bytes(enum mr_type type)
{
    switch (type) {
    case MR_TYPE_PACKET:
    case MR_TYPE_STREAM:
        return 0;
    case MR_TYPE_ADDRESS:
        return sizeof(struct mr_endpoint);
    case MR_TYPE_FLOW:
        return sizeof(struct mr_flow_key);
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
        return sizeof(union mr_value) + SAVED_STRING_BYTES;
    default:
        return sizeof(union mr_value);
    }
}

/* What the row of one predicate takes. */
static uint32_t bytes_of(const struct mr_plan_predicate *p)
{
    uint32_t bytes = sizeof(struct mr_saved_row);

    for (uint32_t i = 0; i < p->arity; i++)
        bytes += p->attributes[i].live ? cell_bytes(p->attributes[i].type) : 0;
    return (bytes + 15) / 16 * 16;
}

/* Memory for one more row of a context, behind those that it has; NULL: it has one of the predicate
 * already, or (after a change of plans) there is no room. */
static struct mr_saved_row *row_memory(const struct mr_exec *exec, struct mr_context *c,
                                       uint32_t predicate)
{
    const struct mr_plan_predicate *predicates = exec->plan->predicates;
    uint8_t *at = mr_context_row_memory(exec->contexts, c);
    uint8_t *end = at + exec->contexts->row_bytes;
    struct mr_saved_row *last = NULL;

    for (struct mr_saved_row *row = c->row; row; last = row, row = mr_saved_row_next(row))
        if (row->predicate == predicate)
            return NULL;
    if (last)
        at = (uint8_t *)last + bytes_of(&predicates[last->predicate]);
    if (at + bytes_of(&predicates[predicate]) > end)
        return NULL;
    if (last)
        last->next = (uint32_t)(at - (uint8_t *)last);
    else
        c->row = (struct mr_saved_row *)(void *)at;
    return (struct mr_saved_row *)(void *)at;
}

/* Is it the flow that the context stands for? That need not be kept twice. */
static bool is_own_flow(const struct mr_context *c, enum mr_type type, union mr_value value)
{
    return type == MR_TYPE_FLOW && c->is_flow && value.b.ptr &&
           !memcmp(value.b.ptr, &c->key, sizeof c->key);
}

void mr_saved_row_make(struct mr_exec *exec, struct mr_context *c, const struct mr_tuples *from,
                       uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[from->predicate];
    struct mr_saved_row *saved = row_memory(exec, c, from->predicate);

    if (!saved)
        return;
    uint8_t *at = saved->cells;
    *saved = (struct mr_saved_row){.predicate = from->predicate};
    for (uint32_t i = 0; i < p->arity; i++) {
        enum mr_type type = p->attributes[i].type;
        if (!p->attributes[i].live)
            continue;
        union mr_value value = mr_tuples_value(from, i, row);
        uint32_t bytes = cell_bytes(type);
        if (is_own_flow(c, type, value)) {
            saved->own_flow |= (uint64_t)1 << i;
            continue;
        }
        if (type == MR_TYPE_STRING || type == MR_TYPE_LIST) {
            if (value.b.len > SAVED_STRING_BYTES)
                value = mr_value_bytes("", 0);
            if (!value.b.len)
                value.b.ptr = "";
            else
                memcpy(at + sizeof value, value.b.ptr, value.b.len);
            memcpy(at, &value, sizeof value);
        } else if (type == MR_TYPE_ADDRESS || type == MR_TYPE_FLOW) {
            memcpy(at, value.b.ptr, bytes);
        } else if (bytes) {
            memcpy(at, &value, sizeof value);
        }
        at += bytes;
    }
}

void mr_saved_row_copy(const struct mr_exec *exec, struct mr_context *c,
                       const struct mr_context *from)
{
    uint8_t *memory = mr_context_row_memory(exec->contexts, c);
    uint8_t *old = mr_context_row_memory(exec->contexts, (struct mr_context *)(uintptr_t)from);

    memcpy(memory, old, exec->contexts->row_bytes);
    c->row = (struct mr_saved_row *)(void *)(memory + ((uint8_t *)from->row - old));
}

void mr_saved_row_read(const struct mr_plan_predicate *p, const struct mr_context *c,
                       const struct mr_saved_row *row, union mr_value *values)
{
    const uint8_t *at = row->cells;

    for (uint32_t i = 0; i < p->arity; i++) {
        enum mr_type type = p->attributes[i].type;
        values[i] = mr_value_bytes(NULL, 0);
        if (!p->attributes[i].live)
            continue;
        uint32_t bytes = cell_bytes(type);
        if (row->own_flow >> i & 1) {
            values[i] = mr_value_bytes(&c->key, sizeof c->key);
            continue;
        }
        if (type == MR_TYPE_ADDRESS || type == MR_TYPE_FLOW) {
            values[i] = mr_value_bytes(at, bytes);
        } else if (bytes) {
            memcpy(&values[i], at, sizeof values[i]);
            if ((type == MR_TYPE_STRING || type == MR_TYPE_LIST) && values[i].b.len)
                values[i].b.ptr = at + sizeof values[i];
        }
        at += bytes;
    }
}

/* The same attribute in memory of the token: what is derived from the row may outlive the context.
 * False: no memory. */
static bool borrow(struct mr_exec *exec, enum mr_type type, union mr_value *cell,
                   struct mr_packet *origin)
{
    static const struct mr_chunk no_chunk = {.kind = MR_CHUNK_GAP, .data = (const uint8_t *)""};
    size_t bytes = 0;

    switch (type) {
    case MR_TYPE_PACKET:
        *cell = mr_value_bytes(origin, sizeof *origin);
        break;
    case MR_TYPE_STREAM:
        *cell = mr_value_bytes(&no_chunk, sizeof no_chunk);
        break;
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
    case MR_TYPE_ADDRESS:
    case MR_TYPE_FLOW:
        bytes = cell->b.len;
        break;
    default:
        break;
    }
    if (!bytes)
        return true;
    void *copy = mr_exec_alloc(exec, bytes);
    if (!copy)
        return false;
    memcpy(copy, cell->b.ptr, bytes);
    cell->b.ptr = copy;
    return true;
}

bool mr_saved_row_append(struct mr_exec *exec, struct mr_context *c,
                         const struct mr_saved_row *saved, struct mr_packet *origin,
                         struct mr_tuples *to)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[to->predicate];
    union mr_value values[MR_MAX_ARITY];
    uint32_t row = to->n, arity = p->arity;

    mr_saved_row_read(p, c, saved, values);
    for (uint32_t i = 0; i < arity; i++) {
        if (!to->columns[i])
            continue;
        if (!borrow(exec, p->attributes[i].type, &values[i], origin))
            return false;
        to->columns[i][row] = values[i];
    }
    to->origins[row] = origin;
    to->flows[row] = c->owns_flow ? &c->flow : NULL;
    if (to->contexts)
        to->contexts[row] = c->slots;
    if (to->ordinals)
        to->ordinals[row] = 0;
    to->n++;
    return true;
}

bool mr_group_waits(const struct mr_plan *plan, uint32_t group, uint32_t predicate)
{
    const struct mr_plan_group *g = &plan->groups[group];

    for (uint32_t k = 0; k < g->n_keys; k++)
        if (g->keys[k].predicate == predicate)
            return true;
    for (uint32_t s = 0; g->kind == MR_STAGE_SERIAL && s < g->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[g->first_stage + s].n_rules; r++)
            if (plan->stages[g->first_stage + s].rules[r].trigger == predicate)
                return true;
    return false;
}

uint32_t mr_saved_row_bytes(const struct mr_plan *plan, uint32_t group)
{
    uint32_t sum = 0;

    if (!mr_group_asks_at_end(plan, group))
        return 0;
    for (uint32_t i = 0; i < plan->n_predicates; i++)
        if (mr_group_waits(plan, group, i))
            sum += bytes_of(&plan->predicates[i]);
    return sum;
}

/* Calls of a group, one after the other; NULL: no more. */
const struct mr_op *mr_group_next_call(const struct mr_plan *plan, uint32_t group,
                                       struct mr_group_calls *at)
{
    const struct mr_plan_group *g = &plan->groups[group];

    for (; at->stage < g->n_stages; at->stage++, at->rule = 0) {
        const struct mr_plan_stage *stage = &plan->stages[g->first_stage + at->stage];
        for (; at->rule < stage->n_rules; at->rule++, at->op = 0)
            while (at->op < stage->rules[at->rule].n_ops) {
                const struct mr_op *op = &stage->rules[at->rule].ops[at->op++];
                if (op->kind == MR_OP_CALL)
                    return op;
            }
    }
    return NULL;
}

bool mr_group_asks_at_end(const struct mr_plan *plan, uint32_t group)
{
    struct mr_group_calls at = {0};
    const struct mr_op *op;

    while ((op = mr_group_next_call(plan, group, &at)))
        if (op->function->order != MR_ORDER_NONE && !op->function->silent_end)
            return true;
    return false;
}
