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

/* Merges two sorted lists; equal records of x come first. */
static struct mr_record *merge(struct mr_record *x, struct mr_record *y)
{
    struct mr_record *head = NULL, **tail = &head;
    while (x && y) {
        struct mr_record **from = before(y, x) ? &y : &x;
        *tail = *from;
        tail = &(*tail)->next;
        *from = (*from)->next;
    }
    *tail = x ? x : y;
    return head;
}

static struct mr_record *sort(struct mr_record *list)
{
    struct mr_record *sorted[32] = {0}; /* sorted[i]: a list of 2^i records, or empty */
    struct mr_record *result = NULL;

    while (list) {
        struct mr_record *one = list;
        list = list->next;
        one->next = NULL;
        int i = 0;
        for (; i < 31 && sorted[i]; i++) {
            one = merge(sorted[i], one);
            sorted[i] = NULL;
        }
        sorted[i] = sorted[i] ? merge(sorted[i], one) : one;
    }
    for (int i = 0; i < 32; i++)
        result = merge(sorted[i], result);
    return result;
}

struct mr_record *mr_token_sorted_records(struct mr_token *token)
{
    struct mr_record *list = atomic_load_explicit(&token->records, memory_order_acquire);

    if (!list)
        return NULL; /* most tokens */
    atomic_store_explicit(&token->records, NULL, memory_order_relaxed);
    return list->next ? sort(list) : list;
}
