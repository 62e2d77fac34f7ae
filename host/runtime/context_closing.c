/* Contexts in the order in which they are closed. */
#include "runtime/context.h"

#include <stddef.h>

/* Runs that are merged: list[i] holds 2^i of them, or nothing. */
#define RUN_LISTS 32

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

static struct mr_context *merge(struct mr_context *x, struct mr_context *y)
{
    struct mr_context *head = NULL, **tail = &head;

    while (x && y) {
        struct mr_context **from = before(y, x) ? &y : &x;
        *tail = *from;
        tail = &(*tail)->next_ended;
        *from = (*from)->next_ended;
    }
    *tail = x ? x : y;
    return head;
}

static void add_run(struct mr_context *lists[RUN_LISTS], struct mr_context *run)
{
    uint32_t i = 0;

    for (; i < RUN_LISTS - 1 && lists[i]; i++) {
        run = merge(lists[i], run);
        lists[i] = NULL;
    }
    lists[i] = lists[i] ? merge(lists[i], run) : run;
}

/* Contexts lie in the order in which they were made, or, where their places are used again, often
 * in the opposite one: runs are long. */
static void sort(struct mr_context_table *table)
{
    struct mr_context *lists[RUN_LISTS] = {NULL}, *head = NULL, *tail = NULL;

    table->n_closing = 0;
    for (uint32_t i = 0; i < table->n_made; i++) {
        struct mr_context *c = mr_context_at(table, i);
        if (!c->in_table)
            continue;
        table->n_closing++;
        c->next_ended = NULL;
        if (head && !before(c, tail)) {
            tail->next_ended = c;
            tail = c;
        } else if (head && before(c, head)) {
            c->next_ended = head;
            head = c;
        } else {
            if (head)
                add_run(lists, head);
            head = tail = c;
        }
    }
    for (uint32_t i = 0; i < RUN_LISTS; i++)
        head = lists[i] ? merge(lists[i], head) : head;
    table->closing = head;
    table->closes = true;
}

uint32_t mr_contexts_close(struct mr_context_table *table, uint64_t end,
                           struct mr_context *closed[MR_CONTEXT_SLICE], bool *more)
{
    uint32_t n = 0;

    if (!table->closes && end == UINT64_MAX)
        return mr_contexts_all(table, closed, more);
    if (!table->closes)
        sort(table);
    struct mr_context *c = table->closing;
    while (c && n < MR_CONTEXT_SLICE && (end == UINT64_MAX || mr_context_place(c) < end)) {
        closed[n++] = c;
        c = c->next_ended;
    }
    table->closing = c;
    table->n_closing -= n;
    *more = n == MR_CONTEXT_SLICE;
    return n;
}

uint64_t mr_contexts_place_behind(const struct mr_context_table *table, uint32_t n)
{
    const struct mr_context *c = table->closing;

    while (n-- && c)
        c = c->next_ended;
    return c ? mr_context_place(c) : UINT64_MAX;
}
