/* Inside a table of contexts (context*.c): tags and their places.
 *
 * A hash begins with the bits that say the lane, then come those of the partition, then those that
 * tell neighbours apart; a tag is what follows the lane's. Tags stand at the place that their first
 * bits say, so that those of a partition stand together, whatever size the table has. */
#ifndef MR_RUNTIME_CONTEXT_TAGS_H
#define MR_RUNTIME_CONTEXT_TAGS_H

#include "runtime/context.h"

/* The entry of a hash starts as this; its lower half is 1 + index. */
static inline uint64_t mr_tag_of(const struct mr_context_table *table, uint64_t hash)
{
    return hash << table->lane_bits & 0xffffffff00000000u;
}

static inline bool mr_tag_same(uint64_t entry, uint64_t tag)
{
    return !((entry ^ tag) >> 32);
}

static inline uint64_t mr_tag_place(const struct mr_context_tags *tags, uint64_t entry)
{
    return entry >> tags->shift;
}

/* How far behind the first entry that is moved the place of a tag is. */
static inline uint64_t mr_tag_distance(const struct mr_context_table *table, uint64_t tag)
{
    return (mr_tag_place(&table->old, tag) - table->old_begin) & table->old.mask;
}

/* A tag that has not been moved yet, if there is one. */
static inline bool mr_tag_in_old(const struct mr_context_table *table, uint64_t tag)
{
    return __builtin_expect(table->old.entries != NULL, 0) &&
           mr_tag_distance(table, tag) >= table->moved;
}

/* Where a tag stands, if anywhere. */
static inline struct mr_context_tags *mr_tags_for(struct mr_context_table *table, uint64_t tag)
{
    return mr_tag_in_old(table, tag) ? &table->old : &table->tags;
}

static inline uint32_t mr_tag_partition(const struct mr_context_table *table, uint64_t tag)
{
    return (uint32_t)(tag >> 1 >> (63 - table->partition_bits));
}

static inline void mr_tag_insert(struct mr_context_tags *tags, uint64_t entry)
{
    uint64_t i = mr_tag_place(tags, entry);
    while (tags->entries[i])
        i = (i + 1) & tags->mask;
    tags->entries[i] = entry;
}

/* ---- context_memory.c ---- */

/* Takes the addresses, with the first context. False: there are none. */
bool mr_contexts_map(struct mr_context_table *table);
/* n_made has come to look_at, n_contexts to look_at_tags. */
void mr_contexts_look_after(struct mr_context_table *table);
void mr_contexts_look_after_tags(struct mr_context_table *table);
/* Moves some tags, as long as there are `old` ones. */
void mr_contexts_go_on_growing(struct mr_context_table *table);

/* ---- context_timers.c ---- */

/* Takes it off the wheel. */
void mr_contexts_disarm(struct mr_context_table *table, struct mr_context *context);

#endif
