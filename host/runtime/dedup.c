/* A set of tuples by open addressing. Its size is fixed: MR_MAX_DERIVATIONS bounds what goes in. */
#include "runtime/dedup.h"

#include "runtime/exec.h"

#include <stdlib.h>

#define SLOTS 4096u /* a power of two, more than MR_MAX_DERIVATIONS */

struct entry {
    const struct mr_tuples *tuples;
    uint32_t row;
    uint32_t hash;
    uint64_t generation; /* another than the set's: empty */
};

struct mr_dedup {
    uint32_t n;
    uint64_t generation;
    struct entry entries[SLOTS];
};

struct mr_dedup *mr_dedup_new(void)
{
    return calloc(1, sizeof(struct mr_dedup));
}

void mr_dedup_free(struct mr_dedup *seen)
{
    free(seen);
}

void mr_dedup_clear(struct mr_dedup *seen)
{
    seen->n = 0;
    seen->generation++;
}

/* Over the bytes by which two values of a type are equal. */
uint64_t mr_value_hash(const struct mr_secret *secret, enum mr_type type, union mr_value v)
{
    switch (type) {
    case MR_TYPE_LIST:
    case MR_TYPE_STRING:
        return mr_hash_bytes(secret, v.b.len ? v.b.ptr : "", v.b.len);
    case MR_TYPE_ADDRESS:
        return mr_hash_bytes(secret, v.b.ptr, sizeof(struct mr_endpoint));
    case MR_TYPE_FLOW:
        return ((const struct mr_flow_key *)v.b.ptr)->hash;
    default:
        return mr_hash_bytes(secret, &v.i, sizeof v.i);
    }
}

static uint32_t hash_row(struct mr_exec *exec, const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];
    uint64_t hash = t->predicate;
    for (uint32_t c = 0; c < p->arity; c++)
        if (t->columns[c]) {
            uint64_t v = mr_value_hash(exec->secret, p->attributes[c].type, t->columns[c][row]);
            hash = (hash ^ v) * 0x9e3779b97f4a7c15u;
            hash ^= hash >> 29;
        }
    return (uint32_t)hash;
}

static bool same_row(const struct mr_plan *plan, const struct mr_tuples *x, uint32_t x_row,
                     const struct mr_tuples *y, uint32_t y_row)
{
    const struct mr_plan_predicate *p = &plan->predicates[x->predicate];
    if (x->predicate != y->predicate)
        return false;
    for (uint32_t c = 0; c < p->arity; c++)
        if (x->columns[c] &&
            !mr_value_equal(p->attributes[c].type, x->columns[c][x_row], y->columns[c][y_row]))
            return false;
    return true;
}

/* true: it is new, and now in the set. */
static bool insert(struct mr_exec *exec, struct mr_dedup *seen, const struct mr_tuples *t,
                   uint32_t row)
{
    if (seen->n >= SLOTS / 2)
        return true; /* over the limit of derivations anyway */
    uint32_t hash = hash_row(exec, t, row);
    uint32_t slot = hash & (SLOTS - 1);
    for (; seen->entries[slot].generation == seen->generation; slot = (slot + 1) & (SLOTS - 1)) {
        const struct entry *e = &seen->entries[slot];
        if (e->hash == hash && same_row(exec->plan, e->tuples, e->row, t, row))
            return false;
    }
    seen->entries[slot] = (struct entry){t, row, hash, seen->generation};
    seen->n++;
    return true;
}

struct mr_tuples *mr_dedup_fresh(struct mr_exec *exec, struct mr_dedup *seen,
                                 struct mr_tuples *derived)
{
    struct mr_tuples *fresh =
        mr_tuples_new(exec, derived->predicate, derived->n, mr_tuples_with(derived));
    if (!fresh)
        return NULL;
    for (uint32_t row = 0; row < derived->n; row++)
        if (insert(exec, seen, derived, row))
            mr_tuples_append(exec->plan, fresh, derived, row);
    return fresh->n ? fresh : NULL;
}
