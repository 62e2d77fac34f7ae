/* Contexts in the order in which they are closed. */
#include "runtime/context.h"

#include <stddef.h>

#define SORT_STEPS 1024u /* contexts looked at in a slice */

uint64_t mr_context_place(const struct mr_context *c)
{
    uint64_t key = c->is_flow ? mr_hash_public(&c->key, offsetof(struct mr_flow_key, hash))
                              : mr_hash_public(&c->key, c->key_len);
    return (c->flow.first_packet & INT32_MAX) << 24 | (key & 0xffffff);
}

static bool before(const struct mr_context *x, const struct mr_context *y)
{
    uint64_t a = x->flow.first_packet & INT32_MAX, b = y->flow.first_packet & INT32_MAX;
    return a != b ? a < b : mr_context_place(x) < mr_context_place(y);
}

/* ---- putting them in order, in slices: as the records of a token (token.c) ---- */

/* Goes on with a merge. False: no steps are left. */
static bool merge(struct mr_context_sorting *s, uint32_t *left)
{
    if (!s->tail)
        return true;
    while (s->x && s->y) {
        if (!*left)
            return false;
        --*left;
        struct mr_context **from = before(s->y, s->x) ? &s->y : &s->x;
        *s->tail = *from;
        s->tail = &(*from)->next_ended;
        *from = *s->tail;
    }
    *s->tail = s->x ? s->x : s->y;
    s->tail = NULL;
    return true;
}

/* With the runs of its level, which were found before it. */
static void begin_to_merge(struct mr_context_sorting *s)
{
    s->x = s->lists[s->level];
    s->y = s->whole;
    s->tail = &s->whole;
    s->lists[s->level++] = NULL;
}

/* Contexts lie in the order in which they were made, or, where their places are used again, often
 * in the opposite one: runs are long. False: no steps are left, or no contexts. */
static bool next_run(struct mr_context_table *table, uint32_t *left)
{
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
    if (!*left || !s->run)
        return false;
    s->whole = s->run;
    s->run = NULL;
    s->level = 0;
    return true;
}

/* False: there is more to do. */
static bool sort(struct mr_context_table *table, uint32_t *left)
{
    struct mr_context_sorting *s = &table->sorting;
    const uint32_t end = sizeof s->lists / sizeof *s->lists;

    while (merge(s, left)) {
        if (s->ends && s->level == end)
            return true;
        if (s->ends || (s->whole && s->lists[s->level])) {
            begin_to_merge(s);
        } else if (s->whole) {
            s->lists[s->level] = s->whole;
            s->whole = NULL;
        } else if (!next_run(table, left)) {
            if (!*left)
                return false;
            s->ends = true;
            s->level = 0;
        }
    }
    return false;
}

static bool is_in_order(struct mr_context_table *table)
{
    uint32_t left = SORT_STEPS;

    if (table->closes)
        return true;
    if (!table->sorting.next)
        table->n_closing = 0;
    table->closes = sort(table, &left);
    table->strain += SORT_STEPS - left;
    if (!table->closes)
        return false;
    table->closing = table->sorting.whole;
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
    while (c && n < table->slice && (end == UINT64_MAX || mr_context_place(c) < end)) {
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
    table->closing_end = table->behind ? mr_context_place(table->behind) : UINT64_MAX;
    table->n_behind = 0;
    return true;
}
