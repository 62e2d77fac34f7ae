/* Who goes when a partition has more contexts than its share: those not used for longest.
 *
 * A partition is looked through as a whole, and the oldest of its contexts are kept in a list in
 * that order. Whoever is used later is younger than all in the list, so that the list remains right
 * as long as it lasts, and the next evictions only check that a context is as old as it was. */
#include "runtime/context_tags.h"

#define AHEAD     8u    /* entries whose contexts are asked for */
#define LOOKED_AT 4u    /* contexts that cost as much as a tuple */
#define STEPS     1024u /* entries of lists that are passed over in a slice */

/* Is x to go before y? Both are at most as old as the table's epoch allows, which wraps around. */
static bool before(const struct mr_context_table *table, const struct mr_context_old *x,
                   const struct mr_context_old *y)
{
    uint32_t age_x = table->epoch - x->epoch, age_y = table->epoch - y->epoch;
    return age_x != age_y ? age_x > age_y : x->hash < y->hash;
}

/* Moves the element at `i` of a heap, the youngest first, to its place. */
static void sink(const struct mr_context_table *table, struct mr_context_old *heap, uint32_t n,
                 uint32_t i)
{
    struct mr_context_old moving = heap[i];

    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(table, &heap[child], &heap[child + 1]))
            child++;
        if (!before(table, &moving, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static void rise(const struct mr_context_table *table, struct mr_context_old *heap, uint32_t i)
{
    struct mr_context_old moving = heap[i];

    for (uint32_t parent; i && before(table, &heap[parent = (i - 1) / 2], &moving); i = parent)
        heap[i] = heap[parent];
    heap[i] = moving;
}

/* Keeps it if it is among the oldest. */
static void consider(const struct mr_context_table *table, struct mr_context_partition *p,
                     struct mr_context_old *heap, const struct mr_context *c)
{
    struct mr_context_old one = {c->index, c->epoch, c->key.hash};

    if (p->n_oldest < table->most_oldest) {
        heap[p->n_oldest] = one;
        rise(table, heap, p->n_oldest++);
    } else if (before(table, &one, &heap[0])) {
        heap[0] = one;
        sink(table, heap, p->n_oldest, 0);
    }
}

/* The contexts of a partition that stand in these tags. */
static void look_through(const struct mr_context_table *table, const struct mr_context_tags *tags,
                         uint32_t partition, struct mr_context_old *heap)
{
    uint64_t first = (uint64_t)partition << 1 << (63 - table->partition_bits);
    uint64_t last = first + (UINT64_MAX >> table->partition_bits);
    uint64_t begin = mr_tag_place(tags, first), end = mr_tag_place(tags, last);

    for (uint64_t i = begin; i - begin <= tags->mask; i++) {
        uint64_t entry = tags->entries[i & tags->mask];
        uint64_t later = tags->entries[(i + AHEAD) & tags->mask];
        if (later)
            __builtin_prefetch(mr_context_at(table, (uint32_t)later - 1));
        if (!entry && i > end)
            break; /* what stands behind this has its place behind it */
        if (entry && mr_tag_partition(table, entry) == partition)
            consider(table, &table->partitions[partition], heap,
                     mr_context_at(table, (uint32_t)entry - 1));
    }
}

static void find_oldest(struct mr_context_table *table, uint32_t partition)
{
    struct mr_context_partition *p = &table->partitions[partition];
    struct mr_context_old *heap = &table->oldest[(uint64_t)partition * table->most_oldest];

    table->strain += p->n / LOOKED_AT;
    p->next_oldest = p->n_oldest = 0;
    look_through(table, &table->tags, partition, heap);
    if (table->old.entries)
        look_through(table, &table->old, partition, heap);
    for (uint32_t n = p->n_oldest; n > 1;) { /* the oldest first */
        struct mr_context_old youngest = heap[0];
        heap[0] = heap[--n];
        heap[n] = youngest;
        sink(table, heap, n, 0);
    }
}

/* The next one in the partition's list that is still as old; NULL: the list is used up, or no steps
 * are left. */
static struct mr_context *next_oldest(struct mr_context_table *table, uint32_t partition,
                                      uint32_t *left)
{
    struct mr_context_partition *p = &table->partitions[partition];
    const struct mr_context_old *list = &table->oldest[(uint64_t)partition * table->most_oldest];

    for (; *left && p->next_oldest < p->n_oldest; --*left) {
        const struct mr_context_old *one = &list[p->next_oldest++];
        struct mr_context *c = mr_context_at(table, one->index);
        if (c->in_table && c->epoch == one->epoch && c->key.hash == one->hash)
            return c;
    }
    return NULL;
}

uint32_t mr_contexts_evict(struct mr_context_table *table,
                           struct mr_context *evicted[MR_CONTEXT_SLICE], bool *more)
{
    uint32_t n = 0, end = 1u << table->partition_bits, left = STEPS;

    *more = false;
    while (table->n_over && table->evicting < end) {
        struct mr_context_partition *p = &table->partitions[table->evicting];
        uint32_t too_many = p->n > table->share ? p->n - table->share : 0, found = 0;
        while (found < too_many && n < table->slice) {
            struct mr_context *c = next_oldest(table, table->evicting, &left);
            if (!c)
                break;
            evicted[n++] = c;
            found++;
        }
        if (found < too_many) {
            *more = true;
            if (!n && left) /* a slice of its own; and none of the partition are on their way */
                find_oldest(table, table->evicting);
            else /* what was handed out counts when it ends */
                table->strain += (STEPS - left) / LOOKED_AT;
            return n;
        }
        table->evicting++;
    }
    table->evicting = 0;
    table->strain += (STEPS - left) / LOOKED_AT;
    return n;
}
