/* Contexts in the order in which they are closed. */
#include "runtime/context.h"

#include <stddef.h>

#define SORT_STEPS 1024u /* contexts looked at in a slice */

/* The same in every run, so that the hash of a long key that is drawn anew has no part in it. */
static uint64_t hash_of_key(const struct mr_context *c)
{
    uint64_t hash;

    if (c->is_flow)
        return mr_hash_public(&c->key, offsetof(struct mr_flow_key, hash));
    if (c->key_len < MR_CONTEXT_KEY_BYTES)
        return mr_hash_public(&c->key, c->key_len);
    memcpy(&hash, (const uint8_t *)&c->key + MR_CONTEXT_KEY_BYTES - sizeof hash, sizeof hash);
    return hash;
}

struct mr_tick_place mr_context_place(const struct mr_context *c)
{
    uint64_t hash = hash_of_key(c);
    return (struct mr_tick_place){(c->flow.first_packet & INT32_MAX) << 24 | (hash & 0xffffff),
                                  hash};
}

static bool before(const void *one, const void *other)
{
    const struct mr_context *x = one, *y = other;
    uint64_t a = x->flow.first_packet & INT32_MAX, b = y->flow.first_packet & INT32_MAX;
    return a != b ? a < b : mr_context_place(x).sub < mr_context_place(y).sub;
}

/* Contexts lie in the order in which they were made, or, where their places are used again, often
 * in the opposite one: runs are long. */
static bool next_run(void *user, void **run, uint32_t *left)
{
    struct mr_context_table *table = user;
    struct mr_context_sorting *s = &table->sorting;

    for (; *left && s->next < table->n_made; s->next++, --*left) {
        struct mr_context *c = mr_context_at(table, s->next);
        if (!c->in_table)
            continue;
        if (s->run && before(c, s->last) && !before(c, s->run))
            break;
        table->n_closing++;
        if (s->run && before(c, s->run)) {
            c->next_ended = s->run;
            s->run = c;
            continue;
        }
        c->next_ended = NULL;
        if (s->run)
            s->last->next_ended = c;
        else
            s->run = c;
        s->last = c;
    }
    if (!*left)
        return false;
    *run = s->run;
    s->run = NULL;
    return true;
}

static bool is_in_order(struct mr_context_table *table)
{
    static const struct mr_list_order order = {offsetof(struct mr_context, next_ended), before,
                                               next_run};
    uint32_t left = SORT_STEPS;

    if (table->closes)
        return true;
    if (!table->sorting.next)
        table->n_closing = 0;
    table->closes = mr_list_sort(&table->sorting.sort, &order, table, &left);
    table->strain += SORT_STEPS - left;
    if (!table->closes)
        return false;
    table->closing = table->sorting.sort.whole;
    table->sorting = (struct mr_context_sorting){0};
    return true;
}

uint32_t mr_contexts_close(struct mr_context_table *table, uint64_t end,
                           struct mr_context *closed[MR_CONTEXT_SLICE], bool *more)
{
    uint32_t n = 0;

    if (!table->closes && end == UINT64_MAX)
        return mr_contexts_all(table, closed, more);
    *more = !is_in_order(table);
    if (*more)
        return 0;
    struct mr_context *c = table->closing;
    while (c && n < table->slice && (end == UINT64_MAX || mr_context_place(c).sub < end)) {
        closed[n++] = c;
        c = c->next_ended;
    }
    table->closing = c;
    table->n_closing -= n;
    *more = n == table->slice;
    return n;
}

bool mr_contexts_look_behind(struct mr_context_table *table, uint32_t n)
{
    uint32_t left = SORT_STEPS;

    if (!table->n_behind)
        table->behind = table->closing;
    for (; table->behind && table->n_behind < n && left; table->n_behind++, left--)
        table->behind = table->behind->next_ended;
    table->strain += SORT_STEPS - left;
    if (table->behind && table->n_behind < n)
        return false;
    table->closing_end = table->behind ? mr_context_place(table->behind).sub : UINT64_MAX;
    table->n_behind = 0;
    return true;
}
