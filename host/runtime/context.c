/* Contexts: an open table of hash tags over a range of contexts.
 *
 * Looking up touches one line of tags and the first line of the context. The table of tags begins
 * small, so that few flows have their tags on few pages, and becomes eight times as large when it
 * is three quarters full. Tags move from one place to eight that go on in order, some at each
 * context that is made, so that nobody waits for it. The pages of all ranges are taken as they are
 * touched. */
#include "runtime/context_tags.h"

#include <string.h>
#include <sys/mman.h>

#define LINE          64u
#define PAIR          128u /* lines that come from memory together, on most machines */
#define PAGE_BYTES    4096u
#define HUGE_BYTES    ((uint64_t)2 << 20)
#define MOST_CONTEXTS ((uint64_t)1 << 30)
#define SPARE         256u   /* contexts that ended in the batch under way: one a row */
#define FIRST_ENTRIES 32768u /* or fewer: a table grows in whole steps */
#define GROWTH_BITS   3u
#define MOVED_AT_ONCE 16u    /* entries; a context is made at a time */
#define RELEASED      32768u /* entries given back at a time */
#define NEAR_ENTRIES  32768u /* a table of so many stays in the cache by itself */
#define FIRST_SLOTS   256u   /* bytes of slots that are asked for with the key */
#define ALL_STEPS     1024u  /* contexts looked at in a slice */

/* Of these shares differ by chance little enough, and one is looked through in a moment. */
#define USUAL_PARTITIONS 256u
#define MOST_PARTITIONS  65536u
#define LEAST_SHARE      512u
#define MOST_SHARE       8192u
#define MOST_EPOCH_SHIFT 12u /* 4,096 packets: what a table may have too many within one */
#define LEAST_OLDEST     64u

static uint64_t up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t bits_of(uint64_t n)
{
    return 63 - (uint32_t)__builtin_clzll(n);
}

/* ---- the plan ---- */

/* Keys are spread by a keyed hash, so that shares differ by chance only: six standard deviations
 * more than the mean hold nearly always. */
static uint64_t share_of(uint64_t n, uint32_t partitions)
{
    if (partitions == 1)
        return n;
    uint64_t mean = (n + partitions - 1) / partitions, deviation = 1;
    while (deviation * deviation < mean)
        deviation++;
    return mean + 6 * deviation + 8;
}

enum mr_status mr_context_caps(struct mr_context_caps *caps, uint64_t max_contexts)
{
    uint32_t partitions = 1, shift = 0;

    if (max_contexts > MOST_CONTEXTS)
        return MR_ERR_LIMIT;
    if (!max_contexts)
        max_contexts = 1;
    while (partitions < USUAL_PARTITIONS && max_contexts / (2 * partitions) >= LEAST_SHARE)
        partitions *= 2;
    while (partitions < MOST_PARTITIONS && max_contexts / partitions > MOST_SHARE)
        partitions *= 2;
    while (shift < MOST_EPOCH_SHIFT && max_contexts >> (shift + 5))
        shift++; /* at most a sixteenth of the cap */
    *caps = (struct mr_context_caps){
        .partitions = partitions,
        .share = (uint32_t)share_of(max_contexts, partitions),
        .surge = (uint32_t)share_of(1u << MOST_EPOCH_SHIFT, partitions),
        .epoch_shift = shift,
    };
    return MR_OK;
}

/* What a table consists of: partitions, lists of the oldest, tags, contexts. */
struct layout {
    uint64_t bytes;
    uint64_t n_entries; /* that the table of tags grows to */
    uint32_t partitions, capacity, most_oldest, stride, row_offset;
};

/* What the table of tags begins with, when n is what it grows to. */
static uint64_t first_entries(uint64_t n)
{
    while (n > FIRST_ENTRIES)
        n >>= GROWTH_BITS;
    return n;
}

static uint64_t stage_bytes(uint64_t n)
{
    return up(n * sizeof(uint64_t), PAGE_BYTES);
}

static uint64_t partitions_bytes(uint64_t partitions)
{
    return up(partitions * sizeof(struct mr_context_partition), PAGE_BYTES);
}

static uint64_t oldest_bytes(uint64_t partitions, uint32_t most)
{
    return up(partitions * most * sizeof(struct mr_context_old), PAGE_BYTES);
}

static struct layout lay_out(const struct mr_context_caps *caps, uint32_t lanes,
                             uint32_t context_bytes, uint32_t row_bytes)
{
    uint32_t partitions = caps->partitions / lanes;
    uint64_t most = (uint64_t)partitions * (caps->share + caps->surge), stages = 0;
    struct layout l = {.n_entries = 8, .partitions = partitions, .most_oldest = caps->share / 4};

    if (l.most_oldest < LEAST_OLDEST)
        l.most_oldest = LEAST_OLDEST;
    l.capacity = (uint32_t)most + SPARE;
    l.row_offset = (uint32_t)up(sizeof(struct mr_context) + context_bytes, LINE);
    l.stride = (uint32_t)up(l.row_offset + row_bytes, PAIR);
    while (l.n_entries / 4 * 3 < most) /* at most three quarters full */
        l.n_entries *= 2;
    for (uint64_t n = first_entries(l.n_entries); n <= l.n_entries; n <<= GROWTH_BITS)
        stages += stage_bytes(n); /* all sizes lie one behind another */
    l.bytes = partitions_bytes(partitions) + oldest_bytes(partitions, l.most_oldest) + stages +
              (uint64_t)l.capacity * l.stride;
    return l;
}

uint64_t mr_contexts_bytes(const struct mr_context_caps *caps, uint32_t lanes,
                           uint32_t context_bytes, uint32_t row_bytes)
{
    return lay_out(caps, lanes, context_bytes, row_bytes).bytes;
}

static struct mr_context_tags tags_of(uint64_t *entries, uint64_t n)
{
    return (struct mr_context_tags){entries, n - 1, 64 - bits_of(n)};
}

void mr_contexts_init(struct mr_context_table *table, const struct mr_context_caps *caps,
                      uint32_t lanes, uint32_t context_bytes, uint32_t row_bytes)
{
    struct layout l = lay_out(caps, lanes, context_bytes, row_bytes);

    *table = (struct mr_context_table){
        .tags = tags_of(NULL, first_entries(l.n_entries)),
        .lane_bits = bits_of(lanes),
        .partition_bits = bits_of(l.partitions),
        .context_bytes = context_bytes,
        .row_bytes = row_bytes,
        .stride = l.stride,
        .row_offset = l.row_offset,
        .epoch_shift = caps->epoch_shift,
        .share = caps->share,
        .surge = caps->surge,
        .capacity = l.capacity,
        .most_oldest = l.most_oldest,
        .most = l.n_entries - 1,
        .mapped_bytes = l.bytes,
        .free = MR_NO_CONTEXT,
        .next_deadline_ns = UINT64_MAX,
    };
    memset(table->wheel, 0xff, sizeof table->wheel); /* MR_NO_CONTEXT */
}

void mr_contexts_free(struct mr_context_table *table)
{
    if (table->memory)
        munmap(table->memory, table->mapped_bytes);
    table->memory = NULL;
    table->tags.entries = table->old.entries = NULL;
    table->contexts = NULL;
}

/* For what lies between, where it holds more than one. */
static void want_large_pages(uint8_t *begin, uint8_t *end)
{
    uint8_t *first = begin + (up((uintptr_t)begin, HUGE_BYTES) - (uintptr_t)begin);
    if (first < end && (uint64_t)(end - first) > HUGE_BYTES)
        (void)madvise(first, (size_t)(end - first) / PAGE_BYTES * PAGE_BYTES, MADV_HUGEPAGE);
}

/* Takes the addresses. Where contexts become many, large pages: behind the first ones, so that
 * small tables stay small. */
static bool map(struct mr_context_table *table)
{
    uint8_t *memory = mmap(NULL, table->mapped_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t partitions = (uint64_t)1 << table->partition_bits;

    if (memory == MAP_FAILED)
        return false;
    uint8_t *oldest = memory + partitions_bytes(partitions);
    table->memory = memory;
    table->partitions = (struct mr_context_partition *)(void *)memory;
    table->oldest = (struct mr_context_old *)(void *)oldest;
    table->tags.entries =
        (uint64_t *)(void *)(oldest + oldest_bytes(partitions, table->most_oldest));
    table->contexts = memory + table->mapped_bytes - (uint64_t)table->capacity * table->stride;
    want_large_pages(table->contexts + HUGE_BYTES, memory + table->mapped_bytes);
    return true;
}

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

/* While the table grows a tag may stand elsewhere: then nothing is gained and nothing lost. */
static inline void prefetch_context(const struct mr_context_table *table, uint64_t hash)
{
    const struct mr_context_tags *tags = &table->tags;
    uint64_t tag = mr_tag_of(table, hash), i = mr_tag_place(tags, tag);

    while (tags->entries[i] && !mr_tag_same(tags->entries[i], tag))
        i = (i + 1) & tags->mask;
    if (!tags->entries[i])
        return;
    const uint8_t *c = (const uint8_t *)mr_context_at(table, (uint32_t)tags->entries[i] - 1);
    /* what functions write: the flow's account, behind the key, and the first slots */
    __builtin_prefetch(c, 1);
    __builtin_prefetch(c + offsetof(struct mr_context, flow), 1);
    for (uint32_t line = 0; line < table->context_bytes && line < FIRST_SLOTS; line += LINE)
        __builtin_prefetch(c + offsetof(struct mr_context, slots) + line, 1);
}

/* A few rows a call: asked for in a heap, lines would wait for each other and nothing be done
 * meanwhile (175 ns a packet for 123, with a million flows). */
void mr_contexts_look_ahead(const struct mr_context_table *table, const union mr_value *keys,
                            uint32_t n, uint32_t row)
{
    uint32_t entry = row + MR_LOOK_AHEAD, context = row + MR_LOOK_AHEAD / 2;
    uint64_t before, hash;

    if (!table->tags.entries)
        return;
    bool far = table->tags.mask >= NEAR_ENTRIES;
    before = far && entry && entry <= n ? hash_of(keys, entry - 1) : 0;
    for (uint32_t i = entry; far && i < n && i < entry + MR_LOOK_STEP; i++, before = hash)
        if ((hash = hash_of(keys, i)) != before || !i) /* else it was asked for already */
            __builtin_prefetch(
                &table->tags.entries[mr_tag_place(&table->tags, mr_tag_of(table, hash))]);
    before = context && context <= n ? hash_of(keys, context - 1) : 0;
    for (uint32_t i = context; i < n && i < context + MR_LOOK_STEP; i++, before = hash)
        if ((hash = hash_of(keys, i)) != before || !i)
            prefetch_context(table, hash);
}

void mr_contexts_prefetch_rest(const struct mr_context_table *table, const struct mr_context *c)
{
    const uint8_t *bytes = (const uint8_t *)c;

    if (table->context_bytes <= FIRST_SLOTS)
        return; /* functions with so little state look at little else */
    for (uint32_t at = offsetof(struct mr_context, flow) + LINE;
         at < offsetof(struct mr_context, slots); at += LINE)
        __builtin_prefetch(bytes + at, 1);
    for (uint32_t at = offsetof(struct mr_context, slots) + FIRST_SLOTS; at < table->stride;
         at += LINE)
        __builtin_prefetch(bytes + at, 1);
}

/* ---- growing ---- */

static void insert(struct mr_context_tags *tags, uint64_t entry)
{
    uint64_t i = mr_tag_place(tags, entry);
    while (tags->entries[i])
        i = (i + 1) & tags->mask;
    tags->entries[i] = entry;
}

/* To the next size: entries are moved from the first free one on, so that no cluster of them is
 * ever in two tables. */
static void begin_to_grow(struct mr_context_table *table)
{
    uint64_t n = table->tags.mask + 1, next = n << GROWTH_BITS;
    uint64_t *entries = table->tags.entries + stage_bytes(n) / sizeof *entries;

    table->old = table->tags;
    table->tags = tags_of(entries, next);
    table->old_begin = table->moved = table->old_released = 0;
    while (table->old.entries[table->old_begin])
        table->old_begin++;
    want_large_pages((uint8_t *)entries, (uint8_t *)entries + stage_bytes(next));
}

static void release_old(struct mr_context_table *table, uint64_t end)
{
    uint64_t *first = table->old.entries + table->old_released;

    (void)madvise(first, (end - table->old_released) * sizeof *first, MADV_DONTNEED);
    table->old_released = end;
}

static void go_on_growing(struct mr_context_table *table)
{
    struct mr_context_tags *old = &table->old;
    uint64_t n = old->mask + 1, at = (table->old_begin + table->moved) & old->mask;

    for (uint32_t i = 0; i < MOVED_AT_ONCE || old->entries[at]; i++) {
        if (table->moved >= n && !old->entries[at]) {
            table->old_released = 0;
            release_old(table, n);
            *old = (struct mr_context_tags){0};
            return;
        }
        if (old->entries[at])
            insert(&table->tags, old->entries[at]);
        old->entries[at] = 0;
        table->moved++;
        at = (at + 1) & old->mask;
    }
    if (!table->old_released)
        table->old_released = RELEASED; /* the first ones stay, for a cluster around the end */
    if (table->moved < n && at >= table->old_released + RELEASED)
        release_old(table, table->old_released + RELEASED);
}

/* ---- making and ending ---- */

static struct mr_context_partition *partition_of(const struct mr_context_table *table,
                                                 uint64_t hash)
{
    return &table->partitions[mr_tag_partition(table, hash << table->lane_bits)];
}

void mr_contexts_next_epoch(struct mr_context_table *table, uint32_t epoch)
{
    table->epoch = epoch;
    for (uint32_t i = 0; table->memory && i < 1u << table->partition_bits; i++)
        table->partitions[i].admitted = table->partitions[i].n;
}

static struct mr_context *add(struct mr_context_table *table, uint64_t hash)
{
    struct mr_context *c;

    if (!table->memory && !map(table))
        return NULL;
    struct mr_context_partition *partition = partition_of(table, hash);
    if (partition->admitted >= table->share + table->surge)
        return NULL;
    if (table->free != MR_NO_CONTEXT) {
        c = mr_context_at(table, table->free);
        table->free = c->timer_next;
        uint32_t index = c->index;
        memset(c, 0, sizeof *c + table->context_bytes);
        c->index = index;
    } else {
        if (table->n_made == table->capacity)
            return NULL;
        c = mr_context_at(table, table->n_made);
        c->index = table->n_made++;
    }
    partition->admitted++;
    table->n_over += partition->n++ == table->share;
    c->key.hash = hash;
    c->epoch = table->epoch;
    if (table->old.entries)
        go_on_growing(table);
    else if (table->n_contexts >= (table->tags.mask + 1) / 4 * 3 && table->tags.mask < table->most)
        begin_to_grow(table);
    uint64_t tag = mr_tag_of(table, hash);
    insert(mr_tags_for(table, tag), tag | (c->index + 1));
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
    context->timer_next = table->free;
    table->free = context->index;
}

uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context *all[MR_CONTEXT_SLICE],
                         bool *more)
{
    uint32_t n = 0, end = table->n_made;

    if (end - table->all_next > ALL_STEPS)
        end = table->all_next + ALL_STEPS;
    for (; table->all_next < end && n < MR_CONTEXT_SLICE; table->all_next++)
        if (mr_context_at(table, table->all_next)->in_table)
            all[n++] = mr_context_at(table, table->all_next);
    *more = table->all_next < table->n_made;
    if (!*more)
        table->all_next = 0;
    return n;
}
