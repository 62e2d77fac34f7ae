/* The row that stands for a context when a timer rings: what is kept of the tuple that opened it.
 */
#include "runtime/exec.h"

#include <assert.h>
#include <string.h>

#define SAVED_STRING_BYTES 64 /* longer strings and lists become empty */

static_assert(sizeof(struct mr_flow_key) <= SAVED_STRING_BYTES, "the room for a flow's key");

void mr_saved_row_make(struct mr_exec *exec, struct mr_context *c, const struct mr_tuples *from,
                       uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[from->predicate];
    uint8_t *memory = mr_context_row_memory(exec->contexts, c);
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
        case MR_TYPE_LIST:
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
        return true;
    void *copy = mr_exec_alloc(exec, bytes);
    if (!copy)
        return false;
    memcpy(copy, cell->b.ptr, bytes);
    cell->b.ptr = copy;
    return true;
}

bool mr_saved_row_append(struct mr_exec *exec, struct mr_context *c, struct mr_packet *origin,
                         struct mr_tuples *to)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[to->predicate];
    struct mr_tuples *t = c->row;
    uint32_t row = to->n;

    t->origins[0] = origin;
    t->contexts[0] = c->slots;
    t->flows[0] = c->owns_flow ? &c->flow : NULL;
    mr_tuples_append(exec->plan, to, t, 0);
    for (uint32_t i = 0; i < p->arity; i++)
        if (to->columns[i] && !borrow(exec, p->attributes[i].type, &to->columns[i][row], origin)) {
            to->n = row;
            return false;
        }
    return true;
}

/* What the row of one predicate takes: see mr_saved_row_make(). */
static uint32_t bytes_of(const struct mr_plan_predicate *p)
{
    uint32_t bytes = ((uint32_t)sizeof(struct mr_tuples) + 15) / 16 * 16;

    bytes += (p->arity * (uint32_t)sizeof(union mr_value *) + 15) / 16 * 16 + 32;
    for (uint32_t i = 0; i < p->arity; i++) {
        if (!p->attributes[i].live)
            continue;
        bytes += 16;
        switch (p->attributes[i].type) {
        case MR_TYPE_ADDRESS:
            bytes += 32;
            break;
        case MR_TYPE_FLOW:
            bytes += ((uint32_t)sizeof(struct mr_flow_key) + 15) / 16 * 16;
            break;
        case MR_TYPE_STRING:
        case MR_TYPE_LIST:
            bytes += SAVED_STRING_BYTES;
            break;
        default:
            break;
        }
    }
    return bytes;
}

uint32_t mr_saved_row_bytes(const struct mr_plan *plan, uint32_t group)
{
    const struct mr_plan_group *g = &plan->groups[group];
    uint32_t most = 0;

    if (!mr_group_asks_at_end(plan, group))
        return 0;
    for (uint32_t i = 0; i < plan->n_predicates; i++) {
        bool enters = g->kind == MR_STAGE_SERIAL;
        for (uint32_t k = 0; k < g->n_keys; k++)
            enters = enters || g->keys[k].predicate == i;
        uint32_t bytes = enters ? bytes_of(&plan->predicates[i]) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
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
