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

void mr_token_push_outputs(struct mr_token *token, const struct mr_tuples_list *list)
{
    struct mr_tuples *head = atomic_load_explicit(&token->outputs, memory_order_relaxed);

    atomic_fetch_add_explicit(&token->left_rows, list->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&token->left_batches, list->batches, memory_order_relaxed);
    do {
        list->last->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&token->outputs, &head, list->first,
                                                    memory_order_release, memory_order_relaxed));
}

struct mr_tuples *mr_token_take_outputs(struct mr_token *token)
{
    atomic_store_explicit(&token->left_rows, 0, memory_order_relaxed);
    atomic_store_explicit(&token->left_batches, 0, memory_order_relaxed);
    return atomic_exchange_explicit(&token->outputs, NULL, memory_order_acquire);
}

void mr_token_keep(struct mr_token *token, struct mr_buffer *buffer)
{
    struct mr_buffer *head = atomic_load_explicit(&token->kept, memory_order_relaxed);
    do {
        buffer->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&token->kept, &head, buffer,
                                                    memory_order_release, memory_order_relaxed));
}

/* ---- their order ----
 *
 * What a tick rings may be millions of records: they are merged some at a time. */

static bool before(const void *one, const void *other)
{
    const struct mr_record *x = one, *y = other;
    int order = mr_order_compare(x->order, y->order);
    if (order)
        return order < 0;
    return x->ordinal != y->ordinal ? x->ordinal < y->ordinal : x->sequence < y->sequence;
}

/* A task leaves its records in order mostly, so that runs are long. */
static bool next_run(void *user, void **run, uint32_t *left)
{
    struct mr_sorting *s = user;
    struct mr_record *last = s->list;

    if (last && !*left)
        return false;
    *run = last;
    if (!last)
        return true;
    for (s->n++, --*left; *left; last = last->next, s->n++, --*left)
        if (!last->next || before(last->next, last))
            break;
    s->list = last->next;
    last->next = NULL;
    return true;
}

bool mr_token_sort(struct mr_token *token, uint32_t *left)
{
    static const struct mr_list_order order = {offsetof(struct mr_record, next), before, next_run};
    struct mr_sorting *s = &token->sorting;

    if (!s->n && !s->list) { /* else it has begun */
        s->list = atomic_load_explicit(&token->records, memory_order_acquire);
        if (!s->list)
            return true; /* most tokens */
        atomic_store_explicit(&token->records, NULL, memory_order_relaxed);
    }
    return mr_list_sort(&s->sort, &order, s, left);
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
    struct mr_record *all = token->sorting.sort.whole;
    mr_token_forget_records(token);
    return all;
}
