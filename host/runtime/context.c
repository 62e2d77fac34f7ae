/* Contexts: an open table of hash tags over a range of contexts, a clock for eviction, and a wheel
 * of one-second slots.
 *
 * Looking up touches one line of tags and the first line of the context. The table of tags begins
 * small, so that few flows have their tags on few pages, and becomes eight times as large when it
 * is three quarters full: only the tags are moved, from one place to eight that go on in order, so
 * that the lane halts seldom and not for long: at the default cap twice, for 2 ms with 24,576
 * contexts and for 4 ms with 196,608 (mostly the system giving pages). The pages of all ranges are
 * taken as they are touched. */
#include "runtime/context.h"

#include <string.h>
#include <sys/mman.h>

#define LINE          64u
#define PAIR          128u /* lines that come from memory together, on most machines */
#define PAGE_BYTES    4096u
#define HUGE_BYTES    ((uint64_t)2 << 20)
#define MOST_CONTEXTS ((uint64_t)1 << 30)
#define SPARE         256u   /* contexts that ended in the batch under way: one a row */
#define FIRST_ENTRIES 32768u /* or fewer: a table grows in whole steps */
#define GROWTH        8u
#define HAND_STEPS    128u  /* for one eviction */
#define FIRST_SLOTS   256u  /* bytes of slots that are asked for with the key */
#define SWEEP_STEPS   1024u /* timers or contexts looked at in a slice */
#define NS_PER_SECOND 1000000000u

static uint64_t up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t spare(uint64_t max_contexts)
{
    return max_contexts < SPARE ? (uint32_t)max_contexts : SPARE;
}

/* At most three quarters full. */
static uint64_t n_entries(uint64_t max_contexts)
{
    uint64_t n = 8;
    while (n / 4 * 3 < max_contexts)
        n *= 2;
    return n;
}

static uint64_t stride_of(uint32_t context_bytes, uint32_t row_bytes)
{
    return up(up(sizeof(struct mr_context) + context_bytes, LINE) + row_bytes, PAIR);
}

/* What the table begins with, when n is what it grows to. */
static uint64_t first_entries(uint64_t n)
{
    while (n > FIRST_ENTRIES)
        n /= GROWTH;
    return n;
}

static uint64_t stage_bytes(uint64_t n)
{
    return up(n * sizeof(uint64_t), PAGE_BYTES);
}

/* Of all sizes, which lie one behind another. */
static uint64_t entries_bytes(uint64_t max_contexts)
{
    uint64_t most = n_entries(max_contexts), bytes = 0;
    for (uint64_t n = first_entries(most); n <= most; n *= GROWTH)
        bytes += stage_bytes(n);
    return bytes;
}

uint64_t mr_contexts_bytes(uint64_t max_contexts, uint32_t context_bytes, uint32_t row_bytes)
{
    return entries_bytes(max_contexts) +
           (max_contexts + spare(max_contexts)) * stride_of(context_bytes, row_bytes);
}

enum mr_status mr_contexts_init(struct mr_context_table *table, uint64_t max_contexts,
                                uint32_t context_bytes, uint32_t row_bytes)
{
    if (max_contexts > MOST_CONTEXTS)
        return MR_ERR_LIMIT;
    if (!max_contexts)
        max_contexts = 1;
    *table = (struct mr_context_table){
        .mask = first_entries(n_entries(max_contexts)) - 1,
        .most = n_entries(max_contexts) - 1,
        .mapped_bytes = mr_contexts_bytes(max_contexts, context_bytes, row_bytes),
        .context_bytes = context_bytes,
        .row_bytes = row_bytes,
        .stride = (uint32_t)stride_of(context_bytes, row_bytes),
        .row_offset = (uint32_t)up(sizeof(struct mr_context) + context_bytes, LINE),
        .max_contexts = (uint32_t)max_contexts,
        .capacity = (uint32_t)max_contexts + spare(max_contexts),
        .free = MR_NO_CONTEXT,
        .next_deadline_ns = UINT64_MAX,
    };
    memset(table->wheel, 0xff, sizeof table->wheel); /* MR_NO_CONTEXT */
    return MR_OK;
}

void mr_contexts_free(struct mr_context_table *table)
{
    if (table->memory)
        munmap(table->memory, table->mapped_bytes);
    table->memory = NULL;
    table->entries = NULL;
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
    if (memory == MAP_FAILED)
        return false;
    table->memory = memory;
    table->entries = (uint64_t *)(void *)memory;
    table->contexts = memory + entries_bytes(table->max_contexts);
    want_large_pages(table->contexts + HUGE_BYTES, memory + table->mapped_bytes);
    return true;
}

static inline struct mr_context *at(const struct mr_context_table *table, uint32_t index)
{
    return (struct mr_context *)(void *)(table->contexts + (uint64_t)index * table->stride);
}

/* ---- finding ---- */

static inline uint64_t place_of(const struct mr_context_table *table, uint64_t entry)
{
    return entry >> 32 & table->mask;
}

/* Where a search for the tag begins; false: there is nothing to be found. */
static inline bool begin_search(const struct mr_context_table *table, uint64_t tag, uint64_t *place)
{
    *place = place_of(table, tag);
    return table->entries;
}

/* The entry of a hash starts as this; its lower half is 1 + index. */
static inline uint64_t tag_of(uint64_t hash)
{
    return hash & 0xffffffff00000000u;
}

static bool same_flow(const struct mr_flow_key *x, const struct mr_flow_key *y)
{
    return !memcmp(x, y, offsetof(struct mr_flow_key, hash));
}

struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key)
{
    uint64_t tag = tag_of(key->hash), i, entry;

    if (!begin_search(table, tag, &i))
        return NULL;
    for (; (entry = table->entries[i]); i = (i + 1) & table->mask) {
        if (tag_of(entry) != tag)
            continue;
        struct mr_context *c = at(table, (uint32_t)entry - 1);
        if (c->key.hash == key->hash && same_flow(&c->key, key))
            return c;
    }
    return NULL;
}

struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len)
{
    uint64_t tag = tag_of(hash), i, entry;

    if (!begin_search(table, tag, &i))
        return NULL;
    for (; (entry = table->entries[i]); i = (i + 1) & table->mask) {
        if (tag_of(entry) != tag)
            continue;
        struct mr_context *c = at(table, (uint32_t)entry - 1);
        if (c->key.hash == hash && c->key_len == len && !memcmp(&c->key, key, len))
            return c;
    }
    return NULL;
}

static inline uint64_t hash_of(const union mr_value *keys, uint32_t row)
{
    return ((const struct mr_flow_key *)keys[row].b.ptr)->hash;
}

static inline void prefetch_context(const struct mr_context_table *table, uint64_t hash)
{
    uint64_t tag = tag_of(hash), i;

    if (!begin_search(table, tag, &i))
        return;
    while (table->entries[i] && tag_of(table->entries[i]) != tag)
        i = (i + 1) & table->mask;
    if (!table->entries[i])
        return;
    const uint8_t *c = (const uint8_t *)at(table, (uint32_t)table->entries[i] - 1);
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

    if (!table->entries)
        return;
    before = entry && entry <= n ? hash_of(keys, entry - 1) : 0;
    for (uint32_t i = entry; i < n && i < entry + MR_LOOK_STEP; i++, before = hash)
        if ((hash = hash_of(keys, i)) != before || !i) /* else it was asked for already */
            __builtin_prefetch(&table->entries[place_of(table, hash)]);
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

/* ---- making and ending ---- */

static void insert(struct mr_context_table *table, uint64_t hash, uint32_t index)
{
    uint64_t i = place_of(table, hash);
    while (table->entries[i])
        i = (i + 1) & table->mask;
    table->entries[i] = tag_of(hash) | (index + 1);
}

/* To the next size. */
static void grow(struct mr_context_table *table)
{
    uint64_t *old = table->entries, n = table->mask + 1, bytes = stage_bytes(n);
    uint64_t *entries = old + bytes / sizeof *old, mask = n * GROWTH - 1;

    want_large_pages((uint8_t *)entries, (uint8_t *)entries + stage_bytes(mask + 1));
    table->entries = entries;
    table->mask = mask;
    for (uint64_t i = 0; i < n; i++) {
        if (!old[i])
            continue;
        uint64_t to = place_of(table, old[i]);
        while (entries[to])
            to = (to + 1) & mask;
        entries[to] = old[i];
    }
    (void)madvise(old, bytes, MADV_DONTNEED);
}

static struct mr_context *add(struct mr_context_table *table, uint64_t hash)
{
    struct mr_context *c;

    if (mr_contexts_full(table) || (!table->entries && !map(table)))
        return NULL;
    if (table->free != MR_NO_CONTEXT) {
        c = at(table, table->free);
        table->free = c->timer_next;
        uint32_t index = c->index;
        memset(c, 0, sizeof *c + table->context_bytes);
        c->index = index;
    } else {
        if (table->n_made == table->capacity)
            return NULL;
        c = at(table, table->n_made);
        c->index = table->n_made++;
    }
    c->key.hash = hash;
    if (table->n_contexts >= (table->mask + 1) / 4 * 3 && table->mask < table->most)
        grow(table);
    insert(table, hash, c->index);
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

struct mr_context *mr_contexts_victim(struct mr_context_table *table)
{
    struct mr_context *used = NULL;

    for (uint32_t i = 0; i < HAND_STEPS && i < 2 * table->n_made; i++) {
        struct mr_context *c = at(table, table->hand);
        table->hand = table->hand + 1 < table->n_made ? table->hand + 1 : 0;
        if (!c->in_table || c->batch == table->batch)
            continue;
        if (!c->used)
            return c;
        c->used = false;
        if (!used)
            used = c;
    }
    return used;
}

/* Removes the entry and moves up what it kept from its place. */
static void remove_entry(struct mr_context_table *table, const struct mr_context *c)
{
    uint64_t *entries = table->entries, mask = table->mask;
    uint64_t hole = place_of(table, c->key.hash);

    while ((uint32_t)entries[hole] != c->index + 1)
        hole = (hole + 1) & mask;
    for (uint64_t i = (hole + 1) & mask; entries[i]; i = (i + 1) & mask) {
        uint64_t home = place_of(table, entries[i]);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* its home is behind the hole */
        entries[hole] = entries[i];
        hole = i;
    }
    entries[hole] = 0;
}

/* ---- timers ---- */

static void disarm(struct mr_context_table *table, struct mr_context *c)
{
    if (!c->armed_second)
        return;
    if (c->timer_previous != MR_NO_CONTEXT)
        at(table, c->timer_previous)->timer_next = c->timer_next;
    else
        table->wheel[c->armed_second % MR_WHEEL_SLOTS] = c->timer_next;
    if (c->timer_next != MR_NO_CONTEXT)
        at(table, c->timer_next)->timer_previous = c->timer_previous;
    c->armed_second = 0;
    table->n_timers--;
}

static void arm(struct mr_context_table *table, struct mr_context *c)
{
    /* never behind the slot visited last: it would wait a whole turn of the wheel */
    uint64_t second = c->deadline_ns / NS_PER_SECOND + 1;
    if (second <= table->now_second)
        second = table->now_second + 1;
    uint32_t slot = (uint32_t)(second % MR_WHEEL_SLOTS);
    c->armed_second = second;
    c->timer_previous = MR_NO_CONTEXT;
    c->timer_next = table->wheel[slot];
    if (c->timer_next != MR_NO_CONTEXT)
        at(table, c->timer_next)->timer_previous = c->index;
    table->wheel[slot] = c->index;
    table->occupied[slot / 64] |= 1ull << slot % 64;
    table->n_timers++;
    if (second * NS_PER_SECOND < table->next_deadline_ns)
        table->next_deadline_ns = second * NS_PER_SECOND;
}

void mr_contexts_unlink(struct mr_context_table *table, struct mr_context *context)
{
    if (!context->in_table)
        return;
    remove_entry(table, context);
    disarm(table, context);
    context->in_table = false;
    table->n_contexts--;
}

void mr_contexts_release(struct mr_context_table *table, struct mr_context *context)
{
    context->timer_next = table->free;
    table->free = context->index;
}

void mr_contexts_deadline(struct mr_context_table *table, struct mr_context *context,
                          uint64_t deadline_ns)
{
    context->deadline_ns = deadline_ns;
    if (!context->in_table)
        return;
    if (!deadline_ns) {
        disarm(table, context);
        return;
    }
    /* A later deadline waits until the old one rings: one move a timeout, not one a packet. */
    if (context->armed_second && deadline_ns / NS_PER_SECOND + 1 >= context->armed_second)
        return;
    disarm(table, context);
    arm(table, context);
}

/* Before the first slot that holds a timer nothing rings. */
static uint64_t first_deadline(struct mr_context_table *table)
{
    for (uint64_t i = 1; table->n_timers && i <= MR_WHEEL_SLOTS;) {
        uint64_t second = table->now_second + i;
        uint32_t slot = (uint32_t)(second % MR_WHEEL_SLOTS);
        uint64_t rest = table->occupied[slot / 64] >> slot % 64;
        if (!rest) {
            i += 64 - slot % 64;
            continue;
        }
        uint32_t skip = (uint32_t)__builtin_ctzll(rest);
        if (skip) {
            i += skip;
            continue;
        }
        if (table->wheel[slot] != MR_NO_CONTEXT)
            return second * NS_PER_SECOND;
        table->occupied[slot / 64] &= ~(1ull << slot % 64);
        i++;
    }
    return UINT64_MAX;
}

/* Packet time is behind: a broken stamp was believed, or an older capture follows. Timers are set
 * anew, those of the time before among them. All in one go: it happens once in a capture or so. */
static void turn_back(struct mr_context_table *table, uint64_t now)
{
    table->now_second = now;
    table->next_deadline_ns = UINT64_MAX;
    for (uint32_t i = 0; i < table->n_made; i++) {
        struct mr_context *c = at(table, i);
        if (!c->in_table || !c->armed_second)
            continue;
        disarm(table, c);
        arm(table, c);
    }
}

/* Begins to look at the slots that time has passed; false: nothing can be due in them. */
static bool begin_sweep(struct mr_context_table *table, uint64_t now_ns)
{
    uint64_t now = now_ns / NS_PER_SECOND, steps = now - table->now_second;

    if (mr_contexts_ahead(table, now_ns))
        turn_back(table, now);
    if (now <= table->now_second)
        return false;
    table->now_second = now;
    if (table->next_deadline_ns > now_ns)
        return false;
    table->sweeping = true;
    table->sweep_second = now - (steps > MR_WHEEL_SLOTS ? MR_WHEEL_SLOTS : steps) + 1;
    table->sweep_next = table->wheel[table->sweep_second % MR_WHEEL_SLOTS];
    return true;
}

uint32_t mr_contexts_expire(struct mr_context_table *table, uint64_t now_ns,
                            struct mr_context *expired[MR_CONTEXT_SLICE], bool *more)
{
    uint32_t n = 0, steps = 0;

    *more = false;
    if (!table->sweeping && !begin_sweep(table, now_ns))
        return 0;
    while (table->sweep_second <= table->now_second) {
        if (table->sweep_next == MR_NO_CONTEXT) {
            table->sweep_second++;
            table->sweep_next = table->wheel[table->sweep_second % MR_WHEEL_SLOTS];
            continue;
        }
        if (n == MR_CONTEXT_SLICE || steps++ == SWEEP_STEPS) {
            *more = true;
            return n;
        }
        struct mr_context *c = at(table, table->sweep_next);
        table->sweep_next = c->timer_next;
        if (c->timer_next != MR_NO_CONTEXT)
            __builtin_prefetch(&at(table, c->timer_next)->deadline_ns);
        if (c->armed_second > table->now_second)
            continue; /* a later turn of the wheel */
        disarm(table, c);
        if (c->deadline_ns / NS_PER_SECOND + 1 <= table->now_second)
            expired[n++] = c;
        else
            arm(table, c); /* at the head of a slot, so that the sweep does not meet it again */
    }
    table->sweeping = false;
    table->next_deadline_ns = first_deadline(table);
    return n;
}

uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context *all[MR_CONTEXT_SLICE],
                         bool *more)
{
    uint32_t n = 0, end = table->n_made;

    if (end - table->all_next > SWEEP_STEPS)
        end = table->all_next + SWEEP_STEPS;
    for (; table->all_next < end && n < MR_CONTEXT_SLICE; table->all_next++)
        if (at(table, table->all_next)->in_table)
            all[n++] = at(table, table->all_next);
    *more = table->all_next < table->n_made;
    if (!*more)
        table->all_next = 0;
    return n;
}
