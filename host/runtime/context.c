/* Contexts: a chained hash table, a list by last use and a wheel of one-second slots. */
#include "runtime/context.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64
#define NS_PER_SECOND 1000000000u

enum mr_status mr_contexts_init(struct mr_context_table *table, uint64_t max_contexts,
                                uint32_t context_bytes, uint32_t row_bytes)
{
    *table = (struct mr_context_table){
        .n_buckets = FIRST_BUCKETS,
        .max_contexts = max_contexts ? max_contexts : 1,
        .context_bytes = context_bytes,
        .row_bytes = row_bytes,
        .next_deadline_ns = UINT64_MAX,
    };
    mr_arena_init(&table->memory, 0);
    return MR_OK;
}

void mr_contexts_free(struct mr_context_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
    mr_arena_free(&table->memory);
}

static bool same_flow(const struct mr_flow_key *x, const struct mr_flow_key *y)
{
    return !memcmp(x, y, offsetof(struct mr_flow_key, hash));
}

struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key)
{
    if (!table->buckets)
        return NULL;
    struct mr_context *c = table->buckets[key->hash >> 16 & (table->n_buckets - 1)];
    while (c && (c->hash != key->hash || !same_flow(&c->key, key)))
        c = c->next_in_bucket;
    return c;
}

struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len)
{
    if (!table->buckets)
        return NULL;
    struct mr_context *c = table->buckets[hash >> 16 & (table->n_buckets - 1)];
    for (; c; c = c->next_in_bucket)
        if (c->hash == hash && c->key_len == len && !memcmp(c->key_bytes, key, len))
            return c;
    return NULL;
}

/* Doubles the buckets while the table is crowded. A failure to grow only makes it slower. */
static bool room(struct mr_context_table *table)
{
    if (table->buckets && table->n_contexts < table->n_buckets)
        return true;
    uint64_t n = table->buckets ? table->n_buckets * 2 : table->n_buckets;
    struct mr_context **fresh = calloc(n, sizeof *fresh);
    if (!fresh)
        return table->buckets != NULL;
    for (uint64_t i = 0; table->buckets && i < table->n_buckets; i++) {
        struct mr_context *c = table->buckets[i];
        while (c) {
            struct mr_context *next = c->next_in_bucket;
            struct mr_context **bucket = &fresh[c->hash >> 16 & (n - 1)];
            c->next_in_bucket = *bucket;
            *bucket = c;
            c = next;
        }
    }
    free(table->buckets);
    table->buckets = fresh;
    table->n_buckets = n;
    return true;
}

static void append_used(struct mr_context_table *table, struct mr_context *c)
{
    c->used_next = NULL;
    c->used_previous = table->newest;
    if (table->newest)
        table->newest->used_next = c;
    else
        table->oldest = c;
    table->newest = c;
}

static void remove_used(struct mr_context_table *table, struct mr_context *c)
{
    if (c->used_previous)
        c->used_previous->used_next = c->used_next;
    else
        table->oldest = c->used_next;
    if (c->used_next)
        c->used_next->used_previous = c->used_previous;
    else
        table->newest = c->used_previous;
}

static struct mr_context *add(struct mr_context_table *table, uint64_t hash)
{
    if (mr_contexts_full(table) || !room(table))
        return NULL;
    struct mr_context *c = table->free;
    size_t bytes = sizeof *c + table->context_bytes;
    uint8_t *row_memory = NULL;
    if (c) {
        table->free = c->next_in_bucket;
        row_memory = c->row_memory;
    } else {
        c = mr_arena_alloc(&table->memory, bytes);
        if (c && table->row_bytes)
            row_memory = mr_arena_alloc(&table->memory, table->row_bytes);
        if (!c || (table->row_bytes && !row_memory))
            return NULL;
    }
    memset(c, 0, bytes);
    c->row_memory = row_memory;
    c->hash = hash;
    struct mr_context **bucket = &table->buckets[hash >> 16 & (table->n_buckets - 1)];
    c->next_in_bucket = *bucket;
    *bucket = c;
    c->in_table = true;
    append_used(table, c);
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
    if (len <= sizeof c->key_bytes)
        c = add(table, hash);
    if (c) {
        memcpy(c->key_bytes, key, len);
        c->key_len = len;
    }
    return c;
}

void mr_contexts_touch(struct mr_context_table *table, struct mr_context *context)
{
    if (table->newest == context || !context->in_table)
        return;
    remove_used(table, context);
    append_used(table, context);
}

static void disarm(struct mr_context_table *table, struct mr_context *c)
{
    if (!c->timer_link)
        return;
    *c->timer_link = c->timer_next;
    if (c->timer_next)
        c->timer_next->timer_link = c->timer_link;
    c->timer_link = NULL;
    table->n_timers--;
}

static void arm(struct mr_context_table *table, struct mr_context *c)
{
    /* never behind the slot visited last: it would wait a whole turn of the wheel */
    uint64_t second = c->deadline_ns / NS_PER_SECOND + 1;
    if (second <= table->now_second)
        second = table->now_second + 1;
    struct mr_context **slot = &table->wheel[second % MR_WHEEL_SLOTS];
    c->armed_second = second;
    c->timer_next = *slot;
    if (*slot)
        (*slot)->timer_link = &c->timer_next;
    *slot = c;
    c->timer_link = slot;
    table->n_timers++;
    if (c->deadline_ns < table->next_deadline_ns)
        table->next_deadline_ns = c->deadline_ns;
}

void mr_contexts_unlink(struct mr_context_table *table, struct mr_context *context)
{
    if (!context->in_table)
        return;
    struct mr_context **link = &table->buckets[context->hash >> 16 & (table->n_buckets - 1)];
    while (*link != context)
        link = &(*link)->next_in_bucket;
    *link = context->next_in_bucket;
    disarm(table, context);
    remove_used(table, context);
    context->in_table = false;
    table->n_contexts--;
}

void mr_contexts_release(struct mr_context_table *table, struct mr_context *context)
{
    context->next_in_bucket = table->free;
    table->free = context;
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
    if (context->timer_link && deadline_ns / NS_PER_SECOND + 1 >= context->armed_second)
        return;
    disarm(table, context);
    arm(table, context);
}

static bool reserve(struct mr_context ***list, uint32_t *capacity, uint32_t n)
{
    if (n < *capacity)
        return true;
    uint32_t wanted = *capacity ? *capacity * 2 : 256;
    struct mr_context **grown = realloc(*list, wanted * sizeof *grown);
    if (!grown)
        return false;
    *list = grown;
    *capacity = wanted;
    return true;
}

static int by_age(const void *x, const void *y)
{
    const struct mr_context *a = *(const struct mr_context *const *)x;
    const struct mr_context *b = *(const struct mr_context *const *)y;
    if (a->first_packet != b->first_packet)
        return a->first_packet < b->first_packet ? -1 : 1;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

uint32_t mr_contexts_expire(struct mr_context_table *table, uint64_t now_ns,
                            struct mr_context ***expired, uint32_t *capacity)
{
    uint64_t now = now_ns / NS_PER_SECOND;
    uint32_t n = 0;

    if (now <= table->now_second || table->next_deadline_ns > now_ns) {
        if (now > table->now_second && !table->n_timers)
            table->now_second = now;
        return 0;
    }
    uint64_t steps = now - table->now_second;
    if (steps > MR_WHEEL_SLOTS)
        steps = MR_WHEEL_SLOTS;
    struct mr_context *later = NULL; /* rang before their time: put back after the turn */
    for (uint64_t i = 0; i < steps; i++) {
        struct mr_context **slot = &table->wheel[(now - i) % MR_WHEEL_SLOTS];
        struct mr_context *c = *slot;
        while (c) {
            struct mr_context *next = c->timer_next;
            if (c->armed_second > now) { /* a later turn of the wheel */
                c = next;
                continue;
            }
            disarm(table, c);
            if (c->deadline_ns / NS_PER_SECOND + 1 <= now && reserve(expired, capacity, n)) {
                (*expired)[n++] = c;
            } else {
                c->next_ended = later;
                later = c;
            }
            c = next;
        }
    }
    table->now_second = now;
    while (later) {
        struct mr_context *next = later->next_ended;
        later->next_ended = NULL;
        arm(table, later);
        later = next;
    }
    /* the exact earliest deadline is not worth a search: one slot ahead is a lower bound */
    table->next_deadline_ns = table->n_timers ? now_ns : UINT64_MAX;
    if (n > 1)
        qsort(*expired, n, sizeof **expired, by_age);
    return n;
}

uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context ***all,
                         uint32_t *capacity)
{
    uint32_t n = 0;
    for (struct mr_context *c = table->oldest; c; c = c->used_next)
        if (reserve(all, capacity, n))
            (*all)[n++] = c;
    if (n > 1)
        qsort(*all, n, sizeof **all, by_age);
    return n;
}
