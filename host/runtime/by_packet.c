/* Groups in which packets go one by one (plan.h: by_packet): what a function does to a context at
 * one packet must be done before another looks at it for the next. That is so wherever no context
 * has rows of two packets in a batch, so a batch is cut only where one comes back. */
#include "runtime/exec.h"

#include <string.h>

#define SEEN_BITS 1024u /* two keys that share one are cut apart without need */

struct cut {
    struct mr_exec *exec;
    uint64_t seen[SEEN_BITS / 64]; /* keys of the part so far, by the last bits of their hash */
};

/* The bit of a row's key; SEEN_BITS: it has none. */
static uint32_t bit_of(const struct cut *cut, const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_group *g = &cut->exec->plan->groups[cut->exec->group];

    for (uint32_t k = 0; t->contexts && k < g->n_keys; k++)
        if (g->keys[k].predicate == t->predicate)
            return mr_exec_key_hash(cut->exec, g->key_type, t->columns[g->keys[k].column][row]) %
                   SEEN_BITS;
    return SEEN_BITS;
}

static bool was_seen(const struct cut *cut, uint32_t bit)
{
    return bit < SEEN_BITS && cut->seen[bit / 64] >> bit % 64 & 1;
}

/* The rows of the earliest origin behind the first take[] of each batch are put to them, unless a
 * context of theirs is in the part already. False: they are not, or there are none. */
static bool take_origin(struct cut *cut, const struct mr_tuples *in, uint32_t *take)
{
    struct mr_order_key best = MR_ORDER_END;
    uint32_t i = 0;
    bool any = false;

    for (const struct mr_tuples *t = in; t; t = t->next, i++) {
        if (take[i] == t->n)
            continue;
        struct mr_order_key key = mr_order_of(t->origins[take[i]]);
        if (!any || mr_order_compare(key, best) < 0)
            best = key;
        any = true;
    }
    for (int set = 0; any && set < 2; set++) {
        i = 0;
        for (const struct mr_tuples *t = in; t; t = t->next, i++) {
            uint32_t row = take[i];
            for (; row < t->n && !mr_order_compare(mr_order_of(t->origins[row]), best); row++) {
                uint32_t bit = bit_of(cut, t, row);
                if (set && bit < SEEN_BITS)
                    cut->seen[bit / 64] |= (uint64_t)1 << bit % 64;
                else if (was_seen(cut, bit))
                    return false;
            }
            if (set)
                take[i] = row;
        }
    }
    return any;
}

struct mr_tuples *mr_exec_cut(struct mr_exec *exec, struct mr_tuples *in)
{
    struct cut cut = {.exec = exec};
    struct mr_tuples *result = NULL, **tail = &result;
    uint32_t n = 0, *take;

    for (const struct mr_tuples *t = in; t; t = t->next)
        n++;
    take = mr_exec_alloc(exec, n * sizeof *take);
    if (!take)
        return NULL; /* counted there */
    memset(take, 0, n * sizeof *take);
    while (take_origin(&cut, in, take))
        ;
    for (struct mr_tuples *t = in; t; t = t->next, take++) {
        struct mr_tuples *part = *take ? mr_tuples_cut_off(exec, t, *take) : NULL;
        if (part) {
            *tail = part;
            tail = &part->next;
        }
    }
    return result;
}
