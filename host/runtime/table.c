/* Tables: rows, their indexes, their deadlines. */
#include "runtime/table.h"

#include "runtime/exec.h"

#include <string.h>

#define MAX_BYTES (64u * 1024 * 1024) /* of a buffer */

uint32_t mr_value_bytes_of(enum mr_type type, union mr_value value)
{
    switch (type) {
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
        return value.b.len;
    case MR_TYPE_ADDRESS:
        return sizeof(struct mr_endpoint);
    case MR_TYPE_FLOW:
        return sizeof(struct mr_flow_key);
    default:
        return 0;
    }
}

void mr_table_init(struct mr_table *t, const struct mr_plan *plan, uint32_t index,
                   struct mr_buffers *pool, const struct mr_secret *secret)
{
    memset(t, 0, sizeof *t);
    t->plan = plan;
    t->table = &plan->tables[index];
    t->predicate = &plan->predicates[t->table->predicate];
    t->secret = secret;
    mr_slab_init(&t->slab, pool);
}

void mr_table_free(struct mr_table *t)
{
    while (t->first) {
        struct mr_row *row = t->first;
        t->first = row->next;
        mr_slab_put(&t->slab, row, row->bytes, row->large);
    }
    for (uint32_t i = 0; i < MR_MAX_INDEXES; i++)
        mr_buckets_free(&t->indexes[i], t->slab.pool);
    for (uint32_t i = 0; i < MR_HEAP_PARTS; i++)
        mr_buffers_put(t->slab.pool, t->heap[i]);
    mr_slab_release(&t->slab);
}

/* ---- indexes ---- */

static uint64_t hash_columns(const struct mr_table *t, const struct mr_plan_index *index,
                             const union mr_value *values, bool packed)
{
    uint64_t hash = index->n;

    for (uint32_t k = 0; k < index->n; k++) {
        uint32_t c = index->columns[k];
        enum mr_type type = t->predicate->attributes[c].type;
        hash =
            (hash ^ mr_value_hash(t->secret, type, values[packed ? k : c])) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static struct mr_row_group *group_of(struct mr_hung *hung)
{
    return (struct mr_row_group *)(void *)hung;
}

/* `packed`: values[k] for column k of the index, else values[c] for column c of the table. */
static struct mr_row_group *find_group(const struct mr_table *t, uint32_t i, uint64_t hash,
                                       const union mr_value *values, bool packed)
{
    const struct mr_plan_index *index = &t->table->indexes[i];

    if (!t->indexes[i].n)
        return NULL;
    for (struct mr_hung *at = *mr_bucket_of(&t->indexes[i], hash); at; at = at->next) {
        struct mr_row_group *g = group_of(at);
        bool same = at->hash == hash;
        for (uint32_t k = 0; same && k < index->n; k++) {
            uint32_t c = index->columns[k];
            same = mr_value_equal(t->predicate->attributes[c].type, g->first->values[c],
                                  values[packed ? k : c]);
        }
        if (same)
            return g;
    }
    return NULL;
}

static bool link_index(struct mr_table *t, struct mr_row *row, uint32_t i)
{
    struct mr_buckets *index = &t->indexes[i];
    uint64_t hash = hash_columns(t, &t->table->indexes[i], row->values, false);
    struct mr_row_group *g = find_group(t, i, hash, row->values, false);
    struct mr_row_link *link = &row->links[i];
    struct mr_buffer *large;

    if (!g) {
        if (!mr_buckets_grow(index, t->slab.pool) ||
            !(g = mr_slab_get(&t->slab, sizeof *g, &large)))
            return false;
        *g = (struct mr_row_group){.hung.hash = hash};
        mr_bucket_hang(mr_bucket_of(index, hash), &g->hung);
        index->n++;
    }
    *link = (struct mr_row_link){.previous = g->last, .group = g};
    if (g->last)
        g->last->links[i].next = row;
    else
        g->first = row;
    g->last = row;
    g->n++;
    return true;
}

static void unlink_index(struct mr_table *t, struct mr_row *row, uint32_t i)
{
    struct mr_buckets *index = &t->indexes[i];
    struct mr_row_link *link = &row->links[i];
    struct mr_row_group *g = link->group;

    if (link->previous)
        link->previous->links[i].next = link->next;
    else
        g->first = link->next;
    if (link->next)
        link->next->links[i].previous = link->previous;
    else
        g->last = link->previous;
    if (--g->n)
        return;
    struct mr_hung **at = mr_bucket_of(index, g->hung.hash);
    while (*at != &g->hung)
        at = &(*at)->next;
    *at = g->hung.next;
    index->n--;
    mr_slab_put(&t->slab, g, sizeof *g, NULL);
}

/* ---- deadlines: a heap ---- */

static bool is_hidden(const struct mr_table *t, const struct mr_row *row)
{
    return row->deadline_ns <= t->hidden_ns && row->heap_at;
}

/* A row out of sight goes. */
static void clean(struct mr_table *t, struct mr_row *row)
{
    t->n_cleaned++;
    mr_table_unlink(t, row);
    mr_table_release(t, row);
}

/* Parts double, so that none is ever copied: nobody waits for millions of rows to be moved. */
static uint32_t part_of(uint32_t at)
{
    return 31 - (uint32_t)__builtin_clz(at / MR_HEAP_FIRST + 1);
}

static struct mr_row **heap_at(const struct mr_table *t, uint32_t at)
{
    uint32_t part = part_of(at), before = ((1u << part) - 1) * MR_HEAP_FIRST;
    return (struct mr_row **)(void *)t->heap[part]->data + (at - before);
}

static struct mr_row *heap_row(const struct mr_table *t, uint32_t at)
{
    return *heap_at(t, at);
}

static void heap_set(struct mr_table *t, uint32_t at, struct mr_row *row)
{
    *heap_at(t, at) = row;
    row->heap_at = at + 1;
}

static bool sooner(const struct mr_row *x, const struct mr_row *y)
{
    if (x->deadline_ns != y->deadline_ns)
        return x->deadline_ns < y->deadline_ns;
    return x->sequence < y->sequence; /* those of a key end as they came, in whatever lane */
}

/* Puts the row where it belongs, from place `at` on. */
static void heap_sift(struct mr_table *t, uint32_t at, struct mr_row *row)
{
    for (; at && sooner(row, heap_row(t, (at - 1) / 2)); at = (at - 1) / 2)
        heap_set(t, at, heap_row(t, (at - 1) / 2));
    for (uint32_t child = 2 * at + 1; child < t->n_heap; child = 2 * at + 1) {
        if (child + 1 < t->n_heap && sooner(heap_row(t, child + 1), heap_row(t, child)))
            child++;
        if (!sooner(heap_row(t, child), row))
            break;
        heap_set(t, at, heap_row(t, child));
        at = child;
    }
    heap_set(t, at, row);
}

static bool heap_room(struct mr_table *t)
{
    uint32_t part = part_of(t->n_heap);

    if (part < MR_HEAP_PARTS && !t->heap[part])
        t->heap[part] =
            mr_buffers_get(t->slab.pool, ((size_t)MR_HEAP_FIRST << part) * sizeof(struct mr_row *));
    return part < MR_HEAP_PARTS && t->heap[part];
}

static void heap_remove(struct mr_table *t, struct mr_row *row)
{
    uint32_t at = row->heap_at - 1;

    if (!row->heap_at)
        return;
    row->heap_at = 0;
    struct mr_row *moved = heap_row(t, --t->n_heap);
    if (moved != row)
        heap_sift(t, at, moved);
}

static bool set_deadline(struct mr_table *t, struct mr_row *row, uint64_t now_ns)
{
    if (t->table->lifetime_ns == MR_FOREVER)
        return true;
    if (!row->heap_at && !heap_room(t))
        return false;
    row->deadline_ns = now_ns + t->table->lifetime_ns;
    if (!row->heap_at)
        row->heap_at = ++t->n_heap;
    heap_sift(t, row->heap_at - 1, row);
    return true;
}

/* Rows that were hidden before somebody wanted to hear of the others are nobody's. */
struct mr_row *mr_table_expired(struct mr_table *t, uint64_t now_ns)
{
    while (mr_table_next_deadline(t) <= t->hidden_ns)
        clean(t, heap_row(t, 0));
    return mr_table_next_deadline(t) <= now_ns ? heap_row(t, 0) : NULL;
}

void mr_table_hide(struct mr_table *t, uint64_t now_ns)
{
    if (now_ns > t->hidden_ns)
        t->hidden_ns = now_ns;
}

bool mr_table_clean(struct mr_table *t, uint32_t most)
{
    bool more;

    while ((more = mr_table_next_deadline(t) <= t->hidden_ns) && most--)
        clean(t, heap_row(t, 0));
    return more;
}

uint64_t mr_table_next_deadline(const struct mr_table *t)
{
    return t->n_heap ? heap_row(t, 0)->deadline_ns : UINT64_MAX;
}

/* ---- rows ---- */

/* A row with copies of all that the values point to; not yet in the table. */
static struct mr_row *make_row(struct mr_table *t, const union mr_value *values)
{
    uint32_t arity = t->predicate->arity, n = t->table->n_indexes;
    size_t bytes =
        sizeof(struct mr_row) + arity * sizeof(union mr_value) + n * sizeof(struct mr_row_link);
    struct mr_buffer *large;

    for (uint32_t c = 0; c < arity; c++)
        bytes += (mr_value_bytes_of(t->predicate->attributes[c].type, values[c]) + 7u) & ~7u;
    if (bytes > MAX_BYTES)
        return NULL;
    struct mr_row *row = mr_slab_get(&t->slab, bytes, &large);
    if (!row)
        return NULL;
    *row = (struct mr_row){.deadline_ns = MR_FOREVER, .bytes = (uint32_t)bytes, .large = large};
    uint8_t *at = (uint8_t *)(row->values + arity);
    row->links = (struct mr_row_link *)(void *)at;
    at += n * sizeof *row->links;
    for (uint32_t c = 0; c < arity; c++) {
        uint32_t len = mr_value_bytes_of(t->predicate->attributes[c].type, values[c]);
        row->values[c] = values[c];
        if (!len)
            continue;
        memcpy(at, values[c].b.ptr, len);
        row->values[c].b.ptr = at;
        at += (len + 7u) & ~7u;
    }
    return row;
}

void mr_table_release(struct mr_table *t, struct mr_row *row)
{
    if (row)
        mr_slab_put(&t->slab, row, row->bytes, row->large);
}

void mr_table_unlink(struct mr_table *t, struct mr_row *row)
{
    for (uint32_t i = 0; i < t->table->n_indexes; i++)
        unlink_index(t, row, i);
    heap_remove(t, row);
    if (row->previous)
        row->previous->next = row->next;
    else
        t->first = row->next;
    if (row->next)
        row->next->previous = row->previous;
    else
        t->last = row->previous;
    t->n--;
}

/* At the end of everything it belongs to; false: no memory, and it is nowhere. */
static bool link_row(struct mr_table *t, struct mr_row *row, uint64_t now_ns)
{
    uint32_t i = 0;

    while (i < t->table->n_indexes && link_index(t, row, i))
        i++;
    if (i < t->table->n_indexes || !set_deadline(t, row, now_ns)) {
        while (i--)
            unlink_index(t, row, i);
        return false;
    }
    row->previous = t->last;
    if (t->last)
        t->last->next = row;
    else
        t->first = row;
    t->last = row;
    t->n++;
    return true;
}

static bool same_values(const struct mr_table *t, const union mr_value *x, const union mr_value *y)
{
    for (uint32_t c = 0; c < t->predicate->arity; c++)
        if (!mr_value_equal(t->predicate->attributes[c].type, x[c], y[c]))
            return false;
    return true;
}

/* The oldest row where there is one too many, counted over all or over those of the key. Those out
 * of sight do not count: with each row that comes one of them goes. */
static struct mr_row *surplus(struct mr_table *t, const struct mr_row *row)
{
    if (t->table->max_rows == MR_FOREVER)
        return NULL;
    if (t->table->kind == MR_TABLE_BY_KEY) {
        const struct mr_row_group *g = row->links[t->table->limit_index].group;
        struct mr_row *first = g->first;
        while (g->n > t->table->max_rows && first) {
            struct mr_row *next = first->links[t->table->limit_index].next;
            if (is_hidden(t, first))
                clean(t, first);
            first = next;
        }
        return g->n > t->table->max_rows ? g->first : NULL;
    }
    while (t->n > t->table->max_rows && mr_table_next_deadline(t) <= t->hidden_ns)
        clean(t, heap_row(t, 0));
    return t->n > t->table->max_rows ? t->first : NULL;
}

static struct mr_row *next_of(const struct mr_row *row, uint32_t index)
{
    return index == MR_NO_INDEX ? row->next : row->links[index].next;
}

/* The row, or the first in sight behind it. */
static struct mr_row *in_sight(struct mr_table *t, struct mr_row *row, uint32_t index)
{
    while (row && is_hidden(t, row)) {
        struct mr_row *next = next_of(row, index);
        clean(t, row);
        row = next;
    }
    return row;
}

struct mr_row *mr_table_find(struct mr_table *t, uint32_t index, const union mr_value *key)
{
    if (index == MR_NO_INDEX)
        return in_sight(t, t->first, index);
    uint64_t hash = hash_columns(t, &t->table->indexes[index], key, true);
    const struct mr_row_group *g = find_group(t, index, hash, key, true);
    return g ? in_sight(t, g->first, index) : NULL;
}

struct mr_row *mr_table_next(struct mr_table *t, const struct mr_row *row, uint32_t index)
{
    return in_sight(t, next_of(row, index), index);
}

struct mr_row *mr_table_with_key(struct mr_table *t, const union mr_value *values)
{
    uint64_t hash = hash_columns(t, &t->table->indexes[0], values, false);
    const struct mr_row_group *g = find_group(t, 0, hash, values, false);
    return g ? in_sight(t, g->first, 0) : NULL;
}

const struct mr_row *mr_table_first_seen(const struct mr_table *t)
{
    return t->first && is_hidden(t, t->first) ? mr_table_next_seen(t, t->first) : t->first;
}

const struct mr_row *mr_table_next_seen(const struct mr_table *t, const struct mr_row *row)
{
    do
        row = row->next;
    while (row && is_hidden(t, row));
    return row;
}

void mr_table_put(struct mr_table *t, const union mr_value *values, uint64_t now_ns,
                  struct mr_order_key order, struct mr_change *change)
{
    /* time is behind: what is out of sight goes for good, and what comes now is seen until packet
     * time goes on */
    if (t->table->lifetime_ns != MR_FOREVER && now_ns + t->table->lifetime_ns <= t->hidden_ns) {
        (void)mr_table_clean(t, UINT32_MAX);
        t->hidden_ns = 0;
    }
    struct mr_row *old = mr_table_with_key(t, values);

    *change = (struct mr_change){.what = MR_PUT_SAME, .row = old};
    if (old && same_values(t, old->values, values)) {
        set_deadline(t, old, now_ns);
        return;
    }
    struct mr_row *row = make_row(t, values);
    if (!row) {
        change->what = MR_PUT_REFUSED;
        return;
    }
    row->order = order;
    row->time_ns = now_ns;
    row->sequence = t->put++;
    if (old)
        mr_table_unlink(t, old);
    change->old = old;
    if (!link_row(t, row, now_ns)) {
        mr_table_release(t, row);
        change->what = MR_PUT_REFUSED;
        return;
    }
    change->row = row;
    change->what = old ? MR_PUT_REPLACED : MR_PUT_ADDED;
    change->evicted = surplus(t, row);
    if (change->evicted)
        mr_table_unlink(t, change->evicted);
}
