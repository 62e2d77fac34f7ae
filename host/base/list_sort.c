#include "base/list_sort.h"

#include <string.h>

static void *next_of(const struct mr_list_order *order, const void *item)
{
    void *next;

    memcpy(&next, (const char *)item + order->link, sizeof next);
    return next;
}

/* Puts a list behind what the merge has taken. */
static void append(struct mr_list_sort *s, const struct mr_list_order *order, void *items)
{
    if (s->last)
        memcpy((char *)s->last + order->link, &items, sizeof items);
    else
        s->whole = items;
}

/* Goes on with a merge; equal items of x come first. False: no steps are left. */
static bool merge(struct mr_list_sort *s, const struct mr_list_order *order, uint32_t *left)
{
    if (!s->merging)
        return true;
    while (s->x && s->y) {
        if (!*left)
            return false;
        --*left;
        void **from = order->before(s->y, s->x) ? &s->y : &s->x;
        append(s, order, *from);
        s->last = *from;
        *from = next_of(order, *from);
    }
    append(s, order, s->x ? s->x : s->y);
    s->merging = false;
    return true;
}

/* With the runs of its level, which were found before it. */
static void begin_to_merge(struct mr_list_sort *s)
{
    s->x = s->lists[s->level];
    s->y = s->whole;
    s->whole = s->last = NULL;
    s->merging = true;
    s->lists[s->level++] = NULL;
}

bool mr_list_sort(struct mr_list_sort *s, const struct mr_list_order *order, void *user,
                  uint32_t *left)
{
    const uint32_t end = sizeof s->lists / sizeof *s->lists;

    while (merge(s, order, left)) {
        if (s->ends && s->level == end)
            return true;
        if (s->ends || (s->whole && s->lists[s->level])) {
            begin_to_merge(s);
        } else if (s->whole) {
            s->lists[s->level] = s->whole;
            s->whole = NULL;
        } else if (!order->next_run(user, &s->whole, left)) {
            return false;
        } else {
            s->ends = !s->whole;
            s->level = 0;
        }
    }
    return false;
}
