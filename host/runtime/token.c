/* Tokens: what any number of workers add to one, and taking it back in order. */
#include "runtime/token.h"

#include <stdlib.h>

void mr_token_push_records(struct mr_token *token, struct mr_record *first, struct mr_record *last)
{
    struct mr_record *head = atomic_load_explicit(&token->records, memory_order_relaxed);
    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&token->records, &head, first,
                                                    memory_order_release, memory_order_relaxed));
}

void mr_token_push_outputs(struct mr_token *token, struct mr_tuples *first, struct mr_tuples *last)
{
    struct mr_tuples *head = atomic_load_explicit(&token->outputs, memory_order_relaxed);
    do {
        last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&token->outputs, &head, first,
                                                    memory_order_release, memory_order_relaxed));
}

void mr_token_keep(struct mr_token *token, struct mr_buffer *buffer)
{
    struct mr_buffer *head = atomic_load_explicit(&token->kept, memory_order_relaxed);
    do {
        buffer->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&token->kept, &head, buffer,
                                                    memory_order_release, memory_order_relaxed));
}

static bool before(const struct mr_record *x, const struct mr_record *y)
{
    int order = mr_order_compare(x->order, y->order);
    if (order)
        return order < 0;
    return x->ordinal != y->ordinal ? x->ordinal < y->ordinal : x->sequence < y->sequence;
}

/* ---- their order ----
 *
 * What a tick rings may be millions of records: they are merged some at a time. A task leaves its
 * records in order mostly, so that runs are long. */

/* Goes on with a merge; equal records of x come first. False: no steps are left. */
static bool merge(struct mr_sorting *s, uint32_t *left)
{
    if (!s->tail)
        return true;
    while (s->x && s->y) {
        if (!*left)
            return false;
        --*left;
        struct mr_record **from = before(s->y, s->x) ? &s->y : &s->x;
        *s->tail = *from;
        s->tail = &(*from)->next;
        *from = *s->tail;
    }
    *s->tail = s->x ? s->x : s->y;
    s->tail = NULL;
    return true;
}

/* With the runs of its level, which were found before it. */
static void begin_to_merge(struct mr_sorting *s)
{
    s->x = s->lists[s->level];
    s->y = s->whole;
    s->tail = &s->whole;
    s->lists[s->level++] = NULL;
}

/* The records at the head of the list that are in order: some at least. */
static void next_run(struct mr_sorting *s, uint32_t *left)
{
    struct mr_record *last = s->list;

    for (s->whole = last, s->n++, --*left; *left; last = last->next, s->n++, --*left)
        if (!last->next || before(last->next, last))
            break;
    s->list = last->next;
    last->next = NULL;
    s->level = 0;
}

static bool sort(struct mr_sorting *s, uint32_t *left)
{
    const uint32_t end = sizeof s->lists / sizeof *s->lists;

    while (merge(s, left)) {
        if (s->ends && s->level == end)
            return true;
        if (s->ends || (s->whole && s->lists[s->level])) {
            begin_to_merge(s);
        } else if (s->whole) {
            s->lists[s->level] = s->whole;
            s->whole = NULL;
        } else if (!s->list) {
            s->ends = true;
            s->level = 0;
        } else if (*left) {
            next_run(s, left);
        } else {
            return false;
        }
    }
    return false;
}

bool mr_token_sort(struct mr_token *token, uint32_t *left)
{
    struct mr_sorting *s = &token->sorting;

    if (!s->n && !s->list) { /* else it has begun */
        s->list = atomic_load_explicit(&token->records, memory_order_acquire);
        if (!s->list)
            return true; /* most tokens */
        atomic_store_explicit(&token->records, NULL, memory_order_relaxed);
    }
    return sort(s, left);
}

void mr_token_forget_records(struct mr_token *token)
{
    if (token->sorting.n)
        token->sorting = (struct mr_sorting){0};
    token->retired = false;
}

struct mr_record *mr_token_sorted_records(struct mr_token *token)
{
    uint32_t left = UINT32_MAX;

    (void)mr_token_sort(token, &left);
    struct mr_record *all = token->sorting.whole;
    mr_token_forget_records(token);
    return all;
}
