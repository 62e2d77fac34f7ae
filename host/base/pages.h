/* Large pages that are there before they are needed: a thread has the system clear them, and who
 * needs one moves it to where his memory grows.
 *
 * The first touch of a page has the system clear it: 2 MiB take a fraction of a millisecond, but
 * five of them on a virtual machine whose host has not given that memory yet. Where the thread
 * comes too late, memory grows by small pages, as they are touched.
 */
#ifndef MR_BASE_PAGES_H
#define MR_BASE_PAGES_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_PAGE_BYTES       4096u
#define MR_LARGE_PAGE_BYTES ((uint64_t)2 << 20)
#define MR_MOST_READY_PAGES 64u /* cleared and not taken yet */
#define MR_STOCK_PAGES      16u /* for live capture: ready before the first flow, and then */
#define MR_MOST_TAKEN_PAGES                                                                        \
    16384u /* each is a mapping of its own; Linux grants 65,530 to a process */

struct mr_pages;

/* Starts the thread, which runs on cores that have nothing else to do. MR_ERR_MEMORY, MR_ERR_START.
 */
enum mr_status mr_pages_new(struct mr_pages **out);
void mr_pages_free(struct mr_pages *pages); /* NULL is allowed */

/* So many large pages more (or, negative, less) will be taken soon. The thread makes ready as many
 * as are expected by all. Any thread. */
void mr_pages_expect(struct mr_pages *pages, int64_t n);

/* Puts a large page of zeros in the place of private anonymous memory that nobody has touched yet:
 * at `at`, a multiple of its size. One less is expected then. False: none is ready, and the memory
 * stays as it is. Some microseconds, and never waits for the thread. Any thread. */
bool mr_pages_take(struct mr_pages *pages, void *at);

/* So many that were taken have been unmapped. Any thread. */
void mr_pages_gone(struct mr_pages *pages, uint32_t n);

/* Makes ready what is expected and is not yet, or as much of it as may be. Any thread that may take
 * its time. */
void mr_pages_settle(struct mr_pages *pages);

#endif
