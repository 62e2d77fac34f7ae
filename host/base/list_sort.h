/* Brings a list in order, some of it at a time: runs that are in order already are merged, bottom
 * up. */
#ifndef MR_BASE_LIST_SORT_H
#define MR_BASE_LIST_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sort on its way; begins with zeros. */
struct mr_list_sort {
    void *whole;        /* runs that were merged; at the end all of them */
    void *x, *y, *last; /* a merge under way, and the last item it took, if any */
    void *lists[32];    /* lists[i]: 2^i runs, or nothing */
    uint32_t level;     /* of `whole` */
    bool merging, ends; /* ends: all runs are found, and merged */
};

/* What is sorted. */
struct mr_list_order {
    size_t link; /* offset of an item's pointer to the next one */
    bool (*before)(const void *x, const void *y);
    /* The next items that are in order, as a list: *run, which is NULL where nothing is left. Takes
     * a step off *left for each item it looks at. False: there are too few. */
    bool (*next_run)(void *user, void **run, uint32_t *left);
};

/* Goes on with a sort, and takes a step off *left for each item that is looked at. False: there
 * were too few, call it again. True: s->whole has all; equal items are in the order of their runs.
 */
bool mr_list_sort(struct mr_list_sort *s, const struct mr_list_order *order, void *user,
                  uint32_t *left);

#endif
