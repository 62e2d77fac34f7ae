/* Memory for short buffers of a few sizes, in runs of 256 KiB: a page on which none of them lies
 * any more goes back to the system. In the heap it would stay this process's memory as long as a
 * neighbour is used. Thread-safe; a lock for each size. */
#ifndef MR_BASE_RUNS_H
#define MR_BASE_RUNS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct mr_run;

/* Of one size. */
struct mr_runs {
    pthread_mutex_t lock;
    struct mr_run *open; /* those with room */
    size_t bytes, page_bytes;
    uint32_t n_slots;
};

/* `bytes`: of each piece, 512 to 33000, a multiple of 64 (so are their addresses). */
void mr_runs_init(struct mr_runs *runs, size_t bytes);
void mr_runs_free(struct mr_runs *runs); /* all must have been given back */

void *mr_runs_take(struct mr_runs *runs, uint32_t *slot); /* NULL: no memory */
void mr_runs_give(struct mr_runs *runs, void *memory, uint32_t slot);

#endif
