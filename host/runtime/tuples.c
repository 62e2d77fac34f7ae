/* Tuples in columns: making, copying, merging batches. */
#include "runtime/tuples.h"

#include "runtime/exec.h"

#include <string.h>

struct mr_tuples *mr_tuples_new(struct mr_exec *exec, uint32_t predicate, uint32_t n,
                                bool with_contexts)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[predicate];
    uint32_t live = 0;

    for (uint32_t c = 0; c < p->arity; c++)
        live += p->attributes[c].live;
    size_t head = (sizeof(struct mr_tuples) + 15) / 16 * 16;
    size_t pointers = (p->arity * sizeof(union mr_value *) + 15) / 16 * 16;
    size_t rows = ((size_t)n * 8 + 15) / 16 * 16;
    uint8_t *memory = mr_exec_alloc(exec, head + pointers + live * (size_t)n * 16 +
                                              (with_contexts ? 3 : 2) * rows);
    if (!memory)
        return NULL;
    struct mr_tuples *t = (struct mr_tuples *)(void *)memory;
    *t = (struct mr_tuples){.predicate = predicate};
    memory += head;
    t->columns = (union mr_value **)(void *)memory;
    memory += pointers;
    for (uint32_t c = 0; c < p->arity; c++) {
        t->columns[c] = NULL;
        if (!p->attributes[c].live)
            continue;
        t->columns[c] = (union mr_value *)(void *)memory;
        memory += (size_t)n * 16;
    }
    t->origins = (struct mr_packet **)(void *)memory;
    memory += rows;
    t->flows = (struct mr_flow **)(void *)memory;
    memory += rows;
    if (with_contexts)
        t->contexts = (uint8_t **)(void *)memory;
    return t;
}

void mr_tuples_append(const struct mr_plan *plan, struct mr_tuples *to,
                      const struct mr_tuples *from, uint32_t from_row)
{
    uint32_t row = to->n++;
    uint32_t arity = plan->predicates[to->predicate].arity;

    for (uint32_t c = 0; c < arity; c++)
        if (to->columns[c])
            to->columns[c][row] = from->columns[c][from_row];
    to->origins[row] = from->origins[from_row];
    to->flows[row] = from->flows[from_row];
    if (to->contexts)
        to->contexts[row] = from->contexts ? from->contexts[from_row] : NULL;
}

struct mr_order_key mr_order_of(const struct mr_packet *origin)
{
    if (origin->flags & MR_PACKET_TICK)
        return (struct mr_order_key){2 * origin->number,
                                     ((const struct mr_tick_origin *)(const void *)origin)->sub};
    return (struct mr_order_key){2 * origin->number + 1, 0};
}

/* The first batch of `list` whose next row (at[i]) is the earliest; ties go to the batch that
 * stands first. */
static struct mr_tuples *earliest(struct mr_tuples *list, uint32_t predicate)
{
    struct mr_tuples *best = NULL;
    struct mr_order_key best_key = {0, 0};

    for (struct mr_tuples *t = list; t; t = t->next) {
        if (t->predicate != predicate || !t->n)
            continue;
        struct mr_order_key key = mr_order_of(t->origins[0]);
        if (!best || mr_order_compare(key, best_key) < 0) {
            best = t;
            best_key = key;
        }
    }
    return best;
}

void mr_tuples_drop(const struct mr_plan *plan, struct mr_tuples *tuples, uint32_t n)
{
    uint32_t arity = plan->predicates[tuples->predicate].arity;
    for (uint32_t c = 0; c < arity; c++)
        if (tuples->columns[c])
            tuples->columns[c] += n;
    tuples->origins += n;
    tuples->flows += n;
    if (tuples->contexts)
        tuples->contexts += n;
    tuples->n -= n;
}

static bool lonely(const struct mr_tuples *list)
{
    return !list || !list->next;
}

struct mr_tuples *mr_tuples_merge(struct mr_exec *exec, struct mr_tuples *list)
{
    if (lonely(list))
        return list;
    struct mr_tuples *result = NULL, **tail = &result;
    for (struct mr_tuples *first = list; first; first = first->next) {
        uint32_t predicate = first->predicate, rows = 0;
        for (struct mr_tuples *t = result; t; t = t->next)
            if (t->predicate == predicate)
                rows = UINT32_MAX; /* done before */
        if (rows || !first->n)
            continue;
        for (struct mr_tuples *t = first; t; t = t->next)
            if (t->predicate == predicate)
                rows += t->n;
        struct mr_tuples *merged = mr_tuples_new(exec, predicate, rows, first->contexts != NULL);
        if (!merged) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
            continue;
        }
        for (struct mr_tuples *t; (t = earliest(first, predicate));) {
            mr_tuples_append(exec->plan, merged, t, 0);
            mr_tuples_drop(exec->plan, t, 1);
        }
        *tail = merged;
        tail = &merged->next;
    }
    return result;
}
