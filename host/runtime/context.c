/* Contexts: an open table of hash tags over a range of contexts.
 *
 * Looking up touches one line of tags and the first line of the context; a function that counts,
 * two more: the flow's account, and its slot beside the deadline. Where the memory comes from and
 * how the table grows: context_memory.c. */
#include "runtime/context_tags.h"

#include <string.h>

#define LINE        64u
#define SLOTS       ((uint32_t)offsetof(struct mr_context, slots))
#define SLOTS_LINE  (SLOTS / LINE * LINE)
#define FEW_SLOTS   256u  /* bytes of functions with little state */
#define FIRST_SLOTS 640u  /* bytes of slots that are asked for with the key */
#define ALL_STEPS   1024u /* contexts looked at in a slice */
#define ENDED       1024u /* tuples: what a slice of contexts costs that end ... */
#define GROWING     8u    /* ... and what one costs more that is made while tags move */

/* ---- finding ---- */

static bool same_flow(const struct mr_context *c, const void *key, uint32_t len)
{
    (void)len;
    return !memcmp(&c->key, key, offsetof(struct mr_flow_key, hash));
}

static bool same_bytes(const struct mr_context *c, const void *key, uint32_t len)
{
    return c->key_len == len && !memcmp(&c->key, key, len);
}

static bool same_number(const struct mr_context *c, const void *key, uint32_t len)
{
    (void)len;
    return !memcmp(&c->key, key, sizeof(uint64_t));
}

/* The one search; each caller has a copy of it with its comparison in place. */
static inline __attribute__((always_inline)) struct mr_context *
find(struct mr_context_table *table, uint64_t hash, const void *key, uint32_t len,
     bool (*same)(const struct mr_context *c, const void *key, uint32_t len))
{
    uint64_t tag = mr_tag_of(table, hash), entry;
    const struct mr_context_tags *tags = mr_tags_for(table, tag);

    if (!tags->entries)
        return NULL;
    for (uint64_t i = mr_tag_place(tags, tag); (entry = tags->entries[i]);
         i = (i + 1) & tags->mask) {
        if (!mr_tag_same(entry, tag))
            continue;
        struct mr_context *c = mr_context_at(table, (uint32_t)entry - 1);
        if (c->key.hash == hash && same(c, key, len))
            return c;
    }
    return NULL;
}

struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key)
{
    return find(table, key->hash, key, 0, same_flow);
}

struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len)
{
    return find(table, hash, key, len, same_bytes);
}

struct mr_context *mr_contexts_find_number(struct mr_context_table *table, uint64_t hash,
                                           uint64_t number)
{
    return find(table, hash, &number, 0, same_number);
}

static inline uint64_t hash_of(const union mr_value *keys, uint32_t row)
{
    return ((const struct mr_flow_key *)keys[row].b.ptr)->hash;
}

/* Asks for a line as far as the second-level cache, which has room for far more lines under way
 * than the first: random lines of 400 MB come every 3 ns instead of every 10 (Zen 4, three lines of
 * each context). Not for writing, which costs nothing more unless another worker has the line. */
static inline void ask_for(const void *line)
{
    __builtin_prefetch(line, 0, 2);
}

/* While the table grows most of the new one has not been touched yet: a look at it costs a page
 * fault. */
static inline uint8_t *prefetch_context(const struct mr_context_table *table, uint64_t hash)
{
    uint64_t tag = mr_tag_of(table, hash);
    const struct mr_context_tags *tags = mr_tag_in_old(table, tag) ? &table->old : &table->tags;
    uint64_t i = mr_tag_place(tags, tag);

    while (tags->entries[i] && !mr_tag_same(tags->entries[i], tag))
        i = (i + 1) & tags->mask;
    if (!tags->entries[i])
        return NULL;
    struct mr_context *c = mr_context_at(table, (uint32_t)tags->entries[i] - 1);
    const uint8_t *bytes = (const uint8_t *)c;
    uint32_t few = table->context_bytes < FIRST_SLOTS ? table->context_bytes : FIRST_SLOTS;
    /* what functions write: the flow's account, behind the key, deadline and first slots */
    ask_for(bytes);
    ask_for(bytes + offsetof(struct mr_context, flow));
    for (uint32_t at = SLOTS_LINE; at < SLOTS + few; at += LINE)
        ask_for(bytes + at);
    return c->slots;
}

/* Notes that this hash is asked for; true: it was already. */
static inline bool was_asked(struct mr_contexts_asked *asked, uint64_t hash)
{
    uint32_t *last = &asked->tags[hash % MR_LOOK_BACK], tag = (uint32_t)(hash >> 32);
    if (*last == tag)
        return true;
    *last = tag;
    return false;
}

/* Many rows a call, and nothing else between them, so that their pages are looked up side by side:
 * a packet of a million flows costs 91 ns, for 112 with four rows a call and the first level. */
void mr_contexts_look_ahead(const struct mr_context_table *table, struct mr_contexts_asked *asked,
                            const union mr_value *keys, uint32_t n, uint32_t row, uint8_t **found)
{
    const struct mr_context_tags *tags = &table->tags;
    uint32_t entry = row + MR_LOOK_AHEAD, context = row + MR_LOOK_AHEAD / 2 + MR_LOOK_STEP;

    for (uint32_t i = entry; i < n && i < entry + MR_LOOK_STEP; i++) {
        uint64_t hash = hash_of(keys, i);
        found[i] = NULL;
        if (!tags->entries || was_asked(asked, hash))
            continue;
        ask_for(&tags->entries[mr_tag_place(tags, mr_tag_of(table, hash))]);
        asked->rows[asked->end++ % MR_LOOK_AHEAD] = i;
    }
    while (asked->begin != asked->end &&
           (int32_t)(asked->rows[asked->begin % MR_LOOK_AHEAD] - context) < 0) {
        uint32_t i = asked->rows[asked->begin++ % MR_LOOK_AHEAD];
        found[i] = prefetch_context(table, hash_of(keys, i));
    }
}

bool mr_contexts_prefetch_rest(const struct mr_context_table *table, const struct mr_context *c)
{
    const uint8_t *bytes = (const uint8_t *)c;

    if (table->context_bytes <= FEW_SLOTS)
        return false;
    for (uint32_t at = offsetof(struct mr_context, flow) + LINE; at < SLOTS_LINE; at += LINE)
        __builtin_prefetch(bytes + at, 1);
    for (uint32_t at = SLOTS_LINE + FIRST_SLOTS + LINE; at < table->stride; at += LINE)
        __builtin_prefetch(bytes + at, 1);
    return true;
}

/* ---- making and ending ---- */

/* The partition of a hash, before it is changed: where that is the first time in the epoch, it has
 * what it had when that began. */
static struct mr_context_partition *partition_of(const struct mr_context_table *table,
                                                 uint64_t hash)
{
    struct mr_context_partition *p =
        &table->partitions[mr_tag_partition(table, hash << table->lane_bits)];

    if (p->epoch != table->epoch) {
        p->epoch = table->epoch;
        p->admitted = p->n;
    }
    return p;
}

static struct mr_context *add(struct mr_context_table *table, uint64_t hash)
{
    struct mr_context *c;

    if (!table->memory && !mr_contexts_map(table))
        return NULL;
    struct mr_context_partition *partition = partition_of(table, hash);
    if (partition->admitted >= table->share + table->surge)
        return NULL;
    if (table->free != MR_NO_CONTEXT) {
        c = mr_context_at(table, table->free);
        table->free = c->timer_next;
        uint32_t index = c->index;
        memset(c, 0, SLOTS + table->context_bytes);
        c->index = index;
    } else {
        if (table->n_made == table->capacity)
            return NULL;
        c = mr_context_at(table, table->n_made);
        c->index = table->n_made++;
        table->strain += table->fresh;
        if (table->n_made >= table->look_at)
            mr_contexts_look_after(table);
    }
    partition->admitted++;
    table->n_over += partition->n++ == table->share;
    c->key.hash = hash;
    c->epoch = table->epoch;
    if (table->old.entries) {
        table->strain += GROWING;
        mr_contexts_go_on_growing(table);
    } else if (table->n_contexts >= table->look_at_tags) {
        mr_contexts_look_after_tags(table);
    }
    uint64_t tag = mr_tag_of(table, hash);
    mr_tag_insert(mr_tags_for(table, tag), tag | (c->index + 1));
    c->in_table = true;
    table->n_contexts++;
    return c;
}

struct mr_context *mr_contexts_add_flow(struct mr_context_table *table,
                                        const struct mr_flow_key *key)
{
    struct mr_context *c = add(table, key->hash);
    if (c) {
        c->is_flow = true;
        c->key = *key;
        c->flow.key = &c->key;
    }
    return c;
}

struct mr_context *mr_contexts_add(struct mr_context_table *table, uint64_t hash, const void *key,
                                   uint32_t len)
{
    struct mr_context *c = NULL;
    if (len <= MR_CONTEXT_KEY_BYTES)
        c = add(table, hash);
    if (c) {
        memcpy(&c->key, key, len);
        c->key_len = (uint8_t)len;
    }
    return c;
}

/* Removes the entry and moves up what it kept from its place. */
static void remove_entry(struct mr_context_table *table, const struct mr_context *c)
{
    uint64_t tag = mr_tag_of(table, c->key.hash);
    const struct mr_context_tags *tags = mr_tags_for(table, tag);
    uint64_t *entries = tags->entries, mask = tags->mask;
    uint64_t hole = mr_tag_place(tags, tag);

    while ((uint32_t)entries[hole] != c->index + 1)
        hole = (hole + 1) & mask;
    for (uint64_t i = (hole + 1) & mask; entries[i]; i = (i + 1) & mask) {
        uint64_t home = mr_tag_place(tags, entries[i]);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* its home is behind the hole */
        entries[hole] = entries[i];
        hole = i;
    }
    entries[hole] = 0;
}

void mr_contexts_unlink(struct mr_context_table *table, struct mr_context *context)
{
    if (!context->in_table)
        return;
    remove_entry(table, context);
    mr_contexts_disarm(table, context);
    context->in_table = false;
    table->n_contexts--;
    table->n_over -= --partition_of(table, context->key.hash)->n == table->share;
}

void mr_contexts_release(struct mr_context_table *table, struct mr_context *context)
{
    table->strain += ENDED / table->slice;
    context->timer_next = table->free;
    table->free = context->index;
}

uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context *all[MR_CONTEXT_SLICE],
                         bool *more)
{
    uint32_t n = 0, end = table->n_made;

    if (end - table->all_next > ALL_STEPS)
        end = table->all_next + ALL_STEPS;
    for (; table->all_next < end && n < table->slice; table->all_next++)
        if (mr_context_at(table, table->all_next)->in_table)
            all[n++] = mr_context_at(table, table->all_next);
    *more = table->all_next < table->n_made;
    if (!*more)
        table->all_next = 0;
    return n;
}
